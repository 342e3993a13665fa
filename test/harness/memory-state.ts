import type { AuditRecord, ChainHead, EdgeCount } from '#main-agent/state/audit-record.ts';
import type { KeepRecord, KeptList, KeptLists } from '#main-agent/state/kept-records.ts';
import {
  codeScope,
  type StoredBypassCode,
  type StoredDeliveredCode,
} from '#main-agent/state/factor-records.ts';
import type { StoredAccountChange, StoredDeparture } from '#main-agent/state/name-records.ts';
import type { StoredDevice, StoredLease, StoredSession } from '#main-agent/state/session-records.ts';
import type { Change, CommitResult, Queries, StateStore } from '#main-agent/state/state-store.ts';

/** StateStore without a disk, for tests of what stands on it. Same conditions, same all-or-nothing. */

interface Failures {
  readonly at: readonly number[];
  readonly windowMs: number;
  readonly inARow: number;
  readonly locks: number;
  readonly lockedUntilMs: number | undefined;
}

interface Tables {
  sessions: Map<string, StoredSession>;
  leases: Map<string, StoredLease>;
  devices: Map<string, StoredDevice>;
  enrolments: Map<string, string>;
  newestEnrolments: Map<string, string>;
  steps: Map<string, number>;
  usedCodes: Set<string>;
  deliveredCodes: Map<string, StoredDeliveredCode>;
  usedSignatures: Set<string>;
  firstLogins: Map<string, number>;
  goodLogins: Map<string, number>;
  reminders: Map<string, number>;
  bypassCodes: Map<string, StoredBypassCode>;
  failures: Map<string, Failures>;
  accountChanges: readonly StoredAccountChange[];
  departures: Map<string, StoredDeparture>;
  kept: { readonly [L in KeptList]: Map<string, KeptLists[L]> };
  audit: AuditRecord[];
  auditHead: ChainHead | undefined;
  auditPrunedBefore: number;
  edgeCounts: Map<string, EdgeCount>;
  auditReaders: Map<string, number>;
  receipts: Map<string, number>;
  removedKeys: Map<string, { readonly sinceMs: number; readonly forgotten: boolean }>;
}

export interface MemoryState extends StateStore {
  readonly audit: readonly AuditRecord[];
  /** Runs before the next commits are applied; throw to play a failing disk. */
  beforeCommit: ((changes: readonly Change[]) => void | Promise<void>) | undefined;
}

const hourMs = 3_600_000;
const thirtyDaysMs = 30 * 24 * 3_600_000;

export function buildMemoryState(): MemoryState {
  let tables: Tables = {
    sessions: new Map(),
    leases: new Map(),
    devices: new Map(),
    enrolments: new Map(),
    newestEnrolments: new Map(),
    steps: new Map(),
    usedCodes: new Set(),
    deliveredCodes: new Map(),
    usedSignatures: new Set(),
    firstLogins: new Map(),
    goodLogins: new Map(),
    reminders: new Map(),
    bypassCodes: new Map(),
    failures: new Map(),
    accountChanges: [],
    departures: new Map(),
    kept: {
      token: new Map(),
      ban: new Map(),
      'revoked-node': new Map(),
      'node-rotation': new Map(),
      start: new Map(),
      restore: new Map(),
      acme: new Map(),
      'host-key': new Map(),
      'password-link': new Map(),
      'user-rename': new Map(),
    },
    audit: [],
    auditHead: undefined,
    auditPrunedBefore: 0,
    edgeCounts: new Map(),
    auditReaders: new Map(),
    receipts: new Map(),
    removedKeys: new Map(),
  };
  const listeners = new Set<() => void>();

  const queries: Queries = {
    sessions: () => [...tables.sessions.values()],
    leases: () => [...tables.leases.values()],
    devices: ({ user }) => [...tables.devices.values()].filter((one) => one.username === user),
    'devices-through': ({ node }) => [...tables.devices.values()].filter((one) => one.node === node),
    'account-changes': ({ node, fromMs, toMs, limit }) =>
      tables.accountChanges
        .filter((one) => one.node === node && one.atMs >= fromMs && one.atMs < toMs)
        .toSorted((one, other) => one.atMs - other.atMs)
        .slice(0, limit),
    'ssh-key-additions': ({ user }) => {
      const latest = new Map<string, StoredAccountChange>();
      for (const one of tables.accountChanges.toSorted((a, b) => a.atMs - b.atMs))
        if (one.username === user && one.kind === 'ssh-key-added') latest.set(one.subject, one);
      return [...latest.values()];
    },
    'two-factor-state': ({ user, codes = [] }) => {
      const wrong = tables.failures.get(codeScope(user));
      const enrolment = tables.enrolments.get(user);
      return {
        enrolment,
        newestEnrolment: tables.newestEnrolments.get(user),
        lastStep: enrolment === undefined ? undefined : tables.steps.get(pair(user, enrolment)),
        firstLoginAtMs: tables.firstLogins.get(user),
        bypassCode: tables.bypassCodes.get(user),
        usedCodes: queries['used-codes']({ user, ids: codes }),
        wrongCodes: { inARow: wrong?.inARow ?? 0, lockedUntilMs: wrong?.lockedUntilMs },
      };
    },
    'used-codes': ({ user, ids }) => ids.filter((id) => tables.usedCodes.has(pair(user, id))),
    'delivered-codes': ({ nowMs }) =>
      [...tables.deliveredCodes.values()]
        .filter((code) => code.expiresAtMs > nowMs || code.sentAtMs > nowMs - hourMs)
        .map((code) => ({ ...code, isUsed: tables.usedCodes.has(pair(code.username, code.id)) })),
    'last-good-login': ({ user, clientIp, nowMs }) => {
      const at = tables.goodLogins.get(pair(user, clientIp));
      return at === undefined || at <= nowMs - thirtyDaysMs ? undefined : at;
    },
    'known-address': ({ clientIp, nowMs }) =>
      [...tables.goodLogins].some(
        ([key, at]) => key.endsWith(pair('', clientIp)) && at > nowMs - thirtyDaysMs,
      ),
    failures: ({ scope, nowMs }) => {
      const row = tables.failures.get(scope);
      if (row === undefined) return { recent: 0, inARow: 0, lockedUntilMs: undefined };
      return {
        recent: row.at.filter((at) => at > nowMs - row.windowMs).length,
        inARow: row.inARow,
        lockedUntilMs: row.lockedUntilMs,
      };
    },
    locks: ({ scopes }) => scopes.map((scope) => tables.failures.get(scope)?.lockedUntilMs ?? 0),
    'kept-token': () => [...tables.kept.token.values()],
    'kept-ban': () => [...tables.kept.ban.values()],
    'kept-revoked-node': () => [...tables.kept['revoked-node'].values()],
    'kept-node-rotation': () => [...tables.kept['node-rotation'].values()],
    'kept-start': () => [...tables.kept.start.values()],
    'kept-restore': () => [...tables.kept.restore.values()],
    'kept-acme': () => [...tables.kept.acme.values()],
    'kept-host-key': () => [...tables.kept['host-key'].values()],
    'kept-password-link': () => [...tables.kept['password-link'].values()],
    'kept-user-rename': () => [...tables.kept['user-rename'].values()],
    departures: () => [...tables.departures.values()],
    'remembered-names': ({ nowMs }) => {
      const owners = [...tables.kept.token.values()].flatMap(({ owner, expiresAtMs }) =>
        'user' in owner && expiresAtMs > nowMs ? owner.user : [],
      );
      const held = new Set([...tables.enrolments.keys(), ...owners]);
      const places = [...tables.goodLogins.keys()].map((key) => key.split('\0')[0] ?? '');
      const names = new Set([...held, ...tables.bypassCodes.keys(), ...places]);
      return [...names].map((username) => ({ username, isHeld: held.has(username) }));
    },
    'audit-after': ({ sequence, limit }) =>
      tables.audit
        .map((record, index) => ({ sequence: index + 1, record }))
        .filter((row) => row.sequence > sequence && row.sequence >= tables.auditPrunedBefore)
        .slice(0, limit),
    'find-audit': ({ reference }) => tables.audit.filter((record) => record.reference === reference),
    'audit-extent': () => ({
      first: Math.min(Math.max(1, tables.auditPrunedBefore), tables.audit.length),
      last: tables.audit.length,
      head: tables.auditHead,
    }),
    'edge-position': ({ node, worker }) => tables.edgeCounts.get(pair(node, String(worker))),
    'audit-reader-position': ({ reader }) => tables.auditReaders.get(reader),
  };

  const store: MemoryState = {
    beforeCommit: undefined,
    get audit() {
      return tables.audit;
    },
    async commit(changes): Promise<CommitResult> {
      await store.beforeCommit?.(changes);
      await Promise.resolve();
      const copy = copyTables(tables);
      for (const change of changes) {
        if (!apply(copy, change)) return { ok: false, failed: change.kind };
      }
      tables = copy;
      if (changes.some((change) => change.kind === 'audit')) for (const listener of listeners) listener();
      return { ok: true };
    },
    read: async (query, ...params) => Reflect.apply(queries[query], undefined, params),
    onAudit: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => undefined,
  };
  return store;
}

function pair(one: string, other: string): string {
  return `${one}\0${other}`;
}

function copyTables(tables: Tables): Tables {
  return {
    sessions: new Map(tables.sessions),
    leases: new Map(tables.leases),
    devices: new Map(tables.devices),
    enrolments: new Map(tables.enrolments),
    newestEnrolments: new Map(tables.newestEnrolments),
    steps: new Map(tables.steps),
    usedCodes: new Set(tables.usedCodes),
    deliveredCodes: new Map(tables.deliveredCodes),
    usedSignatures: new Set(tables.usedSignatures),
    firstLogins: new Map(tables.firstLogins),
    goodLogins: new Map(tables.goodLogins),
    reminders: new Map(tables.reminders),
    bypassCodes: new Map(tables.bypassCodes),
    accountChanges: tables.accountChanges,
    departures: new Map(tables.departures),
    failures: new Map(tables.failures),
    kept: {
      token: new Map(tables.kept.token),
      ban: new Map(tables.kept.ban),
      'revoked-node': new Map(tables.kept['revoked-node']),
      'node-rotation': new Map(tables.kept['node-rotation']),
      start: new Map(tables.kept.start),
      restore: new Map(tables.kept.restore),
      acme: new Map(tables.kept.acme),
      'host-key': new Map(tables.kept['host-key']),
      'password-link': new Map(tables.kept['password-link']),
      'user-rename': new Map(tables.kept['user-rename']),
    },
    // With its holes: numbers that were skipped.
    audit: tables.audit.slice(),
    auditHead: tables.auditHead,
    auditPrunedBefore: tables.auditPrunedBefore,
    edgeCounts: new Map(tables.edgeCounts),
    auditReaders: new Map(tables.auditReaders),
    receipts: new Map(tables.receipts),
    removedKeys: new Map(tables.removedKeys),
  };
}

/** False: the condition does not hold. */
function apply(tables: Tables, change: Change): boolean {
  switch (change.kind) {
    case 'use-time-step': {
      const key = pair(change.user, change.enrolment);
      if (change.step <= (tables.steps.get(key) ?? -Infinity)) return false;
      tables.steps.set(key, change.step);
      return true;
    }
    case 'use-code':
      return addOnce(tables.usedCodes, pair(change.user, change.id));
    case 'keep-delivered-code': {
      const { code } = change;
      for (const one of tables.deliveredCodes.values())
        if (hasSameBinding(one, code)) tables.deliveredCodes.set(one.id, { ...one, expiresAtMs: 0 });
      tables.deliveredCodes.set(code.id, code);
      return true;
    }
    case 'use-ssh-signature':
      if (tables.removedKeys.get(change.fingerprint)?.forgotten === true) return false;
      return addOnce(tables.usedSignatures, pair(change.sshSession, change.fingerprint));
    case 'open-session':
      if (tables.sessions.has(change.session.key)) return false;
      tables.sessions.set(change.session.key, change.session);
      return true;
    case 'replace-session':
      if (!tables.sessions.delete(change.oldKey)) return false;
      tables.sessions.set(change.session.key, change.session);
      return true;
    case 'end-session':
      tables.sessions.delete(change.key);
      return true;
    case 'touch-session': {
      const session = tables.sessions.get(change.key);
      if (session !== undefined) tables.sessions.set(change.key, { ...session, usedAtMs: change.usedAtMs });
      return true;
    }
    case 'open-lease':
      if (tables.leases.has(change.lease.id)) return false;
      tables.leases.set(change.lease.id, change.lease);
      return true;
    case 'use-lease': {
      const lease = tables.leases.get(change.id);
      if (lease === undefined || lease.opensLeft <= 0 || lease.expiresAtMs <= change.nowMs) return false;
      if (lease.usedAtMs + lease.ttlMs <= change.nowMs) return false;
      tables.leases.set(change.id, {
        ...lease,
        usedAtMs: change.nowMs,
        opensLeft: lease.opensLeft - 1,
      });
      return true;
    }
    case 'end-lease':
      tables.leases.delete(change.id);
      return true;
    case 'end-leases':
      for (const lease of tables.leases.values())
        if (lease.username === change.user) tables.leases.delete(lease.id);
      return true;
    case 'set-enrolment':
      if (tables.enrolments.get(change.user) !== change.expected) return false;
      if (change.id === undefined) tables.enrolments.delete(change.user);
      else {
        tables.enrolments.set(change.user, change.id);
        if (change.id > (tables.newestEnrolments.get(change.user) ?? ''))
          tables.newestEnrolments.set(change.user, change.id);
      }
      return true;
    case 'require-enrolment':
      return tables.enrolments.get(change.user) === change.id;
    case 'note-login':
      if (!tables.firstLogins.has(change.user)) tables.firstLogins.set(change.user, change.atMs);
      tables.goodLogins.set(pair(change.user, change.clientIp), change.atMs);
      return true;
    case 'note-reminder': {
      const before = tables.reminders.get(change.user) ?? -Infinity;
      if (before + change.intervalMs > change.atMs) return false;
      tables.reminders.set(change.user, change.atMs);
      return true;
    }
    case 'set-bypass-code':
      if (change.code === undefined) tables.bypassCodes.delete(change.user);
      else tables.bypassCodes.set(change.user, change.code);
      return true;
    case 'use-bypass-code': {
      const code = tables.bypassCodes.get(change.user);
      if (code === undefined || code.id !== change.id || code.expiresAtMs <= change.nowMs) return false;
      return tables.bypassCodes.delete(change.user);
    }
    case 'open-device':
      if (tables.devices.has(change.device.id)) return false;
      tables.devices.set(change.device.id, change.device);
      return true;
    case 'rotate-device': {
      const device = tables.devices.get(change.id);
      if (device === undefined || device.valueHash !== change.oldHash) return false;
      if (device.expiresAtMs <= change.nowMs) return false;
      tables.devices.set(change.id, {
        ...device,
        valueHash: change.newHash,
        previousHash: change.oldHash,
        rotatedAtMs: change.nowMs,
      });
      return true;
    }
    case 'end-device':
      tables.devices.delete(change.id);
      return true;
    case 'end-devices':
      for (const device of tables.devices.values())
        if (device.username === change.user) tables.devices.delete(device.id);
      return true;
    case 'count-failure':
      countFailure(tables, change);
      return true;
    case 'take-back-failure': {
      const row = tables.failures.get(change.scope);
      const index = row?.at.indexOf(change.atMs) ?? -1;
      if (row !== undefined && index >= 0)
        tables.failures.set(change.scope, { ...row, at: row.at.toSpliced(index, 1) });
      return true;
    }
    case 'clear-failures':
      tables.failures.delete(change.scope);
      for (const scope of tables.failures.keys())
        if (change.withParts === true && scope.startsWith(`${change.scope} `)) tables.failures.delete(scope);
      return true;
    case 'note-account-change':
      tables.accountChanges = [...tables.accountChanges, change.change];
      return true;
    case 'forget-user':
      tables.firstLogins.delete(change.user);
      for (const key of tables.goodLogins.keys())
        if (key.startsWith(pair(change.user, ''))) tables.goodLogins.delete(key);
      tables.accountChanges = tables.accountChanges.filter(({ username }) => username !== change.user);
      return true;
    case 'rename-user':
      return renameUser(tables, change);
    case 'note-departure': {
      const before = tables.departures.get(change.user);
      tables.departures.set(change.user, {
        username: change.user,
        goneAtMs: before?.goneAtMs ?? change.atMs,
        returnedAtMs: undefined,
        formerUntilMs: before?.formerUntilMs,
      });
      return true;
    }
    case 'note-return': {
      const before = tables.departures.get(change.user);
      if (before?.goneAtMs !== undefined)
        tables.departures.set(change.user, { ...before, returnedAtMs: change.atMs });
      return true;
    }
    case 'settle-departure': {
      const formerUntilMs = change.formerUntilMs ?? tables.departures.get(change.user)?.formerUntilMs;
      tables.departures.delete(change.user);
      if (formerUntilMs !== undefined)
        tables.departures.set(change.user, {
          username: change.user,
          goneAtMs: undefined,
          returnedAtMs: undefined,
          formerUntilMs,
        });
      return true;
    }
    case 'keep-record':
      keepRecord(tables, change);
      return true;
    case 'drop-record':
      return tables.kept[change.list].delete(change.id);
    case 'audit':
      tables.audit.push(change.record);
      return true;
    case 'note-receipt':
      if ((tables.receipts.get(change.of) ?? Infinity) < change.sinceMs) return false;
      tables.receipts.set(change.of, change.atMs);
      return true;
    case 'note-audit-head':
      tables.auditHead = change.head;
      return true;
    case 'restore-audit':
      tables.audit[change.sequence - 1] ??= change.record;
      return true;
    case 'skip-audit-numbers':
      tables.audit.length = Math.max(tables.audit.length, change.upTo);
      return true;
    case 'void-evidence':
      for (const map of [tables.sessions, tables.leases, tables.devices, tables.bypassCodes]) map.clear();
      for (const code of tables.deliveredCodes.values())
        tables.deliveredCodes.set(code.id, { ...code, expiresAtMs: 0 });
      for (const [user, enrolment] of tables.enrolments) {
        const key = pair(user, enrolment);
        tables.steps.set(key, Math.max(tables.steps.get(key) ?? -Infinity, change.step));
      }
      return true;
    case 'prune-audit':
      tables.auditPrunedBefore = Math.max(tables.auditPrunedBefore, change.before);
      return true;
    case 'note-edge-event': {
      const key = pair(change.node, String(change.worker));
      const known = tables.edgeCounts.get(key);
      if (known?.boot === change.count.boot && known.sequence >= change.count.sequence) return false;
      tables.edgeCounts.set(key, change.count);
      return true;
    }
    case 'note-audit-reader':
      tables.auditReaders.set(change.reader, change.sequence);
      return true;
    case 'forget-removed-keys':
      forgetRemovedKeys(tables, change);
      return true;
  }
}

function forgetRemovedKeys(tables: Tables, change: Extract<Change, { kind: 'forget-removed-keys' }>): void {
  const fingerprints = new Set([...tables.usedSignatures].map((one) => one.split('\0')[1] ?? ''));
  for (const fingerprint of change.stored)
    if (tables.removedKeys.get(fingerprint)?.forgotten === false) tables.removedKeys.delete(fingerprint);
  for (const fingerprint of fingerprints) {
    if (change.stored.includes(fingerprint) || tables.removedKeys.has(fingerprint)) continue;
    tables.removedKeys.set(fingerprint, { sinceMs: change.nowMs, forgotten: false });
  }
  for (const [fingerprint, { sinceMs }] of tables.removedKeys) {
    if (sinceMs >= change.removedBeforeMs) continue;
    tables.removedKeys.set(fingerprint, { sinceMs, forgotten: true });
    for (const one of tables.usedSignatures)
      if (one.endsWith(`\0${fingerprint}`)) tables.usedSignatures.delete(one);
  }
}

function keepRecord(tables: Tables, change: KeepRecord): void {
  const list: Map<string, unknown> = tables.kept[change.list];
  list.set(change.record.id, change.record);
}

function addOnce(set: Set<string>, key: string): boolean {
  if (set.has(key)) return false;
  set.add(key);
  return true;
}

function hasSameBinding(one: StoredDeliveredCode, other: StoredDeliveredCode): boolean {
  return (['username', 'node', 'protocol', 'clientIp'] as const).every((name) => one[name] === other[name]);
}

/** A lock empties the window; each lock is twice as long as the one before. */
function countFailure(tables: Tables, change: Extract<Change, { kind: 'count-failure' }>): void {
  const row = tables.failures.get(change.scope);
  const at = [...(row?.at ?? []).filter((one) => one > change.atMs - change.windowMs), change.atMs];
  const locks = row?.locks ?? 0;
  const locking = at.length >= change.limit;
  const lockMs = Math.min(change.lockMs * 2 ** locks, change.lockMaxMs);
  tables.failures.set(change.scope, {
    at: locking ? [] : at,
    windowMs: change.windowMs,
    inARow: (row?.inARow ?? 0) + 1,
    locks: locking ? locks + 1 : locks,
    lockedUntilMs: locking ? change.atMs + lockMs : row?.lockedUntilMs,
  });
}

function renameUser(
  tables: Tables,
  { user, to, enrolment }: Extract<Change, { kind: 'rename-user' }>,
): boolean {
  if (tables.enrolments.get(user) !== enrolment || tables.enrolments.has(to)) return false;
  const newest = tables.newestEnrolments.get(user);
  if (enrolment !== undefined) tables.enrolments.set(to, enrolment);
  if (newest !== undefined && newest > (tables.newestEnrolments.get(to) ?? ''))
    tables.newestEnrolments.set(to, newest);
  tables.enrolments.delete(user);
  const renamed = (key: string): string | undefined => {
    const [name, rest] = key.split('\0');
    if (name === to) return undefined;
    return name === user ? (rest === undefined ? to : pair(to, rest)) : key;
  };
  for (const map of [tables.steps, tables.firstLogins, tables.goodLogins, tables.reminders]) {
    const rows = [...map];
    map.clear();
    for (const [key, value] of rows) {
      const under = renamed(key);
      if (under !== undefined) map.set(under, value);
    }
  }
  tables.usedCodes = new Set([...tables.usedCodes].flatMap((key) => renamed(key) ?? []));
  tables.accountChanges = tables.accountChanges
    .filter(({ username }) => username !== to)
    .map((one) => (one.username === user ? { ...one, username: to } : one));
  for (const map of [tables.sessions, tables.leases, tables.devices])
    for (const [key, { username }] of map) if (username === user) map.delete(key);
  tables.bypassCodes.delete(user);
  for (const { id, owner } of tables.kept.token.values())
    if ('user' in owner && owner.user === user) tables.kept.token.delete(id);
  tables.kept['password-link'].delete(user);
  return true;
}
