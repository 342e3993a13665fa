import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asAllowed } from './allowed.ts';
import { startDoor } from './door.ts';
import { page } from './page.ts';
import { startReference } from './reference.ts';
import type { Row } from './row.ts';
import { tables } from './rows/all.ts';
import type { Server } from './server.ts';
import { Teller, type Telling } from './telling.ts';

/**
 * The same requests to OpenSSH's sftp-server and to our door, answer by answer and file by file. Where they differ on
 * purpose, the row says how and why, and SFTP.md is the list of it; `UPDATE_SFTP=1` writes it.
 */

const document = fileURLToPath(new URL('../../SFTP.md', import.meta.url));

describe('SFTP as OpenSSH speaks it', () => {
  const servers: Server[] = [];
  const free: { readonly reference: Teller; readonly door: Teller }[] = [];
  const waiting: (() => void)[] = [];
  /** What the reference answered, for the page. */
  const known = new Map<Row, Telling>();

  beforeAll(async () => {
    servers.push(...(await Promise.all([startReference(), startDoor()])));
    const [reference, door] = servers.map(({ lanes }) => lanes.map((lane) => new Teller(lane)));
    for (const [index, teller] of (reference ?? []).entries()) {
      const ours = door?.[index];
      if (ours !== undefined) free.push({ reference: teller, door: ours });
    }
  });
  afterAll(async () => {
    await Promise.all(free.flatMap(({ reference, door }) => [reference.close(), door.close()]));
    await Promise.all(servers.map((server) => server.close()));
  });

  /** To both servers, in a lane that is free. */
  async function tell(row: Row, name: string): Promise<[Telling[], Telling[]]> {
    let lane = free.pop();
    while (lane === undefined) {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
      lane = free.pop();
    }
    try {
      return await Promise.all([lane.reference.tell(row, name), lane.door.tell(row, name)]);
    } finally {
      free.push(lane);
      waiting.shift()?.();
    }
  }

  for (const { title, rows } of tables) {
    describe.concurrent(`in the chapter ${title}`, () => {
      for (const [index, row] of rows.entries())
        it(`as OpenSSH: ${row.title}`, async () => {
          const [theirs, ours] = await tell(
            row,
            `${title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}-${index}`,
          );
          const [first] = theirs;
          if (first === undefined) throw new Error('a row is told at least once');
          known.set(row, first);
          for (const [round, telling] of theirs.entries())
            expect(ours[round], `round ${round + 1}`).toEqual(asAllowed(row, telling));
        });
    });
  }

  it('no row has the title of another', () => {
    const titles = tables.flatMap(({ rows }) => rows.map(({ title }) => title));
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  it('SFTP.md says where and why our door differs', () => {
    const text = page(tables, known);
    if (process.env['UPDATE_SFTP'] === '1') writeFileSync(document, text);
    expect(readFileSync(document, 'utf8'), 'UPDATE_SFTP=1 writes what is true now').toBe(text);
  });
});
