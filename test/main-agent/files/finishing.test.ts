import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import { Finishing } from '#main-agent/files/finishing.ts';
import { finishingPerSessionMax } from '#main-agent/files/limits.ts';
import type { Allow } from '#main-agent/users/effective-user.ts';
import { systemClock } from '#shared/clock.ts';
import { type Client, mountOf, newFile, type StorageRig, SettableClock, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const stat = (client: Client, ...path: string[]) => client.ask('fs.stat', { path, followLinks: false });
const change = (client: Client, path: string[], wanted: object) =>
  client.ask('fs.change', { path, change: wanted, followLinks: false });
const rename = (client: Client, from: string[], to: string[], overwrite = false) =>
  client.ask('fs.rename', { from, to, overwrite });
const refused = { code: 'permission-denied' };

function dropper(
  rig: StorageRig,
  allow: Allow[] = ['write'],
  key?: string,
  protocol: 'sftp' | 'https' = 'sftp',
) {
  return rig.client(userOf('alice', [mountOf([], ['box'], allow)]), protocol, key);
}

/** All that a client does to a file after its CLOSE, as one of many of its kind does it. */
async function finish(client: Client, from: string, to: string): Promise<void> {
  expect((await stat(client, from)).size).toBe(7);
  await change(client, [from], { mode: 0o640, mtimeMs: 1_000_000_000_000, atimeMs: 1_000_000_000_000 });
  await change(client, [from], { size: 7, mode: 0o640 });
  expect(await rename(client, [from], [to])).toEqual({ replaced: false });
  await change(client, [to], { mtimeMs: 2_000_000_000_000 });
  expect(await stat(client, to)).toMatchObject({ size: 7, mode: 0o640, mtimeMs: 2_000_000_000_000 });
}

test.each([[['write']], [['list', 'write']], [['list', 'read', 'write', 'mkdir', 'rename']]] as [Allow[]][])(
  'who may [%s] finishes the own upload: looks, sets mode and times, gives it its last name',
  async (allow) => {
    const rig = await startRig();
    const client = dropper(rig, allow);
    await client.put(['a.filepart'], 'dropped');
    await finish(client, 'a.filepart', 'a');
    expect(await rig.medium.readdir('box')).toEqual(['a']);
    expect(rig.event('file.attributes')).toMatchObject({ path: '/a' });
    expect(rig.event('file.rename')).toMatchObject({ path: '/a.filepart', toPath: '/a' });
  },
);

onEachStorage('other sessions of the same user, and pages, finish nothing', async (start) => {
  const rig = await start();
  const client = dropper(rig);
  await client.put(['a'], 'dropped');
  const web = dropper(rig, ['write'], undefined, 'https');
  await web.put(['b'], 'dropped');
  for (const [other, name] of [[dropper(rig), 'a'] as const, [web, 'b'] as const]) {
    await expect(stat(other, name)).rejects.toMatchObject(refused);
    await expect(change(other, [name], { mode: 0o600 })).rejects.toMatchObject(refused);
    await expect(rename(other, [name], ['c'])).rejects.toMatchObject(refused);
  }
});

onEachStorage(
  'a program with several connections sets times through any of them, while the one it sent through is open',
  async (start) => {
    const rig = await start();
    const maker = dropper(rig);
    await maker.put(['a'], 'dropped');
    const other = dropper(rig);
    const times = { mtimeMs: 1_000_000_000_000, atimeMs: 1_000_000_000_000 };
    await change(other, ['a'], times);
    expect(await stat(maker, 'a')).toMatchObject({ mtimeMs: 1_000_000_000_000 });
    await expect(change(other, ['a'], { ...times, mode: 0o600 })).rejects.toMatchObject(refused);
    await expect(change(dropper(rig, ['write'], undefined, 'https'), ['a'], times)).rejects.toMatchObject(
      refused,
    );
    const elsewhere = dropper(rig);
    Object.assign(elsewhere.session, { clientIp: '192.0.2.2' });
    await expect(change(elsewhere, ['a'], times)).rejects.toMatchObject(refused);
    const somebody = rig.client(userOf('bob', [mountOf([], ['box'], ['write'])]));
    await expect(change(somebody, ['a'], times)).rejects.toMatchObject(refused);
    maker.end();
    await expect(change(other, ['a'], times)).rejects.toMatchObject(refused);
  },
);

test('nobody else’s file is seen or changed, whatever it is called and however it came there', async () => {
  const rig = await startRig();
  const client = dropper(rig);
  for (const name of ['a', 'b', 'c']) await client.put([name], 'dropped');
  await rig.medium.writeFile(['box', 'theirs'], 'theirs');
  // Another file takes the name: moved there, written anew, and made where ours was removed, at the same inode maybe.
  await fs.rename(rig.path('box', 'theirs'), rig.path('box', 'a'));
  await dropper(rig, ['write', 'overwrite']).put(['b'], 'written anew');
  await rig.medium.rm('box', 'c');
  await rig.medium.writeFile(['box', 'c'], 'theirs');
  for (const name of ['a', 'b', 'c', 'missing']) {
    await expect(stat(client, name)).rejects.toMatchObject(refused);
    await expect(change(client, [name], { mode: 0o600 })).rejects.toMatchObject(refused);
    await expect(rename(client, [name], ['d'])).rejects.toMatchObject(refused);
  }
  expect((await rig.medium.readdir('box')).sort()).toEqual(['a', 'b', 'c']);
});

onEachStorage(
  'finishing replaces nothing, leaves the folder nowhere, changes no length and removes nothing',
  async (start) => {
    const rig = await start();
    await rig.medium.mkdir('box', 'in');
    const client = dropper(rig);
    await client.put(['a'], 'dropped');
    await client.put(['b'], 'dropped');
    await expect(rename(client, ['a'], ['b'])).rejects.toMatchObject({ code: 'exists' });
    await expect(rename(client, ['a'], ['b'], true)).rejects.toMatchObject(refused);
    await expect(rename(client, ['a'], ['in', 'a'])).rejects.toMatchObject(refused);
    await expect(change(client, ['a'], { size: 3 })).rejects.toMatchObject(refused);
    await expect(client.ask('fs.remove-file', { path: ['a'] })).rejects.toMatchObject(refused);
    await expect(client.open(['a'], newFile)).rejects.toMatchObject(refused);
    expect((await rig.medium.readFile('box', 'a')).toString()).toBe('dropped');
  },
);

onEachStorage('the right ends with its time, and with the right to write', async (start) => {
  const clock = new SettableClock();
  const rig = await start({ clock });
  const client = dropper(rig);
  await client.put(['a'], 'dropped');
  clock.aheadMs += 9 * 60_000;
  await stat(client, 'a');
  clock.aheadMs += 61_000;
  await expect(stat(client, 'a')).rejects.toMatchObject(refused);
  await client.put(['b'], 'dropped');
  client.user = userOf('alice', [mountOf([], ['box'], ['mkdir'])]);
  await expect(stat(client, 'b')).rejects.toMatchObject(refused);
});

onEachStorage(
  'where uploads are direct, a new file is finished as well, and an old one that is written to is not made',
  async (start) => {
    const rig = await start();
    const direct = { uploads: 'direct' as const };
    const client = rig.client(userOf('alice', [mountOf([], ['box'], ['write'], direct)]));
    await client.put(['a.filepart'], 'dropped');
    await finish(client, 'a.filepart', 'a');
    const writer = rig.client(userOf('bob', [mountOf([], ['box'], ['write', 'overwrite'], direct)]));
    await writer.put(['a'], 'x', { ...newFile, truncate: false });
    await expect(stat(writer, 'a')).rejects.toMatchObject(refused);
  },
);

onEachStorage(
  'after main was killed the session finishes what it had stored before, and nobody else does',
  async (start) => {
    const rig = await start();
    const before = dropper(rig, ['write'], 'one-session');
    await before.put(['a.filepart'], 'dropped');
    await before.put(['b.filepart'], 'dropped');
    await rename(before, ['b.filepart'], ['b']);
    await rig.restart();
    const after = dropper(rig, ['write'], 'one-session');
    await after.put(['c'], 'dropped');
    const other = dropper(rig, ['write'], 'other-session');
    await expect(stat(other, 'a.filepart')).rejects.toMatchObject(refused);
    await finish(after, 'a.filepart', 'a');
    await finish(after, 'b', 'b2');
    expect((await rig.medium.readdir('box')).sort()).toEqual(['a', 'b2', 'c']);
  },
);

onEachStorage('a rename that is sent again after a kill is answered as the first one', async (start) => {
  const rig = await start();
  const before = dropper(rig, ['write'], 'one-session');
  await before.put(['a.filepart'], 'dropped');
  const params = { from: ['a.filepart'], to: ['a'], overwrite: false };
  await before.askAs('fs.rename', params, 1000);
  await rig.restart();
  const after = dropper(rig, ['write'], 'one-session');
  expect(await after.askAs('fs.rename', params, 1000)).toEqual({ replaced: false });
});

onEachStorage('a session may finish so many files, the oldest are let go of first', async (start) => {
  const rig = await start();
  const { session } = dropper(rig);
  const none = { storages: [].values() };
  const finishing = new Finishing(none, systemClock, 60_000);
  const storage = await rig.openStorage();
  const at = (index: number) => ({
    mount: mountOf([], ['box'], ['write']),
    storage,
    place: { root: ['box'], path: [`f${index}`] },
  });
  for (let index = 0; index <= finishingPerSessionMax; index += 1)
    await finishing.made(session, at(index), { uploadId: `${index}`, fileId: `${index}` });
  expect(await finishing.find(session, at(0))).toBeUndefined();
  for (const index of [1, finishingPerSessionMax])
    expect(await finishing.find(session, at(index))).toMatchObject({ fileId: `${index}` });
  await storage.close();
});
