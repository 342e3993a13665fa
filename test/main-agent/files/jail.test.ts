import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isSallyportError } from '#shared/error.ts';
import { type Client, mountOf, newFile, reading, type Rig, startRig, userOf, valuesOf } from './rig.ts';

const secret = 'outside the jail';
const outside = (rig: Rig, ...names: string[]) => join(rig.base, '..', 'outside', ...names);

/** Every verb that takes a path, tried on one. */
function allVerbsOn(client: Client, path: string[]): Promise<unknown>[] {
  const stay = ['stay'];
  return [
    client.ask('fs.stat', { path, followLinks: true }),
    client.ask('fs.list', { path, limit: 10, sort: 'name' }),
    client.ask('fs.open-folder', { path }),
    client.open(path, reading),
    client.open(path, newFile),
    client.open(path, { ...newFile, truncate: false, read: true }),
    client.ask('fs.make-folder', { path }),
    client.ask('fs.remove-file', { path }),
    client.ask('fs.remove-folder', { path, recursive: true }),
    client.ask('fs.rename', { from: path, to: ['moved'], overwrite: true }),
    client.ask('fs.rename', { from: stay, to: path, overwrite: true }),
    client.ask('fs.copy', { from: path, to: ['copied'], overwrite: true }),
    client.ask('fs.copy', { from: stay, to: path, overwrite: true }),
    client.ask('fs.change', { path, change: { mode: 0o777 }, followLinks: true }),
    client.ask('fs.change', { path, change: { size: 0 }, followLinks: true }),
    client.ask('fs.read-link', { path }),
    client.ask('fs.hash', { path, algorithm: 'sha256' }),
    client.ask('fs.usage', { path }),
  ];
}

const hostileComponents: [string, string[]][] = [
  ['dot dot', ['..']],
  ['dot dot in the middle', ['d', '..', '..', 'outside', 'secret']],
  ['dot', ['.']],
  ['empty', ['']],
  ['a slash inside', ['d/../../outside/secret']],
  ['an absolute path', ['/etc/passwd']],
  ['NUL', ['a\0b']],
  ['a line feed', ['a\nb']],
  ['half a surrogate pair', ['\ud800']],
  ['the sign of a lossy decoding', ['a\ufffd']],
  ['256 bytes', ['x'.repeat(256)]],
  ['257 components', Array.from({ length: 257 }, () => 'a')],
  ['a right-to-left override', ['a\u202egpj.exe']],
  ['a Windows device', ['CON']],
];

test.each(hostileComponents)('S-08: every verb refuses a path with %s', async (_title, path) => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['stay'], 'here');
  for (const asked of allVerbsOn(client, path)) {
    await expect(asked).rejects.toMatchObject({ code: 'bad-path' });
  }
  expect(await client.names()).toEqual(['stay']);
});

test('S-08: the staging folder has no name for users, whatever their mount', async () => {
  const rig = await startRig();
  const client = rig.client(userOf('alice', [mountOf([], [])]));
  await client.put(['stay'], 'here');
  expect(await client.names()).toEqual(['stay']);
  for (const path of [
    ['.sallyport-staging'],
    ['.sallyport-staging', 'x.part'],
    ['d', '.sallyport-staging'],
  ]) {
    for (const asked of allVerbsOn(client, path)) {
      await expect(asked).rejects.toMatchObject({ code: 'not-found' });
    }
  }
});

test('S-08: symbolic links are not listed and no verb goes through one', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['stay'], 'here');
  await fs.symlink(outside(rig), rig.path('alice', 'folder-link'));
  await fs.symlink(outside(rig, 'secret'), rig.path('alice', 'file-link'));
  await fs.symlink('stay', rig.path('alice', 'inner-link'));
  await fs.symlink(outside(rig, 'made-by-us'), rig.path('alice', 'dangling-link'));
  expect(await client.names()).toEqual(['stay']);
  const paths = [
    ['file-link'],
    ['folder-link'],
    ['folder-link', 'secret'],
    ['folder-link', 'new'],
    ['inner-link'],
    ['dangling-link'],
  ];
  for (const path of paths) {
    const settled = await Promise.allSettled(allVerbsOn(client, path));
    // All but the question how much space there is.
    expect(settled.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  }
  expect(await fs.readdir(outside(rig))).toEqual(['secret']);
  expect(await fs.readFile(outside(rig, 'secret'), 'utf8')).toBe(secret);
  expect((await fs.stat(outside(rig, 'secret'))).mode & 0o777).not.toBe(0o777);
  expect(await client.names()).toEqual(['stay']);
});

test('S-08: a link in place of a mount folder, or on the way to it, is not followed', async () => {
  const rig = await startRig();
  await fs.symlink(outside(rig), rig.path('alice'));
  await fs.symlink(join(rig.base, '..'), rig.path('up'));
  for (const root of [['alice'], ['up', 'outside']]) {
    const client = rig.client(userOf('alice', [mountOf([], root)]));
    await expect(client.names()).rejects.toMatchObject({ code: 'not-a-folder' });
    await expect(client.get(['secret'])).rejects.toMatchObject({ code: 'not-a-folder' });
    await expect(client.put(['x'], 'x')).rejects.toMatchObject({ code: expect.any(String) });
  }
  expect(await fs.readdir(outside(rig))).toEqual(['secret']);
});

test('S-08: a recursive delete removes links and never what they point to', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  await client.put(['d', 'f'], 'x');
  await fs.symlink(outside(rig), rig.path('alice', 'd', 'folder-link'));
  await fs.symlink(outside(rig, 'secret'), rig.path('alice', 'd', 'file-link'));
  execFileSync('mkfifo', [rig.path('alice', 'd', 'pipe')]);
  await client.ask('fs.remove-folder', { path: ['d'], recursive: true });
  expect(await fs.readdir(rig.path('alice'))).toEqual([]);
  expect(await fs.readFile(outside(rig, 'secret'), 'utf8')).toBe(secret);
});

test('S-08: pipes and sockets are neither listed nor opened, and opening one does not wait', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['stay'], 'here');
  execFileSync('mkfifo', [rig.path('alice', 'pipe')]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(rig.path('alice', 'socket'), resolve));
  try {
    expect(await client.names()).toEqual(['stay']);
    for (const name of ['pipe', 'socket']) {
      const settled = await Promise.allSettled(allVerbsOn(client, [name]));
      expect(settled.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    }
  } finally {
    server.close();
  }
});

test('names that could not be opened again are not listed', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['stay'], 'here');
  await fs.writeFile(Buffer.concat([Buffer.from(rig.path('alice', 'bad-')), Buffer.from([0xff])]), '');
  await fs.writeFile(rig.path('alice', 'two\nlines'), '');
  expect(await client.names()).toEqual(['stay']);
});

test('hard links are served and counted', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.put(['a'], 'x');
  await fs.link(rig.path('alice', 'a'), rig.path('alice', 'b'));
  expect(await client.ask('fs.stat', { path: ['b'], followLinks: false })).toMatchObject({ links: 2 });
  await client.put(['b'], 'new');
  expect((await client.get(['a'])).toString()).toBe('x');
});

test('a folder that was used a moment ago is what has its name now, whoever renamed it', async () => {
  const rig = await startRig();
  const client = rig.client();
  const deep = ['a', 'b', 'c'];
  const look = (name: string) =>
    client.ask('fs.stat', { path: [...deep, name], followLinks: false }).then(
      () => 'there',
      (error: unknown) => (isSallyportError(error) ? error.code : error),
    );
  const make = (...names: string[]) => fs.mkdir(rig.path('alice', ...names), { recursive: true });
  await make(...deep);
  await client.put([...deep, 'first'], 'x');
  // One in the middle of the path: what lies below it has names of its own.
  await fs.rename(rig.path('alice', 'a', 'b'), rig.path('alice', 'moved'));
  expect(await look('first')).toBe('not-found');
  await make(...deep);
  await client.put([...deep, 'second'], 'y');
  expect(await fs.readdir(rig.path('alice', ...deep))).toEqual(['second']);
  expect(await fs.readdir(rig.path('alice', 'moved', 'c'))).toEqual(['first']);
  // The very folder, but by way of a link: which nobody is served.
  await fs.rename(rig.path('alice', 'a', 'b'), rig.path('alice', 'kept'));
  await fs.symlink(rig.path('alice', 'kept'), rig.path('alice', 'a', 'b'));
  expect(await look('second')).toBe('not-found');
  await fs.unlink(rig.path('alice', 'a', 'b'));
  await fs.rename(rig.path('alice', 'moved'), rig.path('alice', 'a', 'b'));
  expect(await look('first')).toBe('there');
});

test('S-08: a folder swapped for a link in a loop never lets a read, write, listing or delete out', async () => {
  const rig = await startRig();
  const client = rig.client();
  await client.ask('fs.make-folder', { path: ['d'] });
  await fs.writeFile(rig.path('alice', 'd', 'secret'), 'inside');
  await fs.writeFile(outside(rig, 'only-outside'), secret);
  const done = new AbortController();
  const swapping = (async () => {
    const folder = rig.path('alice', 'd');
    const aside = rig.path('alice', 'aside');
    while (!done.signal.aborted) {
      await fs.rename(folder, aside);
      await fs.symlink(outside(rig), folder);
      await new Promise(setImmediate);
      await fs.unlink(folder);
      await fs.rename(aside, folder);
      await new Promise(setImmediate);
    }
  })();
  const reads = new Set<string>();
  const listed = new Set<string>();
  for (let round = 0; round < 150 || (reads.size === 0 && round < 20_000); round += 1) {
    const [bytes, names] = await Promise.allSettled([
      client.get(['d', 'secret']),
      client.names(['d']),
      client.get(['d', 'only-outside']).then(() => expect.unreachable('read a file outside')),
      client.put(['d', `new-${round}`], 'x'),
      client.ask('fs.remove-file', { path: ['d', 'only-outside'] }),
      client.ask('fs.rename', { from: ['d', 'secret'], to: ['d', 'secret'], overwrite: true }),
      client.ask('fs.change', { path: ['d', 'only-outside'], change: { mode: 0o700 }, followLinks: true }),
    ]);
    for (const value of valuesOf([bytes])) reads.add(value.toString());
    for (const name of valuesOf([names]).flat()) listed.add(name);
  }
  done.abort();
  await swapping;
  expect(reads).toEqual(new Set(['inside']));
  expect(listed).not.toContain('only-outside');
  expect((await fs.readdir(outside(rig))).sort()).toEqual(['only-outside', 'secret']);
  expect(await fs.readFile(outside(rig, 'secret'), 'utf8')).toBe(secret);
});

test('S-08: a file swapped for a link in a loop is never read through', async () => {
  const rig = await startRig();
  const client = rig.client();
  const file = rig.path('alice', 'f');
  await client.put(['f'], 'inside');
  const done = new AbortController();
  const swapping = (async () => {
    while (!done.signal.aborted) {
      await fs.symlink(outside(rig, 'secret'), `${file}.link`);
      await fs.rename(`${file}.link`, file);
      await new Promise(setImmediate);
      await fs.writeFile(`${file}.file`, 'inside');
      await fs.rename(`${file}.file`, file);
      await new Promise(setImmediate);
    }
  })();
  const reads = new Set<string>();
  // Until it was read at least once: how the two loops meet is up to the disk.
  for (let round = 0; round < 200 || (reads.size === 0 && round < 20_000); round += 1) {
    const [bytes] = await Promise.allSettled([
      client.get(['f']),
      client.put(['f'], 'inside'),
      client.ask('fs.change', { path: ['f'], change: { mode: 0o777, mtimeMs: 0 }, followLinks: true }),
    ]);
    for (const value of valuesOf([bytes])) reads.add(value.toString());
  }
  done.abort();
  await swapping;
  expect(reads).toEqual(new Set(['inside']));
  const stats = await fs.stat(outside(rig, 'secret'));
  expect(stats.mtimeMs).not.toBe(0);
  expect(await fs.readFile(outside(rig, 'secret'), 'utf8')).toBe(secret);
});

test('S-08: a tree swapped for a link while it is deleted takes nothing outside with it', async () => {
  const rig = await startRig();
  const client = rig.client();
  for (let round = 0; round < 20; round += 1) {
    const inner = rig.path('alice', 'tree', 'inner');
    await fs.mkdir(inner, { recursive: true });
    for (let index = 0; index < 20; index += 1) await fs.writeFile(join(inner, `f${index}`), '');
    const aside = rig.path('alice', `aside-${round}`);
    const swapping = (async () => {
      await new Promise(setImmediate);
      await fs.rename(inner, aside);
      await fs.symlink(outside(rig), inner);
    })();
    await Promise.allSettled([swapping, client.ask('fs.remove-folder', { path: ['tree'], recursive: true })]);
    await fs.rm(rig.path('alice', 'tree'), { recursive: true, force: true });
  }
  expect(await fs.readdir(outside(rig))).toEqual(['secret']);
});

test('a refusal tells a client nothing of where files lie on main', async () => {
  const rig = await startRig();
  const client = rig.client();
  const failures = await Promise.allSettled([
    client.get(['missing']),
    client.put(['no', 'f'], 'x'),
    client.names(['missing']),
    client.ask('fs.remove-folder', { path: ['missing'], recursive: true }),
    client.ask('fs.rename', { from: ['missing'], to: ['x'], overwrite: false }),
  ]);
  const messages = failures.map((one) => (one.status === 'rejected' ? one.reason.publicMessage : 'done'));
  expect(messages).not.toContain('done');
  expect(messages.join(' ')).not.toMatch(/proc|sallyport|alice|ENOENT/);
});
