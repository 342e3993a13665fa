import { endDevice } from '#main-agent/sessions/devices.ts';
import { accountChangesPageMax } from '#main-agent/state/limits.ts';
import type { StoredAccountChange } from '#main-agent/state/name-records.ts';
import type { Change, StateStore } from '#main-agent/state/state-store.ts';
import { isSallyportError } from '#shared/error.ts';
import { isCredentialOf } from '#main-agent/sessions/credential.ts';
import { publicId } from '#main-agent/account/own-views.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import { type AuditEvent, buildRecord } from '#main-agent/state/audit-record.ts';
import { notifyUser, type AccountNotifier } from '#main-agent/two-factor/code-delivery.ts';
import type { UserSource } from '#main-agent/users/user-source.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Leases } from '#main-agent/sessions/leases.ts';
import type { OwnCredentials } from '#main-agent/users/own-credentials.ts';
import type { Clock } from '#shared/clock.ts';
import type { TwoFactorAdmin } from './two-factor-admin.ts';

/** What users changed through a DMZ node (S-15). */
export interface NodeChangeAdmin {
  /** Made from `fromMs` to before `toMs`, oldest first. */
  list(node: string, fromMs: number, toMs: number): Promise<NodeChanges>;
  /** Undoes what is in force of it, one by one: what fails does not keep the others. */
  revoke(node: string, fromMs: number, toMs: number, why: AdminReason): Promise<NodeChanges>;
}

export interface NodeChanges {
  readonly changes: readonly NodeChange[];
  /** There are more than one answer holds: ask again from the time of the last. */
  readonly isCut: boolean;
}

export interface NodeChange {
  readonly kind: StoredAccountChange['kind'] | 'device' | 'lease';
  readonly user: string;
  readonly atMs: number;
  /** Key of the session it was made in, where one is known. */
  readonly session?: string;
  readonly clientIp?: string;
  /** Enrolment id, credential or key fingerprint. */
  readonly subject?: string;
  /** `gone`: something later took its place, or it can't be undone (a removed key). */
  readonly state: 'in force' | 'gone' | 'revoked' | 'failed';
  /** What to do now, or why it failed. */
  readonly note?: string;
}

interface Parts {
  readonly users: UserSource;
  readonly state: StateStore;
  readonly vault: Vault;
  readonly sessions: Sessions;
  readonly leases: Leases;
  readonly credentials: OwnCredentials;
  readonly notifier: AccountNotifier | undefined;
  readonly clock: Clock;
}

/** Something a node's user made, and how it is undone; without `undo` there is nothing to undo. */
interface Found {
  readonly change: Omit<NodeChange, 'state'>;
  readonly undo: ((why: AdminReason) => Promise<string | undefined>) | undefined;
}

/**
 * S-15: what was enrolled, changed or issued through a node, found by time and undone at once. For the day after: the
 * node was not one's own any more, so what came through it may have been seen by others, or be theirs.
 */
export function buildNodeChangeAdmin(
  parts: Parts,
  twoFactor: Pick<TwoFactorAdmin, 'reset'>,
): NodeChangeAdmin {
  const { clock, leases, state, users } = parts;

  async function find(
    node: string,
    fromMs: number,
    toMs: number,
  ): Promise<{ readonly found: readonly Found[]; readonly isCut: boolean }> {
    const isWithin = (atMs: number): boolean => atMs >= fromMs && atMs < toMs;
    const noted = await state.read('account-changes', { node, fromMs, toMs, limit: accountChangesPageMax });
    const found: Found[] = [];
    for (const change of noted) {
      const { kind, username: user, atMs, session, clientIp, subject } = change;
      found.push({
        change: { kind, user, atMs, session, clientIp, subject },
        undo: await findUndo(parts, twoFactor, change),
      });
    }
    for (const { id, username: user, openedAtMs: atMs, expiresAtMs } of await state.read('devices-through', {
      node,
    })) {
      if (!isWithin(atMs) || expiresAtMs <= clock.now()) continue;
      found.push({
        change: { kind: 'device', user, atMs, subject: publicId(id) },
        undo: async (why) => {
          const record = audit(parts, 'device.ended', user, why, 'remembered through the node');
          await state.commit([endDevice(id), record]);
          return undefined;
        },
      });
    }
    for (const { id, username: user, openedAtMs: atMs, clientIp, node: through } of leases.list()) {
      if (through !== node || !isWithin(atMs)) continue;
      found.push({
        change: { kind: 'lease', user, atMs, clientIp, subject: publicId(id) },
        undo: async (why) => {
          await leases.end(id, [audit(parts, 'lease.ended', user, why, 'issued through the node')]);
          return undefined;
        },
      });
    }
    return {
      found: found.toSorted((one, other) => one.change.atMs - other.change.atMs),
      isCut: noted.length >= accountChangesPageMax,
    };
  }

  return {
    async list(node, fromMs, toMs): Promise<NodeChanges> {
      const { found, isCut } = await find(node, fromMs, toMs);
      return {
        isCut,
        changes: found.map(({ change, undo: act }) => ({
          ...change,
          state: act === undefined ? 'gone' : 'in force',
        })),
      };
    },

    async revoke(node, fromMs, toMs, why): Promise<NodeChanges> {
      const { found, isCut } = await find(node, fromMs, toMs);
      const changes: NodeChange[] = [];
      for (const one of found) changes.push(await undo(one, why));
      const told = new Set(changes.filter((one) => one.state === 'revoked').map((one) => one.user));
      for (const username of told) {
        const user = users.find(username);
        if (user !== undefined) notifyUser(parts, user, 'changes-revoked', { node });
      }
      return { changes, isCut };
    },
  };
}

function audit(
  parts: Pick<Parts, 'clock'>,
  event: AuditEvent,
  user: string,
  { actor, reason }: AdminReason,
  detail: string,
): Change {
  return {
    kind: 'audit',
    record: buildRecord(parts, event, 'ok', { user, actor, detail: `${detail}: ${reason}` }),
  };
}

/** How a change is undone that is still in force. */
async function findUndo(
  parts: Parts,
  twoFactor: Pick<TwoFactorAdmin, 'reset'>,
  change: StoredAccountChange,
): Promise<Found['undo']> {
  const { credentials, leases, sessions, state, users, vault } = parts;
  const { kind, username, node, session, subject } = change;
  switch (kind) {
    case 'enrolled':
    case 'recovery-codes': {
      const { state: factor, id, via } = await vault.status(username);
      const isPresent = kind === 'enrolled' ? via?.node === node && via.session === session : id === subject;
      if (factor !== 'enrolled' || !isPresent) return undefined;
      return async (why) => {
        await twoFactor.reset(username, why);
        return 'the factor was reset; the user sets up a new one';
      };
    }
    case 'password': {
      const user = users.find(username);
      if (user === undefined || !isCredentialOf(user, subject)) return undefined;
      return async (why) => {
        await credentials.setPassword(username, undefined);
        await state.commit([audit(parts, 'account.password-revoked', username, why, 'set through the node')]);
        await sessions.endAllOf(username, 'the password was revoked');
        return `the password is gone; give a new one with: sallyport users passwd ${username}`;
      };
    }
    case 'ssh-key-added':
      if (!(await credentials.ownKeys(username)).has(subject)) return undefined;
      return async (why) => {
        await credentials.removeKey(username, subject);
        await leases.endWhere((one) => one.username === username && one.credential === subject);
        await state.commit([audit(parts, 'account.ssh-key-revoked', username, why, subject)]);
        return undefined;
      };
    case 'ssh-key-removed':
      return undefined;
  }
}

async function undo({ change, undo: act }: Found, why: AdminReason): Promise<NodeChange> {
  if (act === undefined) return { ...change, state: 'gone' };
  try {
    const note = await act(why);
    return { ...change, state: 'revoked', ...(note === undefined ? {} : { note }) };
  } catch (error) {
    const note = isSallyportError(error) ? (error.detail ?? error.code) : String(error);
    return { ...change, state: 'failed', note };
  }
}
