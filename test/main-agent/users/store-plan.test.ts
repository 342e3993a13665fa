import { mkdir, readdir, readFile, stat, writeFile, chmod } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { finishApply, journalName } from '#main-agent/users/store-apply.ts';
import { hashOctets } from '#main-agent/users/shown-text.ts';
import { StorePlans, type StoreFiles } from '#main-agent/users/store-plan.ts';
import { systemClock } from '#shared/clock.ts';
import { breakFiles } from '#test/harness/faulty-files.ts';
import { exampleHash, makeUsersFolder, type UsersFolder } from './users-folder.ts';

const otherHash = `${exampleHash.slice(0, -1)}h`;
const before: StoreFiles = {
  '_default.yaml': 'quota: 1GiB\n',
  'groups/partners.yaml': 'two_factor: { required_on: [https] }\n',
  'alice.yaml': `# Alice\nusername: alice\ngroups: [partners]\npassword: ${exampleHash}\nlimits: { sessions: 2 }\n`,
  'bob.yaml': 'username: bob\n',
  'carol.yaml': 'username: carol\n',
};
const after: StoreFiles = {
  '_default.yaml': 'quota: 2GiB\n',
  'groups/partners.yaml': 'two_factor: { required_on: [https, sftp] }\n',
  'groups/night.yaml': 'status: disabled\n',
  'alice.yaml': `username: alice\ngroups: [partners]\npassword: ${otherHash}\nlimits:\n  sessions: 3\n`,
  'carol.yaml': '# only a comment\nusername: carol\n',
  'dave.yaml': 'username: dave\ngroups: [night]\n',
};

async function setUp(files: StoreFiles = before) {
  const folder = await makeUsersFolder(files);
  const users = await folder.open();
  return {
    folder,
    users,
    plans: new StorePlans(users, new FileWrites(users, systemClock), systemClock),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** All that lies in the folder, hidden files too. */
async function contentOf({ directory }: UsersFolder): Promise<Record<string, string>> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return Object.fromEntries(files.map((file, index) => [path.relative(directory, file), texts[index] ?? '']));
}

describe('a plan', () => {
  test('names what comes, goes and changes, key by key, without a hash', async () => {
    await using site = await setUp();
    const plan = await site.plans.plan(after);
    expect(plan.files).toEqual([
      { file: '_default.yaml', action: 'change', keys: [{ key: 'quota', old: '1GiB', new: '2GiB' }] },
      {
        file: 'alice.yaml',
        action: 'change',
        keys: [
          { key: 'password', old: '[secret]', new: '[secret]' },
          { key: 'limits.sessions', old: 2, new: 3 },
        ],
      },
      { file: 'bob.yaml', action: 'remove', keys: [] },
      { file: 'carol.yaml', action: 'change', keys: [] },
      {
        file: 'dave.yaml',
        action: 'add',
        keys: [
          { key: 'username', old: undefined, new: 'dave' },
          { key: 'groups', old: undefined, new: ['night'] },
        ],
      },
      {
        file: 'groups/night.yaml',
        action: 'add',
        keys: [{ key: 'status', old: undefined, new: 'disabled' }],
      },
      {
        file: 'groups/partners.yaml',
        action: 'change',
        keys: [{ key: 'two_factor.required_on', old: ['https'], new: ['https', 'sftp'] }],
      },
    ]);
    expect(JSON.stringify(plan)).not.toContain('argon2id');
    expect(await contentOf(site.folder)).toEqual(before);
  });

  test('of the store as it is has nothing to do', async () => {
    await using site = await setUp();
    expect(await site.plans.plan(before)).toMatchObject({ files: [], unchanged: 5 });
  });

  test('tells all problems of all its files at once, and of the files together', async () => {
    await using site = await setUp();
    const wanted = {
      'alice.yaml': 'username: alice\nstatus: disbled\n',
      'bob.yaml': 'username: bob\ngroups: [nobody]\n',
      'groups/a.yaml': 'groups: [a]\n',
    };
    const failed = site.plans.plan(wanted);
    await expect(failed).rejects.toMatchObject({ code: 'config' });
    const detail = await failed.catch((error: { detail: string }) => error.detail);
    for (const one of [
      'alice.yaml:2:9: status',
      'bob.yaml:2:1: groups: unknown',
      'groups/a.yaml:1:1: groups',
    ])
      expect(detail).toContain(one);
  });

  test.each(['../alice.yaml', 'a b.yaml', 'groups/x/y.yaml', 'alice.yml', '.alice.yaml', 'readme.md'])(
    'refuses a file called %j',
    async (name) => {
      await using site = await setUp();
      await expect(site.plans.plan({ [name]: 'username: alice\n' })).rejects.toMatchObject({
        code: 'config',
      });
    },
  );
});

describe('a plan applied', () => {
  test('is in force when it resolves, file by file as given, and twice is once', async () => {
    await using site = await setUp();
    await chmod(path.join(site.folder.directory, 'alice.yaml'), 0o640);
    const told: string[][] = [];
    site.users.onChange((names) => told.push([...names].toSorted()));
    const { etag } = await site.plans.plan(after);
    const done = await site.plans.apply(after, etag);
    expect(done.files).toHaveLength(7);
    expect(await contentOf(site.folder)).toEqual(after);
    expect((await stat(path.join(site.folder.directory, 'alice.yaml'))).mode & 0o777).toBe(0o640);
    expect((await stat(path.join(site.folder.directory, 'dave.yaml'))).mode & 0o777).toBe(0o600);
    expect(site.users.find('alice')).toMatchObject({ quotaBytes: 2 * 2 ** 30, limits: { sessions: 3 } });
    expect(site.users.find('bob')).toBeUndefined();
    expect(site.users.find('dave')?.status).toBe('disabled');
    // All of it in one change: nobody saw a part.
    expect(told).toEqual([['alice', 'bob', 'carol', 'dave']]);

    const again = await site.plans.plan(after);
    expect(again).toMatchObject({ files: [], unchanged: 6 });
    expect(await site.plans.apply(after, again.etag)).toMatchObject({ files: [] });
  });

  test('is refused when the store changed after the plan', async () => {
    await using site = await setUp();
    const { etag } = await site.plans.plan(after);
    await site.folder.write('carol.yaml', 'username: carol\nstatus: disabled\n');
    await expect(site.plans.apply(after, etag)).rejects.toMatchObject({ code: 'precondition-failed' });
    expect(await contentOf(site.folder)).toEqual({
      ...before,
      'carol.yaml': 'username: carol\nstatus: disabled\n',
    });
  });

  test('never takes away the last admin', async () => {
    await using site = await setUp({
      'root1.yaml': 'username: root1\nadmin_role: admin\n',
      'root2.yaml': 'username: root2\nadmin_role: admin\nstatus: disabled\n',
    });
    const none = {
      'root1.yaml': 'username: root1\n',
      'root2.yaml': 'username: root2\nadmin_role: admin\nstatus: disabled\n',
    };
    await expect(site.plans.plan(none)).rejects.toMatchObject({ code: 'not-allowed' });
    const { etag } = await site.plans.plan({ 'root1.yaml': 'username: root1\nadmin_role: admin\n' });
    await expect(site.plans.apply(none, etag)).rejects.toMatchObject({ code: 'not-allowed' });
    await expect(site.plans.apply({}, etag)).rejects.toMatchObject({ code: 'not-allowed' });
    const handed = { 'root3.yaml': 'username: root3\nadmin_role: admin\n' };
    await site.plans.apply(handed, etag);
    expect(await contentOf(site.folder)).toEqual(handed);
  });

  test('leaves enrolments and files of others alone', async () => {
    await using site = await setUp();
    const enrolments = path.join(site.folder.base, 'enrolments');
    await mkdir(enrolments);
    await writeFile(path.join(enrolments, 'bob.yaml'), 'sealed');
    await site.folder.write('README.md', 'ours');
    await site.folder.write('.gitignore', 'ours');
    const { etag } = await site.plans.plan({});
    await site.plans.apply({}, etag);
    expect(await readFile(path.join(enrolments, 'bob.yaml'), 'utf8')).toBe('sealed');
    expect(await contentOf(site.folder)).toEqual({ 'README.md': 'ours', '.gitignore': 'ours' });
  });

  test('after a crash at any step the next start has all of it or nothing', { timeout: 60_000 }, async () => {
    const outcomes: string[] = [];
    for (let step = 1; step < 200; step += 1) {
      await using site = await setUp();
      const { etag } = await site.plans.plan(after);
      const faulty = breakFiles({ at: step, how: 'fails' });
      const failed = await site.plans
        .apply(after, etag)
        .then(() => false)
        .catch(() => true);
      // The process that failed shows all of the old store or all of the new one.
      const shown = [...site.users.list()]
        .map(({ username }) => username)
        .toSorted()
        .join(' ');
      expect(['alice bob carol', 'alice carol dave'], `step ${step}`).toContain(shown);
      faulty.restore();
      const restarted = await site.folder.open();
      const content = await contentOf(site.folder);
      const isNew = 'dave.yaml' in content;
      expect(content, `step ${step}`).toEqual(isNew ? after : before);
      expect(restarted.problems()).toEqual([]);
      expect(restarted.find('alice')?.quotaBytes).toBe((isNew ? 2 : 1) * 2 ** 30);
      outcomes.push(isNew ? 'new' : 'old');
      if (!failed) break;
    }
    // First nothing happens, then everything.
    const turned = outcomes.indexOf('new');
    expect(turned).toBeGreaterThan(10);
    expect(outcomes.length).toBeGreaterThan(turned + 10);
    expect(outcomes.slice(turned)).toEqual(outcomes.slice(turned).map(() => 'new'));
  });

  test('and ended by the next start keeps what somebody wrote in between', async () => {
    await using site = await setUp();
    const { etag } = await site.plans.plan(after);
    for (let step = 10; ; step += 1) {
      const faulty = breakFiles({ at: step, how: 'fails' });
      await site.plans.apply(after, etag).catch(() => undefined);
      faulty.restore();
      if (journalName in (await contentOf(site.folder))) break;
      expect(step).toBeLessThan(60);
    }
    await site.folder.write('carol.yaml', 'username: carol\nquota: 9GiB\n');
    const restarted = await site.folder.open();
    expect(restarted.find('carol')?.quotaBytes).toBe(9 * 2 ** 30);
    expect(restarted.find('dave')).toBeDefined();
    expect(await contentOf(site.folder)).toEqual({
      ...after,
      'carol.yaml': 'username: carol\nquota: 9GiB\n',
    });
  });

  test('and ended again by a start that comes after the last file says nothing of somebody else', async () => {
    await using site = await setUp();
    const text = 'username: carol\nquota: 9GiB\n';
    await site.folder.write('carol.yaml', text);
    const hashOf = (octets: string): string => hashOctets(Buffer.from(octets));
    const files = [{ relative: 'carol.yaml', oldHash: hashOf('the one before'), newHash: hashOf(text) }];
    await site.folder.write(journalName, JSON.stringify({ id: '0123456789ab', files }));
    expect(await finishApply(site.folder.directory)).toEqual([]);
    expect((await contentOf(site.folder))['carol.yaml']).toBe(text);
    expect(Object.keys(await contentOf(site.folder))).not.toContain(journalName);
  });

  test('is ended however many files it is about', async () => {
    await using site = await setUp();
    const oldHash = hashOctets(Buffer.from('gone'));
    const files = Array.from({ length: 10_000 }, (_, index) => ({
      relative: `user${index}.yaml`,
      oldHash,
      newHash: null,
    }));
    await site.folder.write(journalName, JSON.stringify({ id: '0123456789ab', files }));
    await site.users.refresh();
    expect(site.users.problems()).toEqual([]);
    expect(Object.keys(await contentOf(site.folder))).not.toContain(journalName);
  });

  test('with a journal that can not be read leaves everybody as they are and says so', async () => {
    await using site = await setUp();
    await site.folder.write(
      journalName,
      '{"id":"0123456789ab","files":[{"relative":"../x","oldHash":null,"newHash":null}]}',
    );
    await site.users.refresh();
    expect(site.users.find('bob')).toBeDefined();
    expect(site.users.problems()[0]?.message).toContain('in the middle of a change');
    await site.folder.remove(journalName);
    await site.users.refresh();
    expect(site.users.problems()).toEqual([]);
  });
});
