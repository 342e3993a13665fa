import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  keepAfterExpiryMs,
  keepFailuresMs,
  keepFormerMs,
  keepGoodLoginsMs,
} from '#main-agent/state/limits.ts';
import { ChangeWriter } from '#main-agent/state/sqlite/changes.ts';
import { sweep } from '#main-agent/state/sqlite/queries.ts';
import { migrate } from '#main-agent/state/sqlite/schema.ts';
import type { StoredDevice, StoredLease, StoredSession } from '#main-agent/state/session-records.ts';
import type { Change } from '#main-agent/state/state-store.ts';

const dayMs = 24 * 3_600_000;

/** Why no table grows for ever. A new table has to be put into one of these. */
const tables = {
  swept: [
    'account_changes bypass_codes delivered_codes departures devices failure_scopes failures good_logins leases reminders',
    'receipts sessions time_steps used_codes',
  ],
  'a row for each user, node, hook or setting': [
    'audit_head edge_counts enrolments first_logins kept_records webhook_positions',
  ],
  'pruned with what they are about, by a change of its own': ['audit removed_keys used_ssh_signatures'],
};

describe('sweeping the state', () => {
  let database: DatabaseSync;
  let changes: ChangeWriter;
  beforeEach(() => {
    database = new DatabaseSync(':memory:');
    migrate(database);
    changes = new ChangeWriter(database);
  });
  afterEach(() => database.close());

  const countOf = (table: string): number =>
    Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
  /** Rows of the table left when it is swept at each of these times, in turn. */
  function leftAt(table: string, ...times: readonly number[]): number[] {
    return times.map((nowMs) => {
      sweep(database, nowMs);
      return countOf(table);
    });
  }
  const apply = (...all: readonly Change[]): boolean[] => all.map((change) => changes.apply(change));
  type Failure = Extract<Change, { kind: 'count-failure' }>;
  /** So many failures at time 0, in a window of a second. */
  const fail = (
    scope: string,
    times: number,
    bounds: Omit<Failure, 'kind' | 'scope' | 'atMs' | 'windowMs'>,
  ): void => {
    const failure: Failure = { kind: 'count-failure', scope, atMs: 0, windowMs: 1_000, ...bounds };
    for (let time = 0; time < times; time += 1) apply(failure);
  };

  it('S-09: every table is swept, or bounded for a reason', () => {
    const present = database
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .all()
      .map((row) => String(row['name']));
    const known = Object.values(tables).flatMap((lists) => lists.flatMap((list) => list.split(' ')));
    expect(present.toSorted()).toEqual(known.toSorted());
  });

  it('takes sessions and devices away when they are over, and leases a day after their idle time', () => {
    const session = { key: 'k', username: 'alice', usedAtMs: 0, expiresAtMs: 1_000 } as StoredSession;
    const device = { id: 'd', username: 'alice', valueHash: 'v', rotatedAtMs: 0, expiresAtMs: 1_000 };
    apply({ kind: 'open-session', session }, { kind: 'open-device', device: device as StoredDevice });
    expect(leftAt('sessions', 1_000, 1_001)).toEqual([1, 0]);
    expect(countOf('devices')).toBe(0);
    const lease = {
      id: 'l',
      username: 'alice',
      usedAtMs: 0,
      ttlMs: 1_000,
      expiresAtMs: 9 * dayMs,
      opensLeft: 5,
    };
    apply({ kind: 'open-lease', lease: lease as StoredLease });
    expect(leftAt('leases', 1_000 + keepAfterExpiryMs, 1_001 + keepAfterExpiryMs)).toEqual([1, 0]);
  });

  it('S-16: forgets until when a name was another’s once nothing of then can live, and no name that waits', () => {
    apply(
      { kind: 'settle-departure', user: 'alice', formerUntilMs: 0 },
      { kind: 'note-departure', user: 'bob', atMs: 0 },
    );
    expect(leftAt('departures', keepFormerMs, keepFormerMs + 1)).toEqual([2, 1]);
  });

  it('S-03: keeps a used code a day beyond its life, and one without an end for ever', () => {
    apply(
      { kind: 'use-code', user: 'alice', id: 'mailed', expiresAtMs: 1_000 },
      { kind: 'use-code', user: 'alice', id: 'recovery' },
    );
    const end = 1_000 + keepAfterExpiryMs;
    expect(leftAt('used_codes', end, end + 1, 1_000 * dayMs)).toEqual([2, 1, 1]);
    expect(apply({ kind: 'use-code', user: 'alice', id: 'recovery' })).toEqual([false]);
  });

  it('S-03: forgets the time steps of enrolments that newer ones replaced, and no others', () => {
    const enrol = (user: string, id: string | undefined, expected: string | undefined) =>
      apply({ kind: 'set-enrolment', user, id, expected });
    const use = (user: string, enrolment: string) =>
      apply({ kind: 'use-time-step', user, enrolment, step: 7 });
    enrol('alice', 'e1', undefined);
    use('alice', 'e1');
    enrol('bob', 'e1', undefined);
    use('bob', 'e1');
    enrol('bob', undefined, 'e1');
    expect(leftAt('time_steps', 1_000 * dayMs)).toEqual([2]);
    enrol('alice', undefined, 'e1');
    enrol('alice', 'e2', undefined);
    use('alice', 'e2');
    sweep(database, 1_000 * dayMs);
    expect(database.prepare('SELECT username, enrolment FROM time_steps ORDER BY username').all()).toEqual([
      expect.objectContaining({ username: 'alice', enrolment: 'e2' }),
      expect.objectContaining({ username: 'bob', enrolment: 'e1' }),
    ]);
    expect(use('alice', 'e2')).toEqual([false]);
    expect(use('bob', 'e1')).toEqual([false]);
  });

  it('S-13: forgets failures at rest after 90 days, but not those of a factor near its end', () => {
    fail('code:alice', 9, { limit: 1_000, lockMs: 1_000, lockMaxMs: 1_000 });
    fail('code:bob', 10, { limit: 1_000, lockMs: 1_000, lockMaxMs: 1_000 });
    expect(leftAt('failure_scopes', keepFailuresMs, keepFailuresMs + 1)).toEqual([2, 1]);
    expect(countOf('failures')).toBe(0);
  });

  it('S-09: forgets failures of a name that strangers typed with its window and its lock, however many', () => {
    fail('password:made-up', 19, { limit: 20, lockMs: 3_000, lockMaxMs: 3_000, isBrief: true });
    fail('password:locked', 20, { limit: 20, lockMs: 3_000, lockMaxMs: 3_000, isBrief: true });
    expect(leftAt('failure_scopes', 1_000, 1_001, 3_000, 3_001)).toEqual([2, 1, 1, 0]);
    expect(countOf('failures')).toBe(0);
  });

  it('forgets from where somebody logged in after 30 days, and never when first', () => {
    apply({ kind: 'note-login', user: 'alice', clientIp: '203.0.113.9', atMs: 0 });
    expect(leftAt('good_logins', keepGoodLoginsMs, keepGoodLoginsMs + 1)).toEqual([1, 0]);
    expect(countOf('first_logins')).toBe(1);
  });
});
