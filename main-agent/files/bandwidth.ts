/** Per-user speed limits, shared by all of a user's sessions (D-32): one rate per user and direction. */
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { Rate } from '#shared/rate.ts';
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

export class Bandwidth {
  readonly #clock: Clock;
  readonly #rates = new BoundedMap<Rate>(accountsMax);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long to wait before moving so many bytes; 0 without a limit. */
  take(username: string, direction: Direction, bytes: number, bytesPerSecond: number | undefined): number {
    if (bytesPerSecond === undefined) return 0;
    const limit = { burst: (bytesPerSecond * burstMs) / 1000, perSecond: bytesPerSecond };
    const key = `${direction} ${username}`;
    const now = this.#clock.monotonic();
    const rate = this.#rates.get(key) ?? new Rate(limit, now, 0);
    rate.limit = limit;
    this.#rates.set(key, rate);
    return rate.owe(bytes, now);
  }
}
