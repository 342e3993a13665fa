import { uptime } from 'node:os';

/** Time as a dependency, so that tests own it. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): number;
  /** Never goes back; milliseconds from an arbitrary start. Use it for durations and deadlines. */
  monotonic(): number;
  /** As `monotonic`, but counts while the machine sleeps, too; to a second. Absent where nobody knows. */
  sinceBoot?(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sinceBoot: () => uptime() * 1000,
};
