import type { StoredLease } from '#main-agent/state/state-store.ts';
import { bypassTtlMaxMs } from '#main-agent/two-factor/limits.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import type { Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import { findAccountProblem, isFactorRequired, isInNetworks } from './account-rules.ts';
import { assess } from './assessment.ts';
import { explainLogin, type Explanation } from './explain.ts';
import { disableAfterInARow } from './limits.ts';
import { buildRecord, codeScope, notifyUser, type LoginParts } from './login-parts.ts';
import { findOpenDoors } from './self-test.ts';
import type { AnySession } from './session.ts';

/** Who asks for it and why; both stand in the audit. */
export interface Order {
  readonly actor: string;
  readonly reason: string;
}

export interface TwoFactorReport {
  readonly user: string;
  readonly state: 'none' | 'enrolled' | 'broken';
  readonly problem?: string;
  readonly confirmedAt?: string;
  readonly via?: { readonly node: string; readonly session: string };
  /** Where a factor is required now. */
  readonly requiredOn: readonly Protocol[];
  /** `partly`: some of the user's protocols ask for a factor and some don't. */
  readonly protection: 'full' | 'partly' | 'none';
  readonly recoveryCodesLeft: number;
  readonly bypassUntilMs: number | undefined;
  readonly lockedUntilMs: number | undefined;
  readonly disabled: boolean;
  readonly wrongCodes: number;
  /** Protocols on which a login today would be refused although the account works. */
  readonly lockedOutOn: readonly Protocol[];
}

/** What admins may do to logins; the admin API checks who may. */
export interface LoginAdmin {
  /** The one way a factor goes away. Ends the user's sessions, leases, devices and lock. */
  resetTwoFactor(username: string, order: Order): Promise<void>;
  unlock(username: string, order: Order): Promise<void>;
  bypassCode(
    username: string,
    options: Order & { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<{ readonly code: Secret; readonly expiresAtMs: number }>;
  twoFactorStatus(username: string): Promise<TwoFactorReport>;
  explainLogin(
    username: string,
    at: {
      readonly protocol: Protocol;
      readonly clientIp: string;
      readonly node?: string;
      readonly agent?: string;
    },
  ): Promise<Explanation>;
  listSessions(): readonly AnySession[];
  endSession(key: string, order: Order): Promise<boolean>;
  endSessions(username: string, order: Order): Promise<number>;
  listLeases(): readonly StoredLease[];
  endLease(id: string, order: Order): Promise<boolean>;
  /** After a ban: nothing of that address goes on without a code. */
  endLeasesFrom(clientIp: string): Promise<void>;
  /** After a revocation: nothing of that node goes on. */
  endNode(node: string, order: Order): Promise<void>;
  /** A worker that started anew holds none of its old connections. */
  endConnectionsOf(node: string, worker: number): Promise<number>;
  /** By how much the clock jumped, if TOTP pauses. */
  clockProblem(): number | undefined;
  confirmClock(order: Order): Promise<void>;
  selfTest(): readonly string[];
}

export function buildLoginAdmin(parts: LoginParts): LoginAdmin {
  const { challenges, clock, config, delivered, guard, leases, sessions, state, users, vault } = parts;

  function requireUser(username: string): EffectiveUser {
    const user = users.find(username);
    if (user === undefined) throw new SallyportError('not-found', `There is no user ${username}`);
    return user;
  }

  function record(
    event: string,
    order: Order,
    user?: string,
  ): { kind: 'audit'; record: ReturnType<typeof buildRecord> } {
    return {
      kind: 'audit',
      record: buildRecord(parts, event, 'ok', {
        ...(user === undefined ? {} : { user }),
        actor: order.actor,
        detail: order.reason,
      }),
    };
  }

  async function explain(
    username: string,
    at: {
      readonly protocol: Protocol;
      readonly clientIp: string;
      readonly node?: string;
      readonly agent?: string;
    },
  ): Promise<Explanation> {
    const user = users.find(username);
    const nowMs = clock.now();
    const facts = { username, protocol: at.protocol, clientIp: at.clientIp, node: at.node, nowMs };
    if (user === undefined) {
      return explainLogin({
        ...facts,
        user,
        status: undefined,
        assessment: undefined,
        transports: [],
        lockedUntilMs: undefined,
        isDisabled: false,
        waiver: undefined,
      });
    }
    const [status, failures] = await Promise.all([
      vault.status(username),
      state.failures(codeScope(username)),
    ]);
    const { trustedNetworks, validatedLogins } = config.twoFactor;
    const network = trustedNetworks.find(
      (one) =>
        (at.node === undefined || one.nodes.includes(at.node)) && isInNetworks(at.clientIp, [one.cidr]),
    );
    const lease = leases
      .list()
      .find(
        (one) =>
          one.username === username &&
          one.protocol === at.protocol &&
          one.clientIp === at.clientIp &&
          (at.node === undefined || one.node === at.node) &&
          (at.agent === undefined || one.agent === at.agent),
      );
    return explainLogin({
      ...facts,
      user,
      status,
      assessment: assess(user, status, {
        protocol: at.protocol,
        nowMs,
        nodeValidatedLogins: validatedLogins,
        config,
        delivered,
      }),
      transports: delivered.transportsFor(user).map((one) => one.transport),
      lockedUntilMs: failures.lockedUntilMs,
      isDisabled: failures.inARow >= disableAfterInARow,
      waiver:
        network !== undefined
          ? { kind: 'trusted-network', detail: network.cidr }
          : lease !== undefined && at.agent !== undefined
            ? { kind: 'lease', detail: `lease of ${lease.clientIp}, ${lease.agent}` }
            : undefined,
    });
  }

  return {
    async resetTwoFactor(username, order) {
      const user = users.find(username);
      await vault.reset(username, [
        { kind: 'end-leases', user: username },
        { kind: 'end-devices', user: username },
        { kind: 'clear-failures', scope: codeScope(username) },
        record('two-factor.reset', order, username),
      ]);
      leases.forget(username);
      challenges.endAllOf(username);
      parts.setups.end(username);
      await sessions.endAllOf(username, 'two-factor was reset');
      if (user !== undefined) notifyUser(parts, user, 'two-factor-reset');
    },

    async unlock(username, order) {
      requireUser(username);
      await state.commit([
        { kind: 'clear-failures', scope: codeScope(username) },
        record('two-factor.unlocked', order, username),
      ]);
    },

    async bypassCode(username, { ttlMs, reEnrol, ...order }) {
      requireUser(username);
      if (ttlMs <= 0 || ttlMs > bypassTtlMaxMs) {
        throw new SallyportError(
          'usage',
          `A bypass code lives between 1 s and ${bypassTtlMaxMs / 3_600_000} h`,
        );
      }
      const { code, changes } = await vault.makeBypassCode(username, { ttlMs, reEnrol });
      await state.commit([...changes, record('two-factor.bypass-code', order, username)]);
      return { code, expiresAtMs: clock.now() + ttlMs };
    },

    async twoFactorStatus(username) {
      const user = requireUser(username);
      const [status, failures] = await Promise.all([
        vault.status(username),
        state.failures(codeScope(username)),
      ]);
      const nowMs = clock.now();
      const times = { nowMs, firstLoginAtMs: status.firstLoginAtMs };
      const requiredOn = user.protocols.filter((one) =>
        isFactorRequired(user, status.requiredOn, one, times),
      );
      const lockedUntilMs = (failures.lockedUntilMs ?? 0) > nowMs ? failures.lockedUntilMs : undefined;
      const lockedOutOn = user.protocols.filter((protocol) => {
        const { decision } = assess(user, status, {
          protocol,
          nowMs,
          nodeValidatedLogins: config.twoFactor.validatedLogins,
          config,
          delivered,
        });
        const works =
          findAccountProblem(
            { ...user, allowFrom: undefined, hours: undefined },
            { protocol, clientIp: '', nowMs },
          ) === undefined;
        return works && (decision.outcome === 'refuse' || decision.outcome === 'instruct');
      });
      return {
        user: username,
        state: status.state,
        ...(status.problem === undefined ? {} : { problem: status.problem }),
        ...(status.confirmedAt === undefined ? {} : { confirmedAt: status.confirmedAt }),
        ...(status.via === undefined ? {} : { via: status.via }),
        requiredOn,
        protection:
          requiredOn.length === 0 ? 'none' : requiredOn.length < user.protocols.length ? 'partly' : 'full',
        recoveryCodesLeft: status.recoveryCodesLeft,
        bypassUntilMs: status.bypass?.expiresAtMs,
        lockedUntilMs,
        disabled: failures.inARow >= disableAfterInARow,
        wrongCodes: failures.recent,
        lockedOutOn,
      };
    },

    explainLogin: explain,
    listSessions: () => sessions.list(),

    async endSession(key, order) {
      const ended = await sessions.end(key, `ended by ${order.actor}`);
      if (ended) await state.commit([record('session.kicked', order)]);
      return ended;
    },

    async endSessions(username, order) {
      const count = await sessions.endAllOf(username, `ended by ${order.actor}`);
      await leases.endAllOf(username);
      await state.commit([record('session.kicked', order, username)]);
      return count;
    },

    listLeases: () => leases.list(),

    async endLease(id, order) {
      const ended = await leases.end(id);
      if (ended) await state.commit([record('lease.ended', order)]);
      return ended;
    },

    async endLeasesFrom(clientIp) {
      await leases.endWhere((one) => one.clientIp === clientIp);
    },

    async endNode(node, order) {
      challenges.endNode(node);
      await leases.endWhere((one) => one.node === node);
      await sessions.endNode(node, `node revoked by ${order.actor}`);
    },

    endConnectionsOf: (node, worker) => sessions.endConnectionsOf(node, worker, 'the worker started anew'),

    clockProblem: () => guard.check(),

    async confirmClock(order) {
      await state.commit([record('clock.confirmed', order)]);
      guard.confirm();
    },

    selfTest: () => findOpenDoors(parts),
  };
}
