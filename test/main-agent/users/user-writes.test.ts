import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { systemClock } from '#shared/clock.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { exampleHash, exampleHashName, exampleKey, makeUsersFolder } from './users-folder.ts';

const alice = '# Alice\nusername: alice\nquota: 1GiB # small\n';

async function setUp(files: Readonly<Record<string, string>> = { 'alice.yaml': alice }) {
  const folder = await makeUsersFolder(files);
  const users = await folder.open();
  return {
    folder,
    users,
    directory: new YamlUserDirectory(users, new FileWrites(users, systemClock)),
    read: (name: string) => readFile(path.join(folder.directory, name), 'utf8'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('a change', () => {
  test('is in force when it resolves, keeps comments and the file’s mode, and gives the new etag', async () => {
    await using site = await setUp();
    await chmod(path.join(site.folder.directory, 'alice.yaml'), 0o640);
    const before = await site.directory.etag('alice');
    const etag = await site.directory.change(
      'alice',
      [
        { path: ['status'], value: 'disabled' },
        { path: ['two_factor', 'required_on'], value: ['sftp'] },
      ],
      before,
    );
    expect(etag).not.toBe(before);
    expect(await site.directory.etag('alice')).toBe(etag);
    expect(site.directory.find('alice')).toMatchObject({ status: 'disabled', quotaBytes: 2 ** 30 });
    expect(await site.read('alice.yaml')).toBe(
      `${alice}status: disabled\ntwo_factor: { required_on: [sftp] }\n`,
    );
    expect((await stat(path.join(site.folder.directory, 'alice.yaml'))).mode & 0o777).toBe(0o640);
    expect(await readdir(site.folder.directory)).toEqual(['alice.yaml', 'groups']);
  });

  test('with an old etag is refused and writes nothing', async () => {
    await using site = await setUp();
    const etag = await site.directory.etag('alice');
    await site.folder.write('alice.yaml', 'username: alice\n');
    await expect(
      site.directory.change('alice', [{ path: ['quota'], value: '2GiB' }], etag),
    ).rejects.toMatchObject({ code: 'precondition-failed' });
    await expect(site.directory.remove('alice', etag)).rejects.toMatchObject({ code: 'precondition-failed' });
    expect(await site.read('alice.yaml')).toBe('username: alice\n');
  });

  test.each([
    ['an unknown key', ['admin'], true],
    ['a value that does not fit', ['status'], 'gone'],
    ['an unknown group', ['groups'], ['nobody']],
    ['a plain password', ['password'], 'hunter2hunter2'],
    ['another name', ['username'], 'bob'],
    ['no key at all', [], {}],
    ['a key of every object', ['__proto__', 'status'], 'disabled'],
  ])('to %s is refused with the reason and writes nothing', async (_name, where, value) => {
    await using site = await setUp();
    await expect(site.directory.change('alice', [{ path: where, value }], undefined)).rejects.toMatchObject({
      code: 'config',
    });
    expect(await site.read('alice.yaml')).toBe(alice);
    expect(await readdir(site.folder.directory)).toEqual(['alice.yaml', 'groups']);
  });

  test('S-02: brings nobody’s hash to where somebody typed its name', async () => {
    const key = exampleKey.replace(/ [^ ]*$/, '');
    const own = `username: bob\ndisplay_name: "${exampleHash}X"\n`;
    await using site = await setUp({
      'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
      'bob.yaml': own,
    });
    for (const [key_, value] of [
      ['display_name', exampleHashName],
      ['display_name', `x ${exampleHashName} y`],
      ['ssh_keys', [`${key} ${exampleHashName}`]],
      ['email', `${new HashBook().note('nowhere to be found')}@example.org`],
    ] as const)
      for (const act of [
        () => site.directory.change('bob', [{ path: [key_], value }], undefined),
        () => site.directory.create('carol', { [key_]: value }),
      ])
        await expect(act()).rejects.toMatchObject({
          code: 'config',
          publicMessage: 'That is the name of a password hash',
        });
    expect(await site.read('bob.yaml')).toBe(own);
    // What stood there is as it was, and may be said again.
    const there = new HashBook().note(`${exampleHash}X`);
    await site.directory.change('bob', [{ path: ['display_name'], value: `Bob ${there}` }], undefined);
    expect(await site.read('bob.yaml')).toBe(`username: bob\ndisplay_name: "Bob ${exampleHash}X"\n`);
  });

  test('of many at once loses none', async () => {
    await using site = await setUp();
    await Promise.all(
      ['email', 'phone', 'display_name', 'expires'].map((key) =>
        site.directory.change(
          'alice',
          [{ path: [key], value: key === 'display_name' ? 'A' : null }],
          undefined,
        ),
      ),
    );
    const text = await site.read('alice.yaml');
    for (const key of ['email', 'phone', 'display_name', 'expires']) expect(text).toContain(`${key}: `);
  });

  test('of nobody, or of a name that is a path, is not found', async () => {
    await using site = await setUp();
    for (const name of ['bob', '../users/alice', '_default', '', 'groups/g']) {
      await expect(site.directory.change(name, [], undefined)).rejects.toMatchObject({ code: 'not-found' });
      await expect(site.directory.remove(name, undefined)).rejects.toMatchObject({ code: 'not-found' });
      await expect(site.directory.origins(name)).rejects.toMatchObject({ code: 'not-found' });
      expect(await site.directory.etag(name)).toBeUndefined();
    }
  });

  test('mends a broken file when the result is good', async () => {
    await using site = await setUp();
    await site.folder.write('alice.yaml', 'username: alice\nadmin: true\n');
    await site.users.refresh();
    await site.directory.change('alice', [{ path: ['admin'], value: undefined }], undefined);
    expect(site.directory.problems()).toEqual([]);
  });
});

describe('a new user', () => {
  test('exists when it resolves, in a file that only the owner can read', async () => {
    await using site = await setUp({});
    const etag = await site.directory.create('bob', {
      password: site.folder.book.note(exampleHash),
      groups: [],
      username: 'eve',
    });
    expect(site.directory.find('bob')?.passwordHash?.expose()).toBe(exampleHashName);
    expect(await site.directory.etag('bob')).toBe(etag);
    expect((await stat(path.join(site.folder.directory, 'bob.yaml'))).mode & 0o777).toBe(0o600);
  });

  test('never replaces one, not even one that is broken, nor in a race', async () => {
    await using site = await setUp({ 'bob.yaml': 'broken' });
    await expect(site.directory.create('bob', {})).rejects.toMatchObject({ code: 'exists' });
    expect(await site.read('bob.yaml')).toBe('broken');
    const other = new YamlUserDirectory(site.users, new FileWrites(site.users, systemClock));
    const results = await Promise.allSettled([site.directory.create('carol', {}), other.create('carol', {})]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  test.each(['', '_default', '../x', 'a/b', 'a b', 'con', 'ä', 'x'.repeat(65), '.x', 'a.', '1\n2'])(
    'may not be called %j',
    async (name) => {
      await using site = await setUp({});
      await expect(site.directory.create(name, {})).rejects.toMatchObject({ code: 'config' });
      expect(await readdir(site.folder.directory)).toEqual(['groups']);
    },
  );
});

test('S-02: who begins as somebody else has no hash of theirs, in a comment neither', async () => {
  await using site = await setUp({
    'alice.yaml': `username: alice\n# before: ${exampleHash}X\npassword: ${exampleHash}\nquota: 1GiB\n`,
  });
  await site.directory.create('bob', {}, 'alice');
  expect(await site.read('bob.yaml')).not.toContain('$');
  expect(site.directory.find('bob')).toMatchObject({ quotaBytes: 2 ** 30, passwordHash: undefined });
});

test('a removed user is gone when it resolves', async () => {
  await using site = await setUp();
  await site.directory.remove('alice', await site.directory.etag('alice'));
  expect(site.directory.find('alice')).toBeUndefined();
});

test('origins name each value with its file and line, and never a hash', async () => {
  await using site = await setUp({
    '_default.yaml':
      'protocols: [sftp]\ntwo_factor:\n  registration: true\n  force_setup: true\nhours: { zone: UTC }\n',
    'groups/g.yaml': '\nquota: 1GiB\n+protocols: [https]\n',
    'alice.yaml': `username: alice\ngroups: [g]\npassword: ${exampleHash}\ntwo_factor: { registration: false }\nhours: null\n`,
  });
  const origins = await site.directory.origins('alice');
  const shown = origins.map(({ key, value, file, line }) => [key, value, path.basename(file), line]);
  expect(shown).toEqual([
    ['protocols', ['sftp'], '_default.yaml', 1],
    ['two_factor.force_setup', true, '_default.yaml', 4],
    ['quota', '1GiB', 'g.yaml', 2],
    ['+protocols', ['https'], 'g.yaml', 3],
    ['username', 'alice', 'alice.yaml', 1],
    ['groups', ['g'], 'alice.yaml', 2],
    ['password', '[secret]', 'alice.yaml', 3],
    ['two_factor.registration', false, 'alice.yaml', 4],
    ['hours', null, 'alice.yaml', 5],
  ]);
});
