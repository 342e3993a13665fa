/** So many at once, and so many a second: a token bucket. For bounds that shall stop a storm and nobody's long day. */
export interface RateLimit {
  readonly burst: number;
  readonly perSecond: number;
}

export class Rate {
  readonly #limit: RateLimit;
  #left: number;
  #at: number;

  /** `monotonicMs`: now. */
  constructor(limit: RateLimit, monotonicMs: number) {
    this.#limit = limit;
    this.#left = limit.burst;
    this.#at = monotonicMs;
  }

  /** Is there room for one more? */
  hasRoom(monotonicMs: number): boolean {
    const refill = ((monotonicMs - this.#at) / 1000) * this.#limit.perSecond;
    this.#left = Math.min(this.#limit.burst, this.#left + refill);
    this.#at = monotonicMs;
    return this.#left >= 1;
  }

  /** Takes one. False: that was too many, and nothing is taken. */
  take(monotonicMs: number): boolean {
    if (!this.hasRoom(monotonicMs)) return false;
    this.#left -= 1;
    return true;
  }
}
