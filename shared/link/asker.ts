/**
 * Who waits for the answer of a request: for how long yet, and whether still. What waits in a queue of main asks it
 * before it is begun, because work for somebody who has gone is taken from somebody who waits.
 *
 * Trust: how long is the peer's word. Main gives nobody a better place for it, and cuts it where the peer's own users
 * would wait longer than any client does.
 */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';

export class Asker {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #untilMs: number;
  #gaveUp = false;
  readonly #listeners = new Set<() => void>();

  /** `patienceMs`: from now on; a span, because no clock of another box says when. */
  constructor(clock: Pick<Clock, 'monotonic'>, patienceMs: number) {
    this.#clock = clock;
    this.#untilMs = clock.monotonic() + patienceMs;
  }

  /** Milliseconds until nobody waits any more; 0: nobody does. */
  get leftMs(): number {
    return this.#gaveUp ? 0 : Math.max(0, this.#untilMs - this.#clock.monotonic());
  }

  /** It will not wait for the answer. */
  giveUp(): void {
    if (this.#gaveUp) return;
    this.#gaveUp = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Called once, at `giveUp`; time that runs out is not told. Returns its own unsubscribe. */
  onGiveUp(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Rejects with `deadline` what nobody waits for: nothing of it was begun. */
  requireWaiting(): void {
    if (this.leftMs <= 0) throw notBegun();
  }
}

/** Of a request that was dropped before anything of it was done. */
export function notBegun(): SallyportError {
  return new SallyportError('deadline', 'Nobody waits for this any more', {
    detail: 'dropped before it was begun',
  });
}
