import * as fs from 'node:fs/promises';
import { expect, test } from 'vitest';
import { type Client, mountOf, newFile, resume, SettableClock, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

/** As a lost connection leaves it. */
async function breakOff(client: Client, path: string[], bytes: string): Promise<void> {
  const handle = await client.open(path, newFile);
  await client.write(handle, bytes);
  await client.ask('fs.release', { handle, keepPartial: true });
}

/** The size a client that wants to resume is told; `not-found` where there is nothing for it. */
async function sizeOf(client: Client, ...path: string[]): Promise<unknown> {
  return client.ask('fs.stat', { path, followLinks: false }).then(
    ({ size }) => size,
    ({ code }: { code: string }) => code,
  );
}

const remove = (path: string[]) => ({ path, recursive: true });
const move = (from: string[], to: string[], overwrite = false) => ({ from, to, overwrite });
const textOf = (path: string) => fs.readFile(path, 'utf8');

onEachStorage(
  'a broken upload is no file: it is listed, read, renamed, copied and hashed nowhere',
  async (start) => {
    const rig = await start();
    const mounts = [mountOf([], ['shared'])];
    const alice = rig.client(userOf('alice', mounts));
    const handle = await alice.open(['half'], newFile);
    await alice.write(handle, 'half of it');
    alice.end();
    const again = rig.client(userOf('alice', mounts));
    await expect.poll(() => sizeOf(again, 'half')).toBe(10);
    const web = rig.client(userOf('alice', mounts), 'https');
    const bob = rig.client(userOf('bob', mounts));
    for (const client of [again, web, bob]) {
      expect(await client.names()).toEqual([]);
      expect((await client.ask('fs.list', { path: [], limit: 10, sort: 'name' })).entries).toEqual([]);
      const asked = [
        () => client.get(['half']),
        () => client.ask('fs.rename', move(['half'], ['whole'])),
        () => client.ask('fs.copy', move(['half'], ['whole'])),
        () => client.ask('fs.hash', { path: ['half'], algorithm: 'sha256' }),
        () => client.ask('fs.change', { path: ['half'], change: { mtimeMs: 0 }, followLinks: false }),
      ];
      for (const ask of asked) await expect(ask()).rejects.toMatchObject({ code: 'not-found' });
    }
  },
);

test('only its user, only over SFTP, is told how far a broken upload got, and goes on there', async () => {
  const rig = await startRig();
  const mounts = [mountOf([], ['shared'])];
  const alice = rig.client(userOf('alice', mounts));
  await breakOff(alice, ['half'], 'half of it');
  const bob = rig.client(userOf('bob', mounts));
  expect(await sizeOf(rig.client(userOf('alice', mounts)), 'half')).toBe(10);
  expect(await sizeOf(rig.client(userOf('alice', mounts), 'https'), 'half')).toBe('not-found');
  expect(await sizeOf(bob, 'half')).toBe('not-found');
  const theirs = await bob.ask('fs.open', { path: ['half'], mode: resume });
  expect(theirs.attributes.size).toBe(0);
  const opened = await alice.ask('fs.open', { path: ['half'], mode: { ...resume, create: 'never' } });
  expect(opened.attributes.size).toBe(10);
  await alice.write(opened.handle, ' and the rest', 10);
  await alice.ask('fs.commit', { handle: opened.handle });
  expect(await textOf(rig.path('shared', 'half'))).toBe('half of it and the rest');
});

onEachStorage('without the right to write there a broken upload is not seen', async (start) => {
  const rig = await start();
  const alice = rig.client();
  await breakOff(alice, ['half'], 'x');
  expect(await sizeOf(alice, 'half')).toBe(1);
  alice.user = userOf('alice', [mountOf([], ['alice'], ['list', 'read'])]);
  expect(await sizeOf(alice, 'half')).toBe('not-found');
});

onEachStorage(
  'where a replacement broke off everybody has the old file, its user too, in stat, list and bytes',
  async (start) => {
    const rig = await start();
    for (const protocol of ['sftp', 'https'] as const) {
      const client = rig.client('alice', protocol);
      await client.put(['f'], 'the old content');
      await breakOff(client, ['f'], 'the new');
      expect(await sizeOf(client, 'f')).toBe(15);
      const { entries } = await client.ask('fs.list', { path: [], limit: 10, sort: 'name' });
      expect(entries).toMatchObject([{ name: 'f', attributes: { size: 15 } }]);
      expect((await client.get(['f'])).toString()).toBe('the old content');
      expect(await sizeOf(client, 'f')).toBe(15);
      const opened = await client.ask('fs.open', { path: ['f'], mode: resume });
      expect(opened.attributes.size).toBe(15);
      await client.ask('fs.release', { handle: opened.handle, keepPartial: false });
    }
  },
);

onEachStorage(
  'once the old file is removed or renamed away, nothing is left under its name',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    for (const name of ['removed', 'renamed', 'target']) {
      await client.put([name], 'the old content');
      await breakOff(client, [name], 'the new');
    }
    await client.ask('fs.remove-file', { path: ['removed'] });
    await client.ask('fs.rename', move(['renamed'], ['target'], true));
    await client.ask('fs.remove-file', { path: ['target'] });
    await breakOff(client, ['made'], 'x');
    await client.ask('fs.make-folder', { path: ['made'] });
    await client.ask('fs.remove-folder', remove(['made']));
    for (const name of ['removed', 'renamed', 'target', 'made'])
      expect(await sizeOf(client, name)).toBe('not-found');
    expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
  },
);

onEachStorage('a broken upload can be deleted by its user, given up at once, or replaced', async (start) => {
  const rig = await start();
  const client = rig.client();
  await breakOff(client, ['a'], 'x');
  const handle = await client.open(['b'], newFile);
  await client.write(handle, 'x');
  await client.ask('fs.release', { handle, keepPartial: false });
  await breakOff(client, ['c'], 'x');
  expect([await sizeOf(client, 'a'), await sizeOf(client, 'b')]).toEqual([1, 'not-found']);
  await client.ask('fs.remove-file', { path: ['a'] });
  expect(await sizeOf(client, 'a')).toBe('not-found');
  await client.put(['c'], 'done');
  expect(await client.names()).toEqual(['c']);
  expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
});

test('who may write but not delete removes the own broken upload, and no file that has its name', async () => {
  const rig = await startRig();
  const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['list', 'write'])]));
  await breakOff(client, ['a'], 'x');
  await breakOff(client, ['b'], 'x');
  await rig.medium.writeFile(['alice', 'b'], 'theirs');
  await client.ask('fs.remove-file', { path: ['a'] });
  const refused = client.ask('fs.remove-file', { path: ['b'] });
  await expect(refused).rejects.toMatchObject({ code: 'permission-denied' });
  expect(await textOf(rig.path('alice', 'b'))).toBe('theirs');
});

onEachStorage('an empty broken upload leaves nothing', async (start) => {
  const rig = await start();
  const client = rig.client();
  await breakOff(client, ['a'], '');
  expect(await sizeOf(client, 'a')).toBe('not-found');
  expect(await rig.staged()).toEqual([]);
});

onEachStorage('a user keeps 100 broken uploads, the oldest goes first', async (start) => {
  const clock = new SettableClock();
  const rig = await start({ clock });
  const client = rig.client();
  for (let index = 0; index <= 100; index += 1) {
    clock.aheadMs += 1;
    await breakOff(client, [`f${index}`], 'x');
  }
  expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toHaveLength(100);
  expect([await sizeOf(client, 'f0'), await sizeOf(client, 'f1')]).toEqual(['not-found', 1]);
});

onEachStorage(
  'broken uploads expire after their time, at once and not with the next sweep, also across a restart',
  async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    await breakOff(rig.client(), ['f'], 'x');
    clock.aheadMs = 23 * 3_600_000;
    await rig.restart();
    expect(await sizeOf(rig.client(), 'f')).toBe(1);
    clock.aheadMs = 25 * 3_600_000;
    expect(await sizeOf(rig.client(), 'f')).toBe('not-found');
    await rig.restart();
    expect(await sizeOf(rig.client(), 'f')).toBe('not-found');
    expect(await rig.staged()).toEqual([]);
  },
);

onEachStorage(
  'a broken upload goes with its folder, whoever removes, renames or replaces it',
  async (start) => {
    const rig = await start();
    const mounts = [mountOf([], ['shared'])];
    const alice = rig.client(userOf('alice', mounts));
    const bob = rig.client(userOf('bob', mounts));
    const folders = ['removed', 'emptied', 'moved', 'replaced'];
    for (const name of folders) {
      await alice.ask('fs.make-folder', { path: [name] });
      await alice.ask('fs.make-folder', { path: [name, 'in'] });
      await breakOff(alice, [name, 'in', 'f'], 'x');
      await breakOff(alice, [name, 'g'], 'x');
    }
    await bob.ask('fs.remove-folder', remove(['removed']));
    for (const path of [['emptied', 'in'], ['emptied'], ['replaced', 'in']])
      await bob.ask('fs.remove-folder', { path, recursive: false });
    await bob.ask('fs.rename', move(['moved'], ['elsewhere']));
    await bob.ask('fs.make-folder', { path: ['other'] });
    await bob.ask('fs.rename', move(['other'], ['replaced'], true));
    expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
    for (const name of [...folders, 'elsewhere']) {
      await bob.ask('fs.make-folder', { path: [name] }).catch(() => undefined);
      await bob.ask('fs.make-folder', { path: [name, 'in'] }).catch(() => undefined);
      expect(await sizeOf(alice, name, 'in', 'f')).toBe('not-found');
      expect(await sizeOf(alice, name, 'g')).toBe('not-found');
    }
  },
);

test('a folder that another program makes anew, even with the same inode, does not have the broken uploads of the old one', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  await breakOff(client, ['d', 'f'], 'abc');
  const before = await fs.stat(rig.path('alice', 'd'));
  // File systems give a number out again soon; how soon is theirs to say.
  for (let tries = 0; tries < 20; tries += 1) {
    await rig.medium.rm('alice', 'd');
    await rig.medium.mkdir('alice', 'd');
    if ((await fs.stat(rig.path('alice', 'd'))).ino === before.ino) break;
  }
  expect(await sizeOf(client, 'd', 'f')).toBe('not-found');
  const opened = await client.ask('fs.open', { path: ['d', 'f'], mode: resume });
  expect(opened.attributes.size).toBe(0);
});

test('a folder that was moved away has its broken uploads again when it is back', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  const handle = await client.open(['d', 'f'], newFile);
  await client.write(handle, 'abc');
  await fs.rename(rig.path('alice', 'd'), rig.path('alice', 'e'));
  await expect(client.ask('fs.commit', { handle })).rejects.toMatchObject({ code: 'parent-missing' });
  expect(await sizeOf(client, 'e', 'f')).toBe('not-found');
  await fs.rename(rig.path('alice', 'e'), rig.path('alice', 'd'));
  const again = await client.open(['d', 'f'], resume);
  await client.ask('fs.commit', { handle: again });
  expect(await textOf(rig.path('alice', 'd', 'f'))).toBe('abc');
});
