import { expect } from 'vitest';
import { type Client, mountOf, newFile, resume, type StorageRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const move = (from: string[], to: string[], overwrite = false) => ({ from, to, overwrite });
const remove = (...path: string[]) => ({ path });
const commit = (client: Client, handle: number) => client.ask('fs.commit', { handle });
const textOf = async (rig: StorageRig, ...names: string[]) =>
  (await rig.medium.readFile('alice', ...names)).toString();
const parts = async (rig: StorageRig) => (await rig.staged()).filter((name) => /\.(part|json)/.test(name));

async function begin(client: Client, path: string[], bytes: string): Promise<number> {
  const handle = await client.open(path, newFile);
  await client.write(handle, bytes);
  return handle;
}

onEachStorage('an upload whose name is removed goes on, closes well, and leaves nothing', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await begin(client, ['f'], 'abc');
  await client.ask('fs.remove-file', remove('f'));
  expect(await client.names()).toEqual([]);
  await client.write(handle, 'def', 3);
  expect((await client.ask('fs.stat-handle', { handle })).size).toBe(6);
  await commit(client, handle);
  expect(await client.names()).toEqual([]);
  expect(await parts(rig)).toEqual([]);
  expect(rig.event('file.upload')).toMatchObject({
    outcome: 'failed',
    path: '/f',
    detail: expect.stringContaining('nothing was stored'),
  });
  await expect(client.ask('fs.remove-file', remove('f'))).rejects.toMatchObject({ code: 'not-found' });
});

onEachStorage(
  'a name that is removed is free at once, for others too, and the second upload has it',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'old');
    const first = await begin(client, ['f'], 'first');
    await client.ask('fs.remove-file', remove('f'));
    await expect(rig.client().get(['f'])).rejects.toMatchObject({ code: 'not-found' });
    const second = await begin(client, ['f'], 'second');
    await commit(client, first);
    expect(await rig.medium.readdir('alice')).toEqual([]);
    await commit(client, second);
    expect(await textOf(rig, 'f')).toBe('second');
  },
);

onEachStorage('the bytes of a removed upload count until its close and not longer', async (start) => {
  const rig = await start();
  const client = rig.client(userOf('alice', [mountOf([], ['alice'])], { quotaBytes: 10 }));
  const handle = await begin(client, ['f'], '12345678');
  await client.ask('fs.remove-file', remove('f'));
  const exceeded = { code: 'quota-exceeded' };
  await expect(begin(client, ['g'], '12345')).rejects.toMatchObject(exceeded);
  await commit(client, handle);
  await client.put(['h'], '1234567890');
  expect(await rig.service.usedBytes('alice')).toBe(10);
});

onEachStorage('who may not delete removes the own upload only where no file has the name', async (start) => {
  const rig = await start();
  const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['list', 'write', 'overwrite'])]));
  const fresh = await begin(client, ['fresh'], 'x');
  await client.ask('fs.remove-file', remove('fresh'));
  await commit(client, fresh);
  await client.put(['old'], 'old');
  const replacing = await begin(client, ['old'], 'new');
  const refused = client.ask('fs.remove-file', remove('old'));
  await expect(refused).rejects.toMatchObject({ code: 'permission-denied' });
  await commit(client, replacing);
  expect(await textOf(rig, 'old')).toBe('new');
});

onEachStorage('an upload that is renamed appears under the new name, and there only', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  const handle = await begin(client, ['a'], 'abc');
  expect(await client.ask('fs.rename', move(['a'], ['d', 'b']))).toEqual({ replaced: false });
  expect([await client.names(), await client.names(['d'])]).toEqual([['d'], ['b']]);
  expect(await rig.client().names(['d'])).toEqual([]);
  await client.write(handle, 'def', 3);
  await commit(client, handle);
  expect(await textOf(rig, 'd', 'b')).toBe('abcdef');
  expect(await client.names()).toEqual(['d']);
  expect(rig.event('file.rename')).toMatchObject({ path: '/a', toPath: '/d/b' });
  expect(rig.event('file.upload')).toMatchObject({ outcome: 'ok', path: '/d/b' });
});

onEachStorage(
  'a name that is taken is only replaced by a rename that may, also where it is being written',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['stored'], 'stored');
    const open = await begin(client, ['open'], 'open');
    const handle = await begin(client, ['a'], 'a');
    await client.ask('fs.make-folder', { path: ['d'] });
    const taken = { code: 'exists' };
    for (const to of ['stored', 'open', 'a'])
      await expect(client.ask('fs.rename', move(['a'], [to]))).rejects.toMatchObject(taken);
    await expect(client.ask('fs.rename', move(['stored'], ['open']))).rejects.toMatchObject(taken);
    const folder = client.ask('fs.rename', move(['a'], ['d'], true));
    await expect(folder).rejects.toMatchObject({ code: 'is-a-folder' });
    const nowhere = client.ask('fs.rename', move(['a'], ['no', 'a']));
    await expect(nowhere).rejects.toMatchObject({ code: 'parent-missing' });
    expect(await client.ask('fs.rename', move(['a'], ['open'], true))).toEqual({ replaced: true });
    await commit(client, open);
    expect(await rig.client().names()).toEqual(['d', 'stored']);
    await client.ask('fs.rename', move(['open'], ['stored'], true));
    expect(await textOf(rig, 'stored')).toBe('stored');
    await commit(client, handle);
    expect(await textOf(rig, 'stored')).toBe('a');
    expect(await client.names()).toEqual(['d', 'stored']);
  },
);

onEachStorage(
  'a file that is renamed over an own open upload has the name, and the upload vanishes with its close',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['a'], 'a');
    const handle = await begin(client, ['b'], 'b');
    expect(await client.ask('fs.rename', move(['a'], ['b'], true))).toEqual({ replaced: true });
    await commit(client, handle);
    expect(await textOf(rig, 'b')).toBe('a');
    expect(await client.names()).toEqual(['b']);
  },
);

onEachStorage('a file that is being replaced is renamed, and replaced under its new name', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['a'], 'old');
  const handle = await begin(client, ['a'], 'new');
  await client.ask('fs.rename', move(['a'], ['b']));
  expect((await rig.client().get(['b'])).toString()).toBe('old');
  expect((await client.get(['b'])).toString()).toBe('new');
  await commit(client, handle);
  expect(await textOf(rig, 'b')).toBe('new');
  expect(await client.names()).toEqual(['b']);
});

onEachStorage(
  'renaming the own upload takes the right to write, and to replace where it replaces',
  async (start) => {
    const rig = await start();
    await rig.medium.mkdir('alice');
    await rig.medium.writeFile(['alice', 'theirs'], 'theirs');
    const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['write'])]));
    const handle = await begin(client, ['a'], 'a');
    const refused = client.ask('fs.rename', move(['a'], ['theirs'], true));
    await expect(refused).rejects.toMatchObject({ code: 'permission-denied' });
    await client.ask('fs.rename', move(['a'], ['b']));
    await commit(client, handle);
    expect((await rig.medium.readdir('alice')).sort()).toEqual(['b', 'theirs']);
    expect(await textOf(rig, 'theirs')).toBe('theirs');
  },
);

onEachStorage(
  'uploads into a folder that is renamed go with it, whoever writes, and whoever renames',
  async (start) => {
    const rig = await start();
    const alice = rig.client();
    const other = rig.client('alice', 'https');
    await alice.ask('fs.make-folder', { path: ['d'] });
    await alice.ask('fs.make-folder', { path: ['d', 'in'] });
    const handles = [await begin(alice, ['d', 'f'], 'f'), await begin(alice, ['d', 'in', 'g'], 'g')];
    const theirs = await begin(other, ['d', 'in', 'h'], 'h');
    await alice.ask('fs.rename', move(['d'], ['e']));
    expect(await alice.names(['e', 'in'])).toEqual(['g']);
    for (const handle of handles) await commit(alice, handle);
    await commit(other, theirs);
    expect(await textOf(rig, 'e', 'f')).toBe('f');
    expect((await rig.medium.readdir('alice', 'e', 'in')).sort()).toEqual(['g', 'h']);
  },
);

onEachStorage('a folder can not be replaced while this session writes into it', async (start) => {
  const rig = await start();
  const client = rig.client();
  for (const path of [['a'], ['b']]) await client.ask('fs.make-folder', { path });
  const handle = await begin(client, ['b', 'f'], 'x');
  const refused = client.ask('fs.rename', move(['a'], ['b'], true));
  await expect(refused).rejects.toMatchObject({ code: 'not-empty' });
  await commit(client, handle);
});

onEachStorage(
  'an upload that is opened once more is one file: both write it, the first close shows it',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const first = await begin(client, ['f'], 'abc');
    const second = await client.open(['f'], { ...resume, create: 'never' });
    const third = await client.open(['f'], { ...resume, append: true });
    await client.write(second, 'X', 1);
    await client.write(third, '!', 0);
    await client.write(first, 'd', 3);
    expect((await client.get(['f'])).toString()).toBe('aXcd');
    await commit(client, second);
    expect(await rig.client().names()).toEqual([]);
    await commit(client, first);
    expect(await textOf(rig, 'f')).toBe('aXcd');
    await client.write(third, '!', 0);
    await commit(client, third);
    expect(await textOf(rig, 'f')).toBe('aXcd!');
  },
);

onEachStorage('an upload that is opened once more with truncation begins anew', async (start) => {
  const rig = await start();
  const client = rig.client();
  const first = await begin(client, ['f'], 'abcdef');
  const second = await begin(client, ['f'], 'X');
  await commit(client, second);
  await commit(client, first);
  expect(await textOf(rig, 'f')).toBe('X');
  expect(await client.names()).toEqual(['f']);
});

onEachStorage('what was renamed or removed while it was open stays so when main is killed', async (start) => {
  const rig = await start();
  const before = rig.client('alice', 'sftp', 'one-session');
  await before.ask('fs.make-folder', { path: ['d'] });
  const renamed = await begin(before, ['a'], 'renamed');
  const removed = await begin(before, ['b'], 'removed');
  const below = await begin(before, ['d', 'c'], 'below');
  const changes: (readonly [number, (client: Client, op: number) => Promise<unknown>])[] = [
    [1000, (client, op) => client.askAs('fs.rename', move(['a'], ['a2']), op)],
    [1001, (client, op) => client.askAs('fs.remove-file', remove('b'), op)],
    [1002, (client, op) => client.askAs('fs.rename', move(['d'], ['e']), op)],
  ];
  for (const [op, act] of changes) await act(before, op);
  await rig.restart();
  const after = rig.client('alice', 'sftp', 'one-session');
  for (const [op, act] of changes) await act(after, op);
  expect(await after.names()).toEqual(['a2', 'e']);
  expect(await after.names(['e'])).toEqual(['c']);
  const closes = [renamed, removed, below];
  for (const handle of closes) await after.askAs('fs.commit', { handle }, 2000 + handle);
  await rig.restart();
  const last = rig.client('alice', 'sftp', 'one-session');
  for (const handle of closes) await last.askAs('fs.commit', { handle }, 2000 + handle);
  expect((await rig.medium.readdir('alice')).sort()).toEqual(['a2', 'e']);
  expect(await textOf(rig, 'e', 'c')).toBe('below');
  expect(await parts(rig)).toEqual([]);
});

onEachStorage('two sessions that write one name when main is killed both go on', async (start) => {
  const rig = await start();
  const handles = [];
  for (const key of ['one', 'two']) handles.push(await begin(rig.client('alice', 'sftp', key), ['f'], key));
  await rig.restart();
  for (const [index, key] of ['one', 'two'].entries()) {
    await commit(rig.client('alice', 'sftp', key), handles[index] ?? 0);
    expect(await textOf(rig, 'f')).toBe(key);
  }
});
