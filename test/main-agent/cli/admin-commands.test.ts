import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { binId, playedUser, startPlayedMain, type PlayedMain } from '#test/main-agent/admin/played-main.ts';
import type { Examination, Finding } from '#shared/health/check.ts';
import { buildPlayedTerminal, type PlayedTerminal } from '#test/harness/played-terminal.ts';

/** A main that finds this. */
function whoFinds(
  findings: readonly Omit<Finding, 'affects'>[],
  unlooked: Examination['unlooked'] = [],
): { readonly examine: () => Promise<Examination> } {
  return {
    examine: async () => ({ findings: findings.map((one) => ({ ...one, affects: 'health' })), unlooked }),
  };
}

describe('sallyport against a running main', () => {
  let main: PlayedMain;
  beforeEach(async () => {
    main = await startPlayedMain();
  });
  afterEach(() => main.close());

  interface Ran {
    readonly code: number;
    readonly out: string;
    readonly err: string;
    readonly questions: readonly string[];
  }
  async function runAt(terminal: PlayedTerminal, ...args: string[]): Promise<Ran> {
    const code = await runCommand(['--socket', main.socket, ...args], {
      terminal,
      folder: '/nonexistent',
      nowMs: 0,
      actor: 'eva',
    });
    return { code, out: terminal.printed(), err: terminal.complained(), questions: terminal.questions };
  }
  const run = (...args: string[]): Promise<Ran> => runAt(buildPlayedTerminal(), ...args);

  it('status: a summary, or the JSON with --json before or after the command', async () => {
    expect((await run('status')).out).toMatch(/main1[\s\S]*dmz1 .* up [\s\S]*All is well/);
    expect(JSON.parse((await run('status', '--json')).out)).toMatchObject({ ok: true });
    expect(JSON.parse((await run('--json', 'status')).out)).toMatchObject({ ok: true });
  });

  it('status says that all is well only of what was looked at, and five things of one kind', async () => {
    const many = Array.from({ length: 7 }, (_, index) => ({
      check: 'storages',
      state: 'warning' as const,
      detail: `name ${index}`,
    }));
    await main.close();
    main = await startPlayedMain({
      doctor: whoFinds(many, [
        { check: 'firewall', why: 'nobody looked' },
        { check: 'unit', why: 'nobody looked' },
      ]),
    });
    expect((await run('status')).out).toMatch(
      /name 4\n {6}storages: 2 more; `sallyport doctor` has them all\nAll is well, as far as was looked at \(1 checks\)\.\nNot looked at: firewall, unit \(nobody looked\)\.\n$/,
    );
  });

  it('with a socket alone, config check and doctor look at the configuration of the main behind it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-config-'));
    try {
      await run('main', 'init', '--dir', folder);
      const configFile = join(folder, 'main-agent.yaml');
      await main.close();
      main = await startPlayedMain({ configFile });
      expect((await run('config', 'check')).out.split('\n')[0]).toBe(`${configFile} is good.`);
      expect((await run('doctor')).out).toContain(configFile);
      // Main is told to be asked, not believed for more: what is named counts.
      const other = await run('config', 'check', '--config', join(folder, 'none.yaml'));
      expect([other.code, other.err]).toEqual([3, expect.stringContaining('none.yaml')]);
      await main.close();
      expect((await run('config', 'check')).code).toBe(3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('bin: lists what a user deleted, puts entries back one after the other and removes some or all', async () => {
    expect((await run('bin', 'list', 'alice')).out).toMatch(
      /^ENTRY +WHAT +PATH[^\n]*\n\S{22} +file deleted +\/plan\.txt +8 /,
    );
    const restored = await run('bin', 'restore', 'alice', binId, '--keep-both', '--reason', 'she called');
    expect(restored.out).toBe('Restored /plan.txt.\n');
    expect(main.asked).toContain(`restore alice ${binId} true socket:eva`);
    const none = await run('bin', 'restore', 'alice', 'B'.repeat(22), '--reason', 'she called');
    expect([none.code, none.err]).toEqual([3, expect.stringContaining('not in the bin')]);
    expect((await run('bin', 'empty', 'alice', binId, '--reason', 'she asked')).out).toBe(
      'Removed 1 entry for good.\n',
    );
    await run('bin', 'empty', 'alice', '--reason', 'she asked');
    expect(main.asked.slice(-2)).toEqual([`empty alice ${binId}`, 'empty alice all']);
  });

  it('nodes incident shows what a terminal would obey, in steps and in what is not known, too', async () => {
    const evil = 'x\u001b[2J\ny';
    const told = await main.ports.incidents.report(
      { node: 'dmz1', fromMs: 0, toMs: undefined, mode: 'listed' },
      { actor: 'eva', reason: 'a test' },
    );
    const report: typeof told = {
      ...told,
      known: { ...told.known, gaps: [{ why: evil }], never: [evil] },
      steps: [{ title: evil, why: evil, users: [evil], commands: [evil] }],
    };
    await main.close();
    main = await startPlayedMain({ incidents: { report: async () => report } });
    const { out } = await run('nodes', 'incident', 'dmz1', '--since', '1h');
    expect(out.match(/x\\u001b\[2J\\u000ay/g)).toHaveLength(6);
    expect(out).not.toContain('\u001b');
  });

  it('users list and show, with where each value came from', async () => {
    const list = (await run('users', 'list')).out.trimEnd().split('\n');
    expect(list[0]).toMatch(/^USER +NAME +STATUS/);
    expect(list.slice(1).map((line) => line.split(' ')[0])).toEqual(['alice', 'bob', 'carol']);
    expect((await run('users', 'show', 'alice')).out).toMatch(/two_factor\.required_on +sftp/);
    expect((await run('users', 'show', 'alice', '--origin')).out).toMatch(/The alice +users\/alice\.yaml:2/);
    expect((await run('users', 'show', 'nobody')).code).toBe(3);
  });

  it('users list says who fits every option: group, status, second factor, a part of a name or address', async () => {
    main.users.set('bob', { ...main.userOf('bob'), groups: ['partners'], email: 'Robert@example.com' });
    main.users.set('carol', { ...main.userOf('carol'), groups: ['partners'], status: 'disabled' });
    const named = async (...options: string[]): Promise<readonly string[]> => {
      const { out } = await run('users', 'list', ...options);
      return out
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.split(' ')[0] ?? '');
    };
    expect(await named('--group', 'partners')).toEqual(['bob', 'carol']);
    expect(await named('--group', 'partners', '--status', 'active')).toEqual(['bob']);
    expect(await named('--status', 'disabled')).toEqual(['carol']);
    expect(await named('--enrolled')).toEqual(['alice']);
    expect(await named('--not-enrolled')).toEqual(['bob', 'carol']);
    expect(await named('--not-enrolled', '--search', 'ROBERT')).toEqual(['bob']);
    expect(await named('--search', 'the c')).toEqual(['carol']);
    expect((await run('users', 'list', '--status', 'gone')).code).toBe(2);
    expect((await run('users', 'list', '--enrolled', '--not-enrolled')).code).toBe(2);
  });

  it('users copy adds a user whose file begins as another’s', async () => {
    const terminal = buildPlayedTerminal({ input: 'piped in password' });
    const { out } = await runAt(terminal, 'users', 'copy', 'alice', 'erin', '--email', 'e@example.com');
    expect(out).toContain('Added erin.');
    expect(main.asked).toEqual(['create erin {"email":"e@example.com","password":"hash(17)"} like alice']);
    expect((await run('users', 'copy', 'ghost', 'fay', '--no-password')).code).toBe(3);
    expect((await run('users', 'copy', 'alice', 'bob', '--no-password')).code).toBe(5);
  });

  it('users list and groups list: all pages of them', async () => {
    const names = Array.from({ length: 1_001 }, (_, at) => `g${String(at).padStart(4, '0')}`);
    const groups = names.map((name) => ({ name, groups: [], users: 0, isBroken: false }));
    const { ports } = main;
    await main.close();
    main = await startPlayedMain({ groups: { ...ports.groups, list: () => groups } });
    for (const name of names) main.users.set(name, playedUser(name));
    const listed = JSON.parse((await run('groups', 'list', '--json')).out) as { groups: { name: string }[] };
    expect(listed.groups.map(({ name }) => name)).toEqual(names);
    const users = (await run('users', 'list')).out.trimEnd().split('\n');
    expect(users).toHaveLength(1 + 3 + names.length);
  });

  it('users add: the password is typed twice or piped in, never an argument', async () => {
    const person = buildPlayedTerminal({ answers: ['long enough one', 'long enough one'] });
    const added = await runAt(
      person,
      'users',
      'add',
      'dora',
      '--email',
      'd@example.com',
      '--group',
      'partners',
      'two_factor.required_on=[https, sftp]',
      'expires=2027-01-15',
    );
    expect(added.code).toBe(0);
    expect(main.asked).toEqual([
      `create dora ${JSON.stringify({
        email: 'd@example.com',
        groups: ['partners'],
        'two_factor.required_on': ['https', 'sftp'],
        expires: '2027-01-15',
        password: 'hash(15)',
      })}`,
    ]);
    await runAt(buildPlayedTerminal({ input: 'piped in password' }), 'users', 'add', 'emil');
    await run('users', 'add', 'fritz', '--no-password');
    expect(main.asked.slice(1)).toEqual(['create emil {"password":"hash(17)"}', 'create fritz {}']);
    expect((await run('users', 'add', 'fritz')).code).toBe(5);
    const differing = buildPlayedTerminal({ answers: ['long enough one', 'another long one'] });
    expect((await runAt(differing, 'users', 'add', 'gerd')).code).toBe(2);
    const weak = await runAt(buildPlayedTerminal({ input: 'short' }), 'users', 'add', 'gerd');
    expect(weak).toMatchObject({ code: 4, err: expect.stringContaining('hint: at least 12') });
  });

  it('users add says so when the password alone will let the new user in', async () => {
    const { twoFactor: played } = main.ports;
    const report = (required_on: ('https' | 'sftp')[]) => ({
      ...played,
      status: async (name: string) => ({
        ...(await played.status(name)),
        requiredOn: required_on,
        setupDueOn: [],
        lockedOutOn: [],
      }),
    });
    const add = async (required_on: ('https' | 'sftp')[]): Promise<string> => {
      const twoFactor = report(required_on);
      await main.close();
      main = await startPlayedMain({ twoFactor });
      return (await runAt(buildPlayedTerminal({ input: 'piped in password' }), 'users', 'add', 'emil')).out;
    };
    expect(await add([])).toMatch(/^Added emil\.\n! The password alone lets emil in over https and sftp\.\n/);
    expect(await add(['https'])).toContain('lets emil in over sftp');
    expect(await add(['https', 'sftp'])).toBe('Added emil.\n');
  });

  it('users add and set say so when the last day is over already', async () => {
    const { users } = main.ports;
    await main.close();
    const find = () => ({ ...playedUser('bob'), expires: '1969-12-30' });
    main = await startPlayedMain({ users: { ...users, find, create: async () => 'etag2' } });
    const told =
      /\n! bob can not sign in: the account expired after 1969-12-30\.\n +hint: sallyport users set bob /;
    expect(await run('users', 'add', 'bob', 'expires=1969-12-30', '--no-password')).toMatchObject({
      code: 0,
      out: expect.stringMatching(told),
    });
    expect((await run('users', 'set', 'bob', 'expires=1969-12-30')).out).toMatch(told);
  });

  it('users password-link and users add --welcome mail a link, and ask for no password', async () => {
    const sent = await run('users', 'password-link', 'alice', '--reason', 'forgot it', '--ttl', '12h');
    expect(sent.out).toMatch(/^A link went to alice@example\.com; it works once, until 20/);
    const added = await run('users', 'add', 'emil', '--email', 'emil@example.com', '--welcome');
    expect(added.out).toMatch(/^Added emil\.\n[\s\S]*A link went to emil@example\.com/);
    expect(main.asked).toEqual([
      'password-link alice 43200000 forgot it',
      'create emil {"email":"emil@example.com"}',
      'password-link emil 604800000 welcome',
    ]);
    expect(await run('users', 'password-link', 'carol', '--reason', 'forgot it')).toMatchObject({
      code: 5,
      err: expect.stringContaining('carol has no email'),
    });
    expect((await run('users', 'password-link', 'alice', '--reason', 'x', '--ttl', '31d')).code).toBe(2);
    expect((await run('users', 'password-link', 'alice')).code).toBe(2);
  });

  it('users rename gives another name with a reason, and tells what moved and what ended', async () => {
    expect(await run('users', 'rename', 'alice', 'alina', '--reason', 'married')).toMatchObject({
      code: 0,
      out: 'Renamed alice to alina; their sessions ended.\nMoved alice to alina on local.\n! 1 of their admin tokens ended: sallyport tokens add\n',
    });
    expect(main.asked).toEqual([expect.stringMatching(/^rename alice alina .+ married$/)]);
    expect((await run('users', 'rename', 'alice', 'alina')).code).toBe(2);
  });

  it('status tells what should not be forgotten, and is well all the same', async () => {
    await main.close();
    main = await startPlayedMain({
      doctor: whoFinds([
        { check: 'password-alone', state: 'warning', detail: '2 users: a, b', hint: 'a factor' },
      ]),
    });
    const { code, out } = await run('status');
    expect(out).toMatch(/\nwarn {2}password-alone: 2 users: a, b\n {6}hint: a factor\nAll is well\.\n$/);
    expect(code).toBe(0);
  });

  it('status is 1 when something is wrong, and says what with its cure', async () => {
    await main.close();
    main = await startPlayedMain({
      doctor: whoFinds([{ check: 'links', state: 'bad', detail: 'dmz1 is away', hint: 'start it' }]),
    });
    const { code, out } = await run('status');
    expect(out).toMatch(/\nBAD {3}links: dmz1 is away\n {6}hint: start it\n$/);
    expect(code).toBe(1);
  });

  it('users set reads values as YAML', async () => {
    const { code } = await run(
      'users',
      'set',
      'alice',
      'two_factor.required_on=[https, sftp]',
      'two_factor.registration=true',
      'display_name=A = B',
      'password=null',
      '--unset',
      'expires',
    );
    expect(code).toBe(0);
    expect(main.asked).toEqual([
      'change alice two_factor.required_on=["https","sftp"] two_factor.registration=true' +
        ' display_name="A = B" password=null expires=(unset)',
    ]);
    expect((await run('users', 'set', 'alice', 'no-assignment')).code).toBe(2);
    expect((await run('users', 'set', 'alice', 'quota=[1')).code).toBe(2);
    expect((await run('users', 'set', 'alice')).code).toBe(2);
    expect((await run('users', 'set', 'nobody', 'quota=1GiB')).code).toBe(3);
  });

  it('users disable, delete, passwd', async () => {
    expect((await run('users', 'disable', 'alice')).code).toBe(0);
    expect(
      (await runAt(buildPlayedTerminal({ input: 'long enough one' }), 'users', 'passwd', 'bob')).code,
    ).toBe(0);
    expect((await run('users', 'passwd', 'bob')).code).toBe(2);
    expect((await run('users', 'delete', 'alice')).code).toBe(0);
    expect(main.asked).toEqual([
      'change alice status="disabled"',
      'end-all alice user disabled',
      'change bob password="hash(15)"',
      'end-all bob password changed',
      'remove alice',
      'forget alice socket:eva the user was removed',
    ]);
  });

  it('certificate: how it stands and why there is no newer one; renew orders one; without an authority it says so', async () => {
    const shown = await run('certificate', 'show');
    expect(shown.out).toMatch(
      /names +files\.example\.com\n[\s\S]*until +20\d\d-[\s\S]*last order +FAILED: files\.ex/,
    );
    expect((await run('certificate', 'renew', '--reason', 'the key was copied')).code).toBe(0);
    expect(main.asked).toContain('renew-certificate');
    await main.close();
    main = await startPlayedMain({ doorCertificate: undefined });
    const without = await run('certificate', 'show');
    expect(without.code).toBe(3);
    expect(without.err).toContain('hint: https.acme in main-agent.yaml orders one');
  });

  it('two-factor test-delivery: what became of each message; failed when one was', async () => {
    const tested = await run('two-factor', 'test-delivery', 'alice');
    expect(tested.code).toBe(1);
    expect(tested.out).toMatch(/sms +…42 +failed: gateway\.example: status 500 +12 ms/);
    expect(tested.out).toMatch(/email +a…@example\.com +accepted +7 ms/);
    expect(tested.err).toContain('Not every message was accepted');
    expect((await run('two-factor', 'test-delivery', 'nobody')).code).toBe(3);
  });

  it('two-factor orphans and keep: one name, or all that came back, never one that is only gone', async () => {
    expect((await run('two-factor', 'orphans')).out).toBe('No name waits for a decision.\n');
    for (const username of ['alice', 'bob', 'carol'])
      main.orphans.push({ username, goneAtMs: 0, returnedAtMs: 60_000 });
    main.orphans.push({ username: 'dora', goneAtMs: 0, returnedAtMs: undefined });
    expect((await run('two-factor', 'orphans')).out).toMatch(
      /^alice +1970.*two-factor keep alice.*\n[^]*^dora .*reset dora\n$/m,
    );
    expect((await run('two-factor', 'keep', 'alice')).code).toBe(2);
    for (const wrong of [['alice', '--all'], []])
      expect((await run('two-factor', 'keep', ...wrong, '--reason', 'backup')).code).toBe(2);
    expect((await run('two-factor', 'keep', 'alice', '--reason', 'seen in person')).code).toBe(0);
    expect(await run('two-factor', 'keep', 'alice', '--reason', 'again')).toMatchObject({
      code: 5,
      err: expect.stringContaining('hint: sallyport two-factor orphans'),
    });
    const all = await run('two-factor', 'keep', '--all', '--reason', 'restored the backup');
    expect(all).toMatchObject({ code: 0, out: expect.stringContaining('bob, carol.') });
    expect(main.asked.filter((one) => one.startsWith('keep')).at(-1)).toBe(
      'keep carol socket:eva restored the backup',
    );
    expect(main.orphans.map(({ username }) => username)).toEqual(['dora']);
  });

  it('two-factor status, reset, unlock, bypass-code', async () => {
    expect((await run('two-factor', 'status', 'alice')).out).toMatch(/state +enrolled/);
    const rollOut = (await run('two-factor', 'status')).out;
    expect(rollOut).toMatch(/^bob +none +sftp +2027-01-15 +partly protected +- +https from 2027-01-15$/m);
    expect(rollOut).toMatch(/^carol +none +sftp +- +locked out +- +sftp$/m);
    expect(rollOut).toContain('3 users\n1 have set up an authenticator\n');
    expect(rollOut).toContain('! no code is asked from 10.0.0.0/8\n');
    expect(JSON.parse((await run('--json', 'two-factor', 'status')).out)).toMatchObject({
      summary: { users: 3, enrolled: 1, required: 3, locked_out: 1, locked_out_later: 1 },
      users: [{ username: 'alice' }, { username: 'bob' }, { username: 'carol' }],
      warnings: ['no code is asked from 10.0.0.0/8'],
    });
    expect((await run('two-factor', 'reset', 'alice')).code).toBe(2);
    expect((await run('two-factor', 'reset', 'alice', '--reason', 'phone lost')).code).toBe(0);
    expect((await run('two-factor', 'unlock', 'alice')).code).toBe(0);
    const made = await run(
      'two-factor',
      'bypass-code',
      'alice',
      '--ttl',
      '30m',
      '--re-enrol',
      '--reason',
      'phone lost',
    );
    expect(made.out).toMatch(/^BYPASS-CODE\n/);
    expect((await run('two-factor', 'confirm-clock')).code).toBe(2);
    expect((await run('two-factor', 'confirm-clock', '--reason', 'ntpq looks well')).code).toBe(0);
    expect((await run('two-factor', 'bypass-code', 'alice', '--ttl', '2d', '--reason', 'xyz')).code).toBe(2);
    expect(main.asked).toEqual([
      'reset alice socket:eva phone lost',
      'unlock alice socket:eva unlocked by an admin',
      'bypass alice 1800000 true phone lost',
      'clock socket:eva ntpq looks well',
    ]);
  });

  it('reads the roll-out page by page', async () => {
    for (let index = 0; index < 450; index += 1) {
      const name = `user${String(index).padStart(3, '0')}`;
      main.users.set(name, playedUser(name));
    }
    const { users, summary } = JSON.parse((await run('--json', 'two-factor', 'status')).out);
    expect([users.length, summary.users]).toEqual([453, 453]);
    expect(users.at(-1).username).toBe('user449');
  });

  it('sessions list and kick, leases', async () => {
    expect((await run('sessions', 'list', '--user', 'bob')).out).toMatch(/^SESSION.*\nk-bob +bob/);
    expect((await run('sessions', 'kick', 'k-bob')).code).toBe(0);
    expect((await run('sessions', 'kick', 'gone')).code).toBe(3);
    expect((await run('sessions', 'kick')).code).toBe(2);
    expect((await run('sessions', 'kick', '--user', 'alice', '--reason', 'lunch')).code).toBe(0);
    expect((await run('leases')).out).toMatch(/alice +dmz1 +sftp/);
    expect((await run('leases', 'end', '--user', 'alice')).code).toBe(0);
    expect(main.asked).toEqual([
      'end k-bob kicked by an admin',
      'end gone kicked by an admin',
      'end-all alice lunch',
      'end-leases alice socket:eva by an admin',
    ]);
  });

  it('explain login prints the chain, and the agreed JSON', async () => {
    const args = ['explain', 'login', 'alice', '--protocol', 'sftp', '--ip', '203.0.113.9'];
    const { out } = await run(...args);
    expect(out).toMatch(/two_factor\.required_on .*users\/alice\.yaml:4[\s\S]*Outcome: totp/);
    const json = JSON.parse((await run(...args, '--json')).out) as Record<string, unknown>;
    expect(Object.keys(json).toSorted()).toEqual(['chain', 'outcome', 'protocol', 'user']);
    expect((await run('explain', 'login', 'alice', '--protocol', 'ftp', '--ip', '::1')).code).toBe(2);
    expect((await run('explain', 'login', 'alice', '--ip', '::1')).code).toBe(2);
    expect(
      (await run('explain', 'login', '--user', 'alice', '--protocol', 'sftp', '--ip', '::1')).out,
    ).toContain('Outcome: totp');
    expect((await run('explain', 'login', '--ip', '::1')).out).toMatch(
      /dmz1 sftp door-full .*Outcome: open/s,
    );
  });

  it('nodes list, audit show and tail', async () => {
    expect((await run('nodes', 'list')).out).toMatch(/dmz1 +10\.0\.1\.5:8444 +up +1/);
    const record = {
      time: '2026-11-24T00:00:00.000Z',
      event: 'login.refused',
      outcome: 'refused',
      user: 'alice\u001b[2J',
      reference: 'ABCD2345',
    } as const;
    await main.state.commit([{ kind: 'audit', record }]);
    const shown = (await run('audit', 'show', 'abcd2345')).out;
    expect(shown).toMatch(/event +login\.refused/);
    expect(shown).toContain('alice\\u001b[2J');
    expect((await run('audit', 'tail', '-n', '2')).out).toMatch(/login\.refused +refused/);
    expect((await run('audit', 'show', 'NONE2222')).code).toBe(3);
  });

  it('the caller’s name stands in the audit', async () => {
    await run('users', 'list');
    expect(main.state.audit[0]).toMatchObject({ actor: 'socket:eva' });
  });

  it('a main that is not there is a failure with a hint', async () => {
    await main.close();
    const { code, err } = await run('status');
    expect(code).toBe(1);
    expect(err).toMatch(/does not answer[\s\S]*hint: is it running/);
    expect(JSON.parse((await run('status', '--json')).err)).toMatchObject({ error: 'link-down' });
    main = await startPlayedMain();
  });

  it('help and usage', async () => {
    expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Exit codes') });
    expect((await run('nonsense')).code).toBe(2);
    expect((await run('users', 'list', '--nonsense')).code).toBe(2);
  });

  it('S-15: nodes changes lists what came through a node, and revokes it only for a reason', async () => {
    const listed = await run('nodes', 'changes', 'dmz1', '--since', '2026-11-24T08:00:00Z');
    expect(listed.out).toMatch(/alice +ssh-key-added .*SHA256:x +in force/);
    const window = ['--since', '2026-11-24T08:00:00Z', '--until', '2026-11-24T09:00:00Z'];
    expect((await run('nodes', 'changes', 'dmz1', ...window, '--revoke')).code).toBe(2);
    expect((await run('nodes', 'changes', 'dmz1', '--since', 'yesterday')).code).toBe(2);
    const revoked = await run('nodes', 'changes', 'dmz1', ...window, '--revoke', '--reason', 'broken into');
    expect(revoked.out).toMatch(/alice +ssh-key-added .*revoked/);
    const [since, until] = [Date.UTC(2026, 10, 24, 8), Date.UTC(2026, 10, 24, 9)];
    expect(main.asked).toEqual([
      expect.stringMatching(`^changes dmz1 ${since} `),
      `revoke dmz1 ${since} ${until} socket:eva broken into`,
    ]);
  });
});
