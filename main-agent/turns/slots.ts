import type { Asker } from '#shared/link/asker.ts';

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
