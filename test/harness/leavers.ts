import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { returnGraceMs } from '#main-agent/users/limits.ts';
import { type Product, waitUntil } from './product.ts';
import { patienceMs } from './patience.ts';

/** Their files go, and main notes it. Resolves with what brings them back. */
export async function leave(product: Product, names: readonly string[]): Promise<() => Promise<void>> {
  const files = names.map((name) => join(product.site.files.main.users, `${name}.yaml`));
  const aside = (file: string): string => `${file}.aside`;
  const noted = (): number => product.audit().filter(({ event }) => event === 'two-factor.orphaned').length;
  const before = noted();
  for (const file of files) await rename(file, aside(file));
  await waitUntil(() => noted() === before + names.length, patienceMs);
  return async () => {
    for (const file of files) await rename(aside(file), file);
  };
}

/** Their files come back as if main had been down, and the files away, for longer than the grace. */
export async function comeBackLate(product: Product, comeBack: () => Promise<void>): Promise<void> {
  const old = product.site.main.pid;
  if (old !== undefined) process.kill(old, 'SIGKILL');
  await waitUntil(() => makeDeparturesOlder(product.site.files.main.state, returnGraceMs), patienceMs);
  await comeBack();
  await product.mainIsBack(old);
}

/** False: main's process has the database still. */
function makeDeparturesOlder(state: string, byMs: number): boolean {
  const database = new DatabaseSync(state);
  try {
    database.prepare('UPDATE departures SET gone_at = gone_at - ?').run(byMs);
    return true;
  } catch {
    return false;
  } finally {
    database.close();
  }
}
