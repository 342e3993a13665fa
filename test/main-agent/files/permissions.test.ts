import { expect, test } from 'vitest';
import type { Allow } from '#main-agent/users/effective-user.ts';
import {
  allVerbs,
  type Client,
  exclusive,
  mountOf,
  newFile,
  reading,
  resume,
  type StorageRig,
  startRig,
  userOf,
} from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

/** A client with exactly these verbs on a folder that has `file`, `folder/` and `other`. */
async function clientWith(rig: StorageRig, ...allow: Allow[]): Promise<Client> {
  await rig.medium.mkdir('alice', 'folder');
  await rig.medium.writeFile(['alice', 'file'], 'content');
  await rig.medium.writeFile(['alice', 'other'], 'content');
  return rig.client(userOf('alice', [mountOf([], ['alice'], allow)]));
}

const stat = (path: string[]) => ({ path, followLinks: false });
const rename = (from: string[], to: string[], overwrite = false) => ({ from, to, overwrite });

/** What each verb alone lets a user do: with it and what else it takes, and not with all the others. */
const deeds: [Allow, string, (client: Client) => Promise<unknown>][] = [
  ['list', 'list a folder', (client) => client.ask('fs.list', { path: [], limit: 5, sort: 'name' })],
  ['list', 'open a folder', (client) => client.ask('fs.open-folder', { path: [] })],
  ['list', 'ask what is not served', (client) => client.ask('fs.survey', { path: [] })],
  ['read', 'read a file', (client) => client.open(['file'], reading)],
  ['read', 'hash a file', (client) => client.ask('fs.hash', { path: ['file'], algorithm: 'sha256' })],
  ['read', 'copy a file', (client) => client.ask('fs.copy', rename(['file'], ['copy']))],
  ['read', 'read what is being replaced', (client) => client.open(['file'], { ...resume, read: true })],
  ['write', 'make a file', (client) => client.open(['new'], newFile)],
  ['write', 'make a file exclusively', (client) => client.open(['new'], exclusive)],
  ['write', 'copy to a new name', (client) => client.ask('fs.copy', rename(['file'], ['copy']))],
  ['overwrite', 'replace a file', (client) => client.open(['file'], newFile)],
  ['overwrite', 'append to a file', (client) => client.open(['file'], { ...resume, append: true })],
  ['overwrite', 'rename onto a file', (client) => client.ask('fs.rename', rename(['file'], ['other'], true))],
  [
    'overwrite',
    'set the times of a file',
    (client) => client.ask('fs.change', { path: ['file'], change: { mtimeMs: 0 }, followLinks: false }),
  ],
  [
    'overwrite',
    'cut a file',
    (client) => client.ask('fs.change', { path: ['file'], change: { size: 1 }, followLinks: false }),
  ],
  ['delete', 'delete a file', (client) => client.ask('fs.remove-file', { path: ['file'] })],
  [
    'delete',
    'delete a folder',
    (client) => client.ask('fs.remove-folder', { path: ['folder'], recursive: false }),
  ],
  [
    'delete',
    'delete a tree',
    (client) => client.ask('fs.remove-folder', { path: ['folder'], recursive: true }),
  ],
  ['rename', 'rename', (client) => client.ask('fs.rename', rename(['file'], ['renamed']))],
  ['mkdir', 'make a folder', (client) => client.ask('fs.make-folder', { path: ['made'] })],
];

test.each(deeds)('without %s a user can not %s', async (verb, _deed, act) => {
  const rig = await startRig();
  const without = allVerbs.filter((other) => other !== verb);
  await expect(act(await clientWith(rig, ...without))).rejects.toMatchObject({ code: 'permission-denied' });
  expect((await rig.medium.readdir('alice')).sort()).toEqual(['file', 'folder', 'other']);
  expect((await rig.medium.readFile('alice', 'file')).toString()).toBe('content');
});

test.each(deeds)('with every verb, %s among them, a user can %s', async (_verb, _deed, act) => {
  const rig = await startRig();
  const client = await clientWith(rig, ...allVerbs);
  await expect(act(client)).resolves.toBeDefined();
});

onEachStorage(
  'a mount that allows nothing refuses everything and tells nothing of what is there',
  async (start) => {
    const rig = await start();
    const client = await clientWith(rig);
    for (const [, , act] of deeds)
      await expect(act(client)).rejects.toMatchObject({ code: 'permission-denied' });
    for (const path of [['file'], ['missing']]) {
      await expect(client.ask('fs.stat', stat(path))).rejects.toMatchObject({ code: 'permission-denied' });
      await expect(client.open(path, reading)).rejects.toMatchObject({ code: 'permission-denied' });
      await expect(client.ask('fs.remove-file', { path })).rejects.toMatchObject({
        code: 'permission-denied',
      });
    }
  },
);

onEachStorage(
  'in a drop box a user can put new files and see names, and can not read or replace any',
  async (start) => {
    const rig = await start();
    const client = await clientWith(rig, 'list', 'write');
    await client.put(['mine'], 'dropped');
    expect(await client.names()).toEqual(['file', 'folder', 'mine', 'other']);
    await expect(client.get(['mine'])).rejects.toMatchObject({ code: 'permission-denied' });
    for (const mode of [newFile, resume]) {
      await expect(client.open(['file'], mode)).rejects.toMatchObject({ code: 'permission-denied' });
    }
    expect(await client.ask('fs.stat', stat(['mine']))).toMatchObject({ size: 7 });
  },
);

onEachStorage(
  'two uploads of one name into a drop box: the second does not replace the first',
  async (start) => {
    const rig = await start();
    const client = await clientWith(rig, 'list', 'write');
    const other = rig.client(client.user);
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'upload 0');
    await other.put(['f'], 'upload 1');
    await expect(client.ask('fs.commit', { handle })).rejects.toMatchObject({ code: 'exists' });
    expect((await rig.medium.readFile('alice', 'f')).toString()).toBe('upload 1');
  },
);

onEachStorage(
  'what was allowed when an upload began and is not any more is refused at its commit',
  async (start) => {
    const rig = await start();
    const client = await clientWith(rig, ...allVerbs);
    const fresh = await client.open(['new'], newFile);
    const replacing = await client.open(['file'], newFile);
    client.user = userOf('alice', [mountOf([], ['alice'], ['list', 'read'])]);
    await expect(client.ask('fs.commit', { handle: fresh })).rejects.toMatchObject({
      code: 'permission-denied',
    });
    await expect(client.ask('fs.commit', { handle: replacing })).rejects.toMatchObject({ code: 'exists' });
    expect((await rig.medium.readFile('alice', 'file')).toString()).toBe('content');
  },
);

onEachStorage(
  'a mount taken away or pointed elsewhere refuses the commits of uploads into it',
  async (start) => {
    const rig = await start();
    const client = await clientWith(rig, ...allVerbs);
    const first = await client.open(['new'], newFile);
    const second = await client.open(['new2'], newFile);
    client.user = userOf('alice', [mountOf([], ['elsewhere'])]);
    await expect(client.ask('fs.commit', { handle: first })).rejects.toMatchObject({
      code: 'permission-denied',
    });
    client.user = userOf('alice', []);
    await expect(client.ask('fs.commit', { handle: second })).rejects.toMatchObject({ code: 'not-found' });
  },
);

onEachStorage('moving to another mount needs rename and delete there, and write here', async (start) => {
  const rig = await start();
  const user = (from: Allow[], to: Allow[]) =>
    userOf('alice', [mountOf(['a'], ['alice'], from), mountOf(['b'], ['shared'], to)]);
  await clientWith(rig);
  const move = (from: Allow[], to: Allow[], name = 'file') =>
    rig.client(user(from, to)).ask('fs.rename', rename(['a', name], ['b', name]));
  const refused = { code: 'permission-denied' };
  await expect(move(['rename'], ['write'])).rejects.toMatchObject(refused);
  await expect(move(['delete'], ['write'])).rejects.toMatchObject(refused);
  await expect(move(['rename', 'delete'], ['overwrite', 'rename'])).rejects.toMatchObject(refused);
  await expect(move(['rename', 'delete'], ['write'], 'folder')).rejects.toMatchObject(refused);
  await move(['rename', 'delete'], ['write']);
  await move(['rename', 'delete'], ['write', 'mkdir'], 'folder');
  expect((await rig.medium.readdir('shared')).sort()).toEqual(['file', 'folder']);
});

onEachStorage('what a rule of an admin forbids leaves a record that names the rule', async (start) => {
  const rig = await start();
  const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['list', 'read'])]), 'https');
  for (const refused of [
    client.ask('fs.make-folder', { path: ['new'] }),
    client.ask('fs.rename', { from: ['a'], to: ['b'], overwrite: false }),
  ])
    await expect(refused).rejects.toMatchObject({ code: 'permission-denied' });
  const records = rig.records.filter(({ event }) => event === 'file.refused');
  const facts = { outcome: 'refused', rule: 'permission-denied', user: 'alice' };
  expect(records).toHaveLength(2);
  expect(records).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ ...facts, path: '/new' }),
      expect.objectContaining({ ...facts, path: '/a', toPath: '/b' }),
    ]),
  );
});

onEachStorage(
  'a right that is taken away ends what an open handle may do to the file: cut it, copy into it, read it',
  async (start) => {
    const rig = await start();
    await rig.medium.mkdir('s');
    await rig.medium.writeFile(['s', 'log'], 'theirs');
    await rig.medium.writeFile(['s', 'other'], 'other');
    const client = rig.client(userOf('alice', [mountOf([], ['s'])]));
    const log = await client.open(['log'], { ...resume, read: true });
    const other = await client.open(['other'], reading);
    client.user = userOf('alice', [mountOf([], ['s'], ['list', 'read', 'write'])]);
    const refused = { code: 'permission-denied' };
    await expect(client.ask('fs.change-handle', { handle: log, change: { size: 0 } })).rejects.toMatchObject(
      refused,
    );
    const range = { from: other, to: log, fromOffset: 0, toOffset: 0, lengthBytes: 0 };
    await expect(client.ask('fs.copy-range', range)).rejects.toMatchObject(refused);
    expect((await rig.medium.readFile('s', 'log')).toString()).toBe('theirs');
    client.user = userOf('alice', [mountOf([], ['s'], ['list', 'write', 'overwrite'])]);
    await expect(client.read(log)).rejects.toMatchObject(refused);
    await expect(client.ask('fs.copy-range', range)).rejects.toMatchObject(refused);
    await client.ask('fs.release', { handle: log, keepPartial: false });
    await client.ask('fs.release', { handle: other, keepPartial: false });
  },
);
