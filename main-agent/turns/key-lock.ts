/** Lets one at a time do something to a key. Bounded by its callers: each waits with a request of its own. */
export class KeyLock {
  readonly #tails = new Map<string, Promise<void>>();

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
