import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Protocol } from '#shared/login.ts';
import { findAccountProblem, requirementStartMs } from './account-rules.ts';
import type { Assessment } from './assessment.ts';
import type { Waiver } from './policy.ts';

/** Why a login would end as it would: every value that counts and what the table makes of them. Pure. */

export interface ExplainStep {
  readonly rule: string;
  readonly value: string;
  /** What it means for this login. */
  readonly effect: string;
}

export interface Explanation {
  readonly user: string;
  readonly protocol: Protocol;
  readonly outcome: 'admitted' | 'totp' | 'email' | 'sms' | 'setup' | 'refused';
  readonly chain: readonly ExplainStep[];
}

export interface ExplainFacts {
  readonly username: string;
  readonly protocol: Protocol;
  readonly clientIp: string;
  readonly node: string | undefined;
  readonly nowMs: number;
  /** Undefined: no such user. */
  readonly user: EffectiveUser | undefined;
  readonly status: FactorStatus | undefined;
  readonly assessment: Assessment | undefined;
  /** In the order they would be tried. */
  readonly transports: readonly Transport[];
  readonly lockedUntilMs: number | undefined;
  readonly isDisabled: boolean;
  readonly waiver: { readonly kind: Waiver; readonly detail: string } | undefined;
}

export function explainLogin(facts: ExplainFacts): Explanation {
  const { username, protocol, user, status, assessment } = facts;
  const answer = (outcome: Explanation['outcome'], chain: readonly ExplainStep[]): Explanation => ({
    user: username,
    protocol,
    outcome,
    chain,
  });
  if (user === undefined || status === undefined || assessment === undefined)
    return answer('refused', [
      { rule: 'user', value: 'not found', effect: 'refused as a wrong password is' },
    ]);

  const problem = findAccountProblem(user, facts);
  const chain = [...accountSteps(user, facts, problem), ...factorSteps(user, status, assessment, facts)];
  if (problem !== undefined)
    return answer('refused', [...chain, { rule: 'outcome', value: 'refused', effect: problem }]);
  const { outcome, effect } = conclude(assessment, facts);
  return answer(outcome, [...chain, { rule: 'outcome', value: outcome, effect }]);
}

function accountSteps(user: EffectiveUser, facts: ExplainFacts, problem: string | undefined): ExplainStep[] {
  const { allowFrom, expires, hours, protocols, status } = user;
  return [
    { rule: 'status', value: status, effect: status === 'active' ? 'may sign in' : 'refused' },
    { rule: 'protocols', value: protocols.join(', ') || 'none', effect: has(protocols, facts.protocol) },
    { rule: 'expires', value: expires ?? 'never', effect: 'the last day the account works' },
    {
      rule: 'allow_from',
      value: allowFrom === undefined ? 'anywhere' : allowFrom.join(', ') || 'nowhere',
      effect: `asked for ${facts.clientIp}`,
    },
    { rule: 'hours', value: hours === undefined ? 'always' : hours.zone, effect: 'when the account works' },
    {
      rule: 'account',
      value: problem === undefined ? 'works' : 'shut',
      effect: problem ?? 'no rule shuts it',
    },
  ];
}

function factorSteps(
  user: EffectiveUser,
  status: FactorStatus,
  { input }: Assessment,
  facts: ExplainFacts,
): ExplainStep[] {
  const { requiredOn, requiredFrom } = user.twoFactor;
  const startMs = requirementStartMs(requiredFrom, { ...facts, firstLoginAtMs: status.firstLoginAtMs });
  const steps: ExplainStep[] = [
    {
      rule: 'validated_logins',
      value: onOff(input.validatedLogins),
      effect: input.validatedLogins ? 'factors are asked where required' : 'no factor is asked at all',
    },
    {
      rule: 'node validated_logins',
      value:
        facts.node === undefined ? 'taken as main’s' : `${facts.node}: ${onOff(input.nodeValidatedLogins)}`,
      effect: input.validatedLogins === input.nodeValidatedLogins ? 'agrees' : 'disagrees',
    },
    { rule: 'two_factor.required_on', value: requiredOn.join(', ') || 'nowhere', effect: 'the admin’s wish' },
    {
      rule: 'two_factor.required_from',
      value: startMs === undefined ? 'always' : new Date(startMs).toISOString(),
      effect: startMs !== undefined && startMs > facts.nowMs ? 'not in force yet' : 'in force',
    },
    {
      rule: 'enrolment required_on',
      value: status.requiredOn.join(', ') || 'nowhere',
      effect: 'switched on by the user’s own set-up (auto_enable)',
    },
    { rule: 'required', value: yesNo(input.required), effect: `a second factor on ${facts.protocol} now` },
    {
      rule: 'enrolled',
      value: status.state,
      effect: status.problem ?? `recovery codes left: ${status.recoveryCodesLeft}`,
    },
    { rule: 'delivery', value: facts.transports.join(', ') || 'none', effect: 'how a code could be sent' },
    { rule: 'two_factor.force_setup', value: yesNo(input.forceSetup), effect: 'nothing else before set-up' },
    { rule: 'bypass code', value: yesNo(input.bypass), effect: 'accepted wherever a code is asked' },
  ];
  if (facts.lockedUntilMs !== undefined && facts.lockedUntilMs > facts.nowMs) {
    const until = new Date(facts.lockedUntilMs).toISOString();
    steps.push({ rule: 'factor lock', value: `until ${until}`, effect: 'only a bypass code is accepted' });
  }
  if (facts.isDisabled)
    steps.push({
      rule: 'factor',
      value: 'disabled',
      effect: 'too many wrong codes in a row; `two-factor unlock`',
    });
  if (facts.waiver !== undefined)
    steps.push({
      rule: 'waiver',
      value: facts.waiver.kind,
      effect: `factor not asked: ${facts.waiver.detail}`,
    });
  return steps;
}

function conclude(
  { decision }: Assessment,
  facts: ExplainFacts,
): { readonly outcome: Explanation['outcome']; readonly effect: string } {
  switch (decision.outcome) {
    case 'admit':
      return { outcome: 'admitted', effect: 'after the right password or key' };
    case 'refuse':
      return { outcome: 'refused', effect: decision.rule };
    case 'setup':
      return { outcome: 'setup', effect: 'confined to set-up until it is confirmed' };
    case 'instruct':
      return { outcome: 'refused', effect: 'told to set up two-factor authentication on the web first' };
    case 'ask': {
      if (facts.waiver !== undefined && decision.leadsTo === 'admit')
        return { outcome: 'admitted', effect: `factor not asked: ${facts.waiver.kind}` };
      const after = decision.leadsTo === 'admit' ? 'then admitted' : 'then confined to set-up';
      if (decision.ask === 'totp') return { outcome: 'totp', effect: `authenticator code asked, ${after}` };
      const [transport] = facts.transports;
      if (decision.ask === 'delivered' && transport !== undefined)
        return { outcome: transport, effect: `a code is sent and asked, ${after}` };
      return { outcome: 'refused', effect: `unless the outstanding bypass code is given, ${after}` };
    }
  }
}

function has(protocols: readonly Protocol[], protocol: Protocol): string {
  return protocols.includes(protocol) ? `${protocol} is among them` : `${protocol} is not among them`;
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}
