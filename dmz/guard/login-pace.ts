import { BoundedMap } from '#shared/bounded-map.ts';

/** A token bucket per key: good logins come at a person's pace, not a looping program's. */
export class LoginPace {
  readonly #buckets: BoundedMap<{ readonly tokens: number; readonly atMs: number }>;
  readonly #limits: { readonly burst: number; readonly everyMs: number };

  constructor(limits: { readonly burst: number; readonly everyMs: number; readonly keysMax: number }) {
    this.#limits = limits;
    this.#buckets = new BoundedMap(limits.keysMax);
  }

  /** Undefined: go ahead. Else how long to wait. */
  take(key: string, monotonicMs: number): number | undefined {
    const tokens = this.#tokens(key, monotonicMs);
    const goes = tokens >= 1;
    this.#buckets.put(key, { tokens: goes ? tokens - 1 : tokens, atMs: monotonicMs });
    return goes ? undefined : this.#waitMs(tokens);
  }

  /** What `take` would answer. */
  peek(key: string, monotonicMs: number): number | undefined {
    const tokens = this.#tokens(key, monotonicMs);
    return tokens >= 1 ? undefined : this.#waitMs(tokens);
  }

  #tokens(key: string, monotonicMs: number): number {
    const { burst, everyMs } = this.#limits;
    const bucket = this.#buckets.peek(key) ?? { tokens: burst, atMs: monotonicMs };
    return Math.min(burst, bucket.tokens + (monotonicMs - bucket.atMs) / everyMs);
  }

  #waitMs(tokens: number): number {
    return (1 - tokens) * this.#limits.everyMs;
  }
}
