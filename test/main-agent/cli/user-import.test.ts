import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { usersImportedAtOnceMax } from '#main-agent/admin/limits.ts';
import { parseCsv } from '#main-agent/cli/csv.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { FirstFactor } from '#main-agent/login/first-factor.ts';
import { type PasswordHasher, Passwords } from '#main-agent/passwords/password.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { buildOwnCredentials } from '#main-agent/users/own-credentials.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { systemClock } from '#shared/clock.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { playedBox, playVault } from '#test/harness/played-vault.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';
import { buildConfig, playNode, refusal } from '#test/main-agent/login/rig.ts';
import { makeUsersFolder, type UsersFolder } from '#test/main-agent/users/users-folder.ts';

let main: PlayedMain;
let folder: string;
let users: UsersFolder;
let passwords: Passwords;
let verify: (user: string, password: string) => Promise<unknown>;

const template = `# those of Partner Ltd
username: partner
display_name: A Partner
email: nobody@example.com
admin_role: viewer
status: disabled
groups: [partners]
quota: 1GiB # as agreed
files:
  - { path: /, storage: local, root: partners/partner/in, allow: [list, read] }
`;

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-import-'));
  users = await makeUsersFolder({ 'groups/partners.yaml': 'quota: 2GiB\n', 'partner.yaml': template });
  const source = await users.open();
  const directory = new YamlUserDirectory(source, new FileWrites(source, systemClock));
  passwords = new Passwords({
    ask: playVault().ask,
    minimumLength: 12,
    clock: systemClock,
  });
  main = await startPlayedMain({ users: directory, passwords: onceEach(passwords) });
  const firstFactor = new FirstFactor({
    config: buildConfig({}),
    users: source,
    state: buildMemoryState(),
    passwords,
    credentials: buildOwnCredentials(directory),
    findBan: () => undefined,
    isSessionOf: () => true,
    clock: systemClock,
    log: buildLog('silent', {}),
  });
  verify = (user, password) =>
    firstFactor.verify(
      {
        user,
        factor: { type: 'password', password },
        protocol: 'sftp',
        listener: 'sftp',
        client: { ip: '203.0.113.9', port: 4000, agent: 'x' },
      },
      playNode('dmz1', new Map()).link,
    );
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await main.close();
  await users[Symbol.asyncDispose]();
});

const run = (program: string, options: readonly string[]): string =>
  execFileSync(program, options, { encoding: 'utf8' }).trim();

async function importUsers(text: string, more: readonly string[] = [], name = 'users.csv') {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  const terminal = buildPlayedTerminal();
  const args = ['--socket', main.socket, 'users', 'import', file, '--reason', 'moved', ...more];
  const code = await runCommand(args, { terminal, folder, nowMs: 0, actor: 'eva' });
  return { code, out: terminal.printed(), err: terminal.complained() };
}

async function shown(user: string): Promise<string> {
  const terminal = buildPlayedTerminal();
  const args = ['--socket', main.socket, 'users', 'show', user];
  await runCommand(args, { terminal, folder, nowMs: 0, actor: 'eva' });
  return terminal.printed();
}

const fileOf = (user: string): string => readFileSync(path.join(users.directory, `${user}.yaml`), 'utf8');

/** At the price of production, but only once for hashes that are the same: 300 would take half a minute. */
function onceEach(real: Passwords): PasswordHasher {
  const taken = new Map<string, Promise<Secret>>();
  return {
    hash: (password, username) => real.hash(password, username),
    takeOver: (foreign) => {
      const text = playedBox.open(foreign.expose());
      const before = taken.get(text) ?? real.takeOver(new Secret(text));
      taken.set(text, before);
      return before;
    },
    findProblem: (foreign) => real.findProblem(new Secret(playedBox.open(foreign.expose()))),
    boxKey: async () => playedBox.publicKey,
  };
}

/** What the other system had: its hashes are by programs of somebody else, and every third person has the same. */
function exportOf(count: number): string {
  const hashes = [
    run('/usr/bin/mkpasswd', ['-m', 'sha512crypt', 'old secret 0']),
    run('/usr/bin/htpasswd', ['-nbB', '-C', '4', 'x', 'old secret 1']).slice(2),
    run('/usr/bin/mkpasswd', ['-m', 'sha256crypt', '-R', '1000', 'old secret 2']),
  ];
  const lines = Array.from(
    { length: count },
    (_, index) =>
      `user${index},"Person, No. ${index}",p${index}@example.com,${hashes[index % hashes.length]}`,
  );
  return `username,display_name,email,password_hash\n${lines.join('\n')}\n`;
}

describe('sallyport users import', () => {
  it('adds 300 users with hashes of foreign programs; who signs in has a plain argon2id from then on', async () => {
    const export300 = exportOf(300);
    const tried = await importUsers(export300, ['--template', 'partner', '--dry-run']);
    expect([tried.code, tried.out]).toEqual([0, '300 would be added, 0 not taken.\n']);
    expect(readdirSync(users.directory)).toHaveLength(2);
    const { code, out } = await importUsers(export300, ['--template', 'partner']);
    expect([code, out]).toEqual([0, '300 added, 0 not taken.\n']);
    expect(readdirSync(users.directory).filter((name) => name.startsWith('user'))).toHaveLength(300);
    for (const index of [0, 1]) expect(fileOf(`user${index}`)).toContain('password: "$argon2id-over$');
    for (const index of [0, 1]) {
      await refusal(verify(`user${index}`, `old secret ${index + 1}`));
      expect(await verify(`user${index}`, `old secret ${index}`)).toMatchObject({ factor: 'pwd' });
      expect(fileOf(`user${index}`)).toMatch(/^password: "?\$argon2id\$v=19\$m=19456,t=2,p=1\$/m);
      expect(await verify(`user${index}`, `old secret ${index}`)).toMatchObject({ factor: 'pwd' });
    }
    expect(fileOf('user2')).toContain('password: "$argon2id-over$sha256-crypt$r=1000$');
  });

  it('begins each file as the template’s, comments too, without what is that person’s own', async () => {
    await importUsers('username;groups;two_factor.force_setup\nerin;;true\n', ['--template', 'partner']);
    expect(fileOf('erin')).toBe(`# those of Partner Ltd
username: erin
groups: [partners]
quota: 1GiB # as agreed
files: [{ path: /, storage: local, root: "partners/{username}/in", allow: [list, read] }]
two_factor: { force_setup: true }
`);
  });

  it('says of each line that is not taken why, takes the others, and shows no hash', async () => {
    const bad = '$y$j9T$saltsaltsalt$hashhashhash';
    const text = `username,email,password_hash,groups
erin,erin@example.com,,
Erin,,,
partner,,,
-x,,,
fay,no address,,
gil,,${bad},
hal,,,nobody

ida,,,partners
`;
    for (const more of [['--dry-run'], []]) {
      const { code, out, err } = await importUsers(text, more);
      expect(code).toBe(5);
      expect(out).toMatch(/3 +Erin +the name stands in line 2 already/);
      expect(out).toMatch(/4 +partner +the name is taken/);
      expect(out).toMatch(/5 +-x +expected a name of at most 64/);
      expect(out).toMatch(/6 +fay +.*an e-mail address/);
      expect(out).toMatch(/7 +gil +.*yescrypt is not taken over/);
      expect(out).toMatch(/8 +hal +.*nobody/);
      expect(out).toContain(more.length > 0 ? '2 would be added, 6 not taken.' : '2 added, 6 not taken.');
      expect(out + err).not.toContain(bad);
      expect(readdirSync(users.directory).includes('ida.yaml')).toBe(more.length === 0);
    }
    const again = await importUsers(text);
    expect(again.out).toMatch(/2 +erin +the name is taken/);
    expect(again.out).toContain('0 added, 8 not taken.');
  });

  it('reads JSON with keys as in users’ files, and says what is none without quoting it', async () => {
    const hash = run('/usr/bin/mkpasswd', ['-m', 'bcrypt', '-R', '4', 'from json']);
    const entry = { username: 'jon', password_hash: hash, two_factor: { required_on: ['sftp'] } };
    const { out } = await importUsers(JSON.stringify([entry]), [], 'users.json');
    expect(out).toBe('1 added, 0 not taken.\n');
    expect(fileOf('jon')).toContain('required_on');
    expect(await shown('jon')).toMatch(/^password +imported$/m);
    expect(await verify('jon', 'from json')).toMatchObject({ factor: 'pwd' });
    expect(await shown('jon')).toMatch(/^password +set$/m);
    const { err } = await importUsers(`[{"username": "kim", "password_hash": ${hash}}]`);
    expect(err).toContain('not JSON');
    expect(err).not.toContain(hash);
  });

  it('takes no password in clear, no column it does not know, and no template that is not there', async () => {
    for (const [text, more, why] of [
      ['username,password\nerin,open sesame\n', [], 'passwords in clear are not taken'],
      ['name,email\nerin,e@example.com\n', [], '`name` is none of them'],
      ['email\ne@example.com\n', [], 'there is no `username`'],
      ['username,email\nerin,a,b\n', [], 'Line 2 has more cells'],
      ['username\n"erin\n', [], 'Line 2 is not CSV'],
      ['username\n', [], 'There is no user in it'],
      ['username\nerin\n', ['--template', 'ghost'], 'There is no such user'],
    ] as const) {
      const { code, err } = await importUsers(text, more);
      expect(code, why).not.toBe(0);
      expect(err).toContain(why);
      expect(err).not.toContain('open sesame');
    }
    const { out } = await importUsers('[{"username":"erin","password":"open sesame"}]');
    expect(out).toMatch(/1 +erin +This key can not be set so/);
    expect(readdirSync(users.directory).toSorted()).toEqual(['groups', 'partner.yaml']);
  });

  it('sends more than one call takes in several', async () => {
    const names = Array.from({ length: usersImportedAtOnceMax + 1 }, (_, index) => `u${index}`);
    const { out } = await importUsers(`username\n${names.join('\n')}`);
    expect(out).toBe(`${usersImportedAtOnceMax + 1} added, 0 not taken.\n`);
  });
});

describe('CSV', () => {
  it('is read as spreadsheets write it: quotes, line ends in cells, semicolons, tabs', () => {
    expect(parseCsv('a,b\r\n"x, ""y""","one\ntwo"\r\n\r\n,\nlast,\n')).toEqual([
      { line: 1, cells: ['a', 'b'] },
      { line: 2, cells: ['x, "y"', 'one\ntwo'] },
      { line: 6, cells: ['last', ''] },
    ]);
    expect(parseCsv('a;b\n1,5;2')).toEqual([
      { line: 1, cells: ['a', 'b'] },
      { line: 2, cells: ['1,5', '2'] },
    ]);
    expect(parseCsv('a\tb\n1\t2')[1]?.cells).toEqual(['1', '2']);
    expect(parseCsv('a,b\n1,')[1]?.cells).toEqual(['1', '']);
    expect(parseCsv('')).toEqual([]);
    expect(() => parseCsv('a,b\nx"y,1')).toThrow('Line 2 is not CSV');
  });
});
