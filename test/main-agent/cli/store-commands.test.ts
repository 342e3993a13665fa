import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlGroups } from '#main-agent/users/group-writes.ts';
import { StorePlans } from '#main-agent/users/store-plan.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { systemClock } from '#shared/clock.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';
import { exampleHash, makeUsersFolder, type UsersFolder } from '#test/main-agent/users/users-folder.ts';

/** The commands about groups and whole stores, on a real store behind the real API. */
describe('sallyport on a user store', () => {
  let main: PlayedMain;
  let live: UsersFolder;
  beforeEach(async () => {
    live = await makeUsersFolder({
      '_default.yaml': '# For all\nquota: 1GiB\n',
      'groups/partners.yaml': 'quota: 2GiB # more\n',
      'alice.yaml': `username: alice\ngroups: [partners]\npassword: ${exampleHash}\n`,
      'bob.yaml': 'username: bob\n',
    });
    const users = await live.open();
    const writes = new FileWrites(users, systemClock);
    main = await startPlayedMain({
      users: new YamlUserDirectory(users, writes),
      groups: new YamlGroups(users, writes),
      plans: new StorePlans(users, writes, systemClock),
    });
  });
  afterEach(async () => {
    await main.close();
    await live[Symbol.asyncDispose]();
  });

  async function run(...args: string[]) {
    const terminal = buildPlayedTerminal();
    const code = await runCommand(['--socket', main.socket, ...args], {
      terminal,
      folder: live.base,
      nowMs: 0,
      actor: 'eva',
    });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }
  async function writeStore(files: Readonly<Record<string, string>>): Promise<void> {
    await mkdir(join(live.base, 'wanted', 'groups'), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(live.base, 'wanted', name), text);
  }

  it('plan shows each change with a sign, apply makes it, and again there is nothing to do', async () => {
    await writeStore({
      '_default.yaml': '# For all of us\nquota: 1GiB\n',
      'groups/partners.yaml': 'quota: 3GiB\nlimits: { sessions: 4 }\n',
      'alice.yaml': `username: alice\ngroups: [partners]\npassword: ${exampleHash}\n`,
      'carol.yaml': `username: carol\npassword: ${exampleHash}\n`,
      'README.md': 'Reviewed by two.\n',
    });
    const planned = await run('users', 'plan', 'wanted');
    expect(planned.out.replace(/Store: \S+/, 'Store: …')).toBe(
      `~ _default.yaml (comments or formatting only)
- bob.yaml
+ carol.yaml
    username: carol
    password: [secret]
~ groups/partners.yaml
    quota: 2GiB → 3GiB
    limits.sessions: - → 4

1 added, 2 changed, 1 removed, 1 unchanged.
Store: …
`,
    );
    expect((await run('users', 'show', 'bob')).code).toBe(0);
    const [, etag = ''] = /Store: (\S+)/.exec(planned.out) ?? [];
    const applied = await run('users', 'apply', 'wanted', '--expect', etag);
    expect(applied.out).toContain('1 added, 2 changed, 1 removed');
    expect((await run('users', 'show', 'bob')).code).toBe(3);
    expect((await run('users', 'show', 'alice')).out).toMatch(/limits\.sessions +4/);
    for (const command of ['plan', 'apply'])
      expect((await run('users', command, 'wanted')).out).toBe(
        'Nothing to do: 4 files are as they should be.\n',
      );
    expect(main.state.audit.map(({ detail }) => detail)).toContainEqual(
      'change _default.yaml, remove bob.yaml, add carol.yaml, change groups/partners.yaml',
    );
  });

  it('apply is refused with exit code 5 when the store is not the expected one any more', async () => {
    await writeStore({ 'bob.yaml': 'username: bob\nquota: 9GiB\n' });
    const planned: { etag: string } = JSON.parse((await run('users', 'plan', 'wanted', '--json')).out);
    await live.write('bob.yaml', 'username: bob\nquota: 8GiB\n');
    const refused = await run('users', 'apply', 'wanted', '--expect', planned.etag);
    expect(refused).toMatchObject({ code: 5, err: expect.stringContaining('plan again') });
  });

  it('an empty folder, a missing one and one with problems change nothing', async () => {
    expect((await run('users', 'apply', 'nowhere')).code).toBe(3);
    await mkdir(join(live.base, 'empty'));
    expect((await run('users', 'apply', 'empty')).code).toBe(3);
    await writeStore({ 'bob.yaml': 'username: bob\nqouta: 9GiB\n', 'eve.yml': 'username: eve\n' });
    const refused = await run('users', 'apply', 'wanted');
    expect(refused.code).toBe(2);
    expect(refused.err).toContain('eve.yml');
    expect((await run('users', 'show', 'alice')).code).toBe(0);
  });

  it('a store of more than a MiB goes through', async () => {
    const note = `# ${'x'.repeat(1_500)}\n`;
    const names = Array.from({ length: 1_000 }, (_, index) => `user-${index}`);
    await writeStore(Object.fromEntries(names.map((name) => [`${name}.yaml`, `${note}username: ${name}\n`])));
    expect((await run('users', 'apply', 'wanted')).out).toContain('1000 added');
  });

  it('groups list, show, add, set and delete', async () => {
    expect((await run('groups', 'list')).out).toMatch(/_default +- +2 +good\npartners +- +1 +good/);
    expect((await run('groups', 'show', 'partners')).out).toMatch(/quota +2GiB\nusers +alice/);
    expect((await run('groups', 'add', 'night', 'groups=[partners]', 'limits.sessions=2')).code).toBe(0);
    expect((await run('groups', 'set', 'partners', 'quota=7GiB')).code).toBe(0);
    expect(await readFile(join(live.directory, 'groups/partners.yaml'), 'utf8')).toBe('quota: 7GiB # more\n');
    expect((await run('groups', 'set', '_default', '--unset', 'quota', 'status=active')).code).toBe(0);
    expect(await readFile(join(live.directory, '_default.yaml'), 'utf8')).toBe('# For all\nstatus: active\n');
    const refused = await run('groups', 'delete', 'partners');
    expect(refused).toMatchObject({ code: 5, err: expect.stringContaining('alice, groups/night.yaml') });
    expect((await run('groups', 'delete', 'night')).code).toBe(0);
    expect((await run('groups', 'show', 'night')).code).toBe(3);
    expect((await run('groups', 'set', 'partners', 'qouta=1GiB')).err).toContain('did you mean `quota`?');
  });
});
