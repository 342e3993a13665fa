import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import { protocols } from '#shared/login.ts';
import { assess } from './assessment.ts';
import { isFactorRequired } from './account-rules.ts';
import type { LoginParts } from './login-parts.ts';

/**
 * The start-up self-test: over every user, protocol and state of enrolment, with the configuration that is in force,
 * no login reaches `admit` while a factor is required. Says the rule in other words than the table does, so that a
 * mistake in one shows in the other.
 */
export function findOpenDoors(parts: Pick<LoginParts, 'config' | 'users' | 'delivered' | 'clock'>): string[] {
  const { config } = parts;
  const nowMs = parts.clock.now();
  const problems: string[] = [];
  if (!config.twoFactor.validatedLogins) return problems;
  for (const user of parts.users.list()) {
    for (const protocol of protocols) {
      for (const status of possibleStatuses(user, nowMs)) {
        const { decision } = assess(user, status, {
          protocol,
          nowMs,
          nodeValidatedLogins: true,
          config,
          delivered: parts.delivered,
        });
        const required = isFactorRequired(user, status.requiredOn, protocol, {
          nowMs,
          firstLoginAtMs: status.firstLoginAtMs,
        });
        const forced = user.twoFactor.forceSetup && status.state === 'none';
        const reachesFiles = decision.outcome === 'admit';
        if (reachesFiles && (required || forced || status.state === 'broken'))
          problems.push(
            `${user.username} on ${protocol}, ${status.state}: admitted without the factor it needs`,
          );
        if (decision.outcome === 'setup' && status.state !== 'none')
          problems.push(`${user.username} on ${protocol}, ${status.state}: may set up a second time`);
      }
    }
  }
  return problems;
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
            ...(state === 'broken' ? { problem: `the enrolment of ${user.username} has no file` } : {}),
            requiredOn,
            recoveryCodesLeft: 0,
            firstLoginAtMs,
            bypass,
          });
        }
      }
    }
  }
  return statuses;
}
