import { linkSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { Entry, SortKey } from '#shared/file-service/attributes.ts';
import { type Client, mountOf, newFile, SettableClock, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

/** Names of one file, two in fact: a file system allows some 65,000 each. Far quicker than as many files. */
function makeNames(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < count; index += 1) {
    if (index < 2) writeFileSync(`${folder}/f${index}`, '');
    else linkSync(`${folder}/f${index % 2}`, `${folder}/f${index}`);
  }
}

async function listAll(client: Client, path: string[], sort: SortKey, limit: number): Promise<Entry[][]> {
  const pages: Entry[][] = [];
  for (let cursor: string | undefined; ;) {
    const page = await client.ask('fs.list', { path, sort, limit, ...(cursor !== undefined && { cursor }) });
    pages.push(page.entries);
    if (page.next === undefined) return pages;
    cursor = page.next;
  }
}

const namesOf = (pages: Entry[][]) => pages.flat().map((entry) => entry.name);

test(
  '100,000 entries come in bounded pages, each once, sorted and unsorted',
  { timeout: 120_000 },
  async () => {
    const rig = await startRig();
    const client = rig.client();
    makeNames(rig.path('alice', 'many'), 100_000);
    const { handle } = await client.ask('fs.open-folder', { path: ['many'] });
    const seen = new Set<string>();
    for (let number = 0; ; number += 1) {
      const page = await client.ask('fs.read-folder', { handle, page: number });
      expect(Buffer.byteLength(JSON.stringify(page.entries))).toBeLessThanOrEqual(128 * 1024 + 2);
      for (const { name } of page.entries) seen.add(name);
      if (page.end) break;
    }
    expect(seen.size).toBe(100_000);
    const first = await client.ask('fs.list', { path: ['many'], sort: '-name', limit: 1000 });
    expect(first.entries[0]?.name).toBe('f99999');
    expect(Buffer.byteLength(JSON.stringify(first.entries))).toBeLessThanOrEqual(128 * 1024 + 2);
    let count = first.entries.length;
    for (let cursor = first.next; cursor !== undefined;) {
      const page = await client.ask('fs.list', { path: ['many'], sort: '-name', limit: 1000, cursor });
      count += page.entries.length;
      cursor = page.next;
    }
    expect(count).toBe(100_000);
  },
);

test('listings sort by name, size and time, up and down, over pages of any length', async () => {
  const rig = await startRig();
  const client = rig.client();
  const files = { b: [3, 100], a: [1, 300], d: [2, 200], c: [2, 200] } as const;
  for (const [name, [size, seconds]] of Object.entries(files)) {
    await client.put([name], 'x'.repeat(size));
    await fs.utimes(rig.path('alice', name), seconds, seconds);
  }
  const orders: [SortKey, string][] = [
    ['name', 'abcd'],
    ['-name', 'dcba'],
    ['size', 'acdb'],
    ['-size', 'bdca'],
    ['mtime', 'bcda'],
    ['-mtime', 'adcb'],
  ];
  for (const [sort, order] of orders) {
    for (const limit of [1, 3, 4, 5]) {
      expect(namesOf(await listAll(client, [], sort, limit)).join('')).toBe(order);
    }
  }
});

test('a folder of thousands sorts by size and by time, up and down, each entry once', async () => {
  const rig = await startRig();
  const client = rig.client();
  await rig.medium.mkdir('alice');
  const names = Array.from({ length: 2500 }, (_, index) => `f${String(index).padStart(4, '0')}`);
  // The time is one that is no whole number of microseconds.
  for (const [index, name] of names.entries()) {
    writeFileSync(rig.path('alice', name), 'x'.repeat((index * 7) % 2500));
    utimesSync(rig.path('alice', name), 1, ((index * 13) % 2500) + 0.123_456_7);
  }
  const orders = [
    ['size', 'size', 1],
    ['-size', 'size', -1],
    ['mtime', 'mtimeMs', 1],
    ['-mtime', 'mtimeMs', -1],
  ] as const;
  for (const [sort, by, sign] of orders) {
    const entries = (await listAll(client, [], sort, 700)).flat();
    expect(new Set(entries.map(({ name }) => name)).size).toBe(2500);
    expect(entries).toEqual(
      entries.toSorted((a, b) => sign * (a.attributes[by] - b.attributes[by] || (a.name < b.name ? -1 : 1))),
    );
  }
});

onEachStorage(
  'a cursor goes on after its entry when its snapshot is gone or the folder has changed',
  async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    const client = rig.client();
    for (const name of ['a', 'b', 'c', 'd']) await client.put([name], name);
    const first = await client.ask('fs.list', { path: [], sort: 'name', limit: 2 });
    const next = { path: [], sort: 'name' as const, limit: 10, cursor: first.next ?? '' };
    await client.ask('fs.remove-file', { path: ['c'] });
    expect(namesOf([(await client.ask('fs.list', next)).entries])).toEqual(['d']);
    await client.put(['bb'], 'x');
    clock.aheadMs = 120_000;
    expect(namesOf([(await client.ask('fs.list', next)).entries])).toEqual(['bb', 'd']);
    expect(namesOf([(await rig.client().ask('fs.list', next)).entries])).toEqual(['bb', 'd']);
  },
);

test.each([
  '',
  'x',
  '!!!',
  Buffer.from('[1,2,3]').toString('base64url'),
  Buffer.from('{}').toString('base64url'),
])('a cursor that is not ours (%s) is refused', async (cursor) => {
  const rig = await startRig();
  const asked = rig.client().ask('fs.list', { path: [], sort: 'name', limit: 2, cursor });
  await expect(asked).rejects.toMatchObject({ code: 'bad-request' });
});

test('long names make shorter pages', async () => {
  const rig = await startRig();
  const client = rig.client();
  await rig.medium.mkdir('alice');
  for (let index = 0; index < 600; index += 1) {
    await fs.writeFile(rig.path('alice', `${index}-${'"'.repeat(200)}`), '');
  }
  const pages = await listAll(client, [], 'name', 1000);
  expect(pages.length).toBeGreaterThan(1);
  expect(new Set(namesOf(pages)).size).toBe(600);
  for (const page of pages)
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThanOrEqual(128 * 1024 + 2);
  expect(await client.names()).toHaveLength(600);
});

onEachStorage(
  'mount points lie over what the folder has, the longest prefix wins, and homes come at first use',
  async (start) => {
    const rig = await start();
    await rig.medium.mkdir('alice', 'inbox');
    await rig.medium.writeFile(['alice', 'inbox', 'hidden'], '');
    const client = rig.client(
      userOf('alice', [
        mountOf([], ['alice']),
        mountOf(['inbox'], ['shared', 'inbox'], ['list', 'write']),
        mountOf(['deep', 'er', 'mount'], ['deep']),
      ]),
    );
    expect(await client.names()).toEqual(['deep', 'inbox']);
    expect(await client.names(['inbox'])).toEqual([]);
    expect(await client.names(['deep'])).toEqual(['er']);
    expect(await client.names(['deep', 'er'])).toEqual(['mount']);
    await client.put(['deep', 'er', 'mount', 'f'], 'x');
    expect(await rig.medium.readdir('deep')).toEqual(['f']);
    for (const path of [[], ['deep'], ['deep', 'er'], ['deep', 'er', 'mount']]) {
      expect(await client.ask('fs.stat', { path, followLinks: false })).toMatchObject({ type: 'folder' });
    }
    await expect(client.names(['missing'])).rejects.toMatchObject({ code: 'not-found' });
  },
);

onEachStorage(
  'without a mount at the root the root shows the way to the mounts and nothing can be done there',
  async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', [mountOf(['a'], ['alice'])]));
    expect(await client.names()).toEqual(['a']);
    await expect(client.open(['f'], newFile)).rejects.toMatchObject({ code: 'not-found' });
    await expect(client.ask('fs.make-folder', { path: ['d'] })).rejects.toMatchObject({ code: 'not-found' });
    expect((await client.ask('fs.usage', { path: [] })).totalBytes).toBeGreaterThan(0);
    const nobody = rig.client(userOf('nobody', []));
    expect(await nobody.names()).toEqual([]);
  },
);

onEachStorage(
  'a mount whose storage is not configured is shown and says so only to the log',
  async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', [mountOf(['a'], ['alice'], undefined, { storage: 'gone' })]));
    expect(await client.names()).toEqual(['a']);
    await expect(client.names(['a'])).rejects.toMatchObject({
      code: 'io-error',
      publicMessage: 'The storage is not available',
    });
  },
);

test('a page whose answer was lost is given again, and none is left out', async () => {
  const rig = await startRig();
  const client = rig.client();
  makeNames(rig.path('alice', 'many'), 2_500);
  const { handle } = await client.ask('fs.open-folder', { path: ['many'] });
  const seen: string[] = [];
  for (let page = 0; ; page += 1) {
    const lost = await client.ask('fs.read-folder', { handle, page });
    const given = await client.ask('fs.read-folder', { handle, page });
    expect(given).toEqual(lost);
    seen.push(...given.entries.map(({ name }) => name));
    if (given.end) break;
  }
  expect([seen.length, new Set(seen).size]).toEqual([2_500, 2_500]);
  // What is not there to be given again is not passed over in silence.
  for (const page of [0, 17])
    await expect(client.ask('fs.read-folder', { handle, page })).rejects.toMatchObject({
      code: 'bad-handle',
    });
});
