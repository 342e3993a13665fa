import type { RandomBytes } from '#shared/random-id.ts';
import { createHmac, randomBytes } from 'node:crypto';
import { AccountChanges } from '#main-agent/account/account-changes.ts';
import { buildAccountHandlers } from '#main-agent/account/account-handlers.ts';
import { buildEnrolmentHandlers } from '#main-agent/account/enrolment-handlers.ts';
import { buildSessionHandlers } from '#main-agent/account/session-handlers.ts';
import { strayLinksBurst, strayLinksPerSecond } from '#main-agent/account/limits.ts';
import { PasswordLinks } from '#main-agent/account/password-links.ts';
import { StepUpCheck } from '#main-agent/account/step-up-check.ts';
import { StepUps } from '#main-agent/account/step-ups.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { buildDeliveryTester, type DeliveryTester } from '#main-agent/help-desk/delivery-test.ts';
import { buildLoginAdmin, type LoginAdmin } from '#main-agent/help-desk/login-admin.ts';
import { buildLoginExplainer, type ExplainedFacts } from '#main-agent/help-desk/login-explainer.ts';
import { buildNodeChangeAdmin } from '#main-agent/help-desk/node-changes.ts';
import { countFactors } from '#main-agent/help-desk/factor-counts.ts';
import { findPasswordAlone } from '#main-agent/help-desk/password-alone.ts';
import { Reminders } from '#main-agent/help-desk/reminders.ts';
import { buildTwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import type { AccountHandlers, LoginHandlers, NodeLink, SessionHandlers } from '#main-agent/link/handlers.ts';
import { Admission } from '#main-agent/login/admission.ts';
import { Assertions } from '#main-agent/login/assertions.ts';
import { assess } from '#main-agent/login/assessment.ts';
import { DueStep } from '#main-agent/login/due-step.ts';
import { SealedStart } from '#main-agent/login/sealed-start.ts';
import { LoginStart } from '#main-agent/login/begin.ts';
import { ChallengeCheck } from '#main-agent/login/challenge-check.ts';
import { Challenges } from '#main-agent/login/challenges.ts';
import { CodeCheck } from '#main-agent/login/code-check.ts';
import { FirstFactor } from '#main-agent/login/first-factor.ts';
import { buildLoginHandlers } from '#main-agent/login/login-handlers.ts';
import { Passages } from '#main-agent/login/passage.ts';
import { ProbeBudget } from '#main-agent/login/probe-budget.ts';
import { findOpenDoors } from '#main-agent/login/self-test.ts';
import { Waivers } from '#main-agent/login/waivers.ts';
import { Overload } from '#main-agent/passwords/overload.ts';
import { Passwords } from '#main-agent/passwords/password.ts';
import { Devices } from '#main-agent/sessions/devices.ts';
import { Leases } from '#main-agent/sessions/leases.ts';
import type { SessionRegistry } from '#main-agent/sessions/session.ts';
import { Sessions } from '#main-agent/sessions/sessions.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import type {
  AccountNotifier,
  CodeDelivery,
  SendPasswordLink,
  Transport,
} from '#main-agent/two-factor/code-delivery.ts';
import { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import { DriftWatch } from '#main-agent/two-factor/drift-watch.ts';
import { PendingSetups } from '#main-agent/two-factor/pending-setups.ts';
import type { Departures } from '#main-agent/users/departures.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { EnrolmentSource, UserSource } from '#main-agent/users/user-source.ts';
import { buildVault } from '#main-agent/vault/local-vault.ts';
import type { VaultAccess } from '#main-agent/vault/calls.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { SigningKey } from '#shared/assertion/verify.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { EventBody, EventName } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';

/** What of main's configuration decides about logins. */
export type LoginConfig = Pick<
  MainAgentConfig,
  'name' | 'publicUrl' | 'twoFactor' | 'sessions' | 'passwords' | 'bans' | 'smtp' | 'sms'
>;

export interface LoginOptions {
  /** All of main's configuration, in which a reload replaces sections; reads only what concerns logins. */
  readonly config: LoginConfig;
  readonly users: UserSource;
  /** Started. */
  readonly departures: Departures;
  readonly enrolments: EnrolmentSource;
  /** Writes what users change themselves into their files. */
  readonly credentials: OwnCredentials;
  readonly state: StateStore;
  /** Open. */
  readonly vault: VaultAccess;
  readonly delivery: CodeDelivery;
  /** Tells users of changes of their account. */
  readonly notifier?: AccountNotifier;
  readonly sendPasswordLink?: SendPasswordLink;
  /** A pinned signing key by its `kid`: SHA-256 of its SPKI, base64url. */
  readonly findSigningKey: (kid: string) => SigningKey | undefined;
  /** To every joined worker of that node; a node without a link hears it when it asks. */
  readonly sendToNode: <E extends EventName>(node: string, event: E, body: EventBody<E>) => void;
  /** Whether a key may sign a user in in this SSH session (D-151); by default in any. */
  readonly isSessionOf?: (link: NodeLink, sessionId: Buffer) => boolean;
  /** The rule by which an admin shut out this user or address, if one did. */
  readonly findBan?: (username: string, clientIp: string) => string | undefined;
  /** What this user's files take. */
  readonly usedBytes: (username: string) => Promise<number>;
  /** What only `explain login` asks. */
  readonly explained?: ExplainedFacts;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: RandomBytes;
}

export interface Login {
  readonly loginHandlers: LoginHandlers;
  readonly sessionHandlers: SessionHandlers;
  readonly accountHandlers: AccountHandlers;
  readonly sessions: SessionRegistry;
  readonly passwords: Passwords;
  readonly vault: Vault;
  readonly admin: LoginAdmin;
  readonly reminders: Pick<Reminders, 'sweep'>;
  readonly deliveryTester: DeliveryTester;
  /**
   * Takes over sessions and leases of before, judged anew; nothing may be served before it resolves. Rejects `config`
   * when the self-test finds a way past a required factor.
   */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The login: verdicts, sessions, second factors. */
export function buildLogin(options: LoginOptions): Login {
  const { users, usedBytes } = options;
  const parts = buildParts(options);
  const { delivered, guard, leases, overload, passwords, sessions, vault } = parts;
  // One for all: a user's answers take turns wherever they are given.
  const codes = new CodeCheck(parts);
  const stepUp = new StepUpCheck(parts, codes);
  const firstFactor = new FirstFactor(parts);
  const due = new DueStep(parts, new Waivers(parts));
  const Start = options.config.twoFactor.isSealed ? SealedStart : LoginStart;
  const start = new Start(parts, firstFactor, due);
  const admission = new Admission(parts, {
    checks: new ChallengeCheck(parts),
    codes,
    passages: new Passages(parts, codes),
  });
  const twoFactor = buildTwoFactorAdmin(parts);
  const passwordLinks = new PasswordLinks(parts);
  const reminders = new Reminders(parts);
  const imitateUsers = (): Promise<void> =>
    passwords.imitate([...users.list()].flatMap((user) => user.passwordHash ?? []));
  options.vault.onOpened(imitateUsers);
  const unsubscribe = users.onChange((names) => {
    // One that is away is told when it is back.
    imitateUsers().catch((error: unknown) =>
      options.log.warn({ err: error }, 'costs of hashes are not told'),
    );
    void endLeasesOfShut(parts, names);
  });

  return {
    loginHandlers: buildLoginHandlers(parts, start, admission, passwordLinks),
    sessionHandlers: buildSessionHandlers(parts, buildEnrolmentHandlers(parts, stepUp), usedBytes),
    accountHandlers: buildAccountHandlers(parts, new AccountChanges(parts, stepUp)),
    sessions,
    passwords,
    vault,
    reminders,
    admin: buildLoginAdmin(parts, {
      twoFactor,
      passwordLinks,
      nodeChanges: buildNodeChangeAdmin(parts, twoFactor),
      explainer: buildLoginExplainer(parts, options.explained ?? nothingKnown),
      passwordAlone: () => findPasswordAlone(parts),
      factorCounts: () => countFactors(parts),
    }),
    deliveryTester: buildDeliveryTester(parts, options.delivery),
    start: async () => {
      await imitateUsers();
      requireClosedDoors(parts);
      warnOfOpenSwitches(options);
      await leases.start();
      await delivered.start();
      await sessions.start();
      await passwordLinks.start();
      reminders.start();
    },
    close: async () => {
      unsubscribe();
      await overload.close();
      reminders.close();
      sessions.close();
      guard.close();
    },
  };
}

const nothingKnown: ExplainedFacts = {
  originsOf: async () => [],
  findEdgeBan: () => undefined,
  findDeliveryProblem: () => undefined,
  askDoors: async () => [],
  nodeValidatedLogins: () => undefined,
};

/** What remembers between the steps of a login; each step names the few of them that it uses. */
function buildParts(options: LoginOptions) {
  const { clock, config, credentials, departures, enrolments, log, notifier, state, users } = options;
  const random = options.random ?? randomBytes;
  const { twoFactor } = config;
  const { totp } = twoFactor;
  const { ask, deliveredKey } = options.vault;
  const guard = new ClockGuard({ clock, log });
  const vault = buildVault({
    ask,
    enrolments,
    departures,
    state,
    totp,
    guard,
    clock,
    log,
    random,
  });
  const delivered = new DeliveredCodes({
    settings: {
      ...twoFactor.delivered,
      /** At each question: a reload may bring a relay or a gateway, or take it. */
      get transports() {
        return transportsOf(config);
      },
    },
    delivery: options.delivery,
    state,
    fingerprint: (code, username, id) =>
      createHmac('sha256', deliveredKey.expose())
        .update(JSON.stringify([username, id, code.expose()]))
        .digest('base64url'),
    clock,
    log,
    random,
  });
  const sessions: Sessions = new Sessions({
    state,
    users,
    limits: config.sessions,
    mayLiveWithoutFactor: async (user, session) => {
      const status = await vault.status(user.username);
      const { decision } = assess(user, status, {
        protocol: session.protocol,
        nowMs: clock.now(),
        nodeValidatedLogins: twoFactor.validatedLogins,
        config,
        delivered,
      });
      return decision.outcome === 'admit';
    },
    tellEnded: (node, key, reason) =>
      options.sendToNode(node, 'session.ended', { sessionKey: key, reason: reason.slice(0, 128) }),
    clock,
    log,
  });
  const overload = new Overload({ state, clock, log });
  return {
    config,
    users,
    departures,
    enrolments,
    state,
    vault,
    passwords: new Passwords({
      ask,
      minimumLength: config.passwords.minimumLength,
      clock,
      onNoTurn: (turn, why) => overload.note(turn, why),
    }),
    overload,
    assertions: new Assertions({ mainName: config.name, findSigningKey: options.findSigningKey, clock }),
    challenges: new Challenges(clock),
    probes: new ProbeBudget(() => clock.monotonic()),
    strayLinks: new ProbeBudget(() => clock.monotonic(), {
      what: 'password links that nobody has',
      burst: strayLinksBurst,
      perSecond: strayLinksPerSecond,
    }),
    sendPasswordLink: options.sendPasswordLink,
    random,
    sessions,
    leases: new Leases({
      settings: twoFactor.lease,
      state,
      clock,
      countRiders: (lease) => sessions.countOnLease(lease),
    }),
    devices: new Devices({ lifeMs: twoFactor.rememberDeviceMs, state, clock, random }),
    delivered,
    setups: new PendingSetups({
      clock,
      begin: (username) => vault.beginSetup(username),
      end: (setup) => void vault.endSetup(setup),
      qrTtlMs: twoFactor.enrolment.qrTtlMs,
      proveTtlMs: twoFactor.enrolment.proveTtlMs,
    }),
    stepUps: new StepUps({ clock, codesMax: twoFactor.attempts.perLogin }),
    credentials,
    guard,
    driftWatch: new DriftWatch(clock, totp),
    findBan: options.findBan ?? (() => undefined),
    isSessionOf: options.isSessionOf ?? (() => true),
    notifier,
    clock,
    log,
  };
}

/** `smtp` delivers by mail, if a relay is configured; `sms` if a gateway is. */
function transportsOf(config: LoginConfig): readonly Transport[] {
  return config.twoFactor.delivered.transports.flatMap((one): Transport[] => {
    if (one === 'smtp') return config.smtp === undefined ? [] : ['email'];
    return config.sms === undefined ? [] : ['sms'];
  });
}

/** Switches that a careful admin wants to be reminded of. */
function warnOfOpenSwitches({ config, log }: Pick<LoginOptions, 'config' | 'log'>): void {
  const { trustedNetworks, validatedLogins } = config.twoFactor;
  if (!validatedLogins) log.warn('validated_logins is off: no second factor is asked of anybody');
  for (const { cidr, nodes } of trustedNetworks)
    log.warn({ cidr, nodes }, 'no code is asked from a trusted network; the address is the word of the node');
}

function requireClosedDoors(parts: Parameters<typeof findOpenDoors>[0]): void {
  const doors = findOpenDoors(parts);
  if (doors.length === 0) return;
  throw new SallyportError('config', 'The self-test found a way past a required second factor', {
    detail: doors.slice(0, 20).join('; '),
    hint: 'This is a fault of the program, not of the configuration: report it with this text.',
  });
}

/** A deleted or disabled user keeps no lease; one whose password changed finds none, because leases are bound to it. */
async function endLeasesOfShut(
  parts: Pick<ReturnType<typeof buildParts>, 'users' | 'challenges' | 'leases' | 'log'>,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const user = parts.users.find(name);
    if (user !== undefined && user.status === 'active') continue;
    parts.challenges.endAllOf(name);
    try {
      await parts.leases.endAllOf(name);
    } catch (error) {
      parts.log.error({ err: error, user: name }, 'leases could not be ended');
    }
  }
}
