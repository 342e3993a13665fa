import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { waitUntil } from '#test/harness/product.ts';
import { type SftpDoor, startSftpDoor } from '#test/harness/sftp-door.ts';

const program = fileURLToPath(new URL('programs/write-on.py', import.meta.url));

describe('files that are written in place while main is killed', () => {
  let door: SftpDoor;
  beforeAll(async () => {
    door = await startSftpDoor({
      first: { uploads: 'atomic' },
      second: { uploads: 'atomic', filesOf: 'first' },
      direct: { uploads: 'direct', filesOf: 'first' },
    });
  });
  afterAll(() => door.close());

  async function writeOn(account: string, way: 'append' | 'overwrite'): Promise<number> {
    const { host, port, hostKey, user, keyFile = '' } = door.target(account);
    const who = `${account}-${way}`;
    const args = [program, host, String(port), hostKey, user, keyFile, door.folder, who, way];
    const { stdout, stderr } = await runProgram('/usr/bin/python3', args);
    expect(stderr).toBe('');
    return Number(stdout);
  }

  it('have each appended line once, in order, and the last of what was written over each other', async () => {
    await writeFile(door.stored('first', 'log'), '');
    await writeFile(door.stored('first', 'numbers'), 'numbers, and what follows them');
    const accounts = ['first', 'second', 'direct'];
    const appending = accounts.map((account) => writeOn(account, 'append'));
    const overwriting = writeOn('second', 'overwrite');
    const all = Promise.all([...appending, overwriting]);
    try {
      const began = [...accounts.map((account) => `${account}-append`), 'second-overwrite'];
      await waitUntil(() => began.every((who) => existsSync(join(door.folder, `began-${who}`))), 60_000);
      for (let kill = 0; kill < 2; kill += 1) {
        await door.product?.killMain();
        const before = (await readFile(door.stored('first', 'log'))).length;
        await waitUntil(
          async () => (await readFile(door.stored('first', 'log'))).length > before + 500,
          60_000,
        );
      }
    } finally {
      await writeFile(join(door.folder, 'stop'), '');
    }
    const counts = await all;
    const lines = (await readFile(door.stored('first', 'log'), 'utf8')).trimEnd().split('\n');
    for (const [index, account] of accounts.entries()) {
      const own = lines.filter((line) => line.startsWith(`${account}-append `));
      expect(own).toEqual(
        Array.from({ length: counts[index] ?? 0 }, (_, line) => `${account}-append ${line}`),
      );
    }
    expect(lines).toHaveLength(counts.slice(0, 3).reduce((sum, count) => sum + count, 0));
    const last = String((counts[3] ?? 0) - 1).padStart(8, '0');
    expect(await readFile(door.stored('first', 'numbers'), 'utf8')).toBe(`${last} and what follows them`);
  });
});
