import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { clockBackMs, clockCheckIntervalMs, clockJumpMs } from './limits.ts';

/**
 * Notices when main's own wall clock goes back or jumps. Time steps are only worth something while that clock is
 * right: after a jump TOTP pauses until an admin has looked and confirmed.
 */
export class ClockGuard {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #wallMs: number;
  #steadyMs: number;
  #jumpedMs: number | undefined;

  constructor(dependencies: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#wallMs = this.#clock.now();
    this.#steadyMs = this.#clock.monotonic();
    // Often enough that a slow NTP slew never adds up to a jump between two looks.
    this.#timer = setInterval(() => this.check(), clockCheckIntervalMs);
    this.#timer.unref();
  }

  /** By how much the clock jumped, if it did and nobody confirmed it yet. */
  check(): number | undefined {
    const wallMs = this.#clock.now();
    const steadyMs = this.#clock.monotonic();
    const jumpMs = wallMs - this.#wallMs - (steadyMs - this.#steadyMs);
    this.#wallMs = wallMs;
    this.#steadyMs = steadyMs;
    if (jumpMs < -clockBackMs || jumpMs > clockJumpMs) {
      this.#jumpedMs = (this.#jumpedMs ?? 0) + jumpMs;
      this.#log.error(
        { alarm: 'clock-jump', jumpMs },
        'the clock jumped; time-based codes pause until confirmed',
      );
    }
    return this.#jumpedMs;
  }

  /** An admin says that the clock is right now. */
  confirm(): void {
    this.check();
    this.#jumpedMs = undefined;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
