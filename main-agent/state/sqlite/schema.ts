import { DatabaseSync } from 'node:sqlite';
import { SallyportError } from '#shared/error.ts';

/**
 * The tables of state.db. A migration is never edited once released: a new one is appended, and `user_version`
 * counts those that ran. Sessions and leases keep their unchanging fields as JSON, so that only what is searched or
 * updated is a column.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE sessions (
    key TEXT PRIMARY KEY, username TEXT NOT NULL, used_at REAL NOT NULL, expires_at REAL NOT NULL, data TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_by_expiry ON sessions (expires_at);

  CREATE TABLE leases (
    id TEXT PRIMARY KEY, username TEXT NOT NULL, used_at REAL NOT NULL, ttl REAL NOT NULL,
    expires_at REAL NOT NULL, opens_left INTEGER NOT NULL, data TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX leases_by_user ON leases (username);

  CREATE TABLE devices (
    id TEXT PRIMARY KEY, username TEXT NOT NULL, value_hash TEXT NOT NULL, previous_hash TEXT,
    rotated_at REAL NOT NULL, expires_at REAL NOT NULL, data TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX devices_by_user ON devices (username);

  CREATE TABLE enrolments (
    username TEXT PRIMARY KEY, present TEXT, newest TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE bypass_codes (
    username TEXT PRIMARY KEY, id TEXT NOT NULL, expires_at REAL NOT NULL, re_enrol INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE first_logins (username TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE good_logins (
    username TEXT NOT NULL, client_ip TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (username, client_ip)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX good_logins_by_time ON good_logins (username, at);

  CREATE TABLE time_steps (
    username TEXT NOT NULL, enrolment TEXT NOT NULL, step INTEGER NOT NULL, PRIMARY KEY (username, enrolment)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE used_codes (
    username TEXT NOT NULL, id TEXT NOT NULL, expires_at REAL, PRIMARY KEY (username, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX used_codes_by_expiry ON used_codes (expires_at) WHERE expires_at IS NOT NULL;

  CREATE TABLE used_ssh_signatures (
    username TEXT NOT NULL, ssh_session TEXT NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (ssh_session, fingerprint)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE failures (scope TEXT NOT NULL, at REAL NOT NULL) STRICT;
  CREATE INDEX failures_by_scope ON failures (scope, at);

  CREATE TABLE failure_scopes (
    scope TEXT PRIMARY KEY, window REAL NOT NULL, in_a_row INTEGER NOT NULL, locks INTEGER NOT NULL,
    locked_until REAL, last_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT, record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_by_reference ON audit (reference) WHERE reference IS NOT NULL;
  `,
  `
  CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, hash TEXT NOT NULL
  ) STRICT;

  CREATE TABLE edge_counts (
    node TEXT NOT NULL, worker INTEGER NOT NULL, boot TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (node, worker)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE webhook_positions (webhook TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE removed_keys (
    fingerprint TEXT PRIMARY KEY, since REAL NOT NULL, forgotten INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX used_ssh_signatures_by_key ON used_ssh_signatures (fingerprint);
  `,
  `
  CREATE TABLE delivered_codes (
    id TEXT PRIMARY KEY, binding TEXT NOT NULL, sent_at REAL NOT NULL, expires_at REAL NOT NULL, data TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX delivered_codes_by_binding ON delivered_codes (binding);
  `,
  `
  CREATE TABLE reminders (username TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE account_changes (
    username TEXT NOT NULL, node TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  CREATE INDEX account_changes_by_node ON account_changes (node, at);
  CREATE INDEX account_changes_by_user ON account_changes (username);
  `,
  `
  CREATE TABLE kept_records (
    list TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (list, id)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE departures (
    username TEXT PRIMARY KEY, gone_at REAL, returned_at REAL, former_until REAL
  ) STRICT, WITHOUT ROWID;
  `,
  'CREATE INDEX good_logins_by_address ON good_logins (client_ip, at);',
  'ALTER TABLE failure_scopes ADD COLUMN is_brief INTEGER NOT NULL DEFAULT 0;',
  'CREATE TABLE receipts ("of" TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;',
];

export const schemaVersion = migrations.length;

/** Brings the database to `schemaVersion`, in one transaction. A newer one is refused: we would misread it. */
export function migrate(database: DatabaseSync): void {
  const present = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (present > schemaVersion) {
    throw new SallyportError('config', 'The state database is newer than this program', {
      detail: `schema ${present}, this program knows up to ${schemaVersion}`,
      hint: 'Run the newer version again, or restore the backup made before the upgrade.',
    });
  }
  database.exec('BEGIN EXCLUSIVE');
  try {
    for (const migration of migrations.slice(present)) database.exec(migration);
    database.exec(`PRAGMA user_version = ${schemaVersion}`);
    database.exec('COMMIT');
  } catch (cause) {
    database.exec('ROLLBACK');
    throw cause;
  }
}

/** The state of this process alone, as it writes it. */
export function openDatabase(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 0 });
  // EXCLUSIVE: a second main-agent on the same state is refused at start instead of sharing it by accident.
  // FULL: each COMMIT is on the disk when it returns.
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  database.exec('PRAGMA trusted_schema = OFF');
  // A savepoint's undo journal of a large batch would be a file in /var/tmp: a few megabytes of memory are better.
  database.exec('PRAGMA temp_store = MEMORY');
  migrate(database);
  return database;
}
