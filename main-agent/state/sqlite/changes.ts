import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { goodLoginsPerUserMax } from '../limits.ts';
import type { Change } from '../state-store.ts';

/**
 * Each change as SQL. A condition is part of the statement that makes the change, so that checking and changing
 * can't come apart. Runs in the writer thread, inside the caller's transaction.
 */
export class ChangeWriter {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** False: the change's condition does not hold, nothing was changed by it. */
  apply(change: Change): boolean {
    switch (change.kind) {
      case 'use-time-step':
        return this.#changes(
          `INSERT INTO time_steps (username, enrolment, step) VALUES (?, ?, ?)
           ON CONFLICT DO UPDATE SET step = excluded.step WHERE excluded.step > step`,
          change.user,
          change.enrolment,
          change.step,
        );
      case 'use-code':
        return this.#changes(
          'INSERT INTO used_codes (username, id, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
          change.user,
          change.id,
          change.expiresAtMs ?? null,
        );
      case 'keep-delivered-code': {
        const { id, username, node, protocol, clientIp, sentAtMs, expiresAtMs } = change.code;
        const binding = JSON.stringify([username, node, protocol, clientIp]);
        this.#run('UPDATE delivered_codes SET expires_at = 0 WHERE binding = ?', binding);
        this.#run(
          'INSERT INTO delivered_codes (id, binding, sent_at, expires_at, data) VALUES (?, ?, ?, ?, ?)',
          id,
          binding,
          sentAtMs,
          expiresAtMs,
          JSON.stringify(change.code),
        );
        return true;
      }
      case 'use-ssh-signature':
        return this.#changes(
          `INSERT INTO used_ssh_signatures (username, ssh_session, fingerprint) SELECT ?1, ?2, ?3
           WHERE NOT EXISTS (SELECT 1 FROM removed_keys WHERE fingerprint = ?3 AND forgotten = 1)
           ON CONFLICT DO NOTHING`,
          change.user,
          change.sshSession,
          change.fingerprint,
        );
      case 'open-session':
        return this.#openSession(change.session);
      case 'replace-session':
        return (
          this.#changes('DELETE FROM sessions WHERE key = ?', change.oldKey) &&
          this.#openSession(change.session)
        );
      case 'end-session':
        this.#run('DELETE FROM sessions WHERE key = ?', change.key);
        return true;
      case 'touch-session':
        this.#run('UPDATE sessions SET used_at = ? WHERE key = ?', change.usedAtMs, change.key);
        return true;
      case 'open-lease': {
        const { lease } = change;
        return this.#changes(
          'INSERT INTO leases (id, username, used_at, ttl, expires_at, opens_left, data) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
          lease.id,
          lease.username,
          lease.usedAtMs,
          lease.ttlMs,
          lease.expiresAtMs,
          lease.opensLeft,
          JSON.stringify(lease),
        );
      }
      case 'use-lease':
        return this.#changes(
          `UPDATE leases SET used_at = ?1, opens_left = opens_left - 1
           WHERE id = ?2 AND opens_left > 0 AND expires_at > ?1 AND used_at + ttl > ?1`,
          change.nowMs,
          change.id,
        );
      case 'end-lease':
        this.#run('DELETE FROM leases WHERE id = ?', change.id);
        return true;
      case 'end-leases':
        this.#run('DELETE FROM leases WHERE username = ?', change.user);
        return true;
      case 'set-enrolment':
        return this.#setEnrolment(change);
      case 'require-enrolment':
        return this.#presentEnrolment(change.user) === change.id;
      case 'note-login':
        this.#noteLogin(change);
        return true;
      case 'note-reminder':
        return this.#changes(
          `INSERT INTO reminders (username, at) VALUES (?1, ?2)
           ON CONFLICT DO UPDATE SET at = excluded.at WHERE at + ?3 <= excluded.at`,
          change.user,
          change.atMs,
          change.intervalMs,
        );
      case 'set-bypass-code':
        this.#run('DELETE FROM bypass_codes WHERE username = ?', change.user);
        if (change.code !== undefined) {
          const { id, expiresAtMs, reEnrol } = change.code;
          this.#run(
            'INSERT INTO bypass_codes (username, id, expires_at, re_enrol) VALUES (?, ?, ?, ?)',
            change.user,
            id,
            expiresAtMs,
            Number(reEnrol),
          );
        }
        return true;
      case 'use-bypass-code':
        return this.#changes(
          'DELETE FROM bypass_codes WHERE username = ? AND id = ? AND expires_at > ?',
          change.user,
          change.id,
          change.nowMs,
        );
      case 'open-device': {
        const { device } = change;
        return this.#changes(
          'INSERT INTO devices (id, username, value_hash, previous_hash, rotated_at, expires_at, data) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
          device.id,
          device.username,
          device.valueHash,
          device.previousHash ?? null,
          device.rotatedAtMs,
          device.expiresAtMs,
          JSON.stringify(device),
        );
      }
      case 'rotate-device':
        return this.#changes(
          `UPDATE devices SET previous_hash = value_hash, value_hash = ?1, rotated_at = ?2
           WHERE id = ?3 AND value_hash = ?4 AND expires_at > ?2`,
          change.newHash,
          change.nowMs,
          change.id,
          change.oldHash,
        );
      case 'end-device':
        this.#run('DELETE FROM devices WHERE id = ?', change.id);
        return true;
      case 'end-devices':
        this.#run('DELETE FROM devices WHERE username = ?', change.user);
        return true;
      case 'count-failure':
        this.#countFailure(change);
        return true;
      case 'take-back-failure':
        this.#run(
          'DELETE FROM failures WHERE rowid = (SELECT min(rowid) FROM failures WHERE scope = ? AND at = ?)',
          change.scope,
          change.atMs,
        );
        return true;
      case 'clear-failures':
        for (const table of ['failures', 'failure_scopes']) {
          this.#run(`DELETE FROM ${table} WHERE scope = ?`, change.scope);
          // ! follows the blank.
          if (change.withParts === true)
            this.#run(`DELETE FROM ${table} WHERE scope > ?1 || ' ' AND scope < ?1 || '!'`, change.scope);
        }
        return true;
      case 'note-account-change': {
        const { username, node, atMs, kind, subject } = change.change;
        this.#run(
          'INSERT INTO account_changes (username, node, at, kind, subject, data) VALUES (?, ?, ?, ?, ?, ?)',
          username,
          node,
          atMs,
          kind,
          subject,
          JSON.stringify(change.change),
        );
        return true;
      }
      case 'forget-user':
        this.#run('DELETE FROM first_logins WHERE username = ?', change.user);
        this.#run('DELETE FROM good_logins WHERE username = ?', change.user);
        this.#run('DELETE FROM account_changes WHERE username = ?', change.user);
        return true;
      case 'rename-user':
        return this.#renameUser(change);
      case 'note-departure':
        this.#run(
          `INSERT INTO departures (username, gone_at) VALUES (?1, ?2)
           ON CONFLICT DO UPDATE SET gone_at = coalesce(gone_at, ?2), returned_at = NULL`,
          change.user,
          change.atMs,
        );
        return true;
      case 'note-return':
        this.#run(
          'UPDATE departures SET returned_at = ? WHERE username = ? AND gone_at IS NOT NULL',
          change.atMs,
          change.user,
        );
        return true;
      case 'settle-departure':
        this.#run(
          `INSERT INTO departures (username, former_until) VALUES (?1, ?2)
           ON CONFLICT DO UPDATE SET gone_at = NULL, returned_at = NULL, former_until = coalesce(?2, former_until)`,
          change.user,
          change.formerUntilMs ?? null,
        );
        this.#run('DELETE FROM departures WHERE username = ? AND former_until IS NULL', change.user);
        return true;
      case 'keep-record':
        this.#run(
          'INSERT INTO kept_records (list, id, data) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET data = ?3',
          change.list,
          change.record.id,
          JSON.stringify(change.record),
        );
        return true;
      case 'drop-record':
        return this.#changes('DELETE FROM kept_records WHERE list = ? AND id = ?', change.list, change.id);
      case 'audit':
        this.#run(
          'INSERT INTO audit (reference, record) VALUES (?, ?)',
          change.record.reference ?? null,
          JSON.stringify(change.record),
        );
        return true;
      case 'note-receipt':
        return this.#changes(
          'INSERT INTO receipts ("of", at) VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at WHERE at >= ?',
          change.of,
          change.atMs,
          change.sinceMs,
        );
      case 'note-audit-head':
        this.#run(
          `INSERT INTO audit_head (id, sequence, hash) VALUES (1, ?1, ?2) ON CONFLICT DO UPDATE SET sequence = ?1, hash = ?2`,
          change.head.sequence,
          change.head.hash,
        );
        return true;
      case 'prune-audit':
        this.#run('DELETE FROM audit WHERE sequence < ?', change.before);
        return true;
      case 'restore-audit':
        this.#run(
          'INSERT INTO audit (sequence, reference, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
          change.sequence,
          change.record.reference ?? null,
          JSON.stringify(change.record),
        );
        return true;
      case 'skip-audit-numbers':
        // AUTOINCREMENT counts on from this table's row, which is there after the first record.
        if (!this.#changes(`UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'audit'`, change.upTo))
          this.#run(`INSERT INTO sqlite_sequence (name, seq) VALUES ('audit', ?)`, change.upTo);
        return true;
      case 'void-evidence':
        for (const table of ['sessions', 'leases', 'devices', 'bypass_codes'])
          this.#run(`DELETE FROM ${table}`);
        this.#run('UPDATE delivered_codes SET expires_at = 0');
        this.#run(
          `INSERT INTO time_steps (username, enrolment, step) SELECT username, present, ? FROM enrolments WHERE present IS NOT NULL
           ON CONFLICT DO UPDATE SET step = max(step, excluded.step)`,
          change.step,
        );
        return true;
      case 'note-edge-event':
        return this.#changes(
          `INSERT INTO edge_counts (node, worker, boot, sequence) VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT DO UPDATE SET boot = ?3, sequence = ?4 WHERE boot <> ?3 OR sequence < ?4`,
          change.node,
          change.worker,
          change.count.boot,
          change.count.sequence,
        );
      case 'note-audit-reader':
        this.#run(
          'INSERT INTO webhook_positions (webhook, sequence) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET sequence = ?2',
          change.reader,
          change.sequence,
        );
        return true;
      case 'forget-removed-keys':
        this.#forgetRemovedKeys(change);
        return true;
    }
  }

  #forgetRemovedKeys(change: Extract<Change, { kind: 'forget-removed-keys' }>): void {
    const stored = JSON.stringify(change.stored);
    // A key that is back before it was forgotten is as if it had never gone.
    this.#run(
      'DELETE FROM removed_keys WHERE forgotten = 0 AND fingerprint IN (SELECT value FROM json_each(?))',
      stored,
    );
    // One look into the index for each key, however many signatures it has.
    this.#run(
      `WITH RECURSIVE keys (fingerprint) AS (
         SELECT min(fingerprint) FROM used_ssh_signatures
         UNION ALL
         SELECT (SELECT min(fingerprint) FROM used_ssh_signatures WHERE fingerprint > keys.fingerprint)
         FROM keys WHERE keys.fingerprint IS NOT NULL
       )
       INSERT INTO removed_keys (fingerprint, since, forgotten) SELECT fingerprint, ?1, 0 FROM keys
       WHERE fingerprint IS NOT NULL AND fingerprint NOT IN (SELECT value FROM json_each(?2))
       ON CONFLICT DO NOTHING`,
      change.nowMs,
      stored,
    );
    this.#run(
      'UPDATE removed_keys SET forgotten = 1 WHERE forgotten = 0 AND since < ?',
      change.removedBeforeMs,
    );
    this.#run(
      'DELETE FROM used_ssh_signatures WHERE fingerprint IN (SELECT fingerprint FROM removed_keys WHERE forgotten = 1)',
    );
  }

  #openSession(session: Extract<Change, { kind: 'open-session' }>['session']): boolean {
    return this.#changes(
      'INSERT INTO sessions (key, username, used_at, expires_at, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      session.key,
      session.username,
      session.usedAtMs,
      session.expiresAtMs,
      JSON.stringify(session),
    );
  }

  #presentEnrolment(user: string): SQLOutputValue | undefined {
    const present = this.#prepare('SELECT present FROM enrolments WHERE username = ?').get(user)?.['present'];
    return present ?? undefined;
  }

  #setEnrolment({ user, id, expected }: Extract<Change, { kind: 'set-enrolment' }>): boolean {
    if (this.#presentEnrolment(user) !== expected) return false;
    if (id === undefined) this.#run('UPDATE enrolments SET present = NULL WHERE username = ?', user);
    else {
      // Ids grow with time; the newest one only ever moves forward.
      this.#run(
        `INSERT INTO enrolments (username, present, newest) VALUES (?1, ?2, ?2)
         ON CONFLICT DO UPDATE SET present = ?2, newest = max(newest, ?2)`,
        user,
        id,
      );
    }
    return true;
  }

  #renameUser({ user, to, enrolment }: Extract<Change, { kind: 'rename-user' }>): boolean {
    if (this.#presentEnrolment(user) !== enrolment || this.#presentEnrolment(to) !== undefined) return false;
    this.#run(
      `INSERT INTO enrolments (username, present, newest) SELECT ?2, present, newest FROM enrolments WHERE username = ?1
       ON CONFLICT DO UPDATE SET present = excluded.present, newest = max(newest, excluded.newest)`,
      user,
      to,
    );
    this.#run('UPDATE enrolments SET present = NULL WHERE username = ?', user);
    for (const table of [
      'time_steps',
      'used_codes',
      'first_logins',
      'good_logins',
      'reminders',
      'account_changes',
    ]) {
      this.#run(`DELETE FROM ${table} WHERE username = ?`, to);
      this.#run(`UPDATE ${table} SET username = ?2 WHERE username = ?1`, user, to);
    }
    this.#run(
      `UPDATE account_changes SET data = json_set(data, '$.username', username) WHERE username = ?`,
      to,
    );
    for (const table of ['sessions', 'leases', 'devices', 'bypass_codes'])
      this.#run(`DELETE FROM ${table} WHERE username = ?`, user);
    this.#run(
      `DELETE FROM kept_records WHERE list = 'token' AND json_extract(data, '$.owner.user') = ?`,
      user,
    );
    this.#run(`DELETE FROM kept_records WHERE list = 'password-link' AND id = ?`, user);
    return true;
  }

  #noteLogin({ user, clientIp, atMs }: Extract<Change, { kind: 'note-login' }>): void {
    this.#run('INSERT INTO first_logins (username, at) VALUES (?, ?) ON CONFLICT DO NOTHING', user, atMs);
    this.#run(
      'INSERT INTO good_logins (username, client_ip, at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at',
      user,
      clientIp,
      atMs,
    );
    this.#run(
      `DELETE FROM good_logins WHERE username = ?1 AND client_ip IN (
         SELECT client_ip FROM good_logins WHERE username = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2
       )`,
      user,
      goodLoginsPerUserMax,
    );
  }

  #countFailure(change: Extract<Change, { kind: 'count-failure' }>): void {
    const { scope, atMs, windowMs } = change;
    this.#run('DELETE FROM failures WHERE scope = ? AND at <= ?', scope, atMs - windowMs);
    this.#run('INSERT INTO failures (scope, at) VALUES (?, ?)', scope, atMs);
    this.#run(
      `INSERT INTO failure_scopes (scope, window, in_a_row, locks, last_at, is_brief) VALUES (?1, ?2, 1, 0, ?3, ?4)
       ON CONFLICT DO UPDATE SET window = ?2, in_a_row = in_a_row + 1, last_at = ?3, is_brief = ?4`,
      scope,
      windowMs,
      atMs,
      change.isBrief === true ? 1 : 0,
    );
    const recent = Number(
      this.#prepare('SELECT count(*) AS n FROM failures WHERE scope = ?').get(scope)?.['n'],
    );
    if (recent < change.limit) return;
    // Each lock is twice as long as the one before. The window starts empty after it, so that the table never
    // holds more than `limit` rows a scope and the next lock again needs `limit` failures.
    const locks = Number(
      this.#prepare('SELECT locks FROM failure_scopes WHERE scope = ?').get(scope)?.['locks'],
    );
    const lockMs = Math.min(change.lockMs * 2 ** locks, change.lockMaxMs);
    this.#run('DELETE FROM failures WHERE scope = ?', scope);
    this.#run(
      'UPDATE failure_scopes SET locks = locks + 1, locked_until = max(coalesce(locked_until, 0), ?) WHERE scope = ?',
      atMs + lockMs,
      scope,
    );
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepare(sql).run(...values);
  }

  /** Did the statement change a row? */
  #changes(sql: string, ...values: SQLInputValue[]): boolean {
    return Number(this.#prepare(sql).run(...values).changes) > 0;
  }
}
