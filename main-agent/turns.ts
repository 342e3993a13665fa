import type { Asker } from '#shared/link/asker.ts';

/** Who has to wait for whom: one at a time, one at a time for each key, or so many at a time. */

/** One at a time, in the order of asking. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(act);
    this.#tail = mine.catch(() => undefined);
    return mine;
  }

  /** When all that was asked so far is over, however it ended. */
  async settled(): Promise<void> {
    await this.#tail;
  }
}

/** Lets one at a time do something to a key. Bounded by its callers: each waits with a request of its own. */
export class KeyLock {
  readonly #tails = new Map<string, Promise<void>>();

  run<T>(key: string, act: () => Promise<T>): Promise<T> {
    return this.hold([key], act);
  }

  /** Keys are taken in one order everywhere, so that two holders of two keys can't wait for each other. */
  async hold<T>(keys: readonly string[], act: () => Promise<T>): Promise<T> {
    const ordered = [...new Set(keys)].sort();
    const releases: (() => void)[] = [];
    try {
      for (const key of ordered) releases.push(await this.#take(key));
      return await act();
    } finally {
      for (const release of releases) release();
    }
  }

  async #take(key: string): Promise<() => void> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    await before;
    return () => {
      if (this.#tails.get(key) === promise) this.#tails.delete(key);
      resolve();
    };
  }
}

/**
 * Lets so many run at the same time; the others wait in order, for as long as their askers do. The waiting are bounded
 * by the requests in flight.
 */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Rejects `deadline` when nobody waits any more once it would begin. */
  async run<T>(act: () => Promise<T>, asker?: Asker): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      asker?.requireWaiting();
      return await act();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
