import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Protocol } from '#shared/login.ts';
import { isFactorRequired } from '#main-agent/sessions/account-rules.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { decide, type Decision, type DecisionInput } from './policy.ts';

/** A user's situation as the decision table reads it, and what the table says. */
export interface Assessment {
  readonly input: DecisionInput;
  readonly decision: Decision;
}

export function assess(
  user: EffectiveUser,
  status: FactorStatus,
  at: {
    readonly protocol: Protocol;
    readonly nowMs: number;
    readonly nodeValidatedLogins: boolean;
    readonly config: Pick<MainAgentConfig, 'twoFactor'>;
    readonly delivered: Pick<DeliveredCodes, 'transportsFor'>;
  },
): Assessment {
  const { twoFactor } = at.config;
  const input: DecisionInput = {
    protocol: at.protocol,
    validatedLogins: twoFactor.validatedLogins,
    nodeValidatedLogins: at.nodeValidatedLogins,
    required: isFactorRequired(user, status.requiredOn, at.protocol, {
      nowMs: at.nowMs,
      firstLoginAtMs: status.firstLoginAtMs,
    }),
    enrolled: status.state === 'enrolled',
    deliverable: at.delivered.transportsFor(user).length > 0,
    forceSetup: user.twoFactor.forceSetup,
    bypass: status.bypass !== undefined,
    overSftp: twoFactor.enrolment.overSftp,
    ticket: twoFactor.enrolment.ticket === 'required',
  };
  // A factor that was taken away behind main's back: nothing but a reset helps (and no master switch hides it).
  if (status.state === 'broken' && twoFactor.validatedLogins) {
    return { input, decision: { outcome: 'refuse', rule: status.problem ?? 'the enrolment is broken' } };
  }
  return { input, decision: decide(input) };
}
