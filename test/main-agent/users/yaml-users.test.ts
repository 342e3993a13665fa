import { execFileSync } from 'node:child_process';
import { chmod, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { UserFiles } from '#main-agent/users/user-files.ts';
import { openYamlUsers, type YamlUsers } from '#main-agent/users/yaml-users.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { exampleHash, exampleHashName, exampleKey, makeUsersFolder } from './users-folder.ts';

const messages = (users: YamlUsers) =>
  users.problems().map(({ file, line, message }) => `${path.basename(file)}:${line} ${message}`);

const alice = `username: alice
display_name: Alice Example
groups: [partners]
email: alice@example.com
password: ${exampleHash}
ssh_keys:
  - ${exampleKey}
two_factor: { required_on: [https, sftp], registration: true }
expires: 2027-12-31
allow_from: [203.0.113.0/24]
hours: { days: mon-fri, from: "07:00", to: "20:00", zone: Europe/Berlin }
files:
  - { path: /, root: "{username}", allow: [list, read, write] }
+files:
  - { path: /inbox, storage: local, root: shared/inbox, allow: [list], uploads: direct }
quota: 20GiB
limits: { sessions: 8, upload: 50MiB/s, download: none }
`;
const partners =
  'two_factor: { force_setup: true, required_from: 14d, delivered_ttl: 2m }\nlimits: { download: 1MiB/s }\n';

describe('a user', () => {
  test('is what _default, groups and the own file say together', async () => {
    await using folder = await makeUsersFolder({
      '_default.yaml': 'protocols: [sftp]\nquota: 1GiB\ntwo_factor: { required_on: [sftp] }\n',
      'groups/partners.yaml': partners,
      'alice.yaml': alice,
    });
    const users = await folder.open();
    expect(users.problems()).toEqual([]);
    const user = users.find('alice');
    expect(user).toMatchObject({
      username: 'alice',
      displayName: 'Alice Example',
      groups: ['partners'],
      email: 'alice@example.com',
      phone: undefined,
      protocols: ['sftp'],
      status: 'active',
      expires: '2027-12-31',
      allowFrom: ['203.0.113.0/24'],
      hours: { days: [1, 2, 3, 4, 5], fromMinute: 420, toMinute: 1200, zone: 'Europe/Berlin' },
      quotaBytes: 20 * 2 ** 30,
      limits: { sessions: 8, uploadBytesPerSecond: 50 * 2 ** 20, downloadBytesPerSecond: undefined },
      twoFactor: {
        requiredOn: ['https', 'sftp'],
        registration: true,
        forceSetup: true,
        requiredFrom: { graceMs: 14 * 86_400_000 },
        deliveredTtlMs: 120_000,
        sftpPasswordWithCode: false,
      },
      mounts: [
        { path: [], storage: 'local', root: ['alice'], uploads: 'atomic' },
        { path: ['inbox'], storage: 'local', root: ['shared', 'inbox'], uploads: 'direct' },
      ],
    });
    expect(user?.passwordHash?.expose()).toBe(exampleHashName);
    expect(user?.sshKeys.map(({ comment }) => comment)).toEqual(['alice@laptop']);
    expect(user?.mounts[0]?.allow).toEqual(new Set(['list', 'read', 'write']));
    expect(JSON.stringify(user)).not.toContain('argon2id');
  });

  test('of whom nothing is said may sign in nowhere special, is asked no factor and sees no files', async () => {
    await using folder = await makeUsersFolder({ 'bob.yaml': 'username: bob\n' });
    const user = (await folder.open()).find('bob');
    expect(user).toMatchObject({ displayName: 'bob', mounts: [], sshKeys: [], passwordHash: undefined });
    expect(user?.twoFactor.requiredOn).toEqual([]);
  });

  test('is found by the exact name only', async () => {
    await using folder = await makeUsersFolder({ 'bob.yaml': 'username: bob\n' });
    const users = await folder.open();
    for (const name of [
      'Bob',
      'bob ',
      'bob.yaml',
      '',
      '_default',
      '../users/bob',
      '__proto__',
      'constructor',
    ]) {
      expect(users.find(name)).toBeUndefined();
    }
  });

  test('takes groups of groups first, each once, and `{group}` stands for the group that says it', async () => {
    await using folder = await makeUsersFolder({
      'groups/all.yaml': 'quota: 1GiB\n+files: [{ path: /all, root: "shared/{group}", allow: [list] }]\n',
      'groups/staff.yaml':
        'groups: [all]\nquota: 2GiB\n+files: [{ path: /s, root: "{group}/{username}", allow: [] }]\n',
      'groups/night.yaml': 'groups: [all]\n',
      'zoe.yaml': 'username: zoe\ngroups: [staff, night]\n',
    });
    const user = (await folder.open()).find('zoe');
    expect(user?.groups).toEqual(['all', 'staff', 'night']);
    expect(user?.quotaBytes).toBe(2 * 2 ** 30);
    expect(user?.mounts.map(({ root }) => root)).toEqual([
      ['shared', 'all'],
      ['staff', 'zoe'],
    ]);
  });

  test('whose file has another name than it says, or a name nobody may have, does not exist', async () => {
    await using folder = await makeUsersFolder({
      'bob.yaml': 'username: alice\n',
      'a b.yaml': 'username: "a b"\n',
      'con.yaml': 'username: con\n',
      'carol.yml': 'username: carol\n',
      '.hidden.yaml': 'username: hidden\n',
      'dave.yaml~': 'username: dave\n',
    });
    const users = await folder.open();
    expect([...users.list()]).toEqual([]);
    expect(messages(users).toSorted()).toEqual([
      expect.stringContaining('a b.yaml:1 this file is not read'),
      expect.stringContaining('bob.yaml:1 username: "alice"; expected `bob`'),
      expect.stringContaining('carol.yml:1 this file is not read'),
      expect.stringContaining('con.yaml:1 this file is not read'),
    ]);
  });
});

describe('problems', () => {
  test('of all files are told at once, with line, value, expectation and a guess', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': 'username: alice\nstatus: disbled\nemial: a@b\nquota: 20\n',
      'bob.yaml': 'username: bob\ngroups: [partnrs]\n',
      'carol.yaml': 'username: carol\nstatus: active\nstatus: active\n',
      'dave.yaml': `username: dave\nssh_keys: [ssh-dss AAAA]\npassword: hunter2hunter2\nfiles: [{ path: /, root: ../.., allow: [] }]\n`,
      'erin.yaml': 'username: erin\nfiles: [{ path: /, root: erin, allow: [share] }]\n',
      'groups/loop.yaml': 'groups: [pool]\n',
      'groups/pool.yaml': 'groups: [loop]\n',
    });
    const users = await folder.open();
    expect(messages(users).toSorted()).toEqual([
      expect.stringContaining('alice.yaml:2 status: "disbled"; expected one of `active`, `disabled`'),
      'alice.yaml:3 emial: unknown key',
      expect.stringContaining('alice.yaml:4 quota: 20; expected'),
      'bob.yaml:2 groups: unknown group `partnrs`',
      'carol.yaml:3 this key stands here twice',
      expect.stringContaining(
        'dave.yaml:2 ssh_keys[0]: "ssh-dss AAAA"; expected an SSH public key line; DSA',
      ),
      expect.stringMatching(/^dave.yaml:3 password: this value does not fit; expected a hash/),
      expect.stringContaining('dave.yaml:4 files[0].root: "../.."; expected a folder below the storage'),
      expect.stringContaining('erin.yaml:2 files[0].allow[0]: "share"; expected one of `list`, `read`'),
      'loop.yaml:1 groups: groups that contain each other: loop → pool → loop',
      expect.stringContaining('pool.yaml:1 groups: '),
    ]);
    expect(users.problems().find(({ message }) => message.startsWith('emial'))?.hint).toBe(
      'did you mean `email`?',
    );
    expect(JSON.stringify(users.problems())).not.toContain('hunter2');
  });

  test('of a group that does not exist guess which was meant', async () => {
    await using folder = await makeUsersFolder({
      'groups/partners.yaml': 'quota: 1GiB\n',
      'bob.yaml': 'username: bob\n+groups: [partners, partnrs]\n',
      'carol.yaml': 'username: carol\ngroups: [nothing-like-it]\n',
    });
    const hints = (await folder.open()).problems().map(({ hint }) => hint);
    expect(new Set(hints)).toEqual(new Set(['did you mean `partners`?', 'groups/<name>.yaml makes a group']));
  });
});

describe('S-14: a broken file', () => {
  const good = 'username: alice\ntwo_factor: { required_on: [https] }\nquota: 1GiB\n';
  const breakages = {
    'is empty': '',
    'is half written': 'username: alice\ntwo_factor: { required_on: [ht',
    'lost its name': 'quota: 9GiB\n',
    'has an unknown key': `${good}admin: true\n`,
    'names an unknown group': `${good}groups: [nobody]\n`,
    'is not UTF-8': 'username: alice\ndisplay_name: \u00ff',
  };

  test.each(Object.entries(breakages))(
    'that %s leaves the last good version in force',
    async (_name, text) => {
      await using folder = await makeUsersFolder({ 'alice.yaml': good });
      const users = await folder.open();
      await users.refresh();
      const octets = Buffer.from(text, text.includes('\u00ff') ? 'latin1' : 'utf8');
      await folder.write('alice.yaml', octets);
      await users.refresh();
      expect(users.problems().length).toBeGreaterThan(0);
      expect(users.find('alice')).toMatchObject({ quotaBytes: 2 ** 30, status: 'active' });

      const restarted = await folder.open();
      expect(restarted.find('alice')?.version).toBe(users.find('alice')?.version);
      expect(restarted.problems().length).toBeGreaterThan(0);

      await folder.write('alice.yaml', 'username: alice\nquota: 2GiB\n');
      await restarted.refresh();
      expect(restarted.problems()).toEqual([]);
      expect(restarted.find('alice')?.quotaBytes).toBe(2 * 2 ** 30);
    },
  );

  test.each([
    'username: alice\nstatus: disabled\nadmin: true\n',
    'username: alice\nstatus: disabled # gone\nquota: [1',
    'status: "disabled"\n',
    'username: alice\ngroups: [nobody]\nstatus: disabled\n',
  ])('in which status: disabled can be read disables: %j', async (text) => {
    await using folder = await makeUsersFolder({ 'alice.yaml': good });
    const users = await folder.open();
    await folder.write('alice.yaml', text);
    await users.refresh();
    expect(users.find('alice')?.status).toBe('disabled');
    expect((await folder.open()).find('alice')?.status).toBe('disabled');
  });

  test('that was never good makes no user', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\nadmin: true\n' });
    expect((await folder.open()).find('alice')).toBeUndefined();
  });

  test('refuses its user where the configuration says so', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': good });
    const users = await folder.open({ brokenUserFile: 'refuse' });
    expect(users.find('alice')).toBeDefined();
    await folder.write('alice.yaml', '');
    await users.refresh();
    expect(users.find('alice')).toBeUndefined();
  });

  test('refuses its user over a restart too, and takes them back when it is mended', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': good, 'bob.yaml': 'username: bob\n' });
    await folder.open({ brokenUserFile: 'refuse' });
    await folder.write('alice.yaml', `${good}qouta: 1GiB\n`);
    const users = await folder.open({ brokenUserFile: 'refuse' });
    expect(users.find('alice')).toBeUndefined();
    expect(users.find('bob')).toBeDefined();
    await folder.write('alice.yaml', good);
    await users.refresh();
    expect(users.find('alice')?.quotaBytes).toBe(2 ** 30);
  });

  test('of a deleted user does not come back with an old version', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': good });
    await folder.open();
    await folder.remove('alice.yaml');
    const without = await folder.open();
    expect(without.find('alice')).toBeUndefined();
    await without.copiesKept();
    await folder.write('alice.yaml', '');
    expect((await folder.open()).find('alice')).toBeUndefined();
  });

  test('that is a template keeps its last good version for all who inherit from it', async () => {
    await using folder = await makeUsersFolder({
      '_default.yaml': 'two_factor: { required_on: [https, sftp] }\n',
      'groups/partners.yaml': 'quota: 1GiB\n',
      'alice.yaml': 'username: alice\ngroups: [partners]\n',
    });
    const users = await folder.open();
    await folder.write('_default.yaml', '');
    await folder.write('groups/partners.yaml', 'qouta: 1GiB\n');
    await users.refresh();
    for (const source of [users, await folder.open()]) {
      expect(source.problems()).toHaveLength(2);
      expect(source.find('alice')).toMatchObject({ quotaBytes: 2 ** 30 });
      expect(source.find('alice')?.twoFactor.requiredOn).toEqual(['https', 'sftp']);
    }
  });

  test('that is a template and was never good refuses all who inherit from it', async () => {
    await using folder = await makeUsersFolder({
      '_default.yaml': 'two_factor: { required_on: [https, stfp] }\n',
      'alice.yaml': 'username: alice\n',
    });
    expect((await folder.open()).find('alice')).toBeUndefined();
  });
});

describe('a group', () => {
  test('that is deleted while users name it keeps its last version, and says so', async () => {
    await using folder = await makeUsersFolder({
      'groups/strict.yaml': 'two_factor: { required_on: [https, sftp] }\n',
      'alice.yaml': 'username: alice\ngroups: [strict]\n',
    });
    const users = await folder.open();
    await folder.remove('groups/strict.yaml');
    await users.refresh();
    for (const source of [users, await folder.open()]) {
      expect(source.find('alice')?.twoFactor.requiredOn).toEqual(['https', 'sftp']);
      expect(messages(source)).toEqual([expect.stringContaining('the group is gone')]);
    }
    await folder.write('alice.yaml', 'username: alice\n');
    await users.refresh();
    expect(users.problems()).toEqual([]);
    expect(users.find('alice')?.twoFactor.requiredOn).toEqual([]);
  });

  test('that comes to contain itself keeps its last good version', async () => {
    await using folder = await makeUsersFolder({
      'groups/a.yaml': 'quota: 1GiB\n',
      'groups/b.yaml': 'groups: [a]\n',
      'alice.yaml': 'username: alice\ngroups: [b]\n',
    });
    const users = await folder.open();
    await folder.write('groups/a.yaml', 'groups: [b]\nquota: 2GiB\n');
    await users.refresh();
    expect(messages(users)).toContainEqual('a.yaml:1 groups: groups that contain each other: a → b → a');
    expect(users.find('alice')?.quotaBytes).toBe(2 ** 30);
  });

  test('that appears makes the users good that were waiting for it', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\ngroups: [late]\n' });
    const users = await folder.open();
    expect(users.find('alice')).toBeUndefined();
    await folder.write('groups/late.yaml', 'quota: 1GiB\n');
    await users.refresh();
    expect(users.problems()).toEqual([]);
    expect(users.find('alice')?.quotaBytes).toBe(2 ** 30);
  });
});

describe('a change', () => {
  test('names exactly the users it changed', async () => {
    await using folder = await makeUsersFolder({
      'groups/g.yaml': 'quota: 1GiB\n',
      'alice.yaml': 'username: alice\ngroups: [g]\n',
      'bob.yaml': 'username: bob\nquota: 1GiB\n',
      'carol.yaml': 'username: carol\n',
    });
    const users = await folder.open();
    const told: (readonly string[])[] = [];
    users.onChange((names) => told.push([...names].toSorted()));
    await users.refresh();
    await folder.write('groups/g.yaml', '# only a comment\nquota: 1GiB\n');
    await users.refresh();
    await folder.write('groups/g.yaml', 'quota: 2GiB\n');
    await users.refresh();
    await folder.remove('bob.yaml');
    await folder.write('carol.yaml', 'username: carol\npassword: null\nstatus: disabled\n');
    await users.refresh();
    await folder.write('erin.yaml', 'username: erin\n');
    await users.refresh();
    expect(told).toEqual([['alice'], ['bob', 'carol'], ['erin']]);
  });

  test('of a password or a key changes the version although neither is printed', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
    });
    const users = await folder.open();
    const before = users.find('alice')?.version;
    await folder.write('alice.yaml', `username: alice\npassword: ${exampleHash.slice(0, -1)}h\n`);
    await users.refresh();
    const between = users.find('alice')?.version;
    await folder.write('alice.yaml', `username: alice\nssh_keys: ["${exampleKey}"]\n`);
    await users.refresh();
    expect(new Set([before, between, users.find('alice')?.version]).size).toBe(3);
  });

  test('in the folder is noticed without being told', { timeout: 20_000 }, async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\n' });
    const users = await openYamlUsers({
      directory: folder.directory,
      lastGoodDirectory: path.join(folder.base, 'last-good'),
      files: folder.files(),
      storages: ['local'],
      defaultUploads: 'atomic',
      defaultBinMs: undefined,
      brokenUserFile: 'keep_last_good',
      log: buildLog('silent', {}),
    });
    try {
      const noticed = new Promise<readonly string[]>((resolve) => users.onChange(resolve));
      await folder.write('alice.yaml', 'username: alice\nstatus: disabled\n');
      expect(await noticed).toEqual(['alice']);
      expect(users.find('alice')?.status).toBe('disabled');
    } finally {
      await users.close();
    }
  });
});

describe('a refresh that breaks off, as the vault ended meanwhile,', () => {
  /** `files`, whose reads reject while `isAway` says so of what is asked. */
  function breakable(files: UserFiles) {
    const state = { isAway: (_files: readonly string[]): boolean => false };
    const read = async (asked: readonly string[]) => {
      if (state.isAway(asked)) throw new SallyportError('busy', 'away');
      return files.read(asked);
    };
    const proxy: UserFiles = {
      read,
      show: (texts) => files.show(texts),
      write: (file, text, options) => files.write(file, text, options),
      apply: (changes) => files.apply(changes),
      finishApply: () => files.finishApply(),
      copy: (original, copy) => files.copy(original, copy),
    };
    return { state, files: proxy };
  }
  const names = Array.from({ length: 300 }, (_, index) => `user${String(index).padStart(3, '0')}`);

  test('loses no change and no removal, whatever batch it broke off at', async () => {
    await using folder = await makeUsersFolder(
      Object.fromEntries([...names, 'leaver'].map((name) => [`${name}.yaml`, `username: ${name}\n`])),
    );
    const { state, files } = breakable(folder.files());
    const users = await folder.open({ files });
    const told = new Set<string>();
    users.onChange((changed) => changed.forEach((name) => told.add(name)));
    for (const name of names) await folder.write(`${name}.yaml`, `username: ${name}\nstatus: disabled\n`);
    await folder.remove('leaver.yaml');
    let reads = 0;
    state.isAway = () => (reads += 1) === 2;
    await users.refresh();
    expect(users.problems()[0]?.message).toContain('can not be read');
    expect(told.size).toBe(0);
    await users.refresh();
    expect(users.problems()).toEqual([]);
    expect([...users.list()].filter(({ status }) => status === 'active')).toEqual([]);
    expect(users.find('leaver')).toBeUndefined();
    expect(told.size).toBe(names.length + 1);
  });

  test('as it asked for a last good copy, tells of everybody the next time, and keeps what counted', async () => {
    await using folder = await makeUsersFolder({
      'groups/staff.yaml': 'quota: 1GiB\n',
      'alice.yaml': 'username: alice\ngroups: [staff]\n',
      'bob.yaml': 'username: bob\n',
      'leaver.yaml': 'username: leaver\n',
    });
    await folder.open();
    await folder.write('bob.yaml', 'username: bob\nadmin: true\n');
    const { state, files } = breakable(folder.files());
    state.isAway = (asked) => asked.some((file) => file.includes('last-good'));
    const users = await folder.open({ files });
    expect(users.problems()[0]?.message).toContain('can not be read');
    state.isAway = () => false;
    await users.refresh();
    expect(users.find('bob')?.status).toBe('active');
    const told = new Set<string>();
    users.onChange((changed) => changed.forEach((name) => told.add(name)));
    // Somebody new whose file is broken is who a copy is asked for.
    await folder.write('carol.yaml', 'username: carol\nadmin: true\n');
    await folder.write('groups/staff.yaml', 'status: disabled\n');
    await folder.remove('leaver.yaml');
    state.isAway = (asked) => asked.some((file) => file.includes('last-good'));
    await users.refresh();
    expect(users.filesInForce('bob')).toHaveLength(1);
    await folder.remove('carol.yaml');
    state.isAway = () => false;
    await users.refresh();
    expect(users.problems().map(({ file }) => path.basename(file))).toEqual(['bob.yaml']);
    expect(users.find('alice')?.status).toBe('disabled');
    expect([...told].toSorted()).toEqual(['alice', 'carol', 'leaver']);
    expect(users.find('carol')).toBeUndefined();
  });

  test('a copy that can not be read stands in nobody’s way', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\n' });
    const users = await folder.open();
    await symlink('/etc/hostname', path.join(folder.base, 'last-good', 'bob.yaml'));
    await folder.write('bob.yaml', 'username: bob\nadmin: true\n');
    await folder.write('alice.yaml', 'username: alice\nstatus: disabled\n');
    await users.refresh();
    expect(users.find('alice')?.status).toBe('disabled');
    expect(users.find('bob')).toBeUndefined();
  });
});

describe('the folder', () => {
  test('that can not be read leaves everybody as they were', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\n' });
    const users = await folder.open();
    const away = `${folder.directory}-away`;
    await rename(folder.directory, away);
    await users.refresh();
    expect(users.find('alice')).toBeDefined();
    expect(users.problems()[0]?.message).toContain('the users folder can not be read');
    await rename(away, folder.directory);
    await users.refresh();
    expect(users.problems()).toEqual([]);
  });

  test('may be missing at start: nobody exists, and the reason is told', async () => {
    await using folder = await makeUsersFolder();
    const users = await folder.open({ directory: path.join(folder.base, 'nowhere') });
    expect([...users.list()]).toEqual([]);
    expect(users.problems()).toHaveLength(1);
  });

  test('with a file that is a folder or unreadable reports it and goes on', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': 'username: alice\n',
      'bob.yaml': 'username: bob\n',
    });
    await chmod(path.join(folder.directory, 'bob.yaml'), 0);
    const users = await folder.open();
    expect(users.find('alice')).toBeDefined();
  });

  test('with a pipe, a link or a huge file in it serves everybody else, says so, and quotes nothing of elsewhere', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': 'username: alice\n' });
    const elsewhere = path.join(folder.base, 'elsewhere');
    await writeFile(elsewhere, 'root:$6$secret-of-the-host\n');
    execFileSync('mkfifo', [path.join(folder.directory, 'pipe.yaml')]);
    await symlink(elsewhere, path.join(folder.directory, 'bob.yaml'));
    await folder.write('huge.yaml', Buffer.alloc(300 * 1024, '#'));
    const atStart = await folder.open();
    await using later = await makeUsersFolder({});
    const followed = await later.open();
    execFileSync('mkfifo', [path.join(later.directory, 'pipe.yaml')]);
    await symlink(elsewhere, path.join(later.directory, 'bob.yaml'));
    await later.write('huge.yaml', Buffer.alloc(300 * 1024, '#'));
    await later.write('alice.yaml', 'username: alice\n');
    await followed.refresh();
    for (const users of [atStart, followed]) {
      expect([...users.list()].map(({ username }) => username)).toEqual(['alice']);
      const told = JSON.stringify(users.problems());
      for (const why of ['no file but a pipe', 'a symbolic link', 'more than']) expect(told).toContain(why);
      expect(told).not.toContain('secret-of-the-host');
    }
  });

  test('of the last good copies is private and holds what is in force', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': 'username: alice\n',
      'bob.yaml': 'broken\n',
      'groups/g.yaml': 'quota: 1GiB\n',
    });
    await folder.open();
    const copies = await readdir(path.join(folder.base, 'last-good'), { recursive: true });
    expect(copies.toSorted()).toEqual(['alice.yaml', 'groups', 'groups/g.yaml']);
  });

  test('with a hostile YAML file comes to no harm', async () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 12; level += 1) {
      const above = String.fromCharCode(96 + level);
      const own = String.fromCharCode(97 + level);
      bomb.push(`${own}: &${own} [${Array.from({ length: 9 }, () => `*${above}`).join(', ')}]`);
    }
    await using folder = await makeUsersFolder({
      'bomb.yaml': bomb.join('\n'),
      'deep.yaml': '['.repeat(5_000),
      'proto.yaml': 'username: proto\n__proto__: { status: active }\nconstructor: 1\n',
      'tag.yaml': 'username: !!js/function "x"\n',
      'docs.yaml': 'username: docs\n---\nusername: docs\n',
      'alice.yaml': 'username: alice\n',
    });
    const users = await folder.open();
    expect([...users.list()].map(({ username }) => username)).toEqual(['alice']);
    expect(new Set(users.problems().map(({ file }) => path.basename(file))).size).toBe(5);
    expect(Object.hasOwn({}, 'status')).toBe(false);
  });
});
