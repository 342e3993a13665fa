import type { NodeLink } from '#main-agent/link/handlers.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { Method } from '#shared/login.ts';
import type { Challenge, WaiverUse } from './challenges.ts';
import { CodeCheck, methodsOf, type RightCode, type TryAgain } from './code-check.ts';
import { assess } from './assessment.ts';
import { findAccountProblem } from './account-rules.ts';
import { isCredentialOf } from './credential.ts';
import { bypassSessionMaxMs } from './limits.ts';
import { buildRecord, buildRefusal, codeScope, notifyUser, type LoginParts } from './login-parts.ts';
import { viewSession } from './session-view.ts';

/**
 * `login.assert`: the end of every login. One transaction holds what is spent, the session and the audit record; the
 * answer comes after it is durable, or the login did not happen (S-03, S-14).
 */

type Asserted = Result<'login.assert'>;

/** How a login came past the second factor, and what its commit must hold for that. */
interface Passage {
  readonly method: Method;
  readonly state: 'signed-in' | 'setup-required';
  readonly evidence: readonly Change[];
  readonly spent: () => void;
  readonly reEnrol: boolean;
  readonly lease: string | undefined;
  readonly device: { value: string; maxAgeMs: number } | undefined;
  /** `factor not asked: …`, or the code that was right. */
  readonly rule: string;
}

const spendingCodes: ReadonlySet<Change['kind']> = new Set(['use-time-step', 'use-code', 'use-bypass-code']);

export class Admission {
  readonly #parts: LoginParts;
  readonly #codes: CodeCheck;

  constructor(parts: LoginParts) {
    this.#parts = parts;
    this.#codes = new CodeCheck(parts);
  }

  async assert(params: Params<'login.assert'>, link: NodeLink): Promise<Asserted> {
    const { challenges } = this.#parts;
    challenges.require(params.challenge, link.node);
    return challenges.inTurn(params.challenge, async () => {
      // Somebody before us in the line may have ended it.
      const record = challenges.require(params.challenge, link.node);
      const code = await this.#requireAssertion(record, params, link);
      const user = await this.#requireStillTrue(record, link);
      const passage = await this.#findPassage(record, code);
      if ('outcome' in passage) return passage;
      return this.#admit(record, user, passage, params, link);
    });
  }

  /** Anything wrong with a signed assertion is a node misbehaving: that login is over, and an alarm is raised. */
  async #requireAssertion(
    record: Challenge,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): ReturnType<LoginParts['assertions']['require']> {
    const { assertions, challenges, log, state } = this.#parts;
    const { next } = record;
    const withCode = next.kind === 'code' && record.enclosedCode === undefined;
    const methods: ReadonlySet<string> =
      next.kind === 'code' && withCode
        ? methodsOf(next)
        : new Set([next.kind === 'admit' && next.waiver !== undefined ? next.waiver.kind : 'none']);
    try {
      if (next.kind === 'instruct')
        throw new SallyportError('refused', 'Sign-in refused', { detail: 'nothing to assert' });
      return await assertions.require(
        params,
        {
          purpose: 'login',
          challenge: record.id,
          nonce: record.nonce,
          username: record.username,
          protocol: record.protocol,
          methods,
          withCode,
          origin: { ...record },
        },
        link,
      );
    } catch (error) {
      challenges.end(record.id);
      const rule = error instanceof SallyportError ? (error.detail ?? error.code) : 'assertion';
      const refusal = buildRefusal(rule, error);
      log.error(
        { alarm: 'assertion-refused', node: link.node, user: record.username, detail: rule },
        'assertion refused',
      );
      await state.commit([this.#refused(record, rule, refusal.reference)]);
      throw refusal.error;
    }
  }

  /** What the challenge stands on may have changed since: the account, the password, the requirement. */
  async #requireStillTrue(record: Challenge, link: NodeLink): Promise<EffectiveUser> {
    const { challenges, clock, config, delivered, state, users, vault } = this.#parts;
    const user = users.find(record.username);
    const nowMs = clock.now();
    const problem =
      user === undefined
        ? 'the user is gone'
        : isCredentialOf(user, record.credential)
          ? findAccountProblem(user, { ...record, nowMs })
          : 'the password or key was changed meanwhile';
    if (user === undefined || problem !== undefined) {
      challenges.end(record.id);
      const rule = problem ?? 'the user is gone';
      const refusal = buildRefusal(rule);
      await state.commit([this.#refused(record, rule, refusal.reference)]);
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

  async #findPassage(
    record: Challenge,
    code: Awaited<ReturnType<LoginParts['assertions']['require']>>,
  ): Promise<Passage | TryAgain> {
    const { next } = record;
    switch (next.kind) {
      case 'admit':
        return next.waiver === undefined ? noFactorDue('signed-in') : this.#waived(record, next.waiver);
      case 'setup':
        return noFactorDue('setup-required');
      case 'instruct':
        throw buildRefusal('set-up is forced and not done').error;
      case 'code': {
        const answer = code ?? record.enclosedCode;
        if (answer === undefined) throw buildRefusal('no code').error;
        const right = await this.#codes.check(record, next, answer);
        if (right.outcome === 'right') return rightCode(right, next.leadsTo);
        if (record.enclosedCode === undefined) return right;
        // The password can't be typed again in the same login: one try.
        this.#parts.challenges.end(record.id);
        throw buildRefusal(`the code inside the password: ${right.reason}`).error;
      }
    }
  }

  #waived(record: Challenge, waiver: WaiverUse): Passage {
    const base = {
      state: 'signed-in' as const,
      reEnrol: false,
      lease: undefined,
      device: undefined,
      spent: () => undefined,
    };
    if (waiver.kind === 'trusted-network') {
      const rule = `factor not asked: trusted network ${waiver.cidr}`;
      return { ...base, method: 'trusted-network', evidence: [], rule };
    }
    if (waiver.kind === 'device') {
      const { changes, cookie } = this.#parts.devices.rotate({
        id: waiver.device,
        valueHash: waiver.valueHash,
      });
      return {
        ...base,
        method: 'device',
        evidence: changes,
        device: cookie,
        rule: 'factor not asked: device',
      };
    }
    const ride = this.#parts.leases.ride(record, waiver.lease);
    if (ride === undefined) throw this.#gone(record, 'the lease is over or full');
    return {
      ...base,
      method: 'lease',
      evidence: ride.changes,
      spent: ride.keep,
      lease: waiver.lease,
      rule: 'factor not asked: lease',
    };
  }

  async #admit(
    record: Challenge,
    user: EffectiveUser,
    passage: Passage,
    params: Params<'login.assert'>,
    link: NodeLink,
  ): Promise<Asserted> {
    const { challenges, clock, devices, leases, sessions, state } = this.#parts;
    const { method } = passage;
    const { username, node, protocol, credential, clientIp } = record;
    const isFull = passage.state === 'signed-in';
    const offered = isFull ? leases.offer(record, method) : undefined;
    const wantsDevice =
      params.rememberDevice === true && protocol === 'https' && isFull && isVerifiedCode(method);
    const remembered = wantsDevice ? await devices.remember({ username, node, credential }) : undefined;

    const lease = passage.lease ?? offered?.id;
    const session = sessions.prepare(
      {
        username,
        node,
        worker: link.worker,
        protocol,
        state: passage.state,
        method,
        clientIp,
        credential,
        ...(lease === undefined ? {} : { lease }),
        ...(passage.reEnrol ? { reEnrol: true } : {}),
      },
      { sessionsMax: user.limits.sessions, ...(method === 'bypass' ? { maxMs: bypassSessionMaxMs } : {}) },
    );
    const changes: Change[] = [
      ...passage.evidence,
      session.change,
      { kind: 'note-login', user: username, clientIp, atMs: clock.now() },
      ...(isVerifiedCode(method) || method === 'recovery'
        ? [{ kind: 'clear-failures' as const, scope: codeScope(username) }]
        : []),
      ...(offered?.changes ?? []),
      ...(remembered?.changes ?? []),
      {
        kind: 'audit',
        record: buildRecord(this.#parts, 'login.admitted', 'ok', {
          user: username,
          node,
          protocol,
          clientIp,
          agent: record.agent,
          method,
          rule: passage.rule,
          sessionKey: session.stored.key,
          assertion: params.assertion,
        }),
      },
    ];
    const result = await state.commit(changes).catch((error: unknown) => {
      session.cancel();
      throw error;
    });
    if (!result.ok) {
      session.cancel();
      return this.#lostRace(record, result.failed);
    }
    challenges.end(record.id);
    const live = session.open();
    passage.spent();
    offered?.keep();
    if (method === 'recovery') notifyUser(this.#parts, user, 'recovery-code-used', { node, clientIp });
    const device = passage.device ?? remembered?.cookie;
    return {
      outcome: 'admitted',
      view: await viewSession(this.#parts, live, session.id),
      ...(device === undefined ? {} : { device }),
    };
  }

  /** Somebody else spent it first. */
  #lostRace(record: Challenge, failed: Change['kind']): Promise<TryAgain> {
    if (spendingCodes.has(failed)) {
      if (record.enclosedCode === undefined) return this.#codes.again(record, 'used-code');
      this.#parts.challenges.end(record.id);
      throw buildRefusal('the code inside the password was used before').error;
    }
    if (failed === 'use-lease' || failed === 'rotate-device') throw this.#gone(record, `${failed} failed`);
    throw new SallyportError('internal', 'Something went wrong on our side', {
      detail: `the login's commit failed at ${failed}`,
    });
  }

  #gone(record: Challenge, detail: string): SallyportError {
    this.#parts.challenges.end(record.id);
    return new SallyportError('challenge-gone', 'This sign-in is over; start again', { detail });
  }

  #refused(record: Challenge, rule: string, reference: string): Change {
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

function noFactorDue(state: Passage['state']): Passage {
  return {
    method: 'none',
    state,
    evidence: [],
    spent: () => undefined,
    reEnrol: false,
    lease: undefined,
    device: undefined,
    rule: state === 'signed-in' ? 'no factor is required' : 'confined to set-up',
  };
}

function rightCode(right: RightCode, leadsTo: 'admit' | 'setup'): Passage {
  return {
    method: right.method,
    state: leadsTo === 'admit' ? 'signed-in' : 'setup-required',
    evidence: right.evidence,
    spent: right.spent,
    reEnrol: right.reEnrol,
    lease: undefined,
    device: undefined,
    rule: `code: ${right.method}`,
  };
}

/** A code that the user's own device or mailbox showed just now. */
function isVerifiedCode(method: Method): boolean {
  return method === 'totp' || method === 'email' || method === 'sms';
}

function isSameDecision(decision: ReturnType<typeof assess>['decision'], next: Challenge['next']): boolean {
  switch (next.kind) {
    case 'admit':
      return next.waiver === undefined
        ? decision.outcome === 'admit'
        : decision.outcome === 'ask' && decision.leadsTo === 'admit';
    case 'setup':
      return decision.outcome === 'setup';
    case 'instruct':
      return decision.outcome === 'instruct';
    case 'code':
      if (decision.outcome === 'ask') return decision.ask === next.ask && decision.leadsTo === next.leadsTo;
      // The outstanding bypass code was used or ran out: it is for the code check to say so.
      return next.ask === 'bypass' && decision.outcome !== 'admit';
  }
}
