/** Per-user speed limits, shared by all of a user's sessions: one token bucket per user and direction. */
import type { Clock } from '#shared/clock.ts';
import { accountsMax } from './limits.ts';

export type Direction = 'upload' | 'download';

/** A quarter of a second's worth may go at once, so that frames are not sent one by one. */
const burstMs = 250;

export class TokenBucket {
  readonly #clock: Clock;
  #tokens = 0;
  #filledAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#filledAtMs = clock.monotonic();
  }

  /** Takes bytes and tells how long to wait before going on. */
  take(bytes: number, bytesPerSecond: number): number {
    const now = this.#clock.monotonic();
    const burst = (bytesPerSecond * burstMs) / 1000;
    const refill = ((now - this.#filledAtMs) * bytesPerSecond) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + refill) - bytes;
    this.#filledAtMs = now;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / bytesPerSecond) * 1000;
  }
}

export class Bandwidth {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long to wait after moving so many bytes; 0 without a limit. */
  take(username: string, direction: Direction, bytes: number, bytesPerSecond: number | undefined): number {
    if (bytesPerSecond === undefined) return 0;
    const key = `${direction} ${username}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= accountsMax) this.#buckets.clear();
      this.#buckets.set(key, (bucket = new TokenBucket(this.#clock)));
    }
    return bucket.take(bytes, bytesPerSecond);
  }
}
