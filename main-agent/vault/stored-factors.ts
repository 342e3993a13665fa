import type { TwoFactorState } from '#main-agent/state/factor-records.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { stepAt, type TotpSettings } from '#main-agent/two-factor/totp.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';

/** What a user's enrolment file and the state store say together. */
export interface StoredFactor {
  readonly state: TwoFactorState;
  readonly enrolment: Enrolment | undefined;
  /** They disagree in a way that only a reset mends. */
  readonly problem: string | undefined;
}

interface StoredFactorOptions {
  readonly enrolments: EnrolmentSource;
  /** Why what is stored under a name may be another person's. */
  readonly departures: Pick<Departures, 'findProblem'>;
  readonly state: StateStore;
  readonly totp: TotpSettings;
  readonly clock: Clock;
  readonly log: Log;
}

export class StoredFactors {
  readonly #options: StoredFactorOptions;

  constructor(options: StoredFactorOptions) {
    this.#options = options;
  }

  /**
   * The file counts only if the state store has its id: a missing or another one means that somebody took a factor away
   * or put a backup back, and refuses. Only a state store that knows nothing of the user, because it was lost, takes
   * the file over, and then nothing up to now may be used again.
   */
  async load(username: string): Promise<StoredFactor> {
    const found = await this.#find(username);
    // Asked last: what was read before somebody got the name must not be used after.
    const problem = this.#options.departures.findProblem(username) ?? found.problem;
    return problem === undefined ? found : { state: found.state, enrolment: undefined, problem };
  }

  async #find(username: string): Promise<StoredFactor> {
    const { enrolments, log } = this.#options;
    const enrolment = await enrolments.read(username);
    const state = await this.#readState(username, enrolment);
    if (enrolment?.id === state.enrolment) return { state, enrolment, problem: undefined };
    if (state.enrolment !== undefined) {
      // A crash came between the commit and the file.
      const prepared = await enrolments.promote(username, state.enrolment);
      if (prepared !== undefined)
        return { state: await this.#readState(username, prepared), enrolment: prepared, problem: undefined };
    }
    const newest = state.newestEnrolment;
    if (enrolment !== undefined && newest === undefined) return this.#adopt(username, enrolment, state);
    const isNewer = enrolment !== undefined && newest !== undefined && enrolment.id > newest;
    if (state.enrolment === undefined && !isNewer) {
      log.warn({ user: username }, 'an enrolment file from before the last reset is ignored');
      return { state, enrolment: undefined, problem: undefined };
    }
    const problem =
      enrolment === undefined
        ? `the enrolment ${String(state.enrolment)} has no file`
        : `the enrolment file is ${enrolment.id}, ${isNewer ? 'a newer' : 'an older'} one than ${state.enrolment ?? newest}`;
    log.error({ alarm: 'enrolment-mismatch', user: username, detail: problem }, 'enrolment refused');
    return { state, enrolment: undefined, problem };
  }

  #readState(username: string, enrolment: Enrolment | undefined): Promise<TwoFactorState> {
    const codes = enrolment?.recoveryCodes.map(recoveryId) ?? [];
    return this.#options.state.read('two-factor-state', { user: username, codes });
  }

  async #adopt(username: string, enrolment: Enrolment, state: TwoFactorState): Promise<StoredFactor> {
    const { clock, log, state: store, totp } = this.#options;
    const lastStep = stepAt(clock.now(), totp) + totp.skewSteps;
    const detail = `enrolment ${enrolment.id} was not known to the state store`;
    log.warn({ alarm: 'enrolment-adopted', user: username, detail }, 'enrolment taken over');
    const result = await store.commit([
      { kind: 'set-enrolment', user: username, id: enrolment.id, expected: state.enrolment },
      { kind: 'use-time-step', user: username, enrolment: enrolment.id, step: lastStep },
      {
        kind: 'audit',
        record: {
          time: new Date(clock.now()).toISOString(),
          event: 'two-factor.adopted',
          outcome: 'ok',
          user: username,
          actor: 'system',
          detail,
        },
      },
    ]);
    if (!result.ok) return { state, enrolment: undefined, problem: `${detail} and could not be taken over` };
    return { state: await this.#readState(username, enrolment), enrolment, problem: undefined };
  }
}

/** Under which `use-code` knows a recovery code, by its HMAC. */
export function recoveryId(fingerprint: string): string {
  return `recovery:${fingerprint}`;
}
