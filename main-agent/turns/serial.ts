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
