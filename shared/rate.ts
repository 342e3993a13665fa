/** So many at once, and so many a second: a token bucket. For bounds that shall stop a storm and nobody's long day. */
export interface RateLimit {
  readonly burst: number;
  readonly perSecond: number;
}

export class Rate {
  /** May be changed; what is left stays, as far as the new burst has room for it. */
  limit: RateLimit;
  #left: number;
  #at: number;

  /** `monotonicMs`: now. `left`: what may be taken at once now. */
  constructor(limit: RateLimit, monotonicMs: number, left = limit.burst) {
    this.limit = limit;
    this.#left = left;
    this.#at = monotonicMs;
  }

  /** What may be taken at once now; negative: so much is owed. */
  left(monotonicMs: number): number {
    const refill = ((monotonicMs - this.#at) / 1000) * this.limit.perSecond;
    this.#left = Math.min(this.limit.burst, this.#left + refill);
    this.#at = monotonicMs;
    return this.#left;
  }

  /** Is there room for one more? */
  hasRoom(monotonicMs: number): boolean {
    return this.left(monotonicMs) >= 1;
  }

  /** How long until there is room for one more; 0 = now. */
  waitMs(monotonicMs: number): number {
    return Math.max(0, ((1 - this.left(monotonicMs)) / this.limit.perSecond) * 1000);
  }

  /** Takes one. False: that was too many, and nothing is taken. */
  take(monotonicMs: number): boolean {
    if (!this.hasRoom(monotonicMs)) return false;
    this.#left -= 1;
    return true;
  }

  /** Takes so much whether it is there or not. How long until it would have been; 0 = it was. */
  owe(amount: number, monotonicMs: number): number {
    this.#left = this.left(monotonicMs) - amount;
    return Math.max(0, (-this.#left / this.limit.perSecond) * 1000);
  }
}
