/**
 * When a receiver should widen a stream's window: on a long fat link, where a window's worth of bytes arrives within
 * about one round trip, the window and not the line is what holds the sender back.
 */
import { windowBytesMax, windowBytesStart, windowGrowthRttMsMin } from './limits.ts';

export interface RoundTrip {
  /** Monotonic milliseconds. */
  now(): number;
  /** Latest round trip of the control connection to the same peer; undefined before the first. */
  rttMs(): number | undefined;
}

export class WindowGrowth {
  readonly #roundTrip: RoundTrip;
  #windowBytes = windowBytesStart;
  #arrivedBytes = 0;
  #markedAt: number;

  constructor(roundTrip: RoundTrip) {
    this.#roundTrip = roundTrip;
    this.#markedAt = roundTrip.now();
  }

  /** What the window has grown by so far. */
  get grownBytes(): number {
    return this.#windowBytes - windowBytesStart;
  }

  /** Bytes were dealt with. Returns by how much the window should grow now: 0, or as much again. */
  wanted(releasedBytes: number): number {
    this.#arrivedBytes += releasedBytes;
    const rttMs = this.#roundTrip.rttMs() ?? 0;
    const now = this.#roundTrip.now();
    if (rttMs < windowGrowthRttMsMin || now - this.#markedAt < rttMs) return 0;
    // A sender that is held back by the window sends all of it in each round trip; twice the time is for jitter.
    const isHeldBack = this.#arrivedBytes * 2 * rttMs >= this.#windowBytes * (now - this.#markedAt);
    this.#arrivedBytes = 0;
    this.#markedAt = now;
    return isHeldBack ? Math.min(this.#windowBytes, windowBytesMax - this.#windowBytes) : 0;
  }

  grow(bytes: number): void {
    this.#windowBytes += bytes;
  }
}
