import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  type Client,
  codesOf,
  mountOf,
  newFile,
  randomContent,
  reading,
  sha256,
  startRig,
  userOf,
} from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const move = (from: string[], to: string[], overwrite = false) => ({ from, to, overwrite });

test('folders are made, listed and removed; making one twice or without its parent is refused', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'], mode: 0o2700 });
  expect((await fs.stat(rig.path('alice', 'd'))).mode & 0o7777).toBe(0o700);
  await expect(client.ask('fs.make-folder', { path: ['d'] })).rejects.toMatchObject({ code: 'exists' });
  await expect(client.ask('fs.make-folder', { path: ['x', 'y'] })).rejects.toMatchObject({
    code: 'parent-missing',
  });
  await client.put(['d', 'f'], 'x');
  await expect(client.ask('fs.remove-folder', { path: ['d'], recursive: false })).rejects.toMatchObject({
    code: 'not-empty',
  });
  await client.ask('fs.remove-file', { path: ['d', 'f'] });
  await client.ask('fs.remove-folder', { path: ['d'], recursive: false });
  expect(await client.names()).toEqual([]);
  expect(rig.records.map((record) => record.event)).toEqual([
    'file.mkdir',
    'file.upload',
    'file.delete',
    'file.delete',
  ]);
});

onEachStorage('files are not folders and folders are not files', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'x');
  await client.ask('fs.make-folder', { path: ['d'] });
  await expect(client.ask('fs.remove-file', { path: ['d'] })).rejects.toMatchObject({ code: 'is-a-folder' });
  await expect(client.ask('fs.remove-folder', { path: ['f'], recursive: true })).rejects.toMatchObject({
    code: 'not-a-folder',
  });
  await expect(client.open(['d'], reading)).rejects.toMatchObject({ code: 'is-a-folder' });
  await expect(client.names(['f'])).rejects.toMatchObject({ code: 'not-a-folder' });
  await expect(client.open(['f', 'g'], newFile)).rejects.toMatchObject({ code: 'parent-missing' });
  await expect(client.open(['f', 'g'], reading)).rejects.toMatchObject({ code: 'not-a-folder' });
  await expect(client.ask('fs.hash', { path: ['d'], algorithm: 'sha256' })).rejects.toMatchObject({
    code: 'is-a-folder',
  });
});

onEachStorage('a delete with a precondition deletes only the version it names', async (start) => {
  const rig = await start();
  const client = rig.client();
  const old = (await client.put(['f'], 'one')).attributes.etag ?? '';
  const now = (await client.put(['f'], 'two')).attributes.etag ?? '';
  await expect(
    client.ask('fs.remove-file', { path: ['f'], precondition: { ifMatch: [old] } }),
  ).rejects.toMatchObject({ code: 'precondition-failed' });
  await client.ask('fs.remove-file', { path: ['f'], precondition: { ifMatch: [now] } });
  await expect(client.ask('fs.remove-file', { path: ['f'] })).rejects.toMatchObject({ code: 'not-found' });
});

onEachStorage(
  'a change whose answer was lost with its process is answered by the next one and not made again',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    for (const name of ['a', 'c', 'd', 'gone']) await before.put([name], name);
    await before.ask('fs.make-folder', { path: ['old'] });
    const changes: [number, (client: Client, op: number) => Promise<unknown>][] = [
      [1000, (client, op) => client.askAs('fs.rename', move(['a'], ['b']), op)],
      [1001, (client, op) => client.askAs('fs.rename', move(['c'], ['d'], true), op)],
      [1002, (client, op) => client.askAs('fs.remove-file', { path: ['gone'] }, op)],
      [1003, (client, op) => client.askAs('fs.make-folder', { path: ['new'] }, op)],
      [1004, (client, op) => client.askAs('fs.remove-folder', { path: ['old'], recursive: false }, op)],
      [1005, (client, op) => client.askAs('fs.copy', move(['b'], ['copy']), op)],
    ];
    const first: unknown[] = [];
    for (const [op, act] of changes) first.push(await act(before, op));
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    const again: unknown[] = [];
    for (const [op, act] of changes) again.push(await act(after, op));
    expect(again).toEqual(first);
    expect(await after.names()).toEqual(['b', 'copy', 'd', 'new']);
    const other = rig.client('alice', 'sftp', 'other-session');
    const refused = await Promise.allSettled(changes.map(([op, act]) => act(other, op)));
    expect(codesOf(refused)).toEqual([
      'not-found',
      'not-found',
      'not-found',
      'exists',
      'not-found',
      'exists',
    ]);
  },
);

onEachStorage(
  'a folder that could not be made because one was there is not made either when it is asked for again after a kill',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'https', 'one-session');
    await before.ask('fs.make-folder', { path: ['there'] });
    const make = (client: Client): Promise<unknown> =>
      client.askAs('fs.make-folder', { path: ['there'] }, 1000);
    await expect(make(before)).rejects.toMatchObject({ code: 'exists' });
    await rig.restart();
    await expect(make(rig.client('alice', 'https', 'one-session'))).rejects.toMatchObject({ code: 'exists' });
  },
);

test('a rename that was killed between its two names is finished when it is sent again', async () => {
  const rig = await startRig();
  const before = rig.client('alice', 'sftp', 'one-session');
  await before.put(['a'], 'x');
  await before.askAs('fs.rename', move(['a'], ['b']), 1000);
  await rig.close();
  await fs.link(rig.path('alice', 'b'), rig.path('alice', 'a'));
  await rig.start();
  const after = rig.client('alice', 'sftp', 'one-session');
  const other = rig.client('alice', 'sftp', 'other-session');
  await expect(other.askAs('fs.rename', move(['a'], ['b']), 1000)).rejects.toMatchObject({ code: 'exists' });
  expect(await after.askAs('fs.rename', move(['a'], ['b']), 1000)).toEqual({ replaced: false });
  expect(await after.names()).toEqual(['b']);
});

test('a commit that was killed between its two names is finished when it is sent again', async () => {
  const rig = await startRig();
  const dropBox = userOf('alice', [mountOf([], ['alice'], ['write'])]);
  const handle = await rig.client(dropBox, 'sftp', 'one-session').open(['f'], newFile);
  await rig.client(dropBox, 'sftp', 'one-session').write(handle, 'whole');
  await rig.close();
  const [part = ''] = (await rig.staged()).filter((name) => name.endsWith('.part'));
  await fs.link(rig.path('.sallyport-staging', part), rig.path('alice', 'f'));
  await rig.start();
  const after = rig.client(dropBox, 'sftp', 'one-session');
  expect(await after.ask('fs.commit', { handle })).toMatchObject({ created: true, attributes: { size: 5 } });
  expect((await fs.stat(rig.path('alice', 'f'))).nlink).toBe(1);
});

test('a tree is deleted with all that is in it, names no client could name included', async () => {
  const rig = await startRig();
  const client = rig.client();
  await fs.mkdir(rig.path('alice', 'd', ...Array.from({ length: 100 }, (_, depth) => `level ${depth}`)), {
    recursive: true,
  });
  for (let index = 0; index < 2000; index += 1) await rig.medium.writeFile(['alice', 'd', `f${index}`], 'x');
  await fs.writeFile(Buffer.concat([Buffer.from(rig.path('alice', 'd', 'bad')), Buffer.from([0xff])]), '');
  await client.ask('fs.remove-folder', { path: ['d'], recursive: true });
  expect(await rig.medium.readdir('alice')).toEqual([]);
  expect(rig.event('file.delete')).toMatchObject({ path: '/d', bytes: 2000 });
});

test('a tree nested more deeply than paths can name is refused, not half deleted for ever', async () => {
  const rig = await startRig();
  const client = rig.client();
  const parts = Array.from({ length: 300 }, () => 'd');
  await rig.medium.mkdir('alice', ...parts);
  await expect(client.ask('fs.remove-folder', { path: ['d'], recursive: true })).rejects.toMatchObject({
    code: 'too-many',
  });
});

onEachStorage('a long delete stops when its session ends', async (start) => {
  const rig = await start();
  const client = rig.client();
  await rig.medium.mkdir('alice', 'd');
  for (let index = 0; index < 3000; index += 1) await rig.medium.writeFile(['alice', 'd', `f${index}`], '');
  const deleting = client.ask('fs.remove-folder', { path: ['d'], recursive: true });
  await client.ask('fs.stat', { path: ['d'], followLinks: false });
  client.end();
  await expect(deleting).rejects.toMatchObject({ code: 'no-session' });
});

onEachStorage('renames of files and folders keep what is there unless told to replace it', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['a'], 'A');
  await client.put(['b'], 'B');
  await client.ask('fs.make-folder', { path: ['d'] });
  await expect(client.ask('fs.rename', move(['a'], ['b']))).rejects.toMatchObject({ code: 'exists' });
  await expect(client.ask('fs.rename', move(['a'], ['d'], true))).rejects.toMatchObject({
    code: 'is-a-folder',
  });
  await expect(client.ask('fs.rename', move(['d'], ['a'], true))).rejects.toMatchObject({
    code: 'not-a-folder',
  });
  await expect(client.ask('fs.rename', move(['d'], ['d', 'inside']))).rejects.toMatchObject({
    code: 'bad-path',
  });
  await expect(client.ask('fs.rename', move(['no'], ['x']))).rejects.toMatchObject({ code: 'not-found' });
  await expect(client.ask('fs.rename', move(['a'], ['no', 'x']))).rejects.toMatchObject({
    code: 'parent-missing',
  });
  expect(await client.ask('fs.rename', move(['a'], ['b'], true))).toEqual({ replaced: true });
  expect(rig.event('file.rename')).toMatchObject({ path: '/a', toPath: '/b', bytes: 1 });
  expect(await client.ask('fs.rename', move(['b'], ['d', 'c']))).toEqual({ replaced: false });
  expect(await client.ask('fs.rename', move(['d'], ['e']))).toEqual({ replaced: false });
  expect(rig.event('file.rename')).not.toHaveProperty('bytes');
  expect(await client.ask('fs.rename', move(['e'], ['e'], true))).toEqual({ replaced: false });
  expect((await client.get(['e', 'c'])).toString()).toBe('A');
});

onEachStorage('of many renames onto one free name one wins', async (start) => {
  const rig = await start();
  const client = rig.client();
  const names = Array.from({ length: 10 }, (_, index) => `f${index}`);
  for (const name of names) await client.put([name], name);
  const settled = await Promise.allSettled(
    names.map((name) => client.ask('fs.rename', move([name], ['one']))),
  );
  expect(settled.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  expect(await client.names()).toHaveLength(10);
});

onEachStorage(
  'mount points and folders that lead to them can not be renamed, deleted or made',
  async (start) => {
    const rig = await start();
    const client = rig.client(
      userOf('alice', [mountOf([], ['alice']), mountOf(['a', 'b'], ['shared']), mountOf(['c'], ['shared2'])]),
    );
    await rig.medium.mkdir('alice', 'a');
    const refused = { code: 'permission-denied' };
    for (const path of [['a'], ['a', 'b'], ['c'], []]) {
      await expect(client.ask('fs.remove-folder', { path, recursive: true })).rejects.toMatchObject(refused);
      await expect(client.ask('fs.rename', move(path, ['x']))).rejects.toMatchObject(refused);
      await expect(client.ask('fs.make-folder', { path })).rejects.toMatchObject({ code: 'exists' });
      await expect(
        client.ask('fs.change', { path, change: { mode: 0o700 }, followLinks: false }),
      ).rejects.toMatchObject(refused);
    }
    await client.put(['f'], 'x');
    await expect(client.ask('fs.rename', move(['f'], ['c'], true))).rejects.toMatchObject({ code: 'exists' });
  },
);

test('times, modes and lengths are changed in place', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['f'], 'abcdef');
  const change = (path: string[], wanted: object) =>
    client.ask('fs.change', { path, change: wanted, followLinks: false });
  await change(['f'], { mtimeMs: 1_500_000_000_123, mode: 0o4600 });
  const stats = await fs.stat(rig.path('alice', 'f'));
  expect([stats.mode & 0o7777, Math.round(stats.mtimeMs)]).toEqual([0o600, 1_500_000_000_123]);
  expect(rig.event('file.attributes')).toMatchObject({
    outcome: 'ok',
    user: 'alice',
    path: '/f',
    detail: 'file, mode 4600, mtime 2017-07-14T02:40:00.123Z',
  });
  const reader = await client.open(['f'], reading);
  await change(['f'], { size: 3 });
  expect((await client.get(['f'])).toString()).toBe('abc');
  expect((await client.read(reader)).toString()).toBe('abc');
  await client.ask('fs.make-folder', { path: ['d'] });
  await change(['d'], { mtimeMs: 0, mode: 0 });
  expect(rig.event('file.attributes')).toMatchObject({
    path: '/d',
    detail: expect.stringMatching(/^folder, /),
  });
  const told = rig.records.length;
  await change(['d'], {});
  expect(rig.records).toHaveLength(told);
  expect((await fs.stat(rig.path('alice', 'd'))).mode & 0o7777).toBe(0o700);
  await expect(change(['d'], { size: 3 })).rejects.toMatchObject({ code: 'is-a-folder' });
});

onEachStorage('files are copied whole, within a storage and to another one', async (start) => {
  const other = await start();
  const two = await start({ second: other.medium });
  const client = two.client(
    userOf('alice', [mountOf([], ['alice']), mountOf(['s'], ['alice'], undefined, { storage: 'second' })]),
  );
  const bytes = randomContent(1_500_000);
  await client.put(['f'], bytes);
  expect(await client.ask('fs.copy', move(['f'], ['g']))).toEqual({ replaced: false });
  expect(await client.ask('fs.copy', move(['f'], ['s', 'g']))).toEqual({ replaced: false });
  for (const path of [['g'], ['s', 'g']]) {
    expect(await client.ask('fs.hash', { path, algorithm: 'sha256' })).toEqual({ hex: sha256(bytes) });
  }
  await expect(client.ask('fs.copy', move(['f'], ['g']))).rejects.toMatchObject({ code: 'exists' });
  expect(await client.ask('fs.copy', move(['f'], ['g'], true))).toEqual({ replaced: true });
  await expect(client.ask('fs.copy', move(['missing'], ['x']))).rejects.toMatchObject({ code: 'not-found' });
  await expect(client.ask('fs.rename', move(['f'], ['s', 'f']))).rejects.toMatchObject({
    code: 'unsupported',
  });
  expect(two.event('file.copy')).toMatchObject({ path: '/f', toPath: '/g', bytes: bytes.length });
});

onEachStorage('ranges are copied from one open file into another', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'hello world');
  const from = await client.open(['f'], reading);
  const to = await client.open(['g'], newFile);
  const copy = (fromOffset: number, lengthBytes: number, toOffset: number) =>
    client.ask('fs.copy-range', { from, fromOffset, lengthBytes, to, toOffset });
  expect(await copy(6, 5, 0)).toEqual({ copiedBytes: 5 });
  expect(await copy(0, 0, 5)).toEqual({ copiedBytes: 11 });
  expect(await copy(8, 100, 16)).toEqual({ copiedBytes: 3 });
  expect(await copy(50, 0, 0)).toEqual({ copiedBytes: 0 });
  await client.ask('fs.commit', { handle: to });
  expect((await client.get(['g'])).toString()).toBe('worldhello worldrld');
  await expect(
    client.ask('fs.copy-range', { from, fromOffset: 0, lengthBytes: 0, to: from, toOffset: 0 }),
  ).rejects.toMatchObject({ code: 'bad-handle' });
});

onEachStorage('names that differ only by Unicode normalisation are one too many', async (start) => {
  const rig = await start();
  const client = rig.client();
  const composed = 'caf\u00e9';
  const decomposed = 'cafe\u0301';
  await client.put([composed], 'x');
  await expect(client.open([decomposed], newFile)).rejects.toMatchObject({ code: 'exists' });
  await expect(client.ask('fs.make-folder', { path: [decomposed] })).rejects.toMatchObject({
    code: 'exists',
  });
  await client.put(['other'], 'y');
  await expect(client.ask('fs.rename', move(['other'], [decomposed]))).rejects.toMatchObject({
    code: 'exists',
  });
  await expect(client.ask('fs.copy', move(['other'], [decomposed]))).rejects.toMatchObject({
    code: 'exists',
  });
  await expect(client.open(['300 \u212a'], newFile)).rejects.toMatchObject({ code: 'exists' });
  // Another spelling of its own name is where a rename may go.
  await client.ask('fs.rename', move([composed], [decomposed]));
  expect(await client.names()).toEqual([decomposed, 'other']);
});

onEachStorage('of two uploads at the same time under two spellings of a name one wins', async (start) => {
  const rig = await start();
  const client = rig.client();
  const settled = await Promise.allSettled([client.put(['\u00fc'], 'x'), client.put(['u\u0308'], 'y')]);
  expect(settled.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  expect(await client.names()).toHaveLength(1);
});

onEachStorage('links are not read, and space is told', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'x');
  await expect(client.ask('fs.read-link', { path: ['f'] })).rejects.toMatchObject({ code: 'unsupported' });
  const usage = await client.ask('fs.usage', { path: [] });
  expect(usage.totalBytes).toBeGreaterThan(usage.freeBytes);
  expect(usage.freeBytes).toBeGreaterThan(0);
});
