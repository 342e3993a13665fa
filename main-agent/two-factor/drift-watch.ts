import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { driftAgreementSteps, driftSuspectUsers, driftUsersMax, driftWindowMs } from './limits.ts';

/**
 * Tells a wrong clock of ours from the wrong clocks of phones (D-28): one user's drift is a phone, the same drift of
 * many is main. Only says so; codes beyond the skew stay refused, whoever is wrong.
 */
interface ClockSuspicion {
  readonly users: number;
  /** What the phones' clocks are ahead of ours; negative: behind. */
  readonly driftSeconds: number;
}

export class DriftWatch {
  readonly #clock: Clock;
  readonly #periodSeconds: number;
  /** The last drift of each user, oldest first. */
  readonly #drifts = new BoundedMap<{ readonly steps: number; readonly atMs: number }>(driftUsersMax);
  #isSuspected = false;

  constructor(clock: Clock, { periodSeconds }: { readonly periodSeconds: number }) {
    this.#clock = clock;
    this.#periodSeconds = periodSeconds;
  }

  /** A code was right `steps` from now. The suspicion when it is new, so that it is told once. */
  note(username: string, steps: number): ClockSuspicion | undefined {
    // One who tries again takes the end of the line, and counts once.
    this.#drifts.set(username, { steps, atMs: this.#clock.monotonic() });
    const wasSuspected = this.#isSuspected;
    const suspicion = this.suspicion();
    return wasSuspected ? undefined : suspicion;
  }

  /** While enough users drift alike. */
  suspicion(): ClockSuspicion | undefined {
    const now = this.#clock.monotonic();
    for (const [username, { atMs }] of this.#drifts) {
      if (atMs > now - driftWindowMs) break;
      this.#drifts.delete(username);
    }
    const found = this.#findLargestGroup();
    this.#isSuspected = found !== undefined;
    return found;
  }

  #findLargestGroup(): ClockSuspicion | undefined {
    const all = [...this.#drifts.values()].map(({ steps }) => steps);
    let best: ClockSuspicion | undefined;
    for (const steps of new Set(all)) {
      const users = all.filter((one) => Math.abs(one - steps) <= driftAgreementSteps).length;
      if (users >= driftSuspectUsers && users > (best?.users ?? 0))
        best = { users, driftSeconds: steps * this.#periodSeconds };
    }
    return best;
  }
}

/** For an admin. */
export function describeSuspicion({ users, driftSeconds }: ClockSuspicion): string {
  const which = driftSeconds > 0 ? 'slow' : 'fast';
  return `the codes of ${users} users say that this machine's clock is about ${Math.abs(driftSeconds)} s ${which}`;
}
