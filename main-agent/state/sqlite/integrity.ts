import { DatabaseSync } from 'node:sqlite';
import { SallyportError } from '#shared/error.ts';

/** Reads a whole state.db that no main runs on. Throws `io-error` where SQLite finds anything wrong with it. */
export function requireIntegrity(file: string): void {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    const found = database.prepare('PRAGMA integrity_check').all();
    if (found[0]?.['integrity_check'] === 'ok') return;
    throw new SallyportError('io-error', 'The state database is damaged', {
      detail: `${file}: ${String(found[0]?.['integrity_check'])}`,
    });
  } finally {
    database.close();
  }
}
