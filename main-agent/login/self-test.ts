import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import { type Protocol, protocols } from '#shared/login.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';
import { assess } from './assessment.ts';
import { acceptedMethods, nextOf } from './next-step.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly delivered: DeliveredCodes;
  readonly clock: Clock;
}

/**
 * The start-up self-test (D-22): over every user, protocol and state of enrolment, with the configuration that is in
 * force, no login reaches files while a factor is required. Takes the way of a login (decision, next step, what an
 * assertion may call itself) and judges its end in words of its own, so that a mistake in one shows in the other.
 */
export function findOpenDoors(parts: Pick<Parts, 'config' | 'users' | 'delivered' | 'clock'>): string[] {
  const { config, delivered, users } = parts;
  const nowMs = parts.clock.now();
  const problems: string[] = [];
  if (!config.twoFactor.validatedLogins) return problems;
  for (const user of users.list())
    for (const protocol of protocols)
      for (const status of possibleStatuses(user, nowMs)) {
        const { decision } = assess(user, status, {
          protocol,
          nowMs,
          nodeValidatedLogins: true,
          config,
          delivered,
        });
        if (decision.outcome === 'refuse') continue;
        const next = nextOf(decision, { recovery: status.recoveryCodesLeft > 0, recipient: undefined });
        const where = `${user.username} on ${protocol}, ${status.state}`;
        const isForced = user.twoFactor.forceSetup && status.state === 'none';
        const needsFactor = needsFactorNow(user, status, protocol, nowMs) || isForced;
        if (next.kind === 'admit' && (needsFactor || status.state === 'broken'))
          problems.push(`${where}: admitted without the factor it needs`);
        if (next.kind === 'code' && [...acceptedMethods(next)].some((method) => !codes.has(method)))
          problems.push(`${where}: a code is asked, and an answer without one accepted`);
        const leadsToSetup = next.kind === 'setup' || (next.kind === 'code' && next.leadsTo === 'setup');
        if (leadsToSetup && status.state !== 'none') problems.push(`${where}: may set up a second time`);
        if (next.kind === 'setup' && delivered.transportsFor(user).length > 0)
          problems.push(`${where}: sets up with a first factor alone, and a code could be sent`);
        if (next.kind === 'code' && next.leadsTo === 'admit' && isForced)
          problems.push(`${where}: reaches files before the set-up it is held to`);
      }
  return problems;
}

const codes: ReadonlySet<string> = new Set(['totp', 'email', 'sms', 'recovery', 'bypass']);

/** The requirement as the manual says it: the set-up's own at once, the admin's from its day on. */
function needsFactorNow(
  user: EffectiveUser,
  status: FactorStatus,
  protocol: Protocol,
  nowMs: number,
): boolean {
  if (status.requiredOn.includes(protocol)) return true;
  const { requiredOn, requiredFrom } = user.twoFactor;
  if (!requiredOn.includes(protocol)) return false;
  if (requiredFrom === undefined) return true;
  if ('date' in requiredFrom) return new Date(nowMs).toISOString().slice(0, 10) >= requiredFrom.date;
  return status.firstLoginAtMs !== undefined && nowMs - status.firstLoginAtMs >= requiredFrom.graceMs;
}

/** Every state a user could be in, whatever it is today. */
function possibleStatuses(user: EffectiveUser, nowMs: number): FactorStatus[] {
  const statuses: FactorStatus[] = [];
  for (const state of ['none', 'enrolled', 'broken'] as const) {
    for (const requiredOn of state === 'enrolled' ? [[], [...protocols]] : [[]]) {
      for (const bypass of [undefined, { reEnrol: false, expiresAtMs: nowMs + 60_000 }]) {
        for (const firstLoginAtMs of [undefined, 0]) {
          statuses.push({
            state,
            ...(state === 'broken' && { problem: `the enrolment of ${user.username} has no file` }),
            requiredOn,
            recoveryCodesLeft: state === 'enrolled' ? 1 : 0,
            firstLoginAtMs,
            bypass,
            wrongCodes: { inARow: 0, lockedUntilMs: undefined },
          });
        }
      }
    }
  }
  return statuses;
}
