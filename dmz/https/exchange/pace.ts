import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';

/**
 * Ends transfers that crawl on purpose. Time counts only while it is the client's turn, so that our own pauses (a slow
 * inside, a restart of main) are never held against it.
 */
export interface Transfer {
  /** Bytes the client has just sent, or has just taken. */
  moved(bytes: number): void;
  /** Whose turn it is. A transfer starts with the client's turn. */
  setClientsTurn(isClientsTurn: boolean): void;
  done(): void;
}

interface Watched {
  readonly windowMs: number;
  readonly bytesMin: number;
  readonly onTooSlow: () => void;
  waitedMs: number;
  bytes: number;
  turnSinceMs: number | undefined;
}

export class Pace {
  readonly #clock: Clock;
  readonly #watched = new Set<Watched>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** At least `bytesMin` in every `windowMs` of the client's turns, or `onTooSlow`, once. Bounded by connections. */
  watch(pace: { readonly windowMs: number; readonly bytesMin: number }, onTooSlow: () => void): Transfer {
    const one: Watched = { ...pace, onTooSlow, waitedMs: 0, bytes: 0, turnSinceMs: this.#clock.monotonic() };
    this.#watched.add(one);
    return {
      moved: (bytes) => {
        one.bytes += bytes;
      },
      setClientsTurn: (isClientsTurn) => {
        this.#settle(one);
        one.turnSinceMs = isClientsTurn ? this.#clock.monotonic() : undefined;
      },
      done: () => {
        this.#watched.delete(one);
      },
    };
  }

  /** Called every `paceCheckMs` by the server, and by tests. */
  check(): void {
    for (const one of this.#watched) {
      this.#settle(one);
      if (one.waitedMs < one.windowMs) continue;
      if (one.bytes < one.bytesMin) {
        this.#watched.delete(one);
        one.onTooSlow();
      } else {
        one.waitedMs = 0;
        one.bytes = 0;
      }
    }
  }

  #settle(one: Watched): void {
    if (one.turnSinceMs === undefined) return;
    const nowMs = this.#clock.monotonic();
    one.waitedMs += nowMs - one.turnSinceMs;
    one.turnSinceMs = nowMs;
  }
}

/** What a client is told whose body came too slowly, or stopped coming. */
export function tooSlow(): SallyportError {
  return new SallyportError('too-slow', 'The rest of the request did not come in time; send it again');
}
