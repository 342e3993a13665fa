import { endWaivers } from '#main-agent/sessions/leases.ts';
import { forgetWrongCodes } from '#main-agent/vault/vault.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { bypassTtlMaxMs } from '#main-agent/two-factor/limits.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import { isFactorRequired } from '#main-agent/sessions/account-rules.ts';
import { findLockOut, type LockOut } from './lock-out.ts';
import { passwordScope } from '#main-agent/login/first-factor.ts';
import { importSecret, type TwoFactorImport, type TwoFactorImportOutcome } from './two-factor-import.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { OrphanedName, Departures } from '#main-agent/users/departures.ts';
import type { Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';
import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { EnrolmentSource, UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Challenges } from '#main-agent/login/challenges.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { DeliveredCodes } from '#main-agent/two-factor/delivered-codes.ts';
import type { PendingSetups } from '#main-agent/two-factor/pending-setups.ts';
import type { Clock } from '#shared/clock.ts';

export interface TwoFactorAdmin {
  status(username: string): Promise<TwoFactorReport>;
  /** What an admin should know of the switches that make a second factor worth less. */
  warnings(): readonly string[];
  /** The one way a factor goes away; ends leases and remembered devices too. */
  reset(username: string, why: AdminReason): Promise<void>;
  /** After the user was removed: nothing of theirs is there for a new user of that name. */
  forget(username: string, why: AdminReason): Promise<void>;
  /** Ends what a name has open: logins under way, waivers, set-ups, sessions. */
  endLogins(username: string, reason: string): Promise<void>;
  /** Names whose user is gone while a second factor or a token is left, and those that came back undecided. */
  orphans(): readonly OrphanedName[];
  /** Before a user is added: if the name's user is gone, this is somebody else until an admin says otherwise. */
  expectAnother(username: string): void;
  /** Whose enrolment there is, readable or not. */
  listEnrolled(): Promise<ReadonlySet<string>>;
  /** A name that came back is the same person's: what waits counts again. False: it waits for no decision. */
  keep(username: string, why: AdminReason): Promise<boolean>;
  /** Lifts a lock and forgets the failures that led to it. */
  unlock(username: string, why: AdminReason): Promise<void>;
  makeBypassCode(
    username: string,
    options: AdminReason & { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<Secret>;
  /** Takes over an authenticator of another system. */
  importSecret(request: TwoFactorImport): Promise<TwoFactorImportOutcome>;
}

export interface TwoFactorReport extends LockOut {
  readonly state: 'none' | 'enrolled' | 'broken';
  /** Why it is broken. */
  readonly problem?: string;
  readonly confirmedAt?: string;
  readonly via?: { readonly node: string; readonly session: string };
  /** The admin's wish and the enrolment's, together, as it holds now. */
  readonly requiredOn: readonly Protocol[];
  readonly recoveryCodesLeft: number;
  readonly failures: number;
  readonly lockedUntilMs?: number;
  readonly bypassExpiresAtMs?: number;
}

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly users: UserSource;
  readonly departures: Departures;
  readonly enrolments: Pick<EnrolmentSource, 'list'>;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly challenges: Challenges;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly delivered: DeliveredCodes;
  readonly setups: PendingSetups;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
}

/** What admins may do to a user's second factor. Each is audited in the commit that does it. */
export function buildTwoFactorAdmin(parts: Parts): TwoFactorAdmin {
  const { challenges, clock, config, departures, leases, sessions, setups, state, users, vault } = parts;

  function requireUser(username: string): EffectiveUser {
    const user = users.find(username);
    if (user === undefined) throw new SallyportError('not-found', `There is no user ${username}`);
    return user;
  }

  function audit(event: AuditEvent, user: string, { actor, reason }: AdminReason): Change {
    return { kind: 'audit', record: buildRecord(parts, event, 'ok', { user, actor, detail: reason }) };
  }

  function takeAway(username: string, alongside: readonly Change[]): Promise<void> {
    return vault.reset(username, [...endWaivers(username), forgetWrongCodes(username), ...alongside]);
  }

  function giveToAnother(username: string, record: Change): Promise<void> {
    return departures.end(username, (changes) =>
      takeAway(username, [forgetWrongPasswords(username), record, ...changes]),
    );
  }

  /** What lives in memory. */
  async function end(username: string, reason: string): Promise<void> {
    leases.forget(username);
    challenges.endAllOf(username);
    setups.end(username);
    await sessions.endAllOf(username, reason);
  }

  return {
    async status(username): Promise<TwoFactorReport> {
      const user = requireUser(username);
      const status = await vault.status(username);
      const nowMs = clock.now();
      const times = { nowMs, firstLoginAtMs: status.firstLoginAtMs };
      const { problem, confirmedAt, via, bypass } = status;
      const { inARow, lockedUntilMs = 0 } = status.wrongCodes;
      return {
        state: status.state,
        ...(problem !== undefined && { problem }),
        ...(confirmedAt !== undefined && { confirmedAt }),
        ...(via !== undefined && { via }),
        requiredOn: user.protocols.filter((one) => isFactorRequired(user, status.requiredOn, one, times)),
        recoveryCodesLeft: status.recoveryCodesLeft,
        failures: inARow,
        ...(lockedUntilMs > nowMs && { lockedUntilMs }),
        ...(bypass !== undefined && { bypassExpiresAtMs: bypass.expiresAtMs }),
        ...findLockOut(parts, user, status),
      };
    },

    warnings: () => [
      ...(config.twoFactor.validatedLogins
        ? []
        : ['validated_logins is off: no code is asked of anybody, whatever stands below']),
      ...config.twoFactor.trustedNetworks.map(
        ({ cidr, nodes }) =>
          `no code is asked from ${cidr} through ${nodes.join(', ')}: the address is the node’s word, so who takes the node over needs no code`,
      ),
    ],

    /** Whoever holds the lost factor loses what it opened: sessions, leases, devices, logins under way. */
    async reset(username, why) {
      const user = users.find(username);
      const record = audit('two-factor.reset', username, why);
      // A name whose user had gone: whoever has it now or next is somebody else.
      if (departures.isNoted(username)) await giveToAnother(username, record);
      else await takeAway(username, [record]);
      await end(username, 'two-factor was reset');
      if (user !== undefined) notifyUser(parts, user, 'two-factor-reset');
    },

    async forget(username, why) {
      await giveToAnother(username, audit('user.forgotten', username, why));
      await end(username, 'the user was removed');
    },

    endLogins: end,

    orphans: () => departures.list(),

    expectAnother: (username) => departures.endGrace(username),

    listEnrolled: async () => new Set(await parts.enrolments.list()),

    keep: (username, why) => departures.keep(username, [audit('two-factor.kept', username, why)]),

    async unlock(username, why) {
      requireUser(username);
      await state.commit([
        forgetWrongCodes(username),
        forgetWrongPasswords(username),
        audit('two-factor.unlocked', username, why),
      ]);
    },

    importSecret: (request) => importSecret(parts, request, end),

    async makeBypassCode(username, { ttlMs, reEnrol, ...why }) {
      requireUser(username);
      if (ttlMs <= 0 || ttlMs > bypassTtlMaxMs)
        throw new SallyportError('usage', `A bypass code lives at most ${bypassTtlMaxMs / 3_600_000} h`);
      const problem = departures.findProblem(username);
      if (problem !== undefined)
        throw new SallyportError('conflict', 'A code would let nobody in before this name is decided', {
          detail: problem,
        });
      const { code, changes } = await vault.makeBypassCode(username, { ttlMs, reEnrol });
      await state.commit([...changes, audit('two-factor.bypass-code', username, why)]);
      return code;
    },
  };
}

function forgetWrongPasswords(username: string): Change {
  return { kind: 'clear-failures', scope: passwordScope(username), withParts: true };
}
