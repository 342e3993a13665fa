import { expect } from 'vitest';
import { type Client, exclusive, mountOf, newFile, reading, resume, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const stat = (client: Client, ...path: string[]) => client.ask('fs.stat', { path, followLinks: false });
const change = (client: Client, path: string[], wanted: object) =>
  client.ask('fs.change', { path, change: wanted, followLinks: false });
const entriesOf = async (client: Client, path: string[] = []) => {
  const { handle } = await client.ask('fs.open-folder', { path });
  const { entries } = await client.ask('fs.read-folder', { handle, page: 0 });
  return entries.map(({ name, attributes }) => `${name} ${attributes.size}`).sort();
};

onEachStorage(
  'a session sees its own upload by its name from the first moment: stat, list, bytes; others see the old file, or none',
  async (start) => {
    const rig = await start();
    const writer = rig.client();
    const others = [rig.client(), rig.client('alice', 'https')];
    await writer.put(['old'], 'the old content');
    for (const name of ['new', 'old']) {
      const handle = await writer.open([name], newFile);
      expect(await stat(writer, name)).toMatchObject({ type: 'file', size: 0 });
      await writer.write(handle, '12345');
      expect(await stat(writer, name)).toMatchObject({ size: 5 });
      expect((await writer.get([name])).toString()).toBe('12345');
    }
    expect(await entriesOf(writer)).toEqual(['new 5', 'old 5']);
    for (const other of others) {
      expect(await entriesOf(other)).toEqual(['old 15']);
      expect((await other.get(['old'])).toString()).toBe('the old content');
      await expect(stat(other, 'new')).rejects.toMatchObject({ code: 'not-found' });
      await expect(other.get(['new'])).rejects.toMatchObject({ code: 'not-found' });
    }
  },
);

onEachStorage(
  'mode, times and length set by name are those of the upload, before its close and after',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, '12345');
    await change(client, ['f'], { mode: 0o640, mtimeMs: 7000, atimeMs: 7000 });
    await change(client, ['f'], { size: 3 });
    const wanted = { size: 3, mode: 0o640, mtimeMs: 7000 };
    expect(await stat(client, 'f')).toMatchObject(wanted);
    await client.ask('fs.commit', { handle });
    expect(await stat(client, 'f')).toMatchObject(wanted);
    expect((await rig.medium.readFile('alice', 'f')).toString()).toBe('123');
  },
);

onEachStorage('a listing that is being read while an upload is closed has its name once', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handles = [await client.open(['kept'], newFile), await client.open(['gone'], newFile)];
  for (const handle of handles) await client.write(handle, '12345');
  const folder = await client.ask('fs.open-folder', { path: [] });
  await client.ask('fs.commit', { handle: handles[0] ?? 0 });
  await client.ask('fs.release', { handle: handles[1] ?? 0, keepPartial: false });
  const page = await client.ask('fs.read-folder', { handle: folder.handle, page: 0 });
  expect(page.entries).toMatchObject([{ name: 'kept', attributes: { size: 5 } }]);
});

onEachStorage('a file that is being read by its writer is the same one after the close', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], newFile);
  await client.write(handle, '12345');
  const reader = await client.open(['f'], reading);
  await client.ask('fs.commit', { handle });
  expect((await client.read(reader)).toString()).toBe('12345');
  expect((await client.ask('fs.stat-handle', { handle: reader })).size).toBe(5);
});

onEachStorage('an exclusive create of a name that this session is writing is refused', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.open(['f'], newFile);
  await expect(client.open(['f'], exclusive)).rejects.toMatchObject({ code: 'exists' });
});

onEachStorage(
  'a folder can not be made where this session is writing a file, nor removed from around one',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.ask('fs.make-folder', { path: ['d'] });
    const handle = await client.open(['d', 'f'], newFile);
    const make = { path: ['d', 'f'] };
    await expect(client.ask('fs.make-folder', make)).rejects.toMatchObject({ code: 'exists' });
    const remove = { path: ['d'], recursive: false };
    await expect(client.ask('fs.remove-folder', remove)).rejects.toMatchObject({ code: 'not-empty' });
    await client.ask('fs.release', { handle, keepPartial: false });
    await client.ask('fs.remove-folder', remove);
  },
);

onEachStorage(
  'rights hold for own uploads too: no list without list, no bytes without read',
  async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['write'])]));
    const handle = await client.open(['f'], newFile);
    await client.write(handle, '12345');
    expect(await stat(client, 'f')).toMatchObject({ size: 5 });
    const refused = { code: 'permission-denied' };
    await expect(entriesOf(client)).rejects.toMatchObject(refused);
    await expect(client.get(['f'])).rejects.toMatchObject(refused);
    await expect(stat(client, 'other')).rejects.toMatchObject(refused);
  },
);

onEachStorage('one folder under two mounts is one folder', async (start) => {
  const rig = await start();
  const client = rig.client(userOf('alice', [mountOf(['a'], ['shared']), mountOf(['b'], ['shared', 'in'])]));
  await client.ask('fs.make-folder', { path: ['a', 'in'] });
  const handle = await client.open(['b', 'f'], newFile);
  await client.write(handle, '12345');
  expect(await stat(client, 'a', 'in', 'f')).toMatchObject({ size: 5 });
  expect(await entriesOf(client, ['a', 'in'])).toEqual(['f 5']);
});

onEachStorage(
  'after main was killed a session sees its open uploads as before, and reads on beside them',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    const handle = await before.open(['f'], newFile);
    await before.write(handle, '12345');
    const left = await before.open(['left'], newFile);
    await before.write(left, 'x');
    await before.ask('fs.release', { handle: left, keepPartial: true });
    const reader = await before.open(['f'], reading);
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    // What the session let go of is none of its open uploads.
    expect(await entriesOf(after)).toEqual(['f 5']);
    expect(await stat(after, 'f')).toMatchObject({ size: 5 });
    await after.write(handle, '6', 5);
    expect((await after.read(reader)).toString()).toBe('123456');
    expect(await entriesOf(rig.client('alice', 'sftp', 'another'))).toEqual([]);
    await after.ask('fs.commit', { handle });
    expect(await entriesOf(rig.client('alice', 'sftp', 'another'))).toEqual(['f 6']);
    await rig.restart();
    const last = rig.client('alice', 'sftp', 'one-session');
    expect((await last.read(reader)).toString()).toBe('123456');
  },
);

onEachStorage(
  'an open that is sent again after a kill finds its upload, though its name was asked for first',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    const opened = await before.askAs('fs.open', { path: ['f'], mode: newFile }, 70);
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    await stat(after, 'f');
    const again = await after.askAs('fs.open', { path: ['f'], mode: exclusive }, 70);
    expect(again.handle).toBe(opened.handle);
  },
);

onEachStorage(
  'readers in other sessions have the old bytes, whole, while the file is written anew again and again',
  async (start) => {
    const rig = await start();
    const writer = rig.client();
    const contents = ['a', 'b'].map((letter) => letter.repeat(100_000));
    await writer.put(['f'], contents[0] ?? '');
    const other = rig.client();
    for (let round = 0; round < 10; round += 1) {
      const handle = await writer.open(['f'], newFile);
      for (let at = 0; at < 100_000; at += 25_000) {
        await writer.write(handle, (contents[(round + 1) % 2] ?? '').slice(at, at + 25_000), at);
        expect(await stat(writer, 'f')).toMatchObject({ size: at + 25_000 });
        expect((await other.get(['f'])).toString()).toBe(contents[round % 2]);
        expect(await entriesOf(other)).toEqual(['f 100000']);
      }
      await writer.ask('fs.commit', { handle });
      expect((await other.get(['f'])).toString()).toBe(contents[(round + 1) % 2]);
    }
  },
);

onEachStorage('an upload that is gone on with is seen by its size', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], newFile);
  await client.write(handle, '12345');
  await client.ask('fs.release', { handle, keepPartial: true });
  const again = await client.open(['f'], resume);
  expect(await entriesOf(client)).toEqual(['f 5']);
  await client.ask('fs.release', { handle: again, keepPartial: true });
  expect(await entriesOf(client)).toEqual([]);
  expect(await stat(client, 'f')).toMatchObject({ size: 5 });
});
