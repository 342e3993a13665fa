import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Protocol } from '#shared/login.ts';
import { findAccountProblem, requirementStartMs } from '#main-agent/sessions/account-rules.ts';
import { assess } from '#main-agent/login/assessment.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';

/** Whom the second factor would stop, now and once a requirement begins: what a roll-out must not find out too late. */

export interface LockOut {
  /** A factor is required there and none can be asked: only an admin helps. */
  readonly lockedOutOn: readonly Protocol[];
  /** Not before the user has set up an authenticator on the web. */
  readonly setupDueOn: readonly Protocol[];
  /** When the requirement begins, if it has not yet. */
  readonly requiredFromMs?: number;
  /** As `lockedOutOn`, at that time, if nothing changes until then. */
  readonly lockedOutThenOn?: readonly Protocol[];
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

export function findLockOut(parts: Parts, user: EffectiveUser, status: FactorStatus): LockOut {
  const nowMs = parts.clock.now();
  const times = { nowMs, firstLoginAtMs: status.firstLoginAtMs };
  const fromMs = requirementStartMs(user.twoFactor.requiredFrom, times);
  return {
    ...judge(parts, user, status, nowMs),
    ...(fromMs !== undefined && fromMs > nowMs
      ? { requiredFromMs: fromMs, lockedOutThenOn: judge(parts, user, status, fromMs).lockedOutOn }
      : {}),
  };
}

/** The account works, but a login would be stopped for want of a factor, wherever and whenever it comes from. */
function judge(
  { config, delivered }: Parts,
  user: EffectiveUser,
  status: FactorStatus,
  nowMs: number,
): Pick<LockOut, 'lockedOutOn' | 'setupDueOn'> {
  const anywhere = { ...user, allowFrom: undefined, hours: undefined };
  const lockedOutOn: Protocol[] = [];
  const setupDueOn: Protocol[] = [];
  for (const protocol of user.protocols) {
    if (findAccountProblem(anywhere, { protocol, clientIp: '', nowMs }) !== undefined) continue;
    const { decision } = assess(user, status, {
      protocol,
      nowMs,
      nodeValidatedLogins: config.twoFactor.validatedLogins,
      config,
      delivered,
    });
    const leadsToSetup = decision.outcome === 'ask' && decision.leadsTo === 'setup';
    if (decision.outcome === 'setup' || leadsToSetup) setupDueOn.push(protocol);
    // "Set it up on the web" helps only who may go there.
    else if (decision.outcome === 'instruct' && user.protocols.includes('https')) setupDueOn.push(protocol);
    else if (decision.outcome === 'refuse' || decision.outcome === 'instruct') lockedOutOn.push(protocol);
  }
  return { lockedOutOn, setupDueOn };
}
