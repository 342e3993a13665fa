import { writeFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  binEntriesPerUserMax,
  binVersionsMax,
  measuredFreshMs,
  sweepIntervalMs,
} from '#main-agent/files/limits.ts';
import { FolderHandle } from '#main-agent/files/storage/local/folder-handle.ts';
import { LocalHidden } from '#main-agent/files/storage/local/local-hidden.ts';
import { LocalStorage } from '#main-agent/files/storage/local/local-storage.ts';
import type { MountBin } from '#main-agent/users/effective-user.ts';
import { breakFiles } from '#test/harness/faulty-files.ts';
import {
  allVerbs,
  type Client,
  codesOf,
  mountOf,
  newFile,
  type Rig,
  type StorageRig,
  SettableClock,
  startRig,
  userOf,
} from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const dayMs = 24 * 3_600_000;
const week: MountBin = { keepMs: 7 * dayMs, isCounted: true, sftp: false };

function keeper(name = 'alice', more: Parameters<typeof userOf>[2] = {}, bin = week) {
  return userOf(name, [mountOf([], [name], allVerbs, { bin })], more);
}

async function entries(client: Client) {
  return (await client.ask('fs.list-bin', { limit: 1000 })).entries;
}

async function paths(client: Client): Promise<string[]> {
  return (await entries(client)).map(({ path }) => path.join('/'));
}

function remove(client: Client, ...path: string[]) {
  return client.ask('fs.remove-file', { path });
}

function removeTree(client: Client, ...path: string[]) {
  return client.ask('fs.remove-folder', { path, recursive: true });
}

function restore(client: Client, id: string | undefined, keepBoth = false) {
  return client.ask('fs.restore-binned', { id: id ?? '', keepBoth });
}

async function contentOf(rig: StorageRig, ...names: string[]): Promise<string> {
  return (await rig.medium.readFile('alice', ...names)).toString();
}

test('what is deleted over HTTPS is in its user’s bin with place, time and end, and comes back as it was', async () => {
  const rig = await startRig();
  const client = rig.client(keeper(), 'https');
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.put(['d', 'plan.txt'], 'the plan');
  const { ino } = await fs.stat(rig.path('alice', 'd', 'plan.txt'));
  const { binned } = await remove(client, 'd', 'plan.txt');
  expect(await client.names(['d'])).toEqual([]);
  const [entry] = await entries(client);
  expect(entry).toMatchObject({
    id: binned,
    path: ['d', 'plan.txt'],
    type: 'file',
    bytes: 8,
    by: 'alice',
    reason: 'deleted',
  });
  expect((entry?.expiresAtMs ?? 0) - (entry?.deletedAtMs ?? 0)).toBe(week.keepMs);
  expect(rig.event('file.delete')).toMatchObject({
    detail: expect.stringContaining('kept in the bin until'),
  });
  expect(await restore(client, binned)).toEqual({ path: ['d', 'plan.txt'] });
  expect((await fs.stat(rig.path('alice', 'd', 'plan.txt'))).ino).toBe(ino);
  expect(await entries(client)).toEqual([]);
  expect(rig.event('file.restore')).toMatchObject({ path: '/d/plan.txt', bytes: 8, user: 'alice' });
});

onEachStorage(
  'a file that an upload, a copy or a rename replaces is kept, on atomic and on direct mounts',
  async (start) => {
    for (const uploads of ['atomic', 'direct'] as const) {
      const rig = await start();
      const user = userOf('alice', [mountOf([], ['alice'], allVerbs, { bin: week, uploads })]);
      const client = rig.client(user, 'https');
      await client.put(['f'], 'first');
      await client.put(['other'], 'other');
      const { binned: first, created } = await client.put(['f'], 'second one');
      expect({ created, isKept: first !== undefined }).toEqual({ created: false, isKept: true });
      const copied = await client.ask('fs.copy', { from: ['other'], to: ['f'], overwrite: true });
      const renamed = await client.ask('fs.rename', { from: ['other'], to: ['f'], overwrite: true });
      expect(await contentOf(rig, 'f')).toBe('other');
      const kept = await entries(client);
      expect(kept.map(({ id, reason, bytes }) => [id, reason, bytes])).toEqual([
        [renamed.binned, 'replaced', 5],
        [copied.binned, 'replaced', 10],
        [first, 'replaced', 5],
      ]);
      await expect(restore(client, first)).rejects.toMatchObject({ code: 'exists' });
      expect(await restore(client, first, true)).toEqual({ path: ['f (restored)'] });
      expect(await restore(client, copied.binned, true)).toEqual({ path: ['f (restored 2)'] });
      expect(await contentOf(rig, 'f (restored)')).toBe('first');
      expect(await contentOf(rig, 'f (restored 2)')).toBe('second one');
    }
  },
);

test('a folder goes whole, in one piece, is added up afterwards, and links in it are neither followed nor lost', async () => {
  const rig = await startRig();
  const client = rig.client(keeper('alice', { quotaBytes: 1000 }), 'https');
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.ask('fs.make-folder', { path: ['d', 'e'] });
  await client.put(['d', 'e', 'f'], 'x'.repeat(100));
  await fs.symlink(rig.path('..', 'outside'), rig.path('alice', 'd', 'e', 'link'));
  const { binned } = await removeTree(client, 'd');
  await expect.poll(() => entries(client)).toMatchObject([{ id: binned, type: 'folder', bytes: 100 }]);
  await expect.poll(() => rig.service.usedBytes('alice')).toBe(100);
  await restore(client, binned);
  expect(await contentOf(rig, 'd', 'e', 'f')).toBe('x'.repeat(100));
  expect(await fs.readlink(rig.path('alice', 'd', 'e', 'link'))).toContain('outside');
  const again = await removeTree(client, 'd');
  expect(await client.ask('fs.empty-bin', { ids: [again.binned ?? ''] })).toEqual({ dropped: 1 });
  await expect.poll(() => rig.medium.readdir('.sallyport-staging', 'bin')).toEqual([]);
  expect(await fs.readdir(rig.path('..', 'outside'))).toEqual(['secret']);
});

onEachStorage(
  'over SFTP, on a mount without a bin and when asked for good, deleted is gone',
  async (start) => {
    const rig = await start();
    const sftp = rig.client(keeper());
    const web = rig.client(keeper(), 'https');
    await sftp.put(['f'], 'x');
    await sftp.put(['f'], 'y');
    expect(await remove(sftp, 'f')).toEqual({});
    await web.put(['g'], 'x');
    expect(await web.ask('fs.remove-file', { path: ['g'], forGood: true })).toEqual({});
    const plain = rig.client('bob', 'https');
    await plain.put(['h'], 'x');
    expect(await remove(plain, 'h')).toEqual({});
    expect(await entries(web)).toEqual([]);
    const both = rig.client(keeper('alice', {}, { ...week, sftp: true }));
    await both.put(['f'], 'x');
    await both.put(['f'], 'y');
    await remove(both, 'f');
    expect(await paths(web)).toEqual(['f', 'f']);
  },
);

onEachStorage(
  'the bin is in no folder and behind no path, also where the mount is the storage’s top',
  async (start) => {
    const rig = await start();
    const user = userOf('alice', [mountOf([], [], allVerbs, { bin: week })]);
    const client = rig.client(user, 'https');
    await client.put(['f'], 'x');
    const { binned = '' } = await remove(client, 'f');
    expect(await client.names()).toEqual([]);
    for (const path of [['.sallyport-staging'], ['.sallyport-staging', 'bin', binned]]) {
      await expect(client.ask('fs.stat', { path, followLinks: false })).rejects.toMatchObject({
        code: 'not-found',
      });
      await expect(client.get(path)).rejects.toMatchObject({ code: 'not-found' });
    }
  },
);

onEachStorage(
  'each user has a bin of their own in a shared folder, and another’s entry can not be named',
  async (start) => {
    const rig = await start();
    const shared = (name: string) => userOf(name, [mountOf([], ['shared'], allVerbs, { bin: week })]);
    const [alice, bob] = [rig.client(shared('alice'), 'https'), rig.client(shared('bob'), 'https')];
    await alice.put(['f'], 'x');
    const { binned } = await remove(bob, 'f');
    expect(await entries(alice)).toEqual([]);
    await expect(restore(alice, binned)).rejects.toMatchObject({ code: 'not-found' });
    expect(await alice.ask('fs.empty-bin', { ids: [binned ?? ''] })).toEqual({ dropped: 0 });
    expect(await alice.ask('fs.empty-bin', {})).toEqual({ dropped: 0 });
    expect(await restore(bob, binned)).toEqual({ path: ['f'] });
  },
);

onEachStorage(
  'restoring is judged by what the user may do now, and where the mount leads now',
  async (start) => {
    const rig = await start();
    const client = rig.client(keeper(), 'https');
    await client.ask('fs.make-folder', { path: ['d'] });
    await client.put(['d', 'f'], 'x');
    await client.put(['g'], 'x');
    const { binned: file } = await remove(client, 'd', 'f');
    const { binned: folder } = await removeTree(client, 'd');
    const { binned: other } = await remove(client, 'g');
    const mount = (allow: typeof allVerbs, root = 'alice') => {
      client.user = userOf('alice', [mountOf([], [root], allow, { bin: week })]);
    };
    mount(['list', 'read', 'delete']);
    await expect(restore(client, other)).rejects.toMatchObject({ code: 'permission-denied' });
    mount(['list', 'write']);
    await expect(restore(client, folder)).rejects.toMatchObject({ code: 'permission-denied' });
    await expect(restore(client, file)).rejects.toMatchObject({ code: 'permission-denied' });
    mount(allVerbs, 'elsewhere');
    await expect(restore(client, other)).rejects.toMatchObject({ code: 'permission-denied' });
    mount(allVerbs);
    // The folder that is gone is made again, and then has its name.
    expect(await restore(client, file)).toEqual({ path: ['d', 'f'] });
    await expect(restore(client, folder)).rejects.toMatchObject({ code: 'exists' });
    expect(await restore(client, folder, true)).toEqual({ path: ['d (restored)'] });
  },
);

onEachStorage(
  'of two that restore one entry at once, one has it and the other finds it gone',
  async (start) => {
    const rig = await start();
    const client = rig.client(keeper(), 'https');
    await client.put(['f'], 'x');
    const { binned } = await remove(client, 'f');
    const settled = await Promise.allSettled([restore(client, binned, true), restore(client, binned, true)]);
    expect(codesOf(settled)).toEqual(['not-found']);
    expect(await client.names()).toEqual(['f']);
  },
);

onEachStorage('a bin outlives main, page by page, newest first', async (start) => {
  const rig = await start();
  const client = rig.client(keeper(), 'https');
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    await client.put([name], name);
    await remove(client, name);
  }
  await rig.restart();
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.ask('fs.list-bin', { limit: 2, ...(cursor !== undefined && { cursor }) });
    expect(page).toMatchObject({ keptEntries: 5, keptBytes: 5 });
    seen.push(...page.entries.map(({ path }) => path.join('/')));
    cursor = page.next;
  } while (cursor !== undefined);
  expect(seen.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e']);
  const times = (await entries(client)).map(({ deletedAtMs }) => deletedAtMs);
  expect(times).toEqual(times.toSorted((a, b) => b - a));
  await expect(client.ask('fs.list-bin', { limit: 2, cursor: 'x' })).rejects.toMatchObject({
    code: 'bad-request',
  });
});

test('when its time is over an entry goes by itself, told in the audit, also after a restart of main', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const clock = new SettableClock();
  const rig = await startRig({ clock });
  const client = rig.client(keeper(), 'https');
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.put(['d', 'in it'], 'x');
  await client.put(['f'], 'old');
  await remove(client, 'f');
  await removeTree(client, 'd');
  clock.aheadMs = week.keepMs / 2;
  await client.put(['young'], 'y');
  await remove(client, 'young');
  await rig.restart();
  clock.aheadMs = week.keepMs + 1000;
  vi.advanceTimersByTime(sweepIntervalMs);
  await expect.poll(() => paths(client)).toEqual(['young']);
  await expect
    .poll(() => rig.event('file.purge'))
    .toMatchObject({ user: 'alice', actor: 'system', detail: expect.stringContaining('2 entries, ') });
  const ids = (await entries(client)).flatMap(({ id }) => [id, `${id}.json`]);
  await expect.poll(async () => (await inBin(rig)).toSorted()).toEqual(ids.toSorted());
});

function binFolder(rig: Rig, ...mount: string[]): string {
  return rig.path(...mount, '.sallyport-staging', 'bin');
}

function inBin(rig: StorageRig): Promise<string[]> {
  return rig.medium.readdir('.sallyport-staging', 'bin');
}

onEachStorage(
  'what is kept counts to the quota, emptying makes room, and restoring needs none',
  async (start) => {
    const rig = await start();
    const client = rig.client(keeper('alice', { quotaBytes: 100 }), 'https');
    await client.put(['f'], 'x'.repeat(90));
    const { binned } = await remove(client, 'f');
    await expect(client.put(['g'], 'x'.repeat(11))).rejects.toMatchObject({ code: 'quota-exceeded' });
    await client.put(['g'], 'x'.repeat(10));
    await restore(client, binned);
    expect(await rig.service.usedBytes('alice')).toBe(100);
    await remove(client, 'f');
    expect(await rig.service.usedBytes('alice')).toBe(100);
    await client.ask('fs.empty-bin', {});
    await client.put(['h'], 'x'.repeat(90));
  },
);

onEachStorage(
  'a bin that is free of the quota holds a quota’s worth, the oldest goes first, and restoring needs room',
  async (start) => {
    const rig = await start();
    const client = rig.client(keeper('alice', { quotaBytes: 100 }, { ...week, isCounted: false }), 'https');
    for (const name of ['a', 'b', 'c']) {
      await client.put([name], name.repeat(60));
      await remove(client, name);
    }
    expect(await paths(client)).toEqual(['c']);
    expect(rig.event('file.purge')).toMatchObject({ detail: expect.stringContaining('/b') });
    await client.ask('fs.make-folder', { path: ['d'] });
    await client.put(['d', 'e'], 'e'.repeat(60));
    await removeTree(client, 'd');
    await expect.poll(() => paths(client)).toEqual(['d']);
    await client.put(['f'], 'f'.repeat(90));
    const [folder] = await entries(client);
    await expect(restore(client, folder?.id)).rejects.toMatchObject({ code: 'quota-exceeded' });
    expect(await paths(client)).toEqual(['d']);
    expect(await rig.service.usedBytes('alice')).toBe(90);
  },
);

test('of one user only so many entries are kept, the newest', async () => {
  const clock = new SettableClock();
  const rig = await startRig({ clock });
  const client = rig.client(keeper(), 'https');
  await client.put(['f'], 'x');
  await remove(client, 'f');
  await rig.close();
  const [note = ''] = (await inBin(rig)).filter((name) => name.endsWith('.json'));
  const facts = JSON.parse(await fs.readFile(`${binFolder(rig)}/${note}`, 'utf8')) as object;
  for (let index = 0; index < binEntriesPerUserMax - 1; index += 1) {
    const id = String(index).padStart(22, 'A');
    const copy = { ...facts, id, atMs: Date.now() - 60_000 + index, operation: 1000 + index };
    writeFileSync(`${binFolder(rig)}/${id}.json`, JSON.stringify(copy));
    writeFileSync(`${binFolder(rig)}/${id}`, '');
  }
  await rig.start();
  const kept = () => client.ask('fs.list-bin', { limit: 1 }).then(({ keptEntries }) => keptEntries);
  expect(await kept()).toBe(binEntriesPerUserMax);
  clock.aheadMs = 1000;
  await client.put(['g'], 'x');
  await remove(client, 'g');
  expect(await kept()).toBe(binEntriesPerUserMax);
  expect((await client.ask('fs.list-bin', { limit: 2 })).entries.map(({ path }) => path[0])).toEqual([
    'g',
    'f',
  ]);
});

onEachStorage(
  'a new holder of the name sees, restores and is charged nothing of it; an admin finds it',
  async (start) => {
    const rig = await start();
    const client = rig.client(keeper('alice', { quotaBytes: 100 }), 'https');
    await client.put(['f'], 'x'.repeat(90));
    const { binned = '' } = await remove(client, 'f');
    rig.formerUntilMs.set('alice', rig.clock.now());
    expect(await client.ask('fs.list-bin', { limit: 10 })).toEqual({
      entries: [],
      keptBytes: 0,
      keptEntries: 0,
    });
    await expect(restore(client, binned)).rejects.toMatchObject({ code: 'not-found' });
    expect(await client.ask('fs.empty-bin', {})).toEqual({ dropped: 0 });
    expect(await rig.service.usedBytes('alice')).toBe(0);
    const { bins } = rig.service;
    expect(bins.owners()).toEqual(['alice']);
    expect(bins.list('alice')).toMatchObject([{ id: binned, path: '/f', isFormer: true, storage: 'local' }]);
    const why = { actor: 'socket:eva', reason: 'asked for' };
    expect(await bins.restore('alice', binned, { ...why, keepBoth: false })).toBe('/f');
    expect(rig.event('file.restore')).toMatchObject({ user: 'alice', actor: 'socket:eva' });
    await remove(client, 'f');
    expect(await bins.empty('alice', undefined, why)).toBe(1);
    expect(bins.list('alice')).toEqual([]);
  },
);

test('where a mount has a file system of its own its bin lies there, and is found after a restart', async () => {
  const isOther = async (handle: FolderHandle): Promise<boolean> =>
    (await fs.readlink(handle.path)).includes('/other');
  // oxlint-disable-next-line typescript/unbound-method -- called with its own handle
  const { stat } = FolderHandle.prototype;
  vi.spyOn(FolderHandle.prototype, 'stat').mockImplementation(async function (this: FolderHandle) {
    const stats = await stat.call(this);
    if (await isOther(this)) stats.dev += 1000n;
    return stats;
  });
  onTestFinished(() => void vi.restoreAllMocks());
  const rig = await startRig();
  const user = userOf('alice', [mountOf([], ['other', 'alice'], allVerbs, { bin: week })]);
  const client = rig.client(user, 'https');
  await client.put(['f'], 'x');
  const { binned = '' } = await remove(client, 'f');
  expect(await fs.readdir(binFolder(rig, 'other', 'alice'))).toContain(binned);
  await rig.restart();
  expect(await paths(client)).toEqual(['f']);
  await restore(client, binned);
  expect(await client.names()).toEqual(['f']);
});

onEachStorage(
  'a removal or replacement that is sent again after main was killed is told as what it was',
  async (start) => {
    const rig = await start();
    const client = () => rig.client(keeper(), 'https', 'one-session');
    for (const name of ['a', 'b', 'c', 'd', 'e']) await client().put([name], name);
    await client().ask('fs.make-folder', { path: ['x'] });
    const sent = [
      () => client().askAs('fs.remove-file', { path: ['a'] }, 900),
      () => client().askAs('fs.remove-folder', { path: ['x'], recursive: true }, 901),
      () => client().askAs('fs.rename', { from: ['b'], to: ['c'], overwrite: true }, 902),
      () => client().askAs('fs.copy', { from: ['d'], to: ['e'], overwrite: true }, 903),
    ];
    const first = [];
    for (const send of sent) first.push((await send()).binned);
    await rig.restart();
    const again = [];
    for (const send of sent) again.push((await send()).binned);
    expect(again).toEqual(first);
    expect(new Set(again).size).toBe(4);
    expect(await entries(client())).toHaveLength(4);
  },
);

test('what is written to a file after it went to the bin counts while it is open and afterwards', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const clock = new SettableClock();
  const rig = await startRig({ clock });
  const user = keeper('alice', { quotaBytes: 100 });
  const [sftp, web] = [rig.client(user), rig.client(user, 'https')];
  await sftp.put(['log'], 'x'.repeat(10));
  const handle = await sftp.open(['log'], { ...newFile, truncate: false });
  await remove(web, 'log');
  await sftp.write(handle, 'y'.repeat(80), 10);
  // Measured anew, when it is in no folder any more.
  const measured = vi.spyOn(LocalStorage.prototype, 'measure');
  onTestFinished(() => measured.mockRestore());
  clock.aheadMs = measuredFreshMs.most + 1;
  await rig.service.usedBytes('alice');
  await expect.poll(() => measured.mock.settledResults.map(({ type }) => type)).toEqual(['fulfilled']);
  expect(await rig.service.usedBytes('alice')).toBe(90);
  await expect(sftp.write(handle, 'z'.repeat(20), 90)).rejects.toMatchObject({ code: 'quota-exceeded' });
  await sftp.ask('fs.release', { handle, keepPartial: false });
  vi.advanceTimersByTime(sweepIntervalMs);
  await expect.poll(() => entries(web)).toMatchObject([{ bytes: 90 }]);
  await expect(web.put(['g'], 'x'.repeat(11))).rejects.toMatchObject({ code: 'quota-exceeded' });
  const [entry] = await entries(web);
  await restore(web, entry?.id);
  expect(await contentOf(rig, 'log')).toBe('x'.repeat(10) + 'y'.repeat(80));
});

onEachStorage(
  'a file that is saved again and again has its last versions in the bin and leaves room for other things',
  async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    const client = rig.client(keeper(), 'https');
    await client.put(['first'], 'x');
    await remove(client, 'first');
    for (let save = 0; save < binVersionsMax + 3; save += 1) {
      clock.aheadMs += 1000;
      await client.put(['f'], `version ${save}`);
    }
    const kept = await entries(client);
    expect(kept.map(({ path }) => path[0])).toEqual([...Array<string>(binVersionsMax).fill('f'), 'first']);
    await restore(client, kept[binVersionsMax - 1]?.id, true);
    expect(await contentOf(rig, 'f (restored)')).toBe('version 2');
  },
);

onEachStorage(
  'a version that is put back while a newer save would push it out does not hold up the two',
  async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    const client = rig.client(keeper(), 'https');
    for (let save = 0; save <= binVersionsMax; save += 1) {
      clock.aheadMs += 1000;
      await client.put(['f'], `version ${save}`);
    }
    await client.put(['g'], 'next');
    for (let round = 0; round < 5; round += 1) {
      clock.aheadMs += 1000;
      const oldest = (await entries(client)).at(-1);
      const settled = await Promise.allSettled([
        client.ask('fs.copy', { from: ['g'], to: ['f'], overwrite: true }),
        restore(client, oldest?.id, true),
      ]);
      expect(settled[0]?.status).toBe('fulfilled');
      expect(codesOf(settled).every((code) => code === 'not-found')).toBe(true);
      expect((await entries(client)).length).toBeLessThanOrEqual(binVersionsMax);
    }
  },
);

onEachStorage('nothing is put back below a file that has the name of its folder by now', async (start) => {
  const rig = await start();
  const client = rig.client(keeper(), 'https');
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.put(['d', 'f'], 'x');
  const { binned } = await remove(client, 'd', 'f');
  await client.ask('fs.remove-folder', { path: ['d'], recursive: false });
  await client.put(['d'], 'a file');
  await expect(restore(client, binned, true)).rejects.toMatchObject({ code: 'not-a-folder' });
  expect(await paths(client)).toEqual(['d/f']);
});

test('where a full disk leaves no room for the note, nothing is deleted unless it is deleted for good', async () => {
  const rig = await startRig();
  const client = rig.client(keeper(), 'https');
  await client.put(['f'], 'x');
  const full = vi
    .spyOn(LocalHidden.prototype, 'replace')
    .mockRejectedValue(Object.assign(new Error('ENOSPC: played'), { code: 'ENOSPC' }));
  onTestFinished(() => full.mockRestore());
  await expect(remove(client, 'f')).rejects.toMatchObject({ code: 'no-space' });
  await expect(client.put(['f'], 'y')).rejects.toMatchObject({ code: 'no-space' });
  expect(await contentOf(rig, 'f')).toBe('x');
  await client.ask('fs.remove-file', { path: ['f'], forGood: true });
  expect(await client.names()).toEqual([]);
});

test('folders however deep and names that are no text go off the disk when they are dropped', async () => {
  const rig = await startRig();
  const client = rig.client(keeper(), 'https');
  await client.ask('fs.make-folder', { path: ['d'] });
  let deep = rig.path('alice', 'd');
  for (let depth = 0; depth < 300; depth += 1) deep = `${deep}/e`;
  await fs.mkdir(deep, { recursive: true });
  await fs.writeFile(`${deep}/f`, 'x');
  await fs.writeFile(Buffer.from(`${rig.path('alice', 'd')}/\xff`, 'latin1'), 'x');
  await fs.symlink(rig.path('..', 'outside'), rig.path('alice', 'd', 'link'));
  await removeTree(client, 'd');
  expect(await client.ask('fs.empty-bin', {})).toEqual({ dropped: 1 });
  await expect.poll(() => inBin(rig)).toEqual([]);
  expect(await fs.readdir(rig.path('..', 'outside'))).toEqual(['secret']);
});

/** Everything that was ever put under `f` and is still somewhere: in the folder, and in the bin. */
async function whereabouts(rig: Rig, client: Client): Promise<string[]> {
  const found: string[] = [];
  for (const name of await rig.medium.readdir('alice')) {
    const content = await rig.medium.readFile('alice', name).catch(() => undefined);
    found.push(content?.toString() ?? `${name}: ${(await rig.medium.readdir('alice', name)).join()}`);
  }
  for (const { id, type } of await entries(client)) {
    if (type === 'file') found.push(await fs.readFile(`${binFolder(rig)}/${id}`, 'utf8'));
    else found.push(`d: ${(await fs.readdir(`${binFolder(rig)}/${id}`)).join()}`);
  }
  return found.toSorted();
}

test('a crash at any step of deleting, replacing, restoring and emptying loses nothing and doubles nothing', async () => {
  const acts: Readonly<Record<string, (client: Client) => Promise<unknown>>> = {
    delete: (client) => remove(client, 'f'),
    'delete a folder': (client) => removeTree(client, 'd'),
    replace: (client) => client.ask('fs.copy', { from: ['g'], to: ['f'], overwrite: true }),
    'rename onto': (client) => client.ask('fs.rename', { from: ['g'], to: ['f'], overwrite: true }),
    restore: async (client) => restore(client, (await entries(client))[0]?.id),
    'restore beside': async (client) => restore(client, (await entries(client))[0]?.id, true),
  };
  for (const [what, act] of Object.entries(acts)) {
    for (let step = 1; ; step += 1) {
      expect(step, what).toBeLessThan(30);
      const rig = await startRig();
      const client = rig.client(keeper(), 'https');
      await client.ask('fs.make-folder', { path: ['d'] });
      await client.put(['d', 'in it'], 'x');
      await client.put(['f'], 'binned');
      await remove(client, 'f');
      if (what !== 'restore') await client.put(['f'], 'the file');
      await client.put(['g'], 'other');
      const before = await whereabouts(rig, client);
      const faulty = breakFiles({ at: step, how: 'fails' });
      const [settled] = await Promise.allSettled([act(client)]);
      faulty.restore();
      await rig.restart();
      const after = await whereabouts(rig, client);
      const copied = what === 'replace' ? [...before, 'other'].toSorted() : before;
      const allowed = [before.join('|'), copied.join('|')];
      expect(allowed, `${what}, step ${step}`).toContain(after.join('|'));
      await rig.close();
      if (settled?.status === 'fulfilled' && faulty.steps < step) break;
    }
  }
});
