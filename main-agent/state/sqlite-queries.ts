import type { DatabaseSync } from 'node:sqlite';
import type { AuditRecord } from '#main-agent/audit/record.ts';
import {
  auditPageMax,
  auditPerReferenceMax,
  inARowKeptFor,
  keepAfterExpiryMs,
  keepFailuresMs,
} from './limits.ts';
import type { Queries, QueryName } from './sqlite-messages.ts';
import type { StoredLease, StoredSession } from './state-store.ts';

/** The reads, by name. They run in the writer thread, in order with the commits, so each sees all before it. */
export type QueryRunners = {
  readonly [Q in QueryName]: (params: Queries[Q]['params']) => Queries[Q]['result'];
};

export function buildQueries(database: DatabaseSync): QueryRunners {
  const sessions = database.prepare('SELECT data, used_at FROM sessions');
  const leases = database.prepare('SELECT data, used_at, opens_left FROM leases');
  const enrolment = database.prepare('SELECT id FROM enrolments WHERE username = ?');
  const step = database.prepare('SELECT step FROM time_steps WHERE username = ? AND enrolment = ?');
  const usedCodes = database.prepare(
    'SELECT count(*) AS n FROM used_codes WHERE username = ? AND expires_at IS NULL',
  );
  const scope = database.prepare('SELECT window, in_a_row, locked_until FROM failure_scopes WHERE scope = ?');
  const recent = database.prepare('SELECT count(*) AS n FROM failures WHERE scope = ? AND at > ?');
  const auditAfter = database.prepare(
    'SELECT sequence, record FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?',
  );
  const findAudit = database.prepare(
    'SELECT record FROM audit WHERE reference = ? ORDER BY sequence LIMIT ?',
  );

  return {
    sessions: () =>
      sessions
        .all()
        .map((row) => ({ ...parse<StoredSession>(row['data']), usedAtMs: Number(row['used_at']) })),
    leases: () =>
      leases.all().map((row) => ({
        ...parse<StoredLease>(row['data']),
        usedAtMs: Number(row['used_at']),
        opensLeft: Number(row['opens_left']),
      })),
    'two-factor-state': ({ user }) => {
      const id = enrolment.get(user)?.['id'];
      const newest = typeof id === 'string' ? id : undefined;
      const last = newest === undefined ? undefined : step.get(user, newest)?.['step'];
      return {
        enrolment: newest,
        lastStep: last === undefined ? undefined : Number(last),
        usedCodes: Number(usedCodes.get(user)?.['n']),
      };
    },
    failures: ({ scope: name, nowMs }) => {
      const row = scope.get(name);
      if (row === undefined) return { recent: 0, inARow: 0, lockedUntilMs: undefined };
      const lockedUntil = row['locked_until'];
      return {
        recent: Number(recent.get(name, nowMs - Number(row['window']))?.['n']),
        inARow: Number(row['in_a_row']),
        lockedUntilMs: lockedUntil === null ? undefined : Number(lockedUntil),
      };
    },
    'audit-after': ({ sequence, limit }) =>
      auditAfter.all(sequence, Math.min(limit, auditPageMax)).map((row) => ({
        sequence: Number(row['sequence']),
        record: parse<AuditRecord>(row['record']),
      })),
    'find-audit': ({ reference }) =>
      findAudit.all(reference, auditPerReferenceMax).map((row) => parse<AuditRecord>(row['record'])),
  };
}

/** Deletes what can't matter any more. Evidence outlives its expiry by a margin (limits.ts). */
export function sweep(database: DatabaseSync, nowMs: number): void {
  const expired = nowMs - keepAfterExpiryMs;
  const idle = nowMs - keepFailuresMs;
  database.prepare('DELETE FROM sessions WHERE expires_at < ?').run(nowMs);
  database.prepare('DELETE FROM leases WHERE expires_at < ?').run(nowMs);
  database.prepare('DELETE FROM used_codes WHERE expires_at < ?').run(expired);
  database.prepare('DELETE FROM failures WHERE at < ?').run(idle);
  database
    .prepare(
      'DELETE FROM failure_scopes WHERE last_at < ? AND in_a_row < ? AND coalesce(locked_until, 0) < ?',
    )
    .run(idle, inARowKeptFor, expired);
}

/** Only this program writes these columns, in the transaction that types them. */
function parse<T>(column: unknown): T {
  return JSON.parse(String(column)) as T;
}
