/**
 * Per-user speed limits, shared by all of a user's sessions (D-32): one token bucket per user and direction.
 */
import type { Clock } from '#shared/clock.ts';
import { accountsMax } from './limits.ts';

export type Direction = 'upload' | 'download';

/** A quarter of a second's worth may go at once, so that frames are not sent one by one. */
const burstMs = 250;
/** Streams under one limit take turns of the same size, so that each gets the same share whatever its pieces are. */
const turnMs = 50;
/** Half an SFTP packet of the usual size; and what the disk is asked for at once. */
const turnBytesMin = 16 * 1024;
const turnBytesMax = 512 * 1024;

/** The most that a stream moves before it asks again; without a limit nobody waits for turns. */
export function turnBytesAt(bytesPerSecond: number | undefined): number {
  if (bytesPerSecond === undefined) return Number.POSITIVE_INFINITY;
  return Math.min(turnBytesMax, Math.max(turnBytesMin, Math.floor((bytesPerSecond * turnMs) / 1000)));
}

export class TokenBucket {
  readonly #clock: Clock;
  #tokens = 0;
  #filledAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#filledAtMs = clock.monotonic();
  }

  /** Takes bytes and tells how long to wait before moving them. */
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

  /** How long to wait before moving so many bytes; 0 without a limit. */
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
