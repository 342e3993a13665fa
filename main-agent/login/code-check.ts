import { codeScope } from '#main-agent/state/factor-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { describeSuspicion, type DriftWatch } from '#main-agent/two-factor/drift-watch.ts';
import { driftAgreementSteps } from '#main-agent/two-factor/limits.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type { CodeVerdict, VaultCodeKind, Vault } from '#main-agent/vault/vault.ts';
import { SallyportError } from '#shared/error.ts';
import type { AgainReason, CodeMethod } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { Challenge, ChallengeNext, CodeAttempt, Challenges } from './challenges.ts';
import { disableAfterInARow, lockMaxMs, tellUserAfterInARow } from './limits.ts';
import { buildRefusal } from './refusal.ts';

/**
 * One answer to "which code?": what it is, and what a wrong one costs. Failures are counted per user over every
 * protocol and node, in a commit of their own, before the answer (S-13).
 */

export interface RightCode {
  readonly outcome: 'right';
  readonly method: CodeMethod;
  /** Spends the code in the login's commit. */
  readonly evidence: readonly Change[];
  readonly reEnrol: boolean;
  /** After the commit. */
  readonly spent: () => void;
}

/** The code was spent by another connection of this client, and the lease that its login earned carries this one. */
interface Carried {
  readonly outcome: 'carried';
  readonly lease: string;
}

export interface TryAgain {
  readonly outcome: 'again';
  readonly reason: AgainReason;
  readonly attemptsLeft: number;
  readonly driftSeconds?: number;
  readonly reference: string;
}

type CodeStep = Extract<ChallengeNext, { kind: 'code' }>;

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly challenges: Challenges;
  readonly leases: Leases;
  readonly delivered: DeliveredCodes;
  readonly driftWatch: DriftWatch;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class CodeCheck {
  readonly #turns = new KeyLock();
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Of a login. Rejects `rate-limited` while the factor is locked, `refused` at the last wrong answer. */
  check(record: Challenge, next: CodeStep, code: Secret): Promise<RightCode | Carried | TryAgain> {
    return this.#inTurn<Carried>(record, kindsOf(next), code, async () => {
      const delivered = this.#matchDelivered(next, code);
      return delivered === 'used' ? this.usedDelivered(record, next) : delivered;
    });
  }

  /** As `check`, where no code is delivered: of a step-up. */
  checkStored(
    attempt: CodeAttempt,
    kinds: readonly VaultCodeKind[],
    code: Secret,
  ): Promise<RightCode | TryAgain> {
    return this.#inTurn<never>(attempt, kinds, code, async () => undefined);
  }

  /** One answer of a user at a time: in parallel, each would see the counter before any of the others counts. */
  #inTurn<More>(
    attempt: CodeAttempt,
    kinds: readonly VaultCodeKind[],
    code: Secret,
    checkDelivered: () => Promise<RightCode | TryAgain | More | undefined>,
  ): Promise<RightCode | TryAgain | More> {
    return this.#turns.run(attempt.username, async () => {
      const { clock, vault } = this.#parts;
      // In the turn: what an answer before this one spent or counted is seen.
      const factor = await vault.load(attempt.username);
      const { inARow, lockedUntilMs = 0 } = factor.status.wrongCodes;
      const lockedMs = lockedUntilMs - clock.now();
      const isDisabled = inARow >= disableAfterInARow;
      if (lockedMs > 0 || isDisabled) {
        const bypass = kinds.filter((kind) => kind === 'bypass');
        const verdict = await factor.verify(code, bypass);
        return this.#checkLocked(attempt, verdict, isDisabled ? 'disabled' : lockedMs);
      }
      return (await checkDelivered()) ?? this.#judge(attempt, code, await factor.verify(code, kinds));
    });
  }

  async #judge(record: CodeAttempt, code: Secret, verdict: CodeVerdict): Promise<RightCode | TryAgain> {
    if (verdict.kind !== 'drifted') record.drift = undefined;
    switch (verdict.kind) {
      case 'right':
        return {
          outcome: 'right',
          method: verdict.method,
          evidence: verdict.evidence,
          reEnrol: verdict.reEnrol,
          spent: () => undefined,
        };
      case 'used':
        return this.again(record, 'used-code');
      case 'drifted':
        return this.#drifted(record, code, verdict.driftSteps, verdict.burn);
      case 'wrong':
        return this.again(record, 'wrong-code');
    }
  }

  /**
   * A delivered code that was right, and was used. Parallel connections of one client all joined it before the first
   * was answered, and its user types the same code for each: they ride the lease, as a connection begun now would.
   */
  async usedDelivered(record: Challenge, next: CodeStep): Promise<Carried | TryAgain> {
    const lease = next.leadsTo === 'admit' ? this.#parts.leases.find(record) : undefined;
    if (lease !== undefined) return { outcome: 'carried', lease: lease.id };
    return this.again(record, 'used-code');
  }

  /**
   * Counts a wrong answer. `used-code` costs an attempt of this challenge but not the user's lock: it is what a
   * second window or a slow thumb sends.
   */
  async again(
    record: CodeAttempt,
    reason: AgainReason,
    also: { readonly driftSeconds?: number; readonly burn?: readonly Change[] } = {},
  ): Promise<TryAgain> {
    record.attemptsLeft -= 1;
    const isLast = record.attemptsLeft <= 0;
    if (isLast) this.#parts.challenges.end(record.id);
    const { reference, error } = buildRefusal(`${reason}, the last attempt`);
    const changes = this.#failureChanges(record, reason, reference);
    const { state } = this.#parts;
    const result = await state.commit([...(also.burn ?? []), ...changes]);
    // Burned already, by a parallel answer: the failure counts all the same.
    if (!result.ok) await state.commit(changes);
    if (reason !== 'used-code') await this.#afterFailure(record);
    if (isLast) throw error;
    const { driftSeconds } = also;
    return {
      outcome: 'again',
      reason,
      attemptsLeft: record.attemptsLeft,
      reference,
      ...(driftSeconds === undefined ? {} : { driftSeconds }),
    };
  }

  /** A locked factor is not asked for anything, so guessing goes nowhere; an admin's bypass code works. */
  async #checkLocked(
    record: CodeAttempt,
    verdict: CodeVerdict,
    locked: 'disabled' | number,
  ): Promise<RightCode> {
    const { challenges, state } = this.#parts;
    if (verdict.kind === 'right') {
      const { method, evidence, reEnrol } = verdict;
      return { outcome: 'right', method, evidence, reEnrol, spent: () => undefined };
    }
    record.attemptsLeft -= 1;
    if (record.attemptsLeft <= 0) challenges.end(record.id);
    const isDisabled = locked === 'disabled';
    const rule = isDisabled ? 'the factor is disabled after too many wrong codes' : 'the factor is locked';
    const { reference, error } = buildRefusal(rule);
    await state.commit([this.#auditRefusal(record, rule, reference)]);
    if (isDisabled) throw error;
    throw new SallyportError('rate-limited', 'Too many wrong codes; wait, or ask your administrator', {
      data: { retryAfterMs: locked },
      detail: rule,
      reference,
    });
  }

  #matchDelivered(next: CodeStep, code: Secret): RightCode | 'used' | undefined {
    const { recipient } = next;
    if (recipient === undefined) return undefined;
    const { delivered } = this.#parts;
    const match = delivered.match(recipient, code);
    if (match.kind !== 'right') return match.kind === 'used' ? 'used' : undefined;
    const { evidence, id, method } = match;
    return {
      outcome: 'right',
      method,
      reEnrol: false,
      evidence: [evidence],
      spent: () => delivered.forget(recipient, id),
    };
  }

  /** The drift is told when two different codes in a row agree; one alone is a lucky guess too often. */
  async #drifted(
    record: CodeAttempt,
    code: Secret,
    steps: number,
    burn: readonly Change[],
  ): Promise<TryAgain> {
    await this.#watchClock(record.username, steps);
    const before = record.drift;
    record.drift = { steps, code };
    const agrees =
      before !== undefined &&
      before.code.expose() !== code.expose() &&
      Math.abs(before.steps - steps) <= driftAgreementSteps;
    if (!agrees) return this.again(record, 'wrong-code', { burn });
    const driftSeconds = steps * this.#parts.config.twoFactor.totp.periodSeconds;
    return this.again(record, 'clock-drift', { burn, driftSeconds });
  }

  /** Many users with the same drift: told once, as an alarm and in the audit. */
  async #watchClock(username: string, steps: number): Promise<void> {
    const { driftWatch, log, state } = this.#parts;
    const suspicion = driftWatch.note(username, steps);
    if (suspicion === undefined) return;
    const detail = describeSuspicion(suspicion);
    log.error({ alarm: 'clock-suspect', ...suspicion }, detail);
    await state.commit([
      { kind: 'audit', record: buildRecord(this.#parts, 'clock.suspect', 'failed', { detail }) },
    ]);
  }

  #failureChanges(record: CodeAttempt, reason: AgainReason, reference: string): Change[] {
    const { attempts } = this.#parts.config.twoFactor;
    const audit = this.#auditRefusal(record, reason, reference);
    if (reason === 'used-code') return [audit];
    return [
      {
        kind: 'count-failure',
        scope: codeScope(record.username),
        atMs: this.#parts.clock.now(),
        windowMs: attempts.perUser.windowMs,
        limit: attempts.perUser.count,
        lockMs: attempts.lockMs,
        lockMaxMs,
      },
      audit,
    ];
  }

  #auditRefusal(record: CodeAttempt, rule: string, reference: string): Change {
    return {
      kind: 'audit',
      record: buildRecord(this.#parts, 'login.code-refused', 'refused', {
        user: record.username,
        node: record.node,
        protocol: record.protocol,
        clientIp: record.clientIp,
        agent: record.agent,
        rule,
        reference,
      }),
    };
  }

  /** A lock ends the user's leases; many wrong codes in a row are told to the user. */
  async #afterFailure(record: CodeAttempt): Promise<void> {
    const { clock, leases, log, state, users } = this.#parts;
    const { username } = record;
    const failures = await state.read('failures', { scope: codeScope(username), nowMs: clock.now() });
    if ((failures.lockedUntilMs ?? 0) > clock.now()) {
      log.warn({ alarm: 'factor-locked', user: username, until: failures.lockedUntilMs }, 'factor locked');
      await leases.endAllOf(username);
    }
    const user = users.find(username);
    if (user === undefined) return;
    const where = { node: record.node, clientIp: record.clientIp };
    if (failures.inARow === tellUserAfterInARow) notifyUser(this.#parts, user, 'many-wrong-codes', where);
    if (failures.inARow === disableAfterInARow) notifyUser(this.#parts, user, 'factor-disabled', where);
  }
}

function kindsOf(next: CodeStep): readonly VaultCodeKind[] {
  return next.ask === 'totp' ? ['totp', 'recovery', 'bypass'] : ['bypass'];
}
