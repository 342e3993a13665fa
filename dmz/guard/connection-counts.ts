import type { Protocol } from '#shared/login.ts';
import type { Admission, Refusal } from './guard.ts';
import type { GuardLimits } from './limits.ts';

/** Try again when a few of the others are gone. */
const retryAfterMs = 10_000;

/** Open connections by source and by stage of the login. Every entry belongs to a live connection, so the maps are bounded by it. */
export class ConnectionCounts {
  readonly #limits: GuardLimits;
  readonly #random: () => number;
  readonly #all: Record<Protocol, number> = { https: 0, sftp: 0 };
  readonly #bySource = new Map<string, number>();
  #startingUp = 0;
  readonly #startingUpBySource = new Map<string, number>();
  readonly #awaitingBySource = new Map<string, number>();
  readonly #awaitingByUser = new Map<string, number>();

  constructor(limits: GuardLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** `trusted` sources (never-ban list: monitors, load balancers) are exempt from per-source counts, not from the total. */
  admit(source: string, protocol: Protocol, trusted: boolean): Admission | Refusal {
    const bySourceKey = `${protocol} ${source}`;
    const reason = this.#reasonAgainst(source, bySourceKey, protocol, trusted);
    if (reason !== undefined) return { admitted: false, reason, retryAfterMs };

    this.#all[protocol] += 1;
    const leaveSource = enter(this.#bySource, bySourceKey);
    let leaveStage = protocol === 'sftp' ? this.#startUp(source) : () => undefined;
    let released = false;
    return {
      admitted: true,
      awaitCode: (user) => {
        if (released) return false;
        leaveStage();
        leaveStage = () => undefined;
        const perSource = this.#awaitingBySource.get(source) ?? 0;
        const perUser = this.#awaitingByUser.get(user) ?? 0;
        const isFull =
          perSource >= this.#limits.awaitingCodePerSourceMax ||
          perUser >= this.#limits.awaitingCodePerUserMax;
        if (!trusted && isFull) {
          // It stays a connection without a login, and is counted as one.
          leaveStage = protocol === 'sftp' ? this.#startUp(source) : () => undefined;
          return false;
        }
        const leaveAwaitingSource = enter(this.#awaitingBySource, source);
        const leaveAwaitingUser = enter(this.#awaitingByUser, user);
        leaveStage = () => {
          leaveAwaitingSource();
          leaveAwaitingUser();
        };
        return true;
      },
      authenticated: () => {
        leaveStage();
        leaveStage = () => undefined;
      },
      release: () => {
        if (released) return;
        released = true;
        leaveStage();
        leaveSource();
        this.#all[protocol] -= 1;
      },
    };
  }

  #reasonAgainst(
    source: string,
    bySourceKey: string,
    protocol: Protocol,
    trusted: boolean,
  ): Refusal['reason'] | undefined {
    if (this.#all[protocol] >= this.#limits.connectionsMax[protocol]) return 'too-many';
    if (protocol === 'sftp' && this.#isStartUpFull()) return 'start-up';
    if (trusted) return undefined;
    if ((this.#bySource.get(bySourceKey) ?? 0) >= this.#limits.connectionsPerSourceMax[protocol])
      return 'too-many-from-source';
    const starting = this.#startingUpBySource.get(source) ?? 0;
    if (protocol === 'sftp' && starting >= this.#limits.unauthenticatedPerSourceMax)
      return 'too-many-from-source';
    return undefined;
  }

  /** As sshd's MaxStartups: from `begin` on refused with a chance that grows from `rate` to certainty at `full`. */
  #isStartUpFull(): boolean {
    const { begin, rate, full } = this.#limits.startUp;
    if (this.#startingUp < begin) return false;
    if (this.#startingUp >= full) return true;
    const chance = rate + ((1 - rate) * (this.#startingUp - begin)) / (full - begin);
    return this.#random() < chance;
  }

  #startUp(source: string): () => void {
    const leave = enter(this.#startingUpBySource, source);
    this.#startingUp += 1;
    return () => {
      leave();
      this.#startingUp -= 1;
    };
  }
}

/** Counts one up; the returned function counts it down again and drops the entry at zero. */
function enter(counts: Map<string, number>, key: string): () => void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return () => {
    const left = (counts.get(key) ?? 1) - 1;
    if (left === 0) counts.delete(key);
    else counts.set(key, left);
  };
}
