/**
 * What one socket may bring in one turn of the event loop before everybody else has theirs (D-130). libuv reads a socket
 * that has more up to 32 times before it looks at another one: 2 MiB with all that follows from them, for each of them.
 */

interface Source {
  pause(): void;
  /** Everybody had their turn. There may be other reasons to stay paused: the source's to know. */
  resume(): void;
}

export class TurnShare {
  readonly #shareBytes: number;
  readonly #source: Source;
  /** Since everybody else last had their turn. */
  #takenBytes = 0;
  #isUsedUp = false;

  constructor(shareBytes: number, source: Source) {
    this.#shareBytes = shareBytes;
    this.#source = source;
  }

  /** It waits for its next turn: nobody else may resume the source. */
  get isUsedUp(): boolean {
    return this.#isUsedUp;
  }

  /** After bytes came. What was on its way when the source was paused may still come, and is counted. */
  count(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes < this.#shareBytes || this.#isUsedUp) return;
    this.#isUsedUp = true;
    this.#source.pause();
    setImmediate(() => {
      this.#takenBytes = 0;
      this.#isUsedUp = false;
      this.#source.resume();
    });
  }
}
