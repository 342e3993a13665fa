import type { Change } from '#main-agent/state/state-store.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import type { Secret } from '#shared/secret.ts';
import { pendingSetupsMax, proveTriesMax } from './limits.ts';

/**
 * Set-ups that are shown but not saved yet: show → confirm within `qrTtlMs` → prove within `proveTtlMs`. One per user,
 * the newest only, and only for the session that started it. Secrets are made here, never taken from outside, and
 * live in the vault's memory until they are proven.
 */

export interface PendingSetup {
  readonly sessionKey: string;
  /** Under which the vault keeps its secret. */
  readonly setup: string;
  readonly shownAtMs: number;
  /** For the assertion that proves it. */
  readonly challenge: string;
  readonly nonce: string;
  /** What saving it spends: the administrator's ticket, if one was shown. */
  readonly spends: readonly Change[];
  confirmedAtMs: number | undefined;
  triesLeft: number;
}

/** A set-up of the vault's, whose secret is shown once. */
interface BegunSetup {
  readonly setup: string;
  readonly secret: Secret<Buffer>;
}

export class PendingSetups {
  readonly #clock: Clock;
  readonly #begin: (username: string) => Promise<BegunSetup>;
  readonly #end: (setup: string) => void;
  readonly #qrTtlMs: number;
  readonly #proveTtlMs: number;
  readonly #pending = new BoundedMap<PendingSetup>(pendingSetupsMax);

  constructor(dependencies: {
    readonly clock: Clock;
    readonly begin: (username: string) => Promise<BegunSetup>;
    /** The vault may forget its secret. */
    readonly end: (setup: string) => void;
    readonly qrTtlMs: number;
    readonly proveTtlMs: number;
  }) {
    this.#clock = dependencies.clock;
    this.#begin = dependencies.begin;
    this.#end = dependencies.end;
    this.#qrTtlMs = dependencies.qrTtlMs;
    this.#proveTtlMs = dependencies.proveTtlMs;
  }

  /** A fresh secret; whatever was pending for this user is void. */
  async start(
    username: string,
    sessionKey: string,
    spends: readonly Change[] = [],
  ): Promise<{ readonly secret: Secret<Buffer>; readonly expiresInMs: number }> {
    this.end(username);
    const { setup, secret } = await this.#begin(username);
    this.#pending.set(username, {
      sessionKey,
      setup,
      shownAtMs: this.#clock.monotonic(),
      challenge: randomId(),
      nonce: randomId(),
      spends,
      confirmedAtMs: undefined,
      triesLeft: proveTriesMax,
    });
    return { secret, expiresInMs: this.#qrTtlMs };
  }

  /** Once confirmed, confirming again says the same: an answer may be lost. Rejects `setup-expired`. */
  confirm(username: string, sessionKey: string): { readonly setup: PendingSetup; readonly leftMs: number } {
    const setup = this.#require(username, sessionKey);
    setup.confirmedAtMs ??= this.#clock.monotonic();
    return this.confirmed(username, sessionKey);
  }

  /** Rejects `setup-not-confirmed` (the set-up stays as it is) or `setup-expired`. */
  confirmed(username: string, sessionKey: string): { readonly setup: PendingSetup; readonly leftMs: number } {
    const setup = this.#require(username, sessionKey);
    if (setup.confirmedAtMs === undefined) {
      throw new SallyportError('setup-not-confirmed', 'Confirm that the picture was scanned first');
    }
    return { setup, leftMs: setup.confirmedAtMs + this.#proveTtlMs - this.#clock.monotonic() };
  }

  /** Rejects `setup-expired` where it is not this one any more. */
  requireSame(username: string, sessionKey: string, setup: PendingSetup): void {
    if (this.#require(username, sessionKey) !== setup) throw expired();
  }

  /** One wrong proof. Returns the tries left; at none the set-up is void. */
  countWrong(username: string, setup: PendingSetup): number {
    setup.triesLeft -= 1;
    if (setup.triesLeft <= 0 && this.#pending.get(username) === setup) this.end(username);
    return Math.max(0, setup.triesLeft);
  }

  /** It is saved, or the user is not to have it any more. */
  end(username: string): void {
    const pending = this.#pending.get(username);
    if (pending === undefined) return;
    this.#pending.delete(username);
    this.#end(pending.setup);
  }

  #require(username: string, sessionKey: string): PendingSetup {
    const setup = this.#pending.get(username);
    if (setup === undefined || setup.sessionKey !== sessionKey) throw expired();
    const [sinceMs, lifeMs] =
      setup.confirmedAtMs === undefined
        ? [setup.shownAtMs, this.#qrTtlMs]
        : [setup.confirmedAtMs, this.#proveTtlMs];
    if (this.#clock.monotonic() < sinceMs + lifeMs) return setup;
    this.end(username);
    throw expired();
  }
}

function expired(): SallyportError {
  return new SallyportError('setup-expired', 'This set-up is over; start again');
}
