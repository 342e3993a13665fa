import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { clockBackMs, clockCheckIntervalMs, clockJumpMs, clockSlewPpm, sleepMsMin } from './limits.ts';

/**
 * Notices when main's own wall clock leaves the steady one, in one jump or by creeping. Time steps are only worth
 * something while that clock is right: after that TOTP pauses until an admin has looked and confirmed.
 *
 * What it is off adds up, and what NTP may slew is forgiven again as time passes: so an honest slew never adds up to
 * anything, and no row of small steps stays below notice. A machine that slept was not wrong: where the system says how
 * long it slept, that is left out.
 */
export class ClockGuard {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #wallMs: number;
  #steadyMs: number;
  #sinceBootMs: number | undefined;
  /** By how much the wall clock is ahead of the steady one (behind: below 0), as far as it is not forgiven. */
  #offMs = 0;
  #jumpedMs: number | undefined;

  constructor(dependencies: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#wallMs = this.#clock.now();
    this.#steadyMs = this.#clock.monotonic();
    this.#sinceBootMs = this.#clock.sinceBoot?.();
    this.#timer = setInterval(() => this.check(), clockCheckIntervalMs);
    this.#timer.unref();
  }

  /** By how much the clock went wrong, if it did and nobody confirmed it yet. */
  check(): number | undefined {
    const wallMs = this.#clock.now();
    const steadyMs = this.#clock.monotonic();
    const sinceBootMs = this.#clock.sinceBoot?.();
    const passedMs = steadyMs - this.#steadyMs;
    const sleptMs = (sinceBootMs ?? 0) - (this.#sinceBootMs ?? 0) - passedMs;
    const leftMs = wallMs - this.#wallMs - passedMs;
    this.#wallMs = wallMs;
    this.#steadyMs = steadyMs;
    this.#sinceBootMs = sinceBootMs;
    this.#offMs = towardsZero(this.#offMs, (passedMs * clockSlewPpm) / 1_000_000);
    // How long it slept is known to a second.
    this.#offMs +=
      sinceBootMs !== undefined && sleptMs >= sleepMsMin ? towardsZero(leftMs - sleptMs, 1000) : leftMs;
    if (this.#offMs < -clockBackMs || this.#offMs > clockJumpMs) {
      this.#log.error(
        { alarm: 'clock-jump', jumpMs: this.#offMs, atOnceMs: leftMs },
        'the clock jumped or crept away; time-based codes pause until confirmed',
      );
      this.#jumpedMs = (this.#jumpedMs ?? 0) + this.#offMs;
      this.#offMs = 0;
    }
    return this.#jumpedMs;
  }

  /** An admin says that the clock is right now. */
  confirm(): void {
    this.check();
    this.#jumpedMs = undefined;
    this.#offMs = 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function towardsZero(value: number, by: number): number {
  return Math.sign(value) * Math.max(0, Math.abs(value) - by);
}
