/**
 * A map that never grows past its bound: the entry that was set longest ago makes room. For what is kept about
 * strangers and for what can be had again, where forgetting somebody is better than remembering everybody.
 */
export class BoundedMap<V, K = string> extends Map<K, V> {
  readonly #entriesMax: number;
  readonly #onDropped: ((value: V) => void) | undefined;

  /** `onDropped` is told what made room, not what was deleted or set anew. */
  constructor(entriesMax: number, onDropped?: (value: V) => void) {
    super();
    this.#entriesMax = entriesMax;
    this.#onDropped = onDropped;
  }

  /** Also of a key that is there: it is the newest now. */
  override set(key: K, value: V): this {
    this.delete(key);
    super.set(key, value);
    if (this.size <= this.#entriesMax) return this;
    const [oldest] = this;
    if (oldest !== undefined) {
      this.delete(oldest[0]);
      this.#onDropped?.(oldest[1]);
    }
    return this;
  }
}
