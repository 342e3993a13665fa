import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import type { Params } from '#shared/link/messages.ts';
import type { ClaimedMethod, Method } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import { assess } from './assessment.ts';
import type { Challenge, Challenges } from './challenges.ts';
import { isCredentialOf } from '#main-agent/sessions/credential.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { acceptedMethods } from './next-step.ts';
import { isWaivable, type Decision } from './policy.ts';
import { buildRefusal } from './refusal.ts';
import type { Assertions } from './assertions.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly assertions: Assertions;
  readonly challenges: Challenges;
  readonly delivered: DeliveredCodes;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Does the assertion fit the challenge, and does what the challenge stands on still hold? */
export class ChallengeCheck {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Anything wrong with a signed assertion is a node misbehaving: that login is over, and an alarm is raised. */
  async requireAssertion(
    record: Challenge,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): Promise<{ readonly code: Secret | undefined; readonly method: ClaimedMethod }> {
    const { assertions } = this.#parts;
    const { next } = record;
    const withCode = next.kind === 'sealed' || (next.kind === 'code' && record.enclosedCode === undefined);
    // A code that came inside the password has no name of its own.
    const methods = record.enclosedCode === undefined ? acceptedMethods(next) : enclosedMethods;
    try {
      if (next.kind === 'instruct')
        throw new SallyportError('refused', 'Sign-in refused', { detail: 'nothing to assert' });
      return await assertions.require(
        params,
        {
          purpose: 'login',
          challenge: record.id,
          nonce: record.nonce,
          username: record.shownName,
          protocol: record.protocol,
          methods,
          withCode,
          origin: { ...record },
        },
        link,
      );
    } catch (error) {
      throw await this.#accuse(record, error, link);
    }
  }

  /**
   * The assertion must name what the code turned out to be. E-mailed and texted are one (a resend may fall back), and a
   * delivered code may have the shape of a bypass code.
   */
  async requireNamed(
    record: Challenge,
    claimed: ClaimedMethod,
    found: Method,
    link: NodeLink,
  ): Promise<void> {
    if (claimed === found) return;
    if (isDelivered(found) && (isDelivered(claimed) || claimed === 'bypass')) return;
    const detail = `claim method ${claimed} is not what the code is: ${found}`;
    throw await this.#accuse(record, new SallyportError('refused', 'Sign-in refused', { detail }), link);
  }

  async #accuse(record: Challenge, error: unknown, link: NodeLink): Promise<SallyportError> {
    const { challenges, log, state } = this.#parts;
    challenges.end(record.id);
    const rule = error instanceof SallyportError ? (error.detail ?? error.code) : 'assertion';
    const refusal = buildRefusal(rule, error);
    log.error(
      { alarm: 'assertion-refused', node: link.node, user: record.username, detail: rule },
      'assertion refused',
    );
    await state.commit([this.refused(record, rule, refusal.reference)]);
    return refusal.error;
  }

  /** What the challenge stands on may have changed since: the account, the password, the requirement. */
  async requireStillTrue(record: Challenge, link: NodeLink): Promise<EffectiveUser> {
    const { challenges, clock, config, delivered, findBan, state, users, vault } = this.#parts;
    const user = users.find(record.username);
    const nowMs = clock.now();
    const problem =
      user === undefined
        ? 'the user is gone'
        : isCredentialOf(user, record.credential)
          ? (findBan(user.username, record.clientIp) ?? findAccountProblem(user, { ...record, nowMs }))
          : 'the password or key was changed meanwhile';
    if (user === undefined || problem !== undefined) {
      challenges.end(record.id);
      const rule = problem ?? 'the user is gone';
      const refusal = buildRefusal(rule);
      await state.commit([this.refused(record, rule, refusal.reference)]);
      throw refusal.error;
    }
    const status = await vault.status(user.username);
    const { decision } = assess(user, status, {
      protocol: record.protocol,
      nowMs,
      nodeValidatedLogins: link.validatedLogins,
      config,
      delivered,
    });
    if (isSameDecision(decision, record.next)) return user;
    challenges.end(record.id);
    throw new SallyportError('challenge-gone', 'This sign-in is over; start again', {
      detail: `meanwhile the decision for ${user.username} became ${decision.outcome}`,
    });
  }

  /** For the audit: why this login was refused. */
  refused(record: Challenge, rule: string, reference: string): Change {
    const { username, node, protocol, clientIp, agent } = record;
    return {
      kind: 'audit',
      record: buildRecord(this.#parts, 'login.refused', 'refused', {
        user: username,
        node,
        protocol,
        clientIp,
        agent,
        rule,
        reference,
      }),
    };
  }
}

const enclosedMethods: ReadonlySet<string> = new Set(['none']);

function isDelivered(method: ClaimedMethod): boolean {
  return method === 'email' || method === 'sms';
}

function isSameDecision(decision: Decision, next: Challenge['next']): boolean {
  switch (next.kind) {
    case 'admit':
      return next.waiver === undefined ? decision.outcome === 'admit' : isWaivable(decision);
    case 'setup':
      return decision.outcome === 'setup';
    case 'instruct':
      return decision.outcome === 'instruct';
    case 'sealed':
      return false;
    case 'code':
      if (decision.outcome === 'ask') return decision.ask === next.ask && decision.leadsTo === next.leadsTo;
      // The outstanding bypass code was used or ran out: it is for the code check to say so.
      return (
        next.ask === 'bypass' &&
        (decision.outcome === 'refuse' || (decision.outcome === 'instruct' && next.leadsTo === 'setup'))
      );
  }
}
