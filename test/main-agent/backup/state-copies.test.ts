import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateCopies } from '#main-agent/backup/state-copies.ts';

describe('copies of state.db', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-copies-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('lie beside it, and one that nobody took away is gone with the next', async () => {
    writeFileSync(join(folder, 'state.db'), 'x');
    writeFileSync(join(folder, 'state.db-wal'), 'x');
    const engine = { copyTo: async (file: string) => writeFileSync(file, 'x') };
    const copies = new StateCopies(engine, join(folder, 'state.db'));
    const first = await copies.make();
    const second = await copies.make();
    expect(existsSync(first)).toBe(false);
    expect(
      readdirSync(folder)
        .map((name) => join(folder, name))
        .toSorted(),
    ).toEqual([join(folder, 'state.db'), join(folder, 'state.db-wal'), second].toSorted());
  });

  it('are made one at a time, also after one that failed', async () => {
    let gate = Promise.withResolvers<void>();
    const copyTo = async (): Promise<void> => {
      await gate.promise;
      throw new Error('the disk is full');
    };
    const copies = new StateCopies({ copyTo }, join(folder, 'state.db'));
    for (const turn of ['first', 'second']) {
      gate = Promise.withResolvers<void>();
      const made = copies.make().catch((error: unknown) => error);
      await expect(copies.make(), turn).rejects.toMatchObject({ code: 'conflict' });
      gate.resolve();
      expect(await made, turn).toMatchObject({ message: 'the disk is full' });
    }
  });
});
