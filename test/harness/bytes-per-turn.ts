/** What comes in each turn of the event loop, from now until it is asked for the last time. */
export class BytesPerTurn {
  readonly #turns = [0];
  #isOver = false;

  constructor() {
    const next = (): void => {
      if (this.#turns.at(-1) !== 0) this.#turns.push(0);
      if (!this.#isOver) setImmediate(next);
    };
    next();
  }

  count(bytes: number): void {
    this.#turns[this.#turns.length - 1] = (this.#turns.at(-1) ?? 0) + bytes;
  }

  get total(): number {
    return this.#turns.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The most of one turn. */
  finish(): number {
    this.#isOver = true;
    return Math.max(...this.#turns);
  }
}
