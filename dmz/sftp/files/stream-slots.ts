import { streamRetryMs, streamsMax } from '#dmz/sftp/limits.ts';

/** Who has a stream, or waits for one. */
export interface StreamHolder {
  /** Nobody waits for anything of its stream. */
  readonly isIdle: boolean;
  /** To be asked only when idle: ends its stream, and gives the slot back when that is over. */
  giveWay(): void;
}

interface Waiting {
  readonly holder: StreamHolder;
  readonly open: () => void;
}

/**
 * The streams of one connection, which main bounds: who wants one more than there may be waits for it. A stream that is
 * only kept in case its file is read or written further makes room, the one that was opened first before the others.
 */
export class StreamSlots {
  readonly #held = new Set<StreamHolder>();
  readonly #leaving = new Set<StreamHolder>();
  #waiting: Waiting[] = [];
  #retry: NodeJS.Timeout | undefined;

  /** `open` is called once: now, or when there is room. */
  take(holder: StreamHolder, open: () => void): void {
    this.#waiting.push({ holder, open });
    this.#fill();
  }

  /** Main says that it has too many streams, of others too: first in line, and tried again in a while. */
  takeLater(holder: StreamHolder, open: () => void): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#fill();
    }, streamRetryMs).unref();
    this.drop(holder);
    this.#waiting.unshift({ holder, open });
  }

  /** Its stream is over, or is not wanted any more. Safe to call twice. */
  drop(holder: StreamHolder): void {
    this.#leaving.delete(holder);
    if (!this.#held.delete(holder)) this.#waiting = this.#waiting.filter((other) => other.holder !== holder);
    if (this.#waiting.length > 0) this.#fill();
  }

  /** It has nothing to do just now. */
  becameIdle(): void {
    if (this.#waiting.length > 0) this.#makeRoom();
  }

  #fill(): void {
    while (this.#retry === undefined && this.#held.size < streamsMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#held.add(next.holder);
      next.open();
    }
    this.#makeRoom();
  }

  #makeRoom(): void {
    for (const holder of this.#held) {
      if (this.#leaving.size >= this.#waiting.length || this.#held.size < streamsMax) return;
      if (this.#leaving.has(holder) || !holder.isIdle) continue;
      this.#leaving.add(holder);
      holder.giveWay();
    }
  }
}
