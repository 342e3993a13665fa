import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import type { StepUpPurpose } from '#shared/login.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { CodeAttempt } from '#main-agent/login/challenges.ts';
import { stepUpLifeMs, stepUpsMax } from './limits.ts';

/**
 * Step-ups that were opened: the nonce that one session's next assertion must name. Good once, for one purpose, for
 * that session only. How often its user may still mistype a code stays with the session.
 */
interface StepUp {
  readonly challenge: string;
  readonly nonce: string;
  readonly purpose: StepUpPurpose;
}

interface Entry {
  readonly attempt: CodeAttempt;
  open: (StepUp & { readonly expiresAtMs: number }) | undefined;
}

export class StepUps {
  readonly #clock: Clock;
  readonly #codesMax: number;
  readonly #entries = new BoundedMap<Entry>(stepUpsMax);

  constructor(dependencies: { readonly clock: Clock; readonly codesMax: number }) {
    this.#clock = dependencies.clock;
    this.#codesMax = dependencies.codesMax;
  }

  /** A newer one takes the place of one that is open. */
  open(session: FullSession, purpose: StepUpPurpose): StepUp {
    const opened = {
      challenge: randomId(),
      nonce: randomId(),
      purpose,
      expiresAtMs: this.#clock.monotonic() + stepUpLifeMs,
    };
    this.#entryOf(session).open = opened;
    return opened;
  }

  /** Rejects `conflict` when none is open for that purpose. Whatever comes of it, it is over. */
  take(session: FullSession, purpose: StepUpPurpose): StepUp {
    const entry = this.#entryOf(session);
    const { open } = entry;
    entry.open = undefined;
    if (open !== undefined && open.purpose === purpose && this.#clock.monotonic() < open.expiresAtMs)
      return open;
    throw new SallyportError('conflict', 'Something else was changed at the same moment; try again', {
      detail: `no step-up for ${purpose} is open`,
    });
  }

  /** Wrong codes of this session count here. */
  attemptOf(session: Pick<FullSession, 'key' | 'username' | 'node' | 'protocol' | 'clientIp'>): CodeAttempt {
    return this.#entryOf(session).attempt;
  }

  end(sessionKey: string): void {
    this.#entries.delete(sessionKey);
  }

  #entryOf(session: Pick<FullSession, 'key' | 'username' | 'node' | 'protocol' | 'clientIp'>): Entry {
    const { key, username, node, protocol, clientIp } = session;
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry: Entry = {
      attempt: {
        id: key,
        username,
        node,
        protocol,
        clientIp,
        agent: '',
        attemptsLeft: this.#codesMax,
        drift: undefined,
      },
      open: undefined,
    };
    this.#entries.set(key, entry);
    return entry;
  }
}
