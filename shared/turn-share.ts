/**
 * What one socket may bring in one turn of the event loop before everybody else has theirs (D-130). libuv reads a socket
 * that has more up to 32 times before it looks at another one: 2 MiB with all that follows from them, for each of them.
 */

interface Source {
  pause(): void;
  /** Everybody had their turn. There may be other reasons to stay paused: the source's to know. */
  resume(): void;
  /** It `isBusy` no longer, or has been for `busyTurnsMax` turns: who waited for more of it has waited long enough. */
  onQuiet?(): void;
}

/** Of a millisecond or less: sixteen large downloads have come to 256 KiB each by then. */
export const busyTurnsMax = 32;

export class TurnShare {
  readonly #shareBytes: number;
  readonly #source: Source;
  /** Since everybody else last had their turn. */
  #takenBytes = 0;
  #isUsedUp = false;
  #isBusy = false;
  #busyTurns = 0;

  constructor(shareBytes: number, source: Source) {
    this.#shareBytes = shareBytes;
    this.#source = source;
  }

  /** It waits for its next turn: nobody else may resume the source. */
  get isUsedUp(): boolean {
    return this.#isUsedUp;
  }

  /** It was used up in this turn or the one before, so that more is likely to come at once. `onQuiet` ends it. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** After bytes came. What was on its way when the source was paused may still come, and is counted. */
  count(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes < this.#shareBytes || this.#isUsedUp) return;
    this.#isUsedUp = true;
    this.#source.pause();
    if (this.#isBusy) return;
    this.#isBusy = true;
    setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    const wasUsedUp = this.#isUsedUp;
    this.#takenBytes = 0;
    this.#isUsedUp = false;
    this.#busyTurns += 1;
    if (wasUsedUp && this.#busyTurns < busyTurnsMax) {
      setImmediate(this.#endTurn);
    } else {
      this.#isBusy = false;
      this.#busyTurns = 0;
      this.#source.onQuiet?.();
    }
    if (wasUsedUp) this.#source.resume();
  };
}
