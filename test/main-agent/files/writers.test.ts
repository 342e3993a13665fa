import builtinFs, * as fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { expect, onTestFinished, test, vi } from 'vitest';
import { copiesAtOnce, inPlaceDigestBytesMax } from '#main-agent/files/limits.ts';
import { systemClock } from '#shared/clock.ts';
import { type Client, mountOf, newFile, resume, type StorageRig, sha256, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

const kib = 1024;
const appending = { ...resume, append: true };
const shared = (username: string, quotaBytes?: number) =>
  userOf(username, [mountOf([], [username]), mountOf(['s'], ['shared'])], { quotaBytes });

async function text(rig: StorageRig, ...names: string[]): Promise<string> {
  return (await rig.medium.readFile(...names)).toString();
}

async function close(client: Client, handle: number): Promise<void> {
  await client.ask('fs.commit', { handle });
}

onEachStorage(
  'two sessions that write into one file at the same time lose nothing of each other',
  async (start) => {
    const rig = await start();
    const [one, two] = [rig.client(), rig.client()];
    await one.put(['f'], '----------');
    const handles = [await one.open(['f'], resume), await two.open(['f'], resume)] as const;
    await Promise.all([one.write(handles[0], 'AAA', 0), two.write(handles[1], 'BBB', 7)]);
    await close(one, handles[0]);
    await two.write(handles[1], 'C', 5);
    await close(two, handles[1]);
    expect(await text(rig, 'alice', 'f')).toBe('AAA--C-BBB');
  },
);

onEachStorage(
  'two sessions that append a thousand lines each leave two thousand whole lines',
  async (start) => {
    const rig = await start();
    const clients = [rig.client(shared('alice')), rig.client(shared('bob'))];
    await clients[0]?.put(['s', 'log'], '');
    await Promise.all(
      clients.map(async (client, who) => {
        const handle = await client.open(['s', 'log'], appending);
        for (let line = 0; line < 1000; line += 1) await client.write(handle, `${who} ${line}\n`, 7);
        await close(client, handle);
      }),
    );
    const lines = (await text(rig, 'shared', 'log')).trimEnd().split('\n');
    expect(lines).toHaveLength(2000);
    for (const who of [0, 1]) {
      const own = lines.filter((line) => line.startsWith(`${who} `));
      expect(own).toEqual(Array.from({ length: 1000 }, (_, line) => `${who} ${line}`));
    }
  },
);

test('what another program appends to a file stays when a client appends to it', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['log'], 'one\n');
  const handle = await client.open(['log'], appending);
  await fs.appendFile(rig.path('alice', 'log'), 'from the host\n');
  await client.write(handle, 'two\n');
  await close(client, handle);
  expect(await text(rig, 'alice', 'log')).toBe('one\nfrom the host\ntwo\n');
});

onEachStorage(
  'an upload that replaces a file replaces it whole, whatever is written in place meanwhile',
  async (start) => {
    const rig = await start();
    const [one, two] = [rig.client(), rig.client()];
    await one.put(['f'], 'old old old');
    const replacing = await one.open(['f'], newFile);
    const editing = await two.open(['f'], resume);
    await one.write(replacing, 'new');
    await two.write(editing, 'EDIT', 4);
    expect(await text(rig, 'alice', 'f')).toBe('old EDITold');
    await close(one, replacing);
    // To the file that has no name any more.
    await two.write(editing, 'lost', 0);
    await close(two, editing);
    expect(await text(rig, 'alice', 'f')).toBe('new');
  },
);

onEachStorage('what must not exist is not opened in place', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'x');
  await expect(client.open(['f'], { ...resume, create: 'exclusive' })).rejects.toMatchObject({
    code: 'exists',
  });
});

onEachStorage(
  'opening for writing without being allowed to overwrite is refused, and nothing is touched',
  async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', [mountOf([], ['alice'], ['list', 'read', 'write'])]));
    await client.put(['f'], 'x');
    for (const mode of [resume, appending]) {
      await expect(client.open(['f'], mode)).rejects.toMatchObject({ code: 'permission-denied' });
    }
  },
);

onEachStorage('a right to overwrite that is taken away ends what is written in place', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'abc');
  const handle = await client.open(['f'], resume);
  client.user = userOf('alice', [mountOf([], ['alice'], ['list', 'read', 'write'])]);
  await expect(client.write(handle, 'X')).rejects.toMatchObject({ code: 'permission-denied' });
  expect(await text(rig, 'alice', 'f')).toBe('abc');
});

onEachStorage(
  'what a file grows by counts once, however many have it open, and what it shrinks by is free',
  async (start) => {
    const rig = await start();
    const user = userOf('alice', undefined, { quotaBytes: 100 * kib });
    const [one, two] = [rig.client(user), rig.client(user)];
    await one.put(['f'], Buffer.alloc(60 * kib));
    const handles = [await one.open(['f'], resume), await two.open(['f'], appending)] as const;
    await one.write(handles[0], Buffer.alloc(20 * kib), 50 * kib);
    expect(await rig.service.usedBytes('alice')).toBe(70 * kib);
    await two.write(handles[1], Buffer.alloc(30 * kib));
    expect(await rig.service.usedBytes('alice')).toBe(100 * kib);
    await expect(two.write(handles[1], 'x')).rejects.toMatchObject({ code: 'quota-exceeded' });
    await one.ask('fs.change-handle', { handle: handles[0], change: { size: 10 * kib } });
    expect(await rig.service.usedBytes('alice')).toBe(10 * kib);
    await close(one, handles[0]);
    await two.ask('fs.release', { handle: handles[1], keepPartial: true });
    expect(await rig.service.usedBytes('alice')).toBe(10 * kib);
    await one.put(['g'], Buffer.alloc(90 * kib));
  },
);

onEachStorage("in a shared folder a user's quota has what this user added to a file", async (start) => {
  const rig = await start();
  const [alice, bob] = [rig.client(shared('alice', 100 * kib)), rig.client(shared('bob', 100 * kib))];
  await alice.put(['s', 'f'], Buffer.alloc(50 * kib));
  const handle = await bob.open(['s', 'f'], appending);
  await bob.write(handle, Buffer.alloc(80 * kib));
  await expect(bob.write(handle, Buffer.alloc(30 * kib))).rejects.toMatchObject({ code: 'quota-exceeded' });
  await bob.ask('fs.release', { handle, keepPartial: false });
  expect(await rig.service.usedBytes('alice')).toBe(50 * kib);
  expect(await rig.service.usedBytes('bob')).toBe(80 * kib);
});

test('a receipt of an edited file says so, with a digest where it costs little', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['f'], 'hello world');
  const handle = await client.open(['f'], resume);
  await client.write(handle, 'HELLO');
  expect(await client.ask('fs.commit', { handle })).toMatchObject({
    created: false,
    sha256: sha256('HELLO world'),
  });
  expect(rig.event('file.upload')).toMatchObject({
    outcome: 'ok',
    bytes: 11,
    detail: 'edited in place, 5 bytes written, digest made by reading before the commit',
  });
  await fs.truncate(rig.path('alice', 'f'), inPlaceDigestBytesMax);
  const log = await client.open(['f'], appending);
  await client.write(log, 'x');
  expect(await client.ask('fs.commit', { handle: log })).not.toHaveProperty('sha256');
  const receipt = rig.event('file.upload');
  expect(receipt).not.toHaveProperty('sha256');
  expect(receipt?.detail).toBe('edited in place, 1 bytes written, digest not made of more than 16 MiB');
});

onEachStorage('a digest made along the way is not told when somebody else wrote meanwhile', async (start) => {
  const rig = await start();
  const user = userOf('alice', [mountOf([], ['alice'], undefined, { uploads: 'direct' })]);
  const [one, two] = [rig.client(user), rig.client(user)];
  const first = await one.open(['f'], newFile);
  await one.write(first, 'mine');
  const second = await two.open(['f'], resume);
  await two.write(second, 'Y', 0);
  const { sha256: told } = await one.ask('fs.commit', { handle: first });
  expect(told).toBe(sha256('Yine'));
});

onEachStorage('a file that was only opened for writing and closed leaves no record', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'x');
  const told = rig.records.length;
  const handle = await client.open(['f'], resume);
  await client.ask('fs.release', { handle, keepPartial: false });
  expect(rig.records).toHaveLength(told);
});

onEachStorage(
  'a connection that is lost leaves what was written in place, and the record says so',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'abcdef');
    const handle = await client.open(['f'], resume);
    await client.write(handle, 'XY', 2);
    client.end();
    await expect.poll(() => rig.event('file.upload')?.outcome).toBe('cut');
    expect(rig.event('file.upload')?.detail).toBe('no-session, edited in place, 2 bytes written');
    expect(await text(rig, 'alice', 'f')).toBe('abXYef');
  },
);

/** What a cut file was, for an admin. */
async function keptVersions(rig: StorageRig): Promise<string[]> {
  const names = (await rig.staged()).filter((name) => name.endsWith('.old'));
  return Promise.all(names.map((name) => text(rig, '.sallyport-staging', name)));
}

const setSize = (client: Client, size: number) =>
  client.ask('fs.change', { path: ['f'], change: { size }, followLinks: false });

test('a length set by path is set on the file itself, with a receipt, and one that it has already is not', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['f'], 'abcdef');
  await setSize(client, 3);
  expect(await text(rig, 'alice', 'f')).toBe('abc');
  expect(rig.event('file.upload')).toMatchObject({ outcome: 'ok', bytes: 3, sha256: sha256('abc') });
  await setSize(client, 5);
  expect(await text(rig, 'alice', 'f')).toBe('abc\0\0');
  const told = rig.records.length;
  const before = await fs.stat(rig.path('alice', 'f'), { bigint: true });
  await setSize(client, 5);
  expect((await fs.stat(rig.path('alice', 'f'), { bigint: true })).ctimeNs).toBe(before.ctimeNs);
  expect(rig.records).toHaveLength(told);
  await setSize(client, 0);
  const attributes = await rig.client().ask('fs.stat', { path: ['f'], followLinks: false });
  expect([attributes.size, Number(before.ino)]).toEqual([0, (await fs.stat(rig.path('alice', 'f'))).ino]);
  await expect(
    client.ask('fs.change', { path: ['no'], change: { size: 1 }, followLinks: false }),
  ).rejects.toMatchObject({ code: 'not-found' });
});

onEachStorage(
  'a file that was cut in place is kept as it was, unless it is not shorter in the end',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'a long content');
    const rewriting = await client.open(['f'], resume);
    await client.ask('fs.change-handle', { handle: rewriting, change: { size: 0 } });
    expect(await keptVersions(rig)).toEqual(['a long content']);
    await client.write(rewriting, 'as long as ever');
    await close(client, rewriting);
    expect(await rig.staged()).not.toContainEqual(expect.stringMatching(/\.(old|was)$/));
    await setSize(client, 4);
    expect(await keptVersions(rig)).toEqual(['as long as ever']);
    expect(await text(rig, 'alice', 'f')).toBe('as l');
  },
);

onEachStorage(
  'where a quota has no room for what a file was, or nothing is to be kept, it is cut all the same',
  async (start) => {
    const full = await start();
    const user = userOf('alice', undefined, { quotaBytes: 20 });
    await full.client(user).put(['f'], 'a long content');
    await setSize(full.client(user), 1);
    const off = await start({ keepReplaced: false });
    await off.client().put(['f'], 'a long content');
    await setSize(off.client(), 1);
    for (const rig of [full, off]) {
      expect(await keptVersions(rig)).toEqual([]);
      expect(await text(rig, 'alice', 'f')).toBe('a');
    }
  },
);

/** A storage without a service, and an upload of `f` that is open in it. */
async function openUpload(rig: StorageRig) {
  const storage = await rig.openStorage();
  onTestFinished(() => storage.close());
  const place = { root: ['alice'], path: ['f'] };
  const record = {
    user: 'alice',
    session: 's',
    virtualPath: ['f'],
    place,
    startedAtMs: systemClock.now(),
    exclusive: false,
    append: false,
    readable: true,
    operation: 1,
  };
  const first = await storage.beginUpload(place, {
    record: { ...record, id: 'first' },
    choose: () => ({ from: 'empty' }),
    onStartBytes: () => undefined,
  });
  await first.write([Buffer.from('abcdef')], 0);
  const join = async (id: string, more: { append?: boolean; truncate?: boolean } = {}) => {
    const { append = false, truncate = false } = more;
    const joined = await storage.joinUpload('first', { record: { ...record, id, append }, truncate });
    if (joined === undefined) throw new Error('the upload is over');
    return joined;
  };
  const rules = { mayReplace: true, mayCreate: true, keptVersionBytesMax: 0 };
  return { storage, first, join, rules };
}

onEachStorage(
  'an upload that is opened once more is the same file before it is committed and after',
  async (start) => {
    const rig = await start();
    const { storage, first, join, rules } = await openUpload(rig);
    const second = await join('second');
    expect(second.size).toBe(6);
    await second.write([Buffer.from('CD')], 2);
    const third = await join('third', { append: true });
    await third.append([Buffer.from('gh')]);
    expect([first.size, second.size]).toEqual([8, 8]);
    const closed = await join('fourth');
    await closed.commit(rules);
    expect(await rig.medium.readdir('alice')).toEqual([]);
    await first.commit(rules);
    expect(await text(rig, 'alice', 'f')).toBe('abCDefgh');
    await second.write([Buffer.from('X')], 0);
    await second.commit(rules);
    await third.append([Buffer.from('i')]);
    await third.commit(rules);
    expect(await text(rig, 'alice', 'f')).toBe('XbCDefghi');
    expect(
      await storage.joinUpload('first', { record: { ...first.record, id: 'late' }, truncate: false }),
    ).toBeUndefined();
  },
);

onEachStorage('an upload that is opened once more with truncation begins anew', async (start) => {
  const rig = await start();
  const { first, join, rules } = await openUpload(rig);
  const second = await join('second', { truncate: true });
  expect([first.size, second.freedBytes]).toEqual([0, 6]);
  await second.write([Buffer.from('new')], 0);
  await second.commit(rules);
  await first.commit(rules);
  expect(await text(rig, 'alice', 'f')).toBe('new');
});

onEachStorage('an upload that was given up takes nothing more through its other handles', async (start) => {
  const rig = await start();
  const { first, join, rules } = await openUpload(rig);
  const second = await join('second');
  await first.discard();
  for (const act of [() => second.write([Buffer.from('x')], 0), () => second.commit(rules)]) {
    await expect(act()).rejects.toMatchObject({ code: 'changed' });
  }
  await second.discard();
});

onEachStorage('two sessions that begin a log at the same moment write one log', async (start) => {
  const rig = await start();
  const clients = [rig.client(), rig.client()];
  const handles = await Promise.all(clients.map((client) => client.open(['new.log'], appending)));
  for (const [index, client] of clients.entries())
    await client.write(handles[index] ?? 0, `line of ${index}\n`, 0);
  for (const [index, client] of clients.entries()) await close(client, handles[index] ?? 0);
  const lines = (await text(rig, 'alice', 'new.log')).split('\n').sort();
  expect(lines).toEqual(['', 'line of 0', 'line of 1']);
});

test('a file that is replaced keeps its mode whatever the opening says', async () => {
  const rig = await startRig();
  const client = rig.client();
  for (const mode of [0o640, 0o600]) {
    const opened = await client.ask('fs.open', { path: ['f'], mode: newFile, attributes: { mode } });
    await client.write(opened.handle, 'x');
    await close(client, opened.handle);
    expect((await fs.stat(rig.path('alice', 'f'))).mode & 0o777).toBe(0o640);
  }
});

test('S-09: of many files that are cut at the same time so many are copied that threads are left for everybody', async () => {
  const rig = await startRig();
  const client = rig.client();
  const handles: number[] = [];
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
    await client.put([name], Buffer.alloc(64 * kib));
    handles.push(await client.open([name], resume));
  }
  let running = 0;
  let most = 0;
  const { copyFile } = builtinFs;
  const spy = vi.spyOn(builtinFs, 'copyFile').mockImplementation(async (...all) => {
    running += 1;
    most = Math.max(most, running);
    await copyFile(...all).finally(() => {
      running -= 1;
    });
  });
  onTestFinished(() => {
    spy.mockRestore();
    syncBuiltinESMExports();
  });
  syncBuiltinESMExports();
  const cut = { size: 1 };
  await Promise.all(handles.map((handle) => client.ask('fs.change-handle', { handle, change: cut })));
  expect(most).toBe(copiesAtOnce);
  for (const handle of handles) await close(client, handle);
  expect((await rig.staged()).filter((name) => name.endsWith('.old'))).toHaveLength(6);
});
