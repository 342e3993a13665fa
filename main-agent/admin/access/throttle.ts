import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { wrongTokensMax, throttleMs, throttledSourcesMax } from './limits.ts';

/** Counts wrong tokens by address. Trust: addresses come from the kernel; the map is bounded all the same. */
export class Throttle {
  readonly #clock: Clock;
  readonly #failures = new BoundedMap<{ readonly count: number; readonly untilMs: number }>(
    throttledSourcesMax,
  );

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long this address must wait; undefined: it may try. */
  waitMs(source: string): number | undefined {
    const seen = this.#failures.get(source);
    if (seen === undefined) return undefined;
    const leftMs = seen.untilMs - this.#clock.monotonic();
    if (leftMs <= 0) {
      this.#failures.delete(source);
      return undefined;
    }
    return seen.count >= wrongTokensMax ? leftMs : undefined;
  }

  failed(source: string): void {
    const untilMs = this.#clock.monotonic() + throttleMs;
    const count = (this.#failures.get(source)?.count ?? 0) + 1;
    this.#failures.set(source, { count, untilMs });
  }
}
