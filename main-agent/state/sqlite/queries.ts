import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { AuditRecord } from '../audit-record.ts';
import {
  accountChangesPageMax,
  auditPageMax,
  auditPerReferenceMax,
  inARowKeptFor,
  keepAccountChangesMs,
  keepAfterExpiryMs,
  keepDeliveredCodesMs,
  keepFailuresMs,
  keepFormerMs,
  keepGoodLoginsMs,
  keepReceiptsMs,
  keepRemindersMs,
} from '../limits.ts';
import type { KeptList, KeptLists } from '../kept-records.ts';
import { codeScope, type StoredDeliveredCode } from '../factor-records.ts';
import type { StoredAccountChange } from '../name-records.ts';
import type { StoredDevice, StoredLease, StoredSession } from '../session-records.ts';
import type { Queries } from '../state-store.ts';

/** The reads. They run in the writer thread, in order with the commits, so each sees all before it. */
export function buildQueries(database: DatabaseSync): Queries {
  const sessions = database.prepare('SELECT data, used_at FROM sessions');
  const leases = database.prepare('SELECT data, used_at, opens_left FROM leases');
  const devices = database.prepare(
    'SELECT data, value_hash, previous_hash, rotated_at FROM devices WHERE username = ?',
  );
  const devicesThrough = database.prepare(
    `SELECT data, value_hash, previous_hash, rotated_at FROM devices WHERE data ->> '$.node' = ?`,
  );
  const accountChanges = database.prepare(
    'SELECT data FROM account_changes WHERE node = ? AND at >= ? AND at < ? ORDER BY at, rowid LIMIT ?',
  );
  // With max() the other columns are of the row that has it: https://sqlite.org/lang_select.html#bareagg
  const sshKeyAdditions = database.prepare(
    `SELECT data, max(at) FROM account_changes WHERE username = ? AND kind = 'ssh-key-added' GROUP BY subject`,
  );
  const enrolment = database.prepare('SELECT present, newest FROM enrolments WHERE username = ?');
  const firstLogin = database.prepare('SELECT at FROM first_logins WHERE username = ?');
  const bypassCode = database.prepare('SELECT id, expires_at, re_enrol FROM bypass_codes WHERE username = ?');
  const goodLogin = database.prepare(
    'SELECT at FROM good_logins WHERE username = ? AND client_ip = ? AND at > ?',
  );
  const knownAddress = database.prepare('SELECT 1 FROM good_logins WHERE client_ip = ? AND at > ? LIMIT 1');
  const step = database.prepare('SELECT step FROM time_steps WHERE username = ? AND enrolment = ?');
  const usedCode = database.prepare('SELECT 1 FROM used_codes WHERE username = ? AND id = ?');
  const deliveredCodes = database.prepare(
    `SELECT data, delivered_codes.expires_at, used_codes.id IS NOT NULL AS is_used
     FROM delivered_codes LEFT JOIN used_codes
       ON used_codes.id = delivered_codes.id AND used_codes.username = delivered_codes.data ->> 'username'
     WHERE delivered_codes.expires_at > ?1 OR sent_at > ?2 ORDER BY sent_at`,
  );
  const scope = database.prepare('SELECT window, in_a_row, locked_until FROM failure_scopes WHERE scope = ?');
  const recent = database.prepare('SELECT count(*) AS n FROM failures WHERE scope = ? AND at > ?');
  const kept = database.prepare('SELECT data FROM kept_records WHERE list = ? ORDER BY id');
  const departures = database.prepare(
    'SELECT username, gone_at, returned_at, former_until FROM departures ORDER BY username',
  );
  const rememberedNames = database.prepare(
    `SELECT username, max(held) AS held FROM (
       SELECT username, 1 AS held FROM enrolments WHERE present IS NOT NULL
       UNION ALL
       SELECT data ->> '$.owner.user', 1 FROM kept_records WHERE list = 'token'
         AND data ->> '$.owner.user' IS NOT NULL AND data ->> '$.expiresAtMs' > ?1
       UNION ALL SELECT username, 0 FROM bypass_codes
       UNION ALL SELECT DISTINCT username, 0 FROM good_logins
     ) GROUP BY username`,
  );
  const auditAfter = database.prepare(
    'SELECT sequence, record FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?',
  );
  const findAudit = database.prepare(
    'SELECT record FROM audit WHERE reference = ? ORDER BY sequence LIMIT ?',
  );
  const auditExtent = database.prepare('SELECT min(sequence) AS first, max(sequence) AS last FROM audit');
  const auditHead = database.prepare('SELECT sequence, hash FROM audit_head');
  const edgePosition = database.prepare(
    'SELECT boot, sequence FROM edge_counts WHERE node = ? AND worker = ?',
  );
  const readerPosition = database.prepare('SELECT sequence FROM webhook_positions WHERE webhook = ?');

  function listUsed(user: string, ids: readonly string[]): readonly string[] {
    return ids.filter((id) => usedCode.get(user, id) !== undefined);
  }

  function readKept<L extends KeptList>(list: L): readonly KeptLists[L][] {
    return kept.all(list).map((row) => JSON.parse(String(row['data'])));
  }

  return {
    sessions: () =>
      sessions.all().map((row) => ({ ...parseSession(row['data']), usedAtMs: Number(row['used_at']) })),
    leases: () =>
      leases.all().map((row) => ({
        ...parseLease(row['data']),
        usedAtMs: Number(row['used_at']),
        opensLeft: Number(row['opens_left']),
      })),
    'two-factor-state': ({ user, codes = [] }) => {
      const wrong = scope.get(codeScope(user));
      const known = enrolment.get(user);
      const present = textOrUndefined(known?.['present']);
      const bypass = bypassCode.get(user);
      return {
        enrolment: present,
        newestEnrolment: textOrUndefined(known?.['newest']),
        lastStep: present === undefined ? undefined : numberOrUndefined(step.get(user, present)?.['step']),
        firstLoginAtMs: numberOrUndefined(firstLogin.get(user)?.['at']),
        bypassCode:
          bypass === undefined
            ? undefined
            : {
                id: String(bypass['id']),
                expiresAtMs: Number(bypass['expires_at']),
                reEnrol: bypass['re_enrol'] === 1,
              },
        usedCodes: listUsed(user, codes),
        wrongCodes: {
          inARow: Number(wrong?.['in_a_row'] ?? 0),
          lockedUntilMs: numberOrUndefined(wrong?.['locked_until']),
        },
      };
    },
    'used-codes': ({ user, ids }) => listUsed(user, ids),
    'last-good-login': ({ user, clientIp, nowMs }) =>
      numberOrUndefined(goodLogin.get(user, clientIp, nowMs - keepGoodLoginsMs)?.['at']),
    'known-address': ({ clientIp, nowMs }) =>
      knownAddress.get(clientIp, nowMs - keepGoodLoginsMs) !== undefined,
    devices: ({ user }) => devices.all(user).map(readDevice),
    'devices-through': ({ node }) => devicesThrough.all(node).map(readDevice),
    'account-changes': ({ node, fromMs, toMs, limit }) =>
      accountChanges
        .all(node, fromMs, toMs, Math.min(limit, accountChangesPageMax))
        .map((row) => parseAccountChange(row['data'])),
    'ssh-key-additions': ({ user }) =>
      sshKeyAdditions.all(user).map((row) => parseAccountChange(row['data'])),
    'delivered-codes': ({ nowMs }) =>
      deliveredCodes.all(nowMs, nowMs - keepDeliveredCodesMs).map((row) => ({
        ...parseDeliveredCode(row['data']),
        expiresAtMs: Number(row['expires_at']),
        isUsed: row['is_used'] === 1,
      })),
    failures: ({ scope: name, nowMs }) => {
      const row = scope.get(name);
      if (row === undefined) return { recent: 0, inARow: 0, lockedUntilMs: undefined };
      return {
        recent: Number(recent.get(name, nowMs - Number(row['window']))?.['n']),
        inARow: Number(row['in_a_row']),
        lockedUntilMs: numberOrUndefined(row['locked_until']),
      };
    },
    locks: ({ scopes }) => scopes.map((name) => Number(scope.get(name)?.['locked_until'] ?? 0)),
    departures: () =>
      departures.all().map((row) => ({
        username: String(row['username']),
        goneAtMs: numberOrUndefined(row['gone_at']),
        returnedAtMs: numberOrUndefined(row['returned_at']),
        formerUntilMs: numberOrUndefined(row['former_until']),
      })),
    'remembered-names': ({ nowMs }) =>
      rememberedNames
        .all(nowMs)
        .map((row) => ({ username: String(row['username']), isHeld: row['held'] === 1 })),
    'kept-token': () => readKept('token'),
    'kept-ban': () => readKept('ban'),
    'kept-revoked-node': () => readKept('revoked-node'),
    'kept-node-rotation': () => readKept('node-rotation'),
    'kept-start': () => readKept('start'),
    'kept-restore': () => readKept('restore'),
    'kept-acme': () => readKept('acme'),
    'kept-host-key': () => readKept('host-key'),
    'kept-password-link': () => readKept('password-link'),
    'kept-user-rename': () => readKept('user-rename'),
    'audit-after': ({ sequence, limit }) =>
      auditAfter.all(sequence, Math.min(limit, auditPageMax)).map((row) => ({
        sequence: Number(row['sequence']),
        record: parseRecord(row['record']),
      })),
    'find-audit': ({ reference }) =>
      findAudit.all(reference, auditPerReferenceMax).map((row) => parseRecord(row['record'])),
    'audit-extent': () => {
      const extent = auditExtent.get();
      const head = auditHead.get();
      return {
        first: Number(extent?.['first'] ?? 0),
        last: Number(extent?.['last'] ?? 0),
        head:
          head === undefined ? undefined : { sequence: Number(head['sequence']), hash: String(head['hash']) },
      };
    },
    'edge-position': ({ node, worker }) => {
      const row = edgePosition.get(node, worker);
      return row === undefined ? undefined : { boot: String(row['boot']), sequence: Number(row['sequence']) };
    },
    'audit-reader-position': ({ reader }) => numberOrUndefined(readerPosition.get(reader)?.['sequence']),
  };
}

/** Deletes what can't matter any more. Evidence outlives its expiry by a margin (limits.ts). */
export function sweep(database: DatabaseSync, nowMs: number): void {
  const expired = nowMs - keepAfterExpiryMs;
  const idle = nowMs - keepFailuresMs;
  database.prepare('DELETE FROM sessions WHERE expires_at < ?').run(nowMs);
  database.prepare('DELETE FROM leases WHERE expires_at < ? OR used_at + ttl < ?').run(nowMs, expired);
  database.prepare('DELETE FROM devices WHERE expires_at < ?').run(nowMs);
  database.prepare('DELETE FROM bypass_codes WHERE expires_at < ?').run(expired);
  database.prepare('DELETE FROM good_logins WHERE at < ?').run(nowMs - keepGoodLoginsMs);
  database.prepare('DELETE FROM reminders WHERE at < ?').run(nowMs - keepRemindersMs);
  database.prepare('DELETE FROM receipts WHERE at < ?').run(nowMs - keepReceiptsMs);
  database.prepare('DELETE FROM account_changes WHERE at < ?').run(nowMs - keepAccountChangesMs);
  database
    .prepare('DELETE FROM departures WHERE gone_at IS NULL AND former_until < ?')
    .run(nowMs - keepFormerMs);
  database.prepare('DELETE FROM used_codes WHERE expires_at < ?').run(expired);
  // Enrolment ids only grow, so that of an older one no code can be right again.
  database.exec(
    `DELETE FROM time_steps WHERE EXISTS (
       SELECT 1 FROM enrolments WHERE enrolments.username = time_steps.username
       AND time_steps.enrolment < newest AND time_steps.enrolment IS NOT present
     )`,
  );
  database
    .prepare('DELETE FROM delivered_codes WHERE expires_at < ? AND sent_at < ?')
    .run(nowMs, nowMs - keepDeliveredCodesMs);
  database.prepare('DELETE FROM failures WHERE at < ?').run(idle);
  database
    .prepare(
      'DELETE FROM failure_scopes WHERE last_at < ? AND in_a_row < ? AND coalesce(locked_until, 0) < ?',
    )
    .run(idle, inARowKeptFor, expired);
  const isOver = 'is_brief = 1 AND last_at + window < ?1 AND coalesce(locked_until, 0) < ?1';
  database
    .prepare(`DELETE FROM failures WHERE scope IN (SELECT scope FROM failure_scopes WHERE ${isOver})`)
    .run(nowMs);
  database.prepare(`DELETE FROM failure_scopes WHERE ${isOver}`).run(nowMs);
}

function readDevice(row: Record<string, SQLOutputValue>): StoredDevice {
  const previousHash = textOrUndefined(row['previous_hash']);
  return {
    ...parseDevice(row['data']),
    valueHash: String(row['value_hash']),
    ...(previousHash !== undefined && { previousHash }),
    rotatedAtMs: Number(row['rotated_at']),
  };
}

function textOrUndefined(column: SQLOutputValue | undefined): string | undefined {
  return typeof column === 'string' ? column : undefined;
}

function numberOrUndefined(column: SQLOutputValue | undefined): number | undefined {
  return typeof column === 'number' ? column : undefined;
}

/** Only this program writes these columns, in the transaction that types them. */
function parseSession(column: unknown): StoredSession {
  return JSON.parse(String(column));
}
function parseLease(column: unknown): StoredLease {
  return JSON.parse(String(column));
}
function parseDevice(column: unknown): StoredDevice {
  return JSON.parse(String(column));
}
function parseDeliveredCode(column: unknown): StoredDeliveredCode {
  return JSON.parse(String(column));
}
function parseAccountChange(column: unknown): StoredAccountChange {
  return JSON.parse(String(column));
}
function parseRecord(column: unknown): AuditRecord {
  return JSON.parse(String(column));
}
