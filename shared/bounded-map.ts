/**
 * A map that never grows past its bound: the entry touched longest ago goes first. For counters about strangers, where
 * forgetting somebody is better than remembering everybody.
 */
export class BoundedMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #entriesMax: number;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  peek(key: string): V | undefined {
    return this.#entries.get(key);
  }

  /** Stores and marks as touched just now. */
  put(key: string, value: V): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#entriesMax) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, value);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
