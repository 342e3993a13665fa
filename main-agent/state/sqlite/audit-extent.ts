import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { buildQueries } from './queries.ts';
import type { AuditExtent } from '../audit-record.ts';

/** What a state.db knows of the audit, while no main runs on it. Throws when one does, or when it can't be read. */
export function readAuditExtent(file: string): AuditExtent {
  // Opening would make one.
  if (!existsSync(file)) throw new Error(`${file} does not exist`);
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // As main's writer has it: two of us would be refused, and what a killed main left in the log is read.
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    return buildQueries(database)['audit-extent']();
  } finally {
    database.close();
  }
}
