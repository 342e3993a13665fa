import { describeSuspicion, type DriftWatch } from '#main-agent/two-factor/drift-watch.ts';
import type { PasswordLinkAdmin } from '#main-agent/account/password-links.ts';
import type { LoginExplainer } from './login-explainer.ts';
import type { Capacity, Overload } from '#main-agent/passwords/overload.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { SessionAdmin, Sessions } from '#main-agent/sessions/sessions.ts';
import type { LeaseAdmin, Leases } from '#main-agent/sessions/leases.ts';
import { buildRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Passwords } from '#main-agent/passwords/password.ts';
import type { Challenges } from '#main-agent/login/challenges.ts';
import type { ClockGuard } from '#main-agent/two-factor/clock-guard.ts';
import type { Clock } from '#shared/clock.ts';
import type { NodeChangeAdmin } from './node-changes.ts';
import type { FactorReadiness } from './factor-counts.ts';
import type { PasswordAlone } from './password-alone.ts';
import type { TwoFactorAdmin } from './two-factor-admin.ts';

/** What admins may do to logins, as the admin API wants it; that API checks who may. */
export interface LoginAdmin {
  readonly sessions: SessionAdmin;
  readonly leases: LeaseAdmin;
  readonly twoFactor: TwoFactorAdmin;
  readonly passwordLinks: PasswordLinkAdmin;
  readonly nodeChanges: NodeChangeAdmin;
  readonly explainer: LoginExplainer;
  /** After a ban: nothing goes on of those it shuts out. */
  endMatching(matches: (username: string, clientIp: string) => boolean, reason: string): Promise<void>;
  /** After a revocation: nothing of that node goes on. How many sessions were ended. */
  endNode(node: string, reason: string): Promise<number>;
  /** A worker that started anew holds none of its old SFTP connections. */
  endConnectionsOf(node: string, worker: number): Promise<number>;
  /** By how much the clock jumped, while TOTP pauses for it. */
  clockProblem(): number | undefined;
  confirmClock(why: AdminReason): Promise<void>;
  /** What the password checks are doing. */
  capacity(): Capacity;
  /** Whom a password alone lets in. */
  passwordAlone(): Promise<PasswordAlone>;
  /** How many users are how far with their second factor. */
  factorCounts(): Promise<Readonly<Record<FactorReadiness, number>>>;
  /** What phones say of main's clock. */
  driftProblem(): string | undefined;
  /** Sign-ins that main has no capacity for. */
  overloadProblems(): readonly string[];
}

interface Parts {
  readonly state: StateStore;
  readonly passwords: Passwords;
  readonly overload: Overload;
  readonly challenges: Challenges;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly guard: ClockGuard;
  readonly driftWatch: DriftWatch;
  readonly clock: Clock;
}

export function buildLoginAdmin(
  parts: Parts,
  help: Pick<
    LoginAdmin,
    'twoFactor' | 'passwordLinks' | 'nodeChanges' | 'explainer' | 'passwordAlone' | 'factorCounts'
  >,
): LoginAdmin {
  const { challenges, driftWatch, guard, leases, overload, passwords, sessions, state } = parts;
  return {
    sessions,
    leases: {
      list: async () => leases.list(),
      end: (id) => leases.end(id),
      endAllOf: (username, { actor, reason }) =>
        leases.endAllOf(username, [
          {
            kind: 'audit',
            record: buildRecord(parts, 'lease.ended', 'ok', { user: username, actor, detail: reason }),
          },
        ]),
    },
    ...help,

    async endMatching(matches, reason) {
      challenges.endWhere((one) => matches(one.username, one.clientIp));
      await leases.endWhere((one) => matches(one.username, one.clientIp));
      await sessions.endMatching(matches, reason);
    },

    async endNode(node, reason) {
      challenges.endWhere((one) => one.node === node);
      await leases.endWhere((one) => one.node === node);
      return sessions.endNode(node, reason);
    },

    endConnectionsOf: (node, worker) => sessions.endConnectionsOf(node, worker, 'the worker started anew'),

    clockProblem: () => guard.check(),

    async confirmClock({ actor, reason }) {
      await state.commit([
        { kind: 'audit', record: buildRecord(parts, 'clock.confirmed', 'ok', { actor, detail: reason }) },
      ]);
      guard.confirm();
    },

    capacity: () => overload.capacity(passwords.queue),

    driftProblem: () => {
      const suspicion = driftWatch.suspicion();
      return suspicion === undefined ? undefined : describeSuspicion(suspicion);
    },

    overloadProblems: () => overload.problems(passwords.queue),
  };
}
