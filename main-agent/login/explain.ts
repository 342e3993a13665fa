import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { LoginExplanation, ValueOrigin } from '#main-agent/admin/ports.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import { maskAddress } from '#main-agent/two-factor/delivered-codes.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Protocol } from '#shared/login.ts';
import { findAccountProblem, requirementStartMs } from './account-rules.ts';
import type { Assessment } from './assessment.ts';
import { isWaivable } from './policy.ts';

/** Why a login would end as it would: every value that counts and what the table makes of them. Pure. */

interface ExplainStep {
  /** A key of the user's file keeps its name, so that its origin can be told. */
  readonly rule: string;
  readonly value: string;
  /** What it means for this login. */
  readonly effect: string;
}

interface Question {
  /** An admin's ban, or a node's own. */
  readonly ban: string | undefined;
  /** A submitted password at this name is taken for an attack. */
  readonly isBaitName: boolean;
  readonly isNeverBanned: boolean;
  readonly username: string;
  readonly protocol: Protocol;
  readonly clientIp: string;
  readonly node: string | undefined;
  readonly nowMs: number;
}

interface KnownUserFacts extends Question {
  readonly user: EffectiveUser;
  readonly status: FactorStatus;
  readonly assessment: Assessment;
  /** Of this user at that door, and how many may be. */
  readonly sessions: { readonly open: number; readonly most: number };
  /** Password checks that wait now, and how long one more would. */
  readonly checks: { readonly waiting: number; readonly expectedMs: number };
  /** In the order they would be tried. */
  readonly transports: readonly { readonly transport: Transport; readonly problem: string | undefined }[];
  readonly lockedUntilMs: number | undefined;
  readonly isDisabled: boolean;
  /** What throttles passwords from this place now, in words; empty: nothing. */
  readonly passwordThrottles: readonly string[];
  /** The user has signed in from there in the last 30 days, so that the throttles of known places count. */
  readonly isKnownPlace: boolean;
  /** The one the address is in. */
  readonly trustedNetwork: string | undefined;
  /** Clients, by the identification they send, that may ride a lease from that address. */
  readonly leases: readonly string[];
  readonly origins: readonly ValueOrigin[];
}

export type ExplainFacts = KnownUserFacts | (Question & { readonly user: undefined });

export function explainLogin(facts: ExplainFacts): LoginExplanation {
  const { username, protocol } = facts;
  const origins = facts.user === undefined ? [] : facts.origins;
  const answer = (outcome: LoginExplanation['outcome'], chain: readonly ExplainStep[]): LoginExplanation => ({
    user: username,
    protocol,
    outcome,
    chain: chain.map(({ rule, value, effect }) => {
      const origin = originsOf(rule, origins);
      return { rule, result: `${value}: ${effect}`, ...(origin === '' ? {} : { origin }) };
    }),
  });
  if (facts.user === undefined)
    return answer('refused', [
      ...doorSteps(facts),
      { rule: 'user', value: 'not found', effect: 'refused as a wrong password is' },
    ]);

  const problem = facts.ban ?? findAccountProblem(facts.user, facts);
  const chain = [
    ...doorSteps(facts),
    ...accountSteps(facts, problem),
    ...passwordSteps(facts),
    checkStep(facts),
    ...factorSteps(facts),
    sessionStep(facts),
  ];
  if (problem !== undefined)
    return answer('refused', [...chain, { rule: 'outcome', value: 'refused', effect: problem }]);
  const { outcome, effect } = conclude(facts);
  return answer(outcome, [...chain, { rule: 'outcome', value: outcome, effect }]);
}

/** `file:line` of the value, or of each part where it is put together. */
function originsOf(rule: string, origins: readonly ValueOrigin[]): string {
  const parts = rule.split('.');
  const appended = [...parts.slice(0, -1), `+${parts.at(-1)}`].join('.');
  return origins
    .filter(({ key }) => key === rule || key === appended || key.startsWith(`${rule}.`))
    .map(({ file, line }) => `${file}:${line}`)
    .join(', ');
}

/** What the nodes are told about sources; whom they shut out at the moment is theirs to know. */
function doorSteps({ ban, clientIp, isBaitName, isNeverBanned }: Question): ExplainStep[] {
  const steps: ExplainStep[] = [
    ban !== undefined
      ? { rule: 'bans', value: ban, effect: 'refused' }
      : {
          rule: 'bans',
          value: isNeverBanned ? `${clientIp} is in never_ban` : 'kept by each node at its door',
          effect: isNeverBanned ? 'no node shuts it out' : 'a banned address does not get as far as this',
        },
  ];
  if (isBaitName)
    steps.push({
      rule: 'bans.bait_names',
      value: 'a bait',
      effect: 'a wrong password for it counts as three failed logins, unless somebody signs in from there',
    });
  return steps;
}

function checkStep({ checks: { waiting, expectedMs } }: KnownUserFacts): ExplainStep {
  const seconds = (expectedMs / 1000).toFixed(1);
  return {
    rule: 'password checks',
    value: `${waiting} wait`,
    effect: `one more would wait about ${seconds} s`,
  };
}

function passwordSteps({ isKnownPlace, passwordThrottles, clientIp }: KnownUserFacts): ExplainStep[] {
  const place = isKnownPlace ? `${clientIp} is known, where more is allowed` : `${clientIp} is not known`;
  if (passwordThrottles.length === 0)
    return [{ rule: 'wrong passwords', value: 'not throttled', effect: `every try is looked at; ${place}` }];
  return passwordThrottles.map((value) => ({
    rule: 'wrong passwords',
    value,
    effect: `tries are let through slowly; ${place}`,
  }));
}

function sessionStep({ protocol, sessions: { open, most } }: KnownUserFacts): ExplainStep {
  const value = `${open} of ${most} open over ${protocol}`;
  if (open < most) return { rule: 'limits.sessions', value, effect: 'one more may be' };
  return {
    rule: 'limits.sessions',
    value,
    effect:
      protocol === 'sftp' ? 'the next is refused, in these words' : 'the longest idle one ends for the next',
  };
}

function accountSteps(facts: KnownUserFacts, problem: string | undefined): ExplainStep[] {
  const { allowFrom, expires, hours, protocols, status } = facts.user;
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

function factorSteps(facts: KnownUserFacts): ExplainStep[] {
  const { status, user } = facts;
  const { input } = facts.assessment;
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
    { rule: 'email', value: mask('email', user.email), effect: 'where mails go' },
    { rule: 'phone', value: mask('sms', user.phone), effect: 'where text messages go' },
    {
      rule: 'delivery',
      value: facts.transports.map(({ transport }) => transport).join(', ') || 'none',
      effect: 'how a code could be sent',
    },
    ...facts.transports.flatMap(({ transport, problem }) =>
      problem === undefined ? [] : [{ rule: `delivery by ${transport}`, value: 'in doubt', effect: problem }],
    ),
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
  if (facts.trustedNetwork !== undefined)
    steps.push({
      rule: 'trusted_networks',
      value: facts.trustedNetwork,
      effect: 'a code is not asked from there',
    });
  for (const agent of facts.leases)
    steps.push({ rule: 'lease', value: agent, effect: 'this client is not asked for a code again' });
  return steps;
}

function conclude(facts: KnownUserFacts): {
  readonly outcome: LoginExplanation['outcome'];
  readonly effect: string;
} {
  const { decision } = facts.assessment;
  const { open, most } = facts.sessions;
  if (facts.protocol === 'sftp' && open >= most && decision.outcome !== 'refuse')
    return { outcome: 'refused', effect: `too many sessions: ${open} of ${most} are open over sftp` };
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
      if (facts.trustedNetwork !== undefined && isWaivable(decision))
        return { outcome: 'admitted', effect: `factor not asked: trusted network ${facts.trustedNetwork}` };
      const after = decision.leadsTo === 'admit' ? 'then admitted' : 'then confined to set-up';
      if (decision.ask === 'totp') return { outcome: 'totp', effect: `authenticator code asked, ${after}` };
      const [transport] = facts.transports;
      if (decision.ask === 'delivered' && transport !== undefined)
        return { outcome: transport.transport, effect: `a code is sent and asked, ${after}` };
      return { outcome: 'bypass', effect: `only the outstanding bypass code can be asked, ${after}` };
    }
  }
}

function mask(transport: Transport, address: string | undefined): string {
  return address === undefined ? 'none' : maskAddress(transport, address);
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
