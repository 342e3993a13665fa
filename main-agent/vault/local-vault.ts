import type { TwoFactorState } from '#main-agent/state/factor-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import { driftReachSteps } from '#main-agent/two-factor/limits.ts';
import { matchingSteps, stepAt, type TotpSettings } from '#main-agent/two-factor/totp.ts';
import {
  canonicalCode,
  groupByFour,
  isBypassShaped,
  isRecoveryShaped,
  makeBypassCode,
  makeRecoveryCode,
} from '#main-agent/two-factor/typed-codes.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { EnrolmentSource } from '#main-agent/users/user-source.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { RandomBytes } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { KeyLock } from '#main-agent/turns.ts';
import { boundTo, openEnrolment, openSome } from './opened-secrets.ts';
import { Sealer } from './sealing.ts';
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
  readonly vaultKey: Secret<Buffer>;
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

/** The vault inside main's own process. */
class LocalVault implements Vault {
  readonly #options: VaultOptions;
  readonly #sealer: Sealer;
  readonly #stored: StoredFactors;
  /** Reading and changing one user's factor take turns, so that nobody sees a file without its commit. */
  readonly #turns = new KeyLock();

  constructor(options: VaultOptions) {
    this.#options = options;
    this.#sealer = new Sealer(options.vaultKey, options.random);
    this.#stored = new StoredFactors(options);
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
      verify: (code, kinds) => {
        const canonical = new Secret(canonicalCode(code.expose()));
        for (const kind of kinds) {
          const verdict = this.#compare(kind, username, factor, canonical);
          if (verdict.kind !== 'wrong') return verdict;
        }
        return { kind: 'wrong' };
      },
    };
  }

  /**
   * A secret that this key does not open is a factor that is broken, for codes of every kind: a recovery code would be
   * "wrong" and count, an authenticator's would be a fault of ours at each sign-in.
   */
  #requireOpen(username: string, factor: StoredFactor): StoredFactor {
    const { enrolment } = factor;
    if (enrolment === undefined) return factor;
    try {
      openEnrolment(this.#sealer, username, enrolment);
      return factor;
    } catch (error) {
      const { detail = '', hint } = toSallyportError(error);
      this.#options.log.error({ alarm: 'secret-sealed', user: username, hint }, detail);
      return { state: factor.state, enrolment: undefined, problem: detail };
    }
  }

  /** Under another key than the rest nothing is sealed: it would be lost with the day the right one is back. */
  async #requireFittingKey(): Promise<void> {
    const { tried, opened } = await openSome(this.#sealer, this.#options.enrolments);
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

  #compare(kind: VaultCodeKind, username: string, factor: StoredFactor, code: Secret): CodeVerdict {
    switch (kind) {
      case 'totp':
        return this.#verifyTotp(username, factor, code);
      case 'recovery':
        return this.#verifyRecovery(username, factor, code);
      case 'bypass':
        return this.#verifyBypass(username, factor.state, code);
    }
  }

  async prove(secret: Secret<Buffer>, code: Secret): Promise<number | undefined> {
    this.#requireClock();
    const { clock, totp } = this.#options;
    const canonical = new Secret(canonicalCode(code.expose()));
    return matchingSteps(secret, canonical, clock.now(), totp.skewSteps, totp)[0];
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
      const codes = Array.from({ length: request.recoveryCodes }, () => new Secret(makeRecoveryCode(random)));
      await enrolments.prepare(username, {
        id,
        secret: this.#sealer.seal(request.secret, username, id),
        requiredOn: request.requiredOn,
        confirmedAt: new Date(clock.now()).toISOString(),
        via: request.via,
        recoveryCodes: codes.map((code) => this.#sealer.fingerprint(code, 'recovery', username, id)),
      });
      const result = await store.commit([
        { kind: 'set-enrolment', user: username, id, expected: before.state.enrolment },
        { kind: 'use-time-step', user: username, enrolment: id, step: request.step },
        ...request.alongside(id),
      ]);
      if (!result.ok) return { ok: false, reason: 'refused' };
      await enrolments.promote(username, id);
      return { ok: true, recoveryCodes: codes.map(asShown) };
    });
  }

  renewRecoveryCodes({
    username,
    recoveryCodes,
    evidence,
    alongside,
  }: RenewalRequest): Promise<RenewalResult> {
    return this.#turns.run(username, async () => {
      const { clock, enrolments, random, state: store } = this.#options;
      const { enrolment, state, problem } = await this.#stored.load(username);
      if (enrolment === undefined || problem !== undefined) return { ok: false, failed: undefined };
      const id = makeUlid(clock.now(), random, state.newestEnrolment);
      const codes = Array.from({ length: recoveryCodes }, () => new Secret(makeRecoveryCode(random)));
      const used = evidence.find((change) => change.kind === 'use-time-step')?.step ?? state.lastStep;
      const spent = await this.#carrySpentSteps(username, enrolment.id, id, used);
      // New codes are bound to the name of now.
      const { codesFor: _codesFor, ...kept } = enrolment;
      await enrolments.prepare(username, {
        ...kept,
        id,
        secret: this.#sealer.seal(openEnrolment(this.#sealer, username, enrolment), username, id),
        recoveryCodes: codes.map((code) => this.#sealer.fingerprint(code, 'recovery', username, id)),
      });
      const result = await store.commit([
        // First: it is about the enrolment under its old id.
        ...evidence,
        { kind: 'set-enrolment', user: username, id, expected: enrolment.id },
        ...spent,
        ...alongside(id),
      ]);
      if (!result.ok) return result;
      await enrolments.promote(username, id);
      return { ok: true, recoveryCodes: codes.map(asShown) };
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
      // Codes are known by an HMAC with the name in it: they can be kept, and not made anew.
      const codesFor = enrolment.codesFor ?? username;
      const renamed = { ...enrolment, codesFor };
      const secret = this.#sealer.seal(
        openEnrolment(this.#sealer, username, enrolment),
        to,
        boundTo(renamed),
      );
      await this.#options.enrolments.prepare(to, { ...renamed, secret });
      return enrolment.id;
    });
  }

  async makeBypassCode(
    username: string,
    { ttlMs, reEnrol }: { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<{ readonly code: Secret; readonly changes: readonly Change[] }> {
    const code = new Secret(makeBypassCode(this.#options.random));
    const id = this.#sealer.fingerprint(code, 'bypass', username, '');
    const expiresAtMs = this.#options.clock.now() + ttlMs;
    return {
      code: asShown(code),
      changes: [{ kind: 'set-bypass-code', user: username, code: { id, expiresAtMs, reEnrol } }],
    };
  }

  #verifyTotp(username: string, factor: StoredFactor, code: Secret): CodeVerdict {
    const { enrolment, state, problem } = factor;
    const { clock, totp } = this.#options;
    if (enrolment === undefined || problem !== undefined || !/^[0-9]+$/.test(code.expose()))
      return { kind: 'wrong' };
    this.#requireClock();
    const secret = openEnrolment(this.#sealer, username, enrolment);
    const now = clock.now();
    const current = stepAt(now, totp);
    const steps = matchingSteps(secret, code, now, driftReachSteps, totp);
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

  #verifyRecovery(username: string, factor: StoredFactor, code: Secret): CodeVerdict {
    const { enrolment, problem, state } = factor;
    if (enrolment === undefined || problem !== undefined || !isRecoveryShaped(code.expose()))
      return { kind: 'wrong' };
    // The look opened the seal, which says that these codes may be compared under another name.
    const owner = enrolment.codesFor ?? username;
    const fingerprint = this.#sealer.fingerprint(code, 'recovery', owner, enrolment.id);
    if (!enrolment.recoveryCodes.includes(fingerprint)) return { kind: 'wrong' };
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

  #verifyBypass(username: string, state: TwoFactorState, code: Secret): CodeVerdict {
    const outstanding = state.bypassCode;
    const nowMs = this.#options.clock.now();
    if (this.#options.departures.findProblem(username) !== undefined) return { kind: 'wrong' };
    if (outstanding === undefined || outstanding.expiresAtMs <= nowMs) return { kind: 'wrong' };
    if (!isBypassShaped(code.expose())) return { kind: 'wrong' };
    const id = this.#sealer.fingerprint(code, 'bypass', username, '');
    if (id !== outstanding.id) return { kind: 'wrong' };
    return {
      kind: 'right',
      method: 'bypass',
      reEnrol: outstanding.reEnrol,
      evidence: [{ kind: 'use-bypass-code', user: username, id, nowMs }],
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

/** Stored without, shown with dashes. */
function asShown(code: Secret): Secret {
  return new Secret(groupByFour(code.expose()));
}

function stepId(enrolment: string, step: number): string {
  return `step:${enrolment}:${step}`;
}
