import { BoundedMap } from '#shared/bounded-map.ts';
import { Rate, type RateLimit } from '#shared/rate.ts';

/** A rate per key: good logins come at a person's pace, not a looping program's. */
export class LoginPace {
  readonly #rates: BoundedMap<Rate>;
  readonly #limit: RateLimit;

  constructor(limits: { readonly burst: number; readonly everyMs: number; readonly keysMax: number }) {
    this.#limit = { burst: limits.burst, perSecond: 1000 / limits.everyMs };
    this.#rates = new BoundedMap(limits.keysMax);
  }

  /** Undefined: go ahead. Else how long to wait. */
  take(key: string, monotonicMs: number): number | undefined {
    const rate = this.#rates.get(key) ?? new Rate(this.#limit, monotonicMs);
    this.#rates.set(key, rate);
    return rate.take(monotonicMs) ? undefined : rate.waitMs(monotonicMs);
  }

  /** What `take` would answer. */
  peek(key: string, monotonicMs: number): number | undefined {
    const rate = this.#rates.get(key);
    return rate === undefined || rate.hasRoom(monotonicMs) ? undefined : rate.waitMs(monotonicMs);
  }
}
