import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { deliveredCodesMax, sendIntervalMs, sendsPerHourMax } from './limits.ts';

const hourMs = 3_600_000;

/** When a user was sent codes last, so that nobody's mailbox is flooded: one in 30 s, five in an hour. */
export class SendLimits {
  readonly #clock: Clock;
  readonly #sends = new BoundedMap<readonly number[]>(deliveredCodesMax);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Until the next send is allowed; 0 = now. */
  waitMs(username: string): number {
    const now = this.#clock.monotonic();
    const sends = (this.#sends.get(username) ?? []).filter((at) => at > now - hourMs);
    if (sends.length === 0) this.#sends.delete(username);
    const last = sends.at(-1);
    const byInterval = last === undefined ? 0 : last + sendIntervalMs - now;
    const oldest = sends.at(-sendsPerHourMax);
    const byHour = oldest === undefined ? 0 : oldest + hourMs - now;
    return Math.max(0, byInterval, byHour);
  }

  note(username: string, atMs: number): void {
    const sends = [...(this.#sends.get(username) ?? []), atMs].slice(-sendsPerHourMax);
    this.#sends.set(username, sends);
  }

  /** It was not sent after all. */
  forget(username: string, atMs: number): void {
    this.#sends.set(
      username,
      (this.#sends.get(username) ?? []).filter((at) => at !== atMs),
    );
  }
}
