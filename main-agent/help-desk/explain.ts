import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { ValueOrigin } from '#main-agent/users/origins.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import { maskAddress } from '#main-agent/two-factor/delivered-codes.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Protocol } from '#shared/login.ts';
import { findAccountProblem, requirementStartMs } from '#main-agent/sessions/account-rules.ts';
import type { Assessment } from '#main-agent/login/assessment.ts';
import { isWaivable } from '#main-agent/login/policy.ts';

/** Why a login would end as it would: every value that counts and what the table makes of them. Pure. */

export interface AddressExplanation {
  readonly protocol?: Protocol;
  readonly outcome: 'open' | 'refused';
  readonly chain: readonly ExplainedRule[];
}

export interface LoginExplanation {
  readonly user: string;
  readonly protocol: Protocol;
  /** What would happen after a right first factor. */
  readonly outcome: 'admitted' | 'totp' | 'email' | 'sms' | 'bypass' | 'setup' | 'refused';
  /** Each rule in the order it is asked, the deciding one last. */
  readonly chain: readonly ExplainedRule[];
}

interface ExplainedRule {
  readonly rule: string;
  readonly result: string;
  /** `file:line` the value came from, where there is one. */
  readonly origin?: string;
}

export interface ExplainStep {
  /** A key of the user's file keeps its name, so that its origin can be told. */
  readonly rule: string;
  readonly value: string;
  /** What it means for this login. */
  readonly effect: string;
}

interface Question {
  /** An admin's ban, or one of a node that can't be asked. */
  readonly ban: string | undefined;
  /** What the doors say, and why they would let nobody from there in. */
  readonly doors: readonly ExplainStep[];
  readonly doorProblem: string | undefined;
  /** What throttles passwords from this place now, in words; empty: nothing. */
  readonly passwordThrottles: readonly string[];
  /** The user has signed in from there in the last 30 days, so that the throttles of known places count. */
  readonly isKnownPlace: boolean;
  /** How busy main is with logins. */
  readonly load: readonly ExplainStep[];
  /** A code is asked of everybody, whatever is due. */
  readonly isSealed: boolean;
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
  /** How long until another code may be sent. */
  readonly resendInMs: number;
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
      return { rule, result: `${value}: ${effect}`, ...(origin !== '' && { origin }) };
    }),
  });
  if (facts.user === undefined)
    return answer('refused', [
      ...sourceSteps(facts),
      ...passwordSteps(facts),
      { rule: 'user', value: 'not found', effect: 'refused as a wrong password is' },
    ]);

  const account = facts.ban ?? findAccountProblem(facts.user, facts);
  const problem = account ?? facts.doorProblem ?? sessionProblem(facts);
  const chain = [
    ...sourceSteps(facts),
    ...accountSteps(facts, account),
    ...passwordSteps(facts),
    checkStep(facts),
    ...facts.load,
    ...factorSteps(facts),
    ...codeSteps(facts),
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

/** The address alone: what the doors say of it, for whatever user. */
export function explainAddress(
  facts: Pick<Question, 'ban' | 'doors' | 'doorProblem' | 'clientIp' | 'isNeverBanned'> & {
    readonly protocol: Protocol | undefined;
  },
): AddressExplanation {
  const problem = facts.ban ?? facts.doorProblem;
  const outcome = problem === undefined ? 'open' : 'refused';
  const steps = [
    ...sourceSteps({ ...facts, isBaitName: false }),
    { rule: 'outcome', value: outcome, effect: problem ?? 'no door shuts it out' },
  ];
  return {
    ...(facts.protocol !== undefined && { protocol: facts.protocol }),
    outcome,
    chain: steps.map(({ rule, value, effect }) => ({ rule, result: `${value}: ${effect}` })),
  };
}

/** What main and the nodes have against the source. */
function sourceSteps({
  ban,
  clientIp,
  doors,
  isBaitName,
  isNeverBanned,
}: Pick<Question, 'ban' | 'clientIp' | 'doors' | 'isBaitName' | 'isNeverBanned'>): ExplainStep[] {
  const steps: ExplainStep[] = [
    ban !== undefined
      ? { rule: 'bans', value: ban, effect: 'refused; `sallyport bans list` has its id for `bans remove`' }
      : {
          rule: 'bans',
          value: isNeverBanned ? `${clientIp} is in never_ban` : 'none of an admin',
          effect: isNeverBanned ? 'no node shuts it out' : 'what the nodes have against it follows',
        },
    ...doors,
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

function sessionProblem({ protocol, sessions: { open, most } }: KnownUserFacts): string | undefined {
  return protocol === 'sftp' && open >= most ? 'as many SFTP sessions of this user as may be' : undefined;
}

function codeSteps({ resendInMs }: KnownUserFacts): ExplainStep[] {
  if (resendInMs <= 0) return [];
  return [
    {
      rule: 'code sent',
      value: `another in ${Math.ceil(resendInMs / 1000)} s`,
      effect: 'the one that lives is good; asking for one sooner is refused',
    },
  ];
}

function passwordSteps(facts: ExplainFacts): ExplainStep[] {
  const { clientIp, isKnownPlace, passwordThrottles, user } = facts;
  const place = isKnownPlace ? `${clientIp} is known, where more is allowed` : `${clientIp} is not known`;
  if (passwordThrottles.length === 0)
    return [{ rule: 'wrong passwords', value: 'not throttled', effect: `every try is looked at; ${place}` }];
  return passwordThrottles.map((value) => {
    const isOfUser = user !== undefined && value.startsWith('this name');
    const end = isOfUser ? `\`sallyport two-factor unlock ${user.username}\` lifts it` : 'ends by itself';
    return { rule: 'wrong passwords', value, effect: `tries are let through slowly; ${place}; ${end}` };
  });
}

function sessionStep({ protocol, sessions: { open, most } }: KnownUserFacts): ExplainStep {
  const value = `${open} of ${most} open over ${protocol}`;
  if (open < most) return { rule: 'limits.sessions', value, effect: 'one more may be' };
  return {
    rule: 'limits.sessions',
    value,
    effect:
      protocol === 'sftp'
        ? 'the next is refused, in these words; `sallyport sessions kick` ends one'
        : 'the longest idle one ends for the next',
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
      ...sealedOrNot(facts.isSealed, input.validatedLogins),
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
    steps.push({
      rule: 'factor lock',
      value: `until ${until}`,
      effect: `only a bypass code is accepted; \`sallyport two-factor unlock ${facts.username}\` lifts it`,
    });
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

function sealedOrNot(isSealed: boolean, isOn: boolean): Pick<ExplainStep, 'value' | 'effect'> {
  if (!isSealed)
    return {
      value: onOff(isOn),
      effect: isOn ? 'factors are asked where required' : 'no factor is asked at all',
    };
  return {
    value: 'sealed',
    effect:
      'everybody is asked for a code and hears one answer at the end; what stands below is what main makes of it: ' +
      'where no code is due, any answer will do',
  };
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}
