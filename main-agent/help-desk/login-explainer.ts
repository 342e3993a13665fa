import { foldUsername } from '#main-agent/users/username.ts';
import type { ValueOrigin } from '#main-agent/users/origins.ts';
import type { DoorStanding } from '#main-agent/link/links.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import type { DoorQuestion } from '#shared/link/messages.ts';
import { isInNetworks } from '#shared/networks.ts';
import { assess } from '#main-agent/login/assessment.ts';
import {
  explainAddress,
  explainLogin,
  type ExplainStep,
  type AddressExplanation,
  type LoginExplanation,
} from './explain.ts';
import { doorProblem, doorSteps } from './explain-doors.ts';
import { throttleScopes } from '#main-agent/login/first-factor.ts';
import { assertionIdsMax, challengesMax, disableAfterInARow } from '#main-agent/login/limits.ts';
import type { Protocol } from '#shared/login.ts';
import { sessionsMax, sessionsPerUserMax } from '#main-agent/sessions/limits.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { Assertions } from '#main-agent/login/assertions.ts';
import type { Challenges } from '#main-agent/login/challenges.ts';
import type { ProbeBudget } from '#main-agent/login/probe-budget.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { Clock } from '#shared/clock.ts';

export interface LoginExplainer {
  explain(question: LoginQuestion): Promise<LoginExplanation>;
  /** The address alone, whoever it is; at both doors where none is named. */
  explainAddress(question: AddressQuestion): Promise<AddressExplanation>;
}

interface AddressQuestion {
  readonly protocol?: Protocol;
  readonly ip: string;
  readonly node?: string;
}

export interface LoginQuestion {
  readonly user: string;
  readonly protocol: Protocol;
  readonly ip: string;
  readonly node?: string;
}

/** Facts that no login needs. */
export interface ExplainedFacts {
  /** Where each value of a user comes from. */
  originsOf(username: string): Promise<readonly ValueOrigin[]>;
  /** What a node banned this address for by itself, as far as it told. */
  findEdgeBan(clientIp: string): string | undefined;
  /** Why the last code that went this way did not arrive, if it did not. */
  findDeliveryProblem(transport: Transport): string | undefined;
  /** What the doors say of an address: of that node, or of all. */
  askDoors(question: DoorQuestion, node?: string): Promise<readonly DoorStanding[]>;
  /** The node's own switch; undefined: it is not connected. */
  nodeValidatedLogins(node: string): boolean | undefined;
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'bans' | 'twoFactor'>;
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly passwords: Passwords;
  readonly assertions: Assertions;
  readonly challenges: Challenges;
  readonly probes: ProbeBudget;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly delivered: DeliveredCodes;
  readonly findBan: (username: string, clientIp: string) => string | undefined;
  readonly clock: Clock;
}

/** Looks up what `explain login` explains. */
export function buildLoginExplainer(parts: Parts, facts: ExplainedFacts): LoginExplainer {
  const { clock, config, delivered, state, users, vault } = parts;

  async function lookAt(question: AddressQuestion & { readonly user?: string }) {
    const { ip, node, protocol, user } = question;
    const isPrintable = user !== undefined && /^\P{C}*$/u.test(user);
    const asked: DoorQuestion = {
      ip,
      ...(protocol !== undefined && { protocol }),
      ...(isPrintable && { user }),
    };
    const standings = await facts.askDoors(asked, node);
    const isSilent = standings.some(({ findings }) => findings === undefined);
    return {
      clientIp: ip,
      // What the doors say themselves is fresher than what they once told.
      ban: parts.findBan(user ?? '', ip) ?? (isSilent ? facts.findEdgeBan(ip) : undefined),
      doors: doorSteps(asked, standings),
      doorProblem: doorProblem(asked, standings),
      isNeverBanned: isInNetworks(ip, config.bans.neverBan),
    };
  }

  return {
    async explainAddress(question) {
      return explainAddress({ ...(await lookAt(question)), protocol: question.protocol });
    },

    async explain(question) {
      const user = users.find(question.user);
      const name = user?.username ?? foldUsername(question.user);
      const nowMs = clock.now();
      const isKnownPlace =
        (await state.read('last-good-login', { user: name, clientIp: question.ip, nowMs })) !== undefined;
      const asked = {
        ...(await lookAt(question)),
        username: question.user,
        protocol: question.protocol,
        node: question.node,
        nowMs,
        isSealed: config.twoFactor.isSealed,
        isBaitName: config.bans.baitNames.includes(foldUsername(question.user)),
        isKnownPlace,
        passwordThrottles: await listThrottles(parts, { ...question, user: name }, isKnownPlace),
        load: loadSteps(parts, question),
      };
      if (user === undefined) return explainLogin({ ...asked, user });
      const [status, origins] = await Promise.all([
        vault.status(user.username),
        facts.originsOf(user.username),
      ]);
      return explainLogin({
        ...asked,
        user,
        status,
        assessment: assess(user, status, {
          protocol: question.protocol,
          nowMs,
          // Of a node that is not named or not there nothing else is known.
          nodeValidatedLogins:
            facts.nodeValidatedLogins(question.node ?? '') ?? config.twoFactor.validatedLogins,
          config,
          delivered,
        }),
        sessions: {
          open: parts.sessions.countOf(user.username, question.protocol),
          most: user.limits.sessions ?? sessionsPerUserMax,
        },
        checks: parts.passwords.queue,
        transports: delivered.transportsFor(user).map(({ transport }) => ({
          transport,
          problem: facts.findDeliveryProblem(transport),
        })),
        lockedUntilMs: status.wrongCodes.lockedUntilMs,
        isDisabled: status.wrongCodes.inARow >= disableAfterInARow,
        resendInMs: delivered.waitMs(user.username),
        trustedNetwork: findTrustedNetwork(parts, question),
        leases: parts.leases
          .list()
          .filter((one) => one.username === user.username && one.protocol === question.protocol)
          .filter((one) => one.clientIp === question.ip && (question.node ?? one.node) === one.node)
          .map((one) => one.agent),
        origins,
      });
    },
  };
}

/** What everybody shares on main, where it has an end. */
function loadSteps(
  { assertions, challenges, probes, sessions }: Parts,
  { node }: LoginQuestion,
): ExplainStep[] {
  const counted = (rule: string, count: number, max: number, what: string): ExplainStep => ({
    rule,
    value: `${count} of ${max}`,
    effect: count < max ? what : `${what}: full, logins get 503 until some end`,
  });
  return [
    counted('logins under way', challenges.size, challengesMax, 'first factors that wait for a code'),
    counted('sessions', sessions.list().length, sessionsMax, 'open in all'),
    ...(node === undefined
      ? []
      : [
          counted('assertions', assertions.countOf(node), assertionIdsMax, `of node ${node} in a minute`),
          {
            rule: 'key probes',
            value: `${Math.floor(probes.leftOf(node))} left`,
            effect: 'questions of the node about keys; at none it offers no key and asks for the password',
          },
        ]),
  ];
}

/** Until when tries from such a place are let through slowly, for this user and through this node. */
async function listThrottles(
  { clock, state }: Parts,
  { user, ip, node }: LoginQuestion,
  isKnownPlace: boolean,
): Promise<string[]> {
  const nowMs = clock.now();
  const scopes = throttleScopes(user, ip, node, isKnownPlace);
  const locks = await state.read('locks', { scopes: scopes.map(({ scope }) => scope) });
  return scopes
    .map(({ of }, index) => ({ of, untilMs: locks[index] ?? 0 }))
    .filter(({ untilMs }) => untilMs > nowMs)
    .map(({ of, untilMs }) => `${of} throttled until ${new Date(untilMs).toISOString()}`);
}

function findTrustedNetwork({ config }: Parts, question: LoginQuestion): string | undefined {
  const { node, ip } = question;
  return config.twoFactor.trustedNetworks.find(
    (one) => (node === undefined || one.nodes.includes(node)) && isInNetworks(ip, [one.cidr]),
  )?.cidr;
}
