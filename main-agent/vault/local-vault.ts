import type { TwoFactorState } from '#main-agent/state/factor-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import { driftReachSteps } from '#main-agent/two-factor/limits.ts';
import { stepAt, type TotpSettings } from '#main-agent/two-factor/totp.ts';
import { canonicalCode, isBypassShaped, isRecoveryShaped } from '#main-agent/two-factor/typed-codes.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { RandomBytes } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type { AnswerOf, AskVault, RequestOf } from './calls.ts';
import { knownToOpenMax } from './limits.ts';
import { openSome, sealedOf } from './opened-secrets.ts';
import { recoveryId, StoredFactors, type StoredFactor } from './stored-factors.ts';
import { makeUlid } from './ulid.ts';
import type {
  CodeVerdict,
  EnrolRequest,
  EnrolResult,
  Factor,
  FactorStatus,
  RenewalRequest,
  RenewalResult,
  Vault,
  VaultCodeKind,
} from './vault.ts';

export interface VaultOptions {
  readonly ask: AskVault;
  readonly enrolments: EnrolmentSource;
  readonly departures: Pick<Departures, 'findProblem'>;
  readonly state: StateStore;
  readonly totp: TotpSettings;
  readonly guard: Pick<ClockGuard, 'check'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: RandomBytes;
}

export function buildVault(options: VaultOptions): Vault {
  return new LocalVault(options);
}

/** Main's side: what is stored, what is spent, and whose turn it is. Secrets are the vault process's. */
class LocalVault implements Vault {
  readonly #options: VaultOptions;
  readonly #stored: StoredFactors;
  /** What the key opens it opens for as long as main runs: another key is taken by a restart alone. */
  readonly #knownToOpen = new BoundedMap<true>(knownToOpenMax);
  /** Reading and changing one user's factor take turns, so that nobody sees a file without its commit. */
  readonly #turns = new KeyLock();

  constructor(options: VaultOptions) {
    this.#options = options;
    this.#stored = new StoredFactors(options);
  }

  async requireReady(code: Secret | undefined): Promise<void> {
    const { ask, totp } = this.#options;
    const canonical = canonicalCode(code?.expose() ?? '');
    if (canonical.length === totp.digits && /^[0-9]+$/.test(canonical)) this.#requireClock();
    await ask('opens', { samples: [] });
  }

  async status(username: string): Promise<FactorStatus> {
    return (await this.load(username)).status;
  }

  async load(username: string): Promise<Factor> {
    const factor = await this.#turns.run(username, async () =>
      this.#requireOpen(username, await this.#stored.load(username)),
    );
    return {
      status: this.#statusOf(factor),
      verify: (code, kinds) =>
        this.#verify(username, factor, new Secret(canonicalCode(code.expose())), kinds),
    };
  }

  /**
   * A secret that this key does not open is a factor that is broken, for codes of every kind: a recovery code would be
   * "wrong" and count, an authenticator's would be a fault of ours at each sign-in. While the vault is away it is not
   * known to be broken; no code is right before somebody has looked.
   */
  async #requireOpen(username: string, factor: StoredFactor): Promise<StoredFactor> {
    const { enrolment } = factor;
    if (enrolment === undefined) return factor;
    const known = JSON.stringify([username, sealedOf(enrolment)]);
    if (this.#knownToOpen.has(known)) return factor;
    const { ask, log } = this.#options;
    const samples = [{ owner: username, enrolment: sealedOf(enrolment) }];
    const answered = await ask('opens', { samples }).catch((error: unknown) => {
      if (isSallyportError(error, 'busy')) return undefined;
      throw error;
    });
    if (answered === undefined) return factor;
    if (answered.opened[0] === true) {
      this.#knownToOpen.set(known, true);
      return factor;
    }
    const detail = `the sealed secret of ${username} can not be opened`;
    const hint = 'Is this the vault key it was sealed with? Was the file edited or copied from another user?';
    log.error({ alarm: 'secret-sealed', user: username, hint }, detail);
    return { state: factor.state, enrolment: undefined, problem: detail };
  }

  /** Under another key than the rest nothing is sealed: it would be lost with the day the right one is back. */
  async #requireFittingKey(): Promise<void> {
    const { ask, enrolments } = this.#options;
    const { tried, opened } = await openSome(
      async (samples) => (await ask('opens', { samples })).opened,
      enrolments,
    );
    if (tried === 0 || opened > 0) return;
    throw new SallyportError('busy', 'A second factor can not be set up at the moment', {
      detail: `the vault key opens none of ${tried} stored secrets: it is another key`,
      hint: '`sallyport doctor` says what to do',
    });
  }

  #statusOf({ state, enrolment, problem }: StoredFactor): FactorStatus {
    const { bypassCode: outstanding, firstLoginAtMs, wrongCodes } = state;
    const bypass =
      outstanding !== undefined && outstanding.expiresAtMs > this.#options.clock.now()
        ? { reEnrol: outstanding.reEnrol, expiresAtMs: outstanding.expiresAtMs }
        : undefined;
    const shared = { firstLoginAtMs, bypass, wrongCodes };
    if (problem !== undefined)
      return { state: 'broken', problem, requiredOn: [], recoveryCodesLeft: 0, ...shared };
    if (enrolment === undefined) return { state: 'none', requiredOn: [], recoveryCodesLeft: 0, ...shared };
    return {
      state: 'enrolled',
      id: enrolment.id,
      confirmedAt: enrolment.confirmedAt,
      via: enrolment.via,
      requiredOn: enrolment.requiredOn,
      recoveryCodesLeft: enrolment.recoveryCodes.length - state.usedCodes.length,
      ...shared,
    };
  }

  async #verify(
    username: string,
    factor: StoredFactor,
    code: Secret,
    kinds: readonly VaultCodeKind[],
  ): Promise<CodeVerdict> {
    const nowMs = this.#options.clock.now();
    const asked = kinds.filter((kind) => this.#mayBe(kind, username, factor, code));
    if (asked.length === 0) return { kind: 'wrong' };
    if (asked.includes('totp')) this.#requireClock();
    const found = await this.#options.ask('verify', this.#questionOf(asked, username, factor, code, nowMs));
    for (const kind of asked) {
      // After the wait: the name may have become another person's, and the clock another one.
      if (!this.#mayBe(kind, username, factor, code)) continue;
      if (kind === 'totp') this.#requireClock();
      const verdict = this.#judge(kind, username, factor, found, nowMs);
      if (verdict.kind !== 'wrong') return verdict;
    }
    return { kind: 'wrong' };
  }

  /** Whether a code can be of this kind at all. */
  #mayBe(kind: VaultCodeKind, username: string, factor: StoredFactor, code: Secret): boolean {
    const { enrolment, problem, state } = factor;
    const { clock, departures } = this.#options;
    if (kind === 'bypass') {
      if (departures.findProblem(username) !== undefined || !isBypassShaped(code.expose())) return false;
      return state.bypassCode !== undefined && state.bypassCode.expiresAtMs > clock.now();
    }
    if (enrolment === undefined || problem !== undefined) return false;
    return kind === 'totp' ? /^[0-9]{1,16}$/.test(code.expose()) : isRecoveryShaped(code.expose());
  }

  #questionOf(
    kinds: readonly VaultCodeKind[],
    username: string,
    { enrolment: stored, state }: StoredFactor,
    code: Secret,
    nowMs: number,
  ): RequestOf<'verify'> {
    const { totp } = this.#options;
    const enrolment = stored === undefined ? undefined : sealedOf(stored);
    const question: RequestOf<'verify'> = { owner: username, code: code.expose() };
    if (stored !== undefined && enrolment !== undefined && kinds.includes('totp'))
      question.totp = { enrolment, nowMs, reachSteps: driftReachSteps, settings: settingsOf(totp) };
    if (stored !== undefined && enrolment !== undefined && kinds.includes('recovery'))
      question.recovery = { enrolment, recoveryCodes: [...stored.recoveryCodes] };
    if (kinds.includes('bypass') && state.bypassCode !== undefined) question.bypass = state.bypassCode.id;
    return question;
  }

  #judge(
    kind: VaultCodeKind,
    username: string,
    factor: StoredFactor,
    found: AnswerOf<'verify'>,
    nowMs: number,
  ): CodeVerdict {
    const { enrolment, state } = factor;
    if (kind === 'bypass') return found.bypass ? this.#judgeBypass(username, state) : { kind: 'wrong' };
    if (enrolment === undefined) return { kind: 'wrong' };
    return kind === 'totp'
      ? this.#judgeSteps(username, enrolment, state, found.steps, nowMs)
      : judgeRecovery(username, enrolment, state, found.recovery);
  }

  async beginSetup(username: string): Promise<{ readonly setup: string; readonly secret: Secret<Buffer> }> {
    const { setup, secret } = await this.#options.ask('begin-setup', { owner: username });
    return { setup, secret: new Secret(Buffer.from(secret, 'base64url')) };
  }

  async endSetup(setup: string): Promise<void> {
    await this.#options.ask('end-setup', { setup }).catch(() => undefined);
  }

  async prove(setup: string, code: Secret): Promise<number | undefined> {
    this.#requireClock();
    const { ask, clock, totp } = this.#options;
    const canonical = canonicalCode(code.expose());
    if (!/^[0-9]{1,16}$/.test(canonical)) return undefined;
    const settings = settingsOf(totp);
    const { step, isKnown } = await ask('prove', { setup, code: canonical, nowMs: clock.now(), settings });
    if (!isKnown)
      throw new SallyportError('setup-expired', 'This set-up is over; start again', {
        detail: 'the vault does not know this set-up: it began anew meanwhile',
      });
    // After the wait: a clock that jumped meanwhile proves nothing.
    this.#requireClock();
    return step ?? undefined;
  }

  enrol(request: EnrolRequest): Promise<EnrolResult> {
    return this.#turns.run(request.username, async () => {
      const { clock, enrolments, random, state: store } = this.#options;
      const { username } = request;
      const before = await this.#stored.load(username);
      if (!request.replace && (before.enrolment !== undefined || before.problem !== undefined))
        return { ok: false, reason: 'already-enrolled' };

      await this.#requireFittingKey();
      const id = makeUlid(clock.now(), random, before.state.newestEnrolment);
      const made = await this.#sealNew(request, id);
      await enrolments.prepare(username, {
        id,
        secret: made.secret,
        requiredOn: request.requiredOn,
        confirmedAt: new Date(clock.now()).toISOString(),
        via: request.via,
        recoveryCodes: made.recoveryCodes,
      });
      const result = await store.commit([
        { kind: 'set-enrolment', user: username, id, expected: before.state.enrolment },
        { kind: 'use-time-step', user: username, enrolment: id, step: request.step },
        ...request.alongside(id),
      ]);
      if (!result.ok) return { ok: false, reason: 'refused' };
      await enrolments.promote(username, id);
      return { ok: true, recoveryCodes: made.shown.map((code) => new Secret(code)) };
    });
  }

  async #sealNew({ username, secret, recoveryCodes }: EnrolRequest, id: string): Promise<AnswerOf<'enrol'>> {
    const from =
      secret instanceof Secret
        ? { imported: secret.expose().toString('base64url') }
        : { setup: secret.setup };
    try {
      return await this.#options.ask('enrol', { owner: username, id, recoveryCodes, from });
    } catch (error) {
      if (!isSallyportError(error, 'not-found')) throw error;
      throw new SallyportError('setup-expired', error.publicMessage, { cause: error });
    }
  }

  renewRecoveryCodes({
    username,
    recoveryCodes,
    evidence,
    alongside,
  }: RenewalRequest): Promise<RenewalResult> {
    return this.#turns.run(username, async () => {
      const { ask, clock, enrolments, random, state: store } = this.#options;
      const { enrolment, state, problem } = await this.#stored.load(username);
      if (enrolment === undefined || problem !== undefined) return { ok: false, failed: undefined };
      const id = makeUlid(clock.now(), random, state.newestEnrolment);
      const used = evidence.find((change) => change.kind === 'use-time-step')?.step ?? state.lastStep;
      const spent = await this.#carrySpentSteps(username, enrolment.id, id, used);
      // New codes are bound to the name of now.
      const { codesFor: _codesFor, ...kept } = enrolment;
      const made = await ask('renew', { owner: username, enrolment: sealedOf(enrolment), id, recoveryCodes });
      const { secret, recoveryCodes: fingerprints, shown } = made;
      await enrolments.prepare(username, { ...kept, id, secret, recoveryCodes: fingerprints });
      const result = await store.commit([
        // First: it is about the enrolment under its old id.
        ...evidence,
        { kind: 'set-enrolment', user: username, id, expected: enrolment.id },
        ...spent,
        ...alongside(id),
      ]);
      if (!result.ok) return result;
      await enrolments.promote(username, id);
      return { ok: true, recoveryCodes: shown.map((code) => new Secret(code)) };
    });
  }

  /** What is spent of an enrolment stays spent under its new id: the last step, and codes burned for later ones. */
  async #carrySpentSteps(
    username: string,
    from: string,
    to: string,
    lastStep: number | undefined,
  ): Promise<Change[]> {
    const { clock, state, totp } = this.#options;
    const current = stepAt(clock.now(), totp);
    const reach = 2 * driftReachSteps;
    const steps = Array.from({ length: 2 * reach + 1 }, (_, index) => current - reach + index);
    const burned = new Set(
      await state.read('used-codes', { user: username, ids: steps.map((step) => stepId(from, step)) }),
    );
    return [
      ...(lastStep === undefined
        ? []
        : [{ kind: 'use-time-step' as const, user: username, enrolment: to, step: lastStep }]),
      ...steps
        .filter((step) => burned.has(stepId(from, step)))
        .map((step) => this.#spendStep(username, to, step)),
    ];
  }

  reset(username: string, alongside: readonly Change[]): Promise<void> {
    return this.#turns.run(username, async () => {
      const { enrolments, state: store } = this.#options;
      // A file that was never taken into account must not be adopted after the reset that meant it too.
      await this.#stored.load(username);
      const state = await store.read('two-factor-state', { user: username });
      const result = await store.commit([
        { kind: 'set-enrolment', user: username, id: undefined, expected: state.enrolment },
        { kind: 'set-bypass-code', user: username, code: undefined },
        ...alongside,
      ]);
      if (!result.ok) {
        throw new SallyportError('conflict', 'The factor changed meanwhile; try again', {
          detail: `reset of ${username}: ${result.failed}`,
        });
      }
      await enrolments.remove(username);
    });
  }

  prepareRename(username: string, to: string): Promise<string | undefined> {
    return this.#turns.run(username, async () => {
      const { enrolment, problem } = await this.#stored.load(username);
      if (problem !== undefined) {
        throw new SallyportError('conflict', 'The second factor is broken, and can not follow', {
          detail: problem,
          hint: `sallyport two-factor reset ${username}`,
        });
      }
      if (enrolment === undefined) return undefined;
      const { ask, enrolments } = this.#options;
      const renamed = await ask('rename', { owner: username, to, enrolment: sealedOf(enrolment) });
      await enrolments.prepare(to, { ...enrolment, ...renamed });
      return enrolment.id;
    });
  }

  async makeBypassCode(
    username: string,
    { ttlMs, reEnrol }: { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<{ readonly code: Secret; readonly changes: readonly Change[] }> {
    const { code, id } = await this.#options.ask('make-bypass', { owner: username });
    const expiresAtMs = this.#options.clock.now() + ttlMs;
    return {
      code: new Secret(code),
      changes: [{ kind: 'set-bypass-code', user: username, code: { id, expiresAtMs, reEnrol } }],
    };
  }

  #judgeSteps(
    username: string,
    enrolment: Enrolment,
    state: TwoFactorState,
    steps: readonly number[],
    nowMs: number,
  ): CodeVerdict {
    const { totp } = this.#options;
    const current = stepAt(nowMs, totp);
    const near = steps.filter((step) => Math.abs(step - current) <= totp.skewSteps);
    const fresh = near.find((step) => step > (state.lastStep ?? -1));
    if (fresh !== undefined) {
      return {
        kind: 'right',
        method: 'totp',
        reEnrol: false,
        evidence: [
          { kind: 'require-enrolment', user: username, id: enrolment.id },
          { kind: 'use-time-step', user: username, enrolment: enrolment.id, step: fresh },
          // Fails for a step that was burned when its code was shown too early.
          this.#spendStep(username, enrolment.id, fresh),
        ],
      };
    }
    if (near.length > 0) return { kind: 'used' };
    const [drifted] = steps;
    if (drifted === undefined) return { kind: 'wrong' };
    return {
      kind: 'drifted',
      driftSteps: drifted - current,
      burn: steps.map((step) => this.#spendStep(username, enrolment.id, step)),
    };
  }

  #judgeBypass(username: string, { bypassCode }: TwoFactorState): CodeVerdict {
    if (bypassCode === undefined) return { kind: 'wrong' };
    const { id, reEnrol } = bypassCode;
    return {
      kind: 'right',
      method: 'bypass',
      reEnrol,
      evidence: [{ kind: 'use-bypass-code', user: username, id, nowMs: this.#options.clock.now() }],
    };
  }

  /** Kept until no clock within reach could show that step again. */
  #spendStep(username: string, enrolment: string, step: number): Change {
    const { periodSeconds } = this.#options.totp;
    return {
      kind: 'use-code',
      user: username,
      id: stepId(enrolment, step),
      expiresAtMs: (step + 2 * driftReachSteps) * periodSeconds * 1000,
    };
  }

  #requireClock(): void {
    const jumpedMs = this.#options.guard.check();
    if (jumpedMs === undefined) return;
    throw new SallyportError('busy', 'Codes of authenticator apps can not be checked at the moment', {
      detail: `main's clock jumped by ${jumpedMs} ms`,
      hint: 'Check the clock, then confirm it with `sallyport two-factor confirm-clock`. Recovery and bypass codes work meanwhile.',
    });
  }
}

function judgeRecovery(
  username: string,
  enrolment: Enrolment,
  state: TwoFactorState,
  fingerprint: string | null,
): CodeVerdict {
  if (fingerprint === null || !enrolment.recoveryCodes.includes(fingerprint)) return { kind: 'wrong' };
  const id = recoveryId(fingerprint);
  if (state.usedCodes.includes(id)) return { kind: 'used' };
  return {
    kind: 'right',
    method: 'recovery',
    reEnrol: false,
    evidence: [
      { kind: 'require-enrolment', user: username, id: enrolment.id },
      { kind: 'use-code', user: username, id },
    ],
  };
}

function settingsOf({ digits, periodSeconds, skewSteps, algorithm }: TotpSettings): TotpSettings {
  return { digits, periodSeconds, skewSteps, algorithm };
}

function stepId(enrolment: string, step: number): string {
  return `step:${enrolment}:${step}`;
}
