import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commitNotesMax, committedMs } from '#main-agent/files/limits.ts';
import { CommitNotes } from '#main-agent/files/storage/book/commit-notes.ts';
import { requestsPerSessionMax } from '#shared/link/limits.ts';
import {
  codesOf,
  exclusive,
  mountOf,
  newFile,
  randomContent,
  reading,
  resume,
  type StorageRig,
  SettableClock,
  sha256,
  startRig,
  userOf,
} from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

async function text(rig: StorageRig, ...names: string[]): Promise<string> {
  return (await rig.medium.readFile(...names)).toString();
}

onEachStorage(
  'a file put is there as it was sent, with its digest in the answer and in the audit',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const bytes = randomContent(3_000_001);
    const result = await client.put(['big.bin'], bytes);
    expect(result).toMatchObject({
      created: true,
      sha256: sha256(bytes),
      attributes: { size: bytes.length },
    });
    expect(bytes.equals(await rig.medium.readFile('alice', 'big.bin'))).toBe(true);
    expect(bytes.equals(await client.get(['big.bin']))).toBe(true);
    expect(rig.event('file.upload')).toMatchObject({
      outcome: 'ok',
      user: 'alice',
      path: '/big.bin',
      bytes: bytes.length,
      sha256: sha256(bytes),
      detail: 'new file, digest made while streaming',
    });
    expect(rig.event('file.download')).toMatchObject({ path: '/big.bin', bytes: bytes.length });
  },
);

onEachStorage(
  'until the commit nobody sees the new bytes, afterwards everybody does, and nothing is left behind',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'old');
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'brand new');
    expect(await text(rig, 'alice', 'f')).toBe('old');
    const other = rig.client();
    expect((await other.get(['f'])).toString()).toBe('old');
    expect(await other.names()).toEqual(['f']);
    const result = await client.ask('fs.commit', { handle });
    expect(result.created).toBe(false);
    expect(await text(rig, 'alice', 'f')).toBe('brand new');
    expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
  },
);

onEachStorage('a reader that has the old file open reads the old file to its end', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'the old content');
  const old = await client.open(['f'], reading);
  await client.put(['f'], 'NEW');
  expect((await client.read(old)).toString()).toBe('the old content');
});

onEachStorage(
  'readers see the old or the new file and never half of one while it is replaced again and again',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const contents = ['a', 'b'].map((letter) => letter.repeat(300_000));
    await client.put(['f'], contents[0] ?? '');
    const done = new AbortController();
    const writing = (async () => {
      for (let round = 0; round < 20; round += 1) await client.put(['f'], contents[round % 2] ?? '');
      done.abort();
    })();
    while (!done.signal.aborted) expect(contents).toContain(await text(rig, 'alice', 'f'));
    await writing;
  },
);

onEachStorage('an upload that is killed leaves the old file, and is resumed where it was', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'old');
  const handle = await client.open(['new'], newFile);
  await client.write(handle, 'first half, ');
  const replacing = await client.open(['f'], newFile);
  await client.write(replacing, 'gone');
  await rig.restart();
  expect(await text(rig, 'alice', 'f')).toBe('old');
  const again = rig.client();
  expect(await again.ask('fs.stat', { path: ['new'], followLinks: false })).toMatchObject({ size: 12 });
  const opened = await again.ask('fs.open', { path: ['new'], mode: resume });
  expect(opened).toMatchObject({ created: true, attributes: { size: 12 } });
  await again.write(opened.handle, 'second half', 12);
  const result = await again.ask('fs.commit', { handle: opened.handle });
  expect(result.sha256).toBe(sha256('first half, second half'));
  expect(rig.event('file.upload')?.detail).toContain('reading before the commit');
  expect(await text(rig, 'alice', 'new')).toBe('first half, second half');
});

test('kill -9 in the middle of uploads: the old file is whole, acknowledged bytes are there, the handle lives on', async () => {
  const rig = await startRig();
  await rig.client().put(['old'], 'the old content');
  await rig.close();
  const program = fileURLToPath(new URL('uploader.ts', import.meta.url));
  const main = spawn(process.execPath, [program, rig.base], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(main.stdout, 'data');
  main.kill('SIGKILL');
  await once(main, 'close');
  expect(await text(rig, 'alice', 'old')).toBe('the old content');
  expect(await rig.medium.readdir('alice')).toEqual(['old']);
  await rig.start();
  const client = rig.client('alice', 'sftp', 'one-session');
  const opened = await client.askAs('fs.open', { path: ['new'], mode: newFile }, 7);
  expect(opened).toMatchObject({ handle: Number(said), attributes: { size: 12 } });
  await client.write(opened.handle, ' and more', 12);
  await client.ask('fs.commit', { handle: opened.handle });
  expect(await text(rig, 'alice', 'new')).toBe('acknowledged and more');
  expect(await client.names()).toEqual(['last name', 'new', 'old']);
  expect((await client.get(['last name'])).toString()).toBe('renamed');
});

onEachStorage(
  'a session goes on with its own handle after main was killed, as if nothing had happened',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    const { handle } = await before.askAs('fs.open', { path: ['f'], mode: newFile }, 7);
    await before.write(handle, 'abc');
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    const resent = await after.askAs('fs.open', { path: ['f'], mode: newFile }, 7);
    expect(resent).toMatchObject({ handle, created: true, attributes: { size: 3 } });
    await Promise.all([after.write(handle, 'def', 3), after.ask('fs.stat-handle', { handle })]);
    await after.ask('fs.commit', { handle });
    expect(await text(rig, 'alice', 'f')).toBe('abcdef');
  },
);

onEachStorage("another session can not go on with a killed session's handle", async (start) => {
  const rig = await start();
  const before = rig.client('alice', 'sftp', 'one-session');
  const handle = await before.open(['f'], newFile);
  await before.write(handle, 'abc');
  await rig.restart();
  const other = rig.client('alice', 'sftp', 'other-session');
  await expect(other.ask('fs.commit', { handle })).rejects.toMatchObject({ code: 'bad-handle' });
  await expect(other.write(handle, 'x')).rejects.toMatchObject({ code: 'bad-handle' });
});

onEachStorage(
  'a commit whose answer was lost with its process is answered by the next one',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    const handle = await before.open(['f'], newFile);
    await before.write(handle, 'abc');
    const first = await before.askAs('fs.commit', { handle }, 99);
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    const again = await after.askAs('fs.commit', { handle }, 99);
    expect(again).toMatchObject({ created: true, attributes: first.attributes });
    await rig.client('alice', 'sftp', 'other').put(['f'], 'somebody else');
    await rig.restart();
    await expect(after.askAs('fs.commit', { handle }, 99)).rejects.toMatchObject({ code: 'bad-handle' });
  },
);

onEachStorage(
  'S-09: the notes of commits are bounded, and those that may be asked for again are among them',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    const other = rig.client('alice', 'sftp', 'other-session');
    const otherHandle = await other.open(['other'], newFile);
    await other.askAs('fs.commit', { handle: otherHandle }, 99);
    const handles: number[] = [];
    for (let index = 0; index < requestsPerSessionMax + 40; index += 1) {
      const handle = await before.open([`f${index}`], newFile);
      await before.askAs('fs.commit', { handle }, 1_000_000 + index);
      handles.push(handle);
    }
    const notes = async (): Promise<number> =>
      (await rig.staged()).filter((name) => name.endsWith('.done')).length;
    await expect.poll(notes).toBe(requestsPerSessionMax + 1);
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    for (const [index, handle] of handles.entries()) {
      if (index < 40) continue;
      const again = await after.askAs('fs.commit', { handle }, 1_000_000 + index);
      expect(again.created).toBe(true);
    }
    const otherAfter = rig.client('alice', 'sftp', 'other-session');
    expect((await otherAfter.askAs('fs.commit', { handle: otherHandle }, 99)).created).toBe(true);
  },
);

test('S-09: notes of commits of many sessions are bounded, too, and by age', () => {
  const clock = new SettableClock();
  const notes = new CommitNotes(clock);
  let gone: readonly string[] = [];
  for (let index = 0; index < commitNotesMax; index += 1) gone = notes.add(`id${index}`, `session${index}`);
  expect(gone).toEqual([]);
  expect(notes.add('one-more', 'session-a')).toEqual(['id0']);
  clock.aheadMs += committedMs + 1_000;
  expect(notes.add('later', 'session-b')).toHaveLength(commitNotesMax);
  expect(notes.add('last', 'session-c')).toEqual([]);
});

onEachStorage('of 20 exclusive creates of one name at the same time one wins', async (start) => {
  const rig = await start();
  const clients = Array.from({ length: 20 }, () => rig.client());
  const settled = await Promise.allSettled(
    clients.map((client, index) => client.put(['lock'], `winner ${index}`, exclusive)),
  );
  const won = settled.flatMap((one, index) => (one.status === 'fulfilled' ? [index] : []));
  expect(won).toHaveLength(1);
  expect(await text(rig, 'alice', 'lock')).toBe(`winner ${won[0]}`);
  expect(new Set(codesOf(settled))).toEqual(new Set(['exists']));
});

onEachStorage('an exclusive upload does not replace a file that appeared meanwhile', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], exclusive);
  await client.write(handle, 'mine');
  await rig.medium.writeFile(['alice', 'f'], 'theirs');
  await expect(client.ask('fs.commit', { handle })).rejects.toMatchObject({ code: 'exists' });
  expect(await text(rig, 'alice', 'f')).toBe('theirs');
});

onEachStorage(
  'preconditions are judged when an upload is committed, not when it is opened',
  async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'https');
    const { attributes } = await client.put(['f'], 'one');
    const etag = attributes.etag ?? '';
    const first = await client.open(['f'], newFile);
    const second = await client.open(['f'], newFile);
    await client.write(first, 'two');
    await client.write(second, 'three');
    await client.ask('fs.commit', { handle: first, precondition: { ifMatch: [etag] } });
    await expect(
      client.ask('fs.commit', { handle: second, precondition: { ifMatch: [etag] } }),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
    expect(await text(rig, 'alice', 'f')).toBe('two');
    const third = await client.open(['f'], newFile);
    await expect(
      client.ask('fs.commit', { handle: third, precondition: { ifNoneMatch: '*' } }),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
    const fresh = await client.open(['g'], newFile);
    await expect(
      client.ask('fs.commit', { handle: fresh, precondition: { ifMatch: '*' } }),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
    expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual([]);
  },
);

test('an ETag changes with content, with replacement and with times, and not with reading', async () => {
  const rig = await startRig();
  const client = rig.client();
  const etags = new Set<string | undefined>();
  etags.add((await client.put(['f'], 'same')).attributes.etag);
  etags.add((await client.put(['f'], 'same')).attributes.etag);
  await client.ask('fs.change', { path: ['f'], change: { mtimeMs: 1_000_000 }, followLinks: false });
  const stat = () => client.ask('fs.stat', { path: ['f'], followLinks: false });
  etags.add((await stat()).etag);
  await fs.appendFile(rig.path('alice', 'f'), '!');
  const last = (await stat()).etag;
  etags.add(last);
  expect(etags.size).toBe(4);
  await client.get(['f']);
  expect((await stat()).etag).toBe(last);
});

onEachStorage(
  'writing without truncation is done in the file itself, and everybody sees it at once',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'hello world');
    const handle = await client.open(['f'], resume);
    await client.write(handle, 'HELLO', 0);
    expect(await text(rig, 'alice', 'f')).toBe('HELLO world');
    const result = await client.ask('fs.commit', { handle });
    expect(await text(rig, 'alice', 'f')).toBe('HELLO world');
    expect(result.sha256).toBe(sha256('HELLO world'));
  },
);

onEachStorage('appending goes to the end whatever offset a client names', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['log'], 'one,');
  const handle = await client.open(['log'], { ...resume, append: true });
  await client.write(handle, 'two,', 0);
  await client.write(handle, 'three', 999);
  await client.ask('fs.commit', { handle });
  expect(await text(rig, 'alice', 'log')).toBe('one,two,three');
});

onEachStorage(
  'pieces out of order, holes and rewrites end in the right file with the right digest',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'end', 10);
    await client.write(handle, 'start', 0);
    await client.write(handle, 'S', 0);
    const result = await client.ask('fs.commit', { handle });
    const expected = Buffer.from('Start\0\0\0\0\0end');
    expect(await rig.medium.readFile('alice', 'f')).toEqual(expected);
    expect(result.sha256).toBe(sha256(expected));
  },
);

onEachStorage(
  'rewriting the beginning of a file that came in order does not spoil its digest',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    await client.write(handle, 'abcdef', 0);
    await client.write(handle, 'X', 0);
    expect((await client.ask('fs.commit', { handle })).sha256).toBe(sha256('Xbcdef'));
  },
);

onEachStorage('a length set on the handle counts for content and digest', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], newFile);
  await client.write(handle, 'abcdef', 0);
  await client.ask('fs.change-handle', { handle, change: { size: 3 } });
  expect((await client.ask('fs.commit', { handle })).sha256).toBe(sha256('abc'));
});

test('mode and times asked for are those of the file, without special bits', async () => {
  const rig = await startRig();
  const client = rig.client();
  const { handle } = await client.ask('fs.open', {
    path: ['f'],
    mode: newFile,
    attributes: { mode: 0o6777 },
  });
  await client.ask('fs.change-handle', { handle, change: { mtimeMs: 1_000_000_000_000, atimeMs: 2_000 } });
  await client.write(handle, 'x');
  expect(await client.ask('fs.stat-handle', { handle })).toMatchObject({ mtimeMs: 1_000_000_000_000 });
  const { attributes } = await client.ask('fs.commit', { handle });
  expect(attributes).toMatchObject({ mtimeMs: 1_000_000_000_000, mode: 0o775 });
  await client.put(['f'], 'replaced');
  expect((await fs.stat(rig.path('alice', 'f'))).mode & 0o7777).toBe(0o775);
  const again = await client.open(['f'], newFile);
  const committed = await client.ask('fs.commit', { handle: again, mtimeMs: 5_000 });
  expect(committed.attributes.mtimeMs).toBe(5_000);
});

onEachStorage(
  'a shorter file that replaces a longer one leaves the longer one to the admin for a day',
  async (start) => {
    const clock = new SettableClock();
    const rig = await start({ clock });
    const client = rig.client();
    await client.put(['f'], 'a long content');
    await client.put(['f'], 'a longer content');
    expect((await rig.staged()).filter((name) => name.endsWith('.old'))).toEqual([]);
    await client.put(['f'], 'short');
    const kept = (await rig.staged()).filter((name) => name.endsWith('.old'));
    expect(kept).toHaveLength(1);
    expect(await text(rig, '.sallyport-staging', kept[0] ?? '')).toBe('a longer content');
    const described = kept[0]?.replace('.old', '.was') ?? '';
    expect(JSON.parse(await text(rig, '.sallyport-staging', described))).toMatchObject({
      user: 'alice',
      virtualPath: ['f'],
    });
    clock.aheadMs = 25 * 3_600_000;
    await rig.restart();
    expect(await rig.staged()).toEqual([]);
    expect(await text(rig, 'alice', 'f')).toBe('short');
  },
);

onEachStorage('a running main sweeps what has expired and leaves what is open or young', async (start) => {
  const clock = new SettableClock();
  const rig = await start({ clock });
  const storage = await rig.openStorage();
  const begin = async (id: string) => {
    const place = { root: ['alice'], path: [id] };
    const names = { user: 'alice', session: 's', virtualPath: [id], place, startedAtMs: clock.now() };
    const upload = await storage.beginUpload(place, {
      record: { id, ...names, exclusive: false, append: false, readable: false, operation: 1 },
      choose: () => ({ from: 'empty' }),
      onStartBytes: () => undefined,
    });
    await upload.write([Buffer.from('x')], 0);
    return upload;
  };
  const open = await begin('open');
  await (await begin('old')).keep();
  clock.aheadMs = 20 * 3_600_000;
  await (await begin('young')).keep();
  clock.aheadMs = 25 * 3_600_000;
  await storage.sweep();
  expect((await rig.staged()).filter((name) => name.endsWith('.part'))).toEqual(['open.part', 'young.part']);
  await open.discard();
  await storage.close();
});

onEachStorage(
  'an upload to nowhere, to a folder and to a mount point is refused when it is opened',
  async (start) => {
    const rig = await start();
    const client = rig.client(userOf('alice', [mountOf([], ['alice']), mountOf(['in', 'box'], ['shared'])]));
    await client.ask('fs.make-folder', { path: ['d'] });
    await expect(client.open(['no', 'f'], newFile)).rejects.toMatchObject({ code: 'parent-missing' });
    for (const path of [['d'], [], ['in'], ['in', 'box']]) {
      await expect(client.open(path, newFile)).rejects.toMatchObject({ code: 'is-a-folder' });
    }
    await expect(client.open(['f'], { ...newFile, create: 'never' })).rejects.toMatchObject({
      code: 'not-found',
    });
  },
);

onEachStorage('mounts with direct uploads are written in place', async (start) => {
  const rig = await start();
  const client = rig.client(userOf('alice', [mountOf([], ['alice'], undefined, { uploads: 'direct' })]));
  await client.put(['f'], 'hello world');
  const handle = await client.open(['f'], { ...resume, read: true });
  await client.write(handle, 'HELLO');
  expect(await text(rig, 'alice', 'f')).toBe('HELLO world');
  expect((await client.read(handle)).toString()).toBe('HELLO world');
  const result = await client.ask('fs.commit', { handle });
  expect(result).toMatchObject({ created: false, sha256: sha256('HELLO world') });
  await expect(client.open(['f'], exclusive)).rejects.toMatchObject({ code: 'exists' });
});

onEachStorage('a handle is gone after its commit, and a session has its own handles only', async (start) => {
  const rig = await start();
  const alice = rig.client();
  const bob = rig.client('bob');
  const handle = await alice.open(['f'], newFile);
  await expect(bob.write(handle, 'x')).rejects.toMatchObject({ code: 'bad-handle' });
  await expect(bob.ask('fs.stat-handle', { handle })).rejects.toMatchObject({ code: 'bad-handle' });
  await expect(bob.ask('fs.commit', { handle })).rejects.toMatchObject({ code: 'bad-handle' });
  await bob.ask('fs.release', { handle, keepPartial: false });
  await alice.write(handle, 'x');
  await alice.ask('fs.commit', { handle });
  await expect(alice.write(handle, 'y')).rejects.toMatchObject({ code: 'bad-handle' });
  await expect(alice.ask('fs.sync', { handle })).rejects.toMatchObject({ code: 'bad-handle' });
});

onEachStorage('a session has at most 256 handles', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], 'x');
  const open = () => client.open(['f'], reading);
  const handles = await Promise.all(Array.from({ length: 255 }, open));
  handles.push(await open());
  await expect(open()).rejects.toMatchObject({ code: 'too-many' });
  await client.ask('fs.release', { handle: handles[0] ?? 0, keepPartial: false });
  await open();
});
