import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Authenticator } from '#scripts/demonstration/codes.ts';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { askSallyport } from '#test/harness/clients/sallyport.ts';
import { Guide, shellBeside } from '#test/harness/guide.ts';
import { HttpsUser } from '#test/harness/https-user.ts';
import { comeBackLate, leave } from '#test/harness/leavers.ts';
import { startProduct, waitUntil, type Product } from '#test/harness/product.ts';
import { root } from '#test/repo/source-tree.ts';
import { patienceMs } from '#test/harness/patience.ts';

/** HELPDESK.md, walked from end to end: each of its commands is run as it stands there, and does what it says. */

const program = join(root, 'scripts', 'sallyport');
let product: Product;
let guide: Guide;
let alice: HttpsUser;

/** Required and neither enrolled nor reachable: what a roll-out must not leave behind. */
const mia: DemoUser = {
  name: 'mia',
  displayName: 'Mia Example',
  hasPassword: true,
  hasKey: false,
  isEnrolled: false,
  requiredOn: ['https', 'sftp'],
  registration: false,
  forceSetup: false,
};
const asMia = { alice: 'mia' };
/** Nothing happens to her before her file is gone. */
const noa: DemoUser = { ...mia, name: 'noa', displayName: 'Noa Example', isEnrolled: true };

beforeAll(async () => {
  product = await startProduct({ moreUsers: [mia, noa] });
  guide = new Guide('HELPDESK.md', shellBeside(product.site.files.main.socket));
  alice = new HttpsUser(product, 'alice');
});
afterAll(() => product.close());

const signedIn = { status: 200, body: { state: 'signed-in' } };

const explain = (user = 'alice'): Promise<Record<string, unknown>> =>
  askSallyport(product.site.files.main.socket, [
    'explain',
    'login',
    user,
    '--protocol',
    'https',
    '--ip',
    '203.0.113.9',
  ]);
/** The records of one kind, when as many are in the file: it is fed behind the commits. */
async function records(event: string, count: number): Promise<readonly Record<string, unknown>[]> {
  const find = () => product.audit().filter((one) => one['event'] === event && one['user'] === 'alice');
  await waitUntil(() => find().length >= count, patienceMs);
  return find();
}
async function sftp(code: string): Promise<number | null> {
  const target = product.sftp('alice', { password: product.password('alice'), code });
  // A ride on the lease of an earlier code would prove nothing about this one.
  await askSallyport(product.site.files.main.socket, ['leases', 'end', '--user', 'alice']);
  return (await runOpenSshSftp(target, ['ls'])).status;
}

describe('why can’t she sign in', () => {
  it('is found by the reference she reads out, in the newest records, and by asking what would happen', async () => {
    const wrong = await alice.signIn('000000');
    const reference = String(wrong.body['reference']);
    const shown = await guide.run('sallyport audit show', { '<reference>': reference });
    expect(shown).toMatch(/rule +wrong-code/);
    expect(shown).toMatch(/user +alice/);
    expect(await guide.run('sallyport audit tail')).toContain(reference);
    expect(await guide.run('sallyport explain login alice --protocol https')).toMatch(
      /two_factor\.required_on .*alice\.yaml:\d+\n[^]*Outcome: totp\n$/,
    );
    expect(await guide.run('sallyport explain login alice --protocol sftp')).toContain('Outcome: totp');
    expect(await guide.run('sallyport two-factor status alice')).toMatch(/state +enrolled/);
    expect(await guide.run('sallyport status')).toContain('All is well');
  });
});

/** Her present ones. */
let app: Authenticator;
let recovery: readonly string[];

describe('her phone is gone', () => {
  let old: Authenticator;

  it('a bypass code lets her in once and leaves the phone as it is', async () => {
    old = product.authenticator('alice');
    const made = await guide.run('sallyport two-factor bypass-code alice --ttl 15m --reason "called');
    const code = made.split('\n')[0] ?? '';
    expect((await explain())['outcome']).toBe('totp');
    expect(await alice.signIn(code)).toMatchObject(signedIn);
    expect(await alice.call('POST', '/api/two-factor/setup')).toMatchObject({ status: 403 });
    expect(await alice.signIn(code)).toMatchObject({ status: 401 });
    expect(await alice.signIn(await old.next())).toMatchObject(signedIn);
    expect(await records('two-factor.bypass-code', 1)).toMatchObject([
      { detail: 'called back, phone at home' },
    ]);
    expect((await records('login.admitted', 2)).map((one) => one['method'])).toEqual(['bypass', 'totp']);
  });

  it('with --re-enrol she moves to a new phone, and the old one is worthless', async () => {
    const made = await guide.run('sallyport two-factor bypass-code alice --re-enrol');
    expect(await alice.signIn(made.split('\n')[0] ?? '')).toMatchObject(signedIn);
    expect((await alice.call('GET', '/api/me')).body).toMatchObject({ two_factor: { may_set_up: true } });
    ({ app, recovery } = await alice.setUp());
    expect(await alice.signIn(await old.next())).toMatchObject({
      status: 401,
      body: { reason: 'wrong-code' },
    });
    expect(await alice.signIn(await app.next())).toMatchObject(signedIn);
    expect(await records('two-factor.enrolled', 1)).toMatchObject([{ method: 'bypass' }]);
  });

  it('a recovery code works once, on the web and over SFTP', async () => {
    const [first = '', second = ''] = recovery;
    expect(await alice.signIn(first)).toMatchObject(signedIn);
    expect(await alice.signIn(first)).toMatchObject({ status: 401, body: { reason: 'used-code' } });
    expect(await sftp(second.toLowerCase())).toBe(0);
    expect(await sftp(second)).not.toBe(0);
    const admitted = (await records('login.admitted', 6)).filter((one) => one['method'] === 'recovery');
    expect(admitted.map((one) => one['protocol'])).toEqual(['https', 'sftp']);
    expect((await alice.signIn(recovery[2])).status).toBe(200);
    expect((await alice.call('GET', '/api/me')).body).toMatchObject({
      two_factor: { recovery_codes_left: 7 },
    });
  });

  it('ten wrong codes lock the factor, which she, explain and the audit are told, until it is unlocked', async () => {
    let last = await alice.signIn('000000');
    for (let tries = 2; tries <= 10; tries += 1)
      last = last.body['reason'] === 'refused' ? await alice.signIn('000000') : await alice.code('000000');
    // The tenth was the last of its sign-in as well.
    expect(last).toMatchObject({ status: 401, body: { reason: 'refused' } });
    const locked = await alice.signIn(app.now());
    expect(locked.status).toBe(429);
    const shown = await guide.run('sallyport audit show', {
      '<reference>': String(locked.body['reference']),
    });
    expect(shown).toMatch(/rule +the factor is locked/);
    expect((await explain())['chain']).toContainEqual(expect.objectContaining({ rule: 'factor lock' }));

    await guide.run('sallyport two-factor unlock alice');
    expect(await alice.signIn(await app.next())).toMatchObject(signedIn);
    expect(await records('two-factor.unlocked', 1)).toMatchObject([
      { detail: 'typed them herself, called back', actor: expect.stringContaining('socket:') as string },
    ]);
  });

  it('a reset closes what the factor had opened, and a forced set-up lets her begin anew', async () => {
    expect((await alice.call('GET', '/api/files/')).status).toBe(200);
    await guide.run('sallyport two-factor reset alice');
    expect((await alice.call('GET', '/api/files/')).status).toBe(401);
    const refused = await alice.signIn();
    expect(refused).toMatchObject({ status: 401, body: { reason: 'refused' } });
    const shown = await guide.run('sallyport audit show', {
      '<reference>': String(refused.body['reference']),
    });
    expect(shown).toContain('no factor can be asked');
    expect(await explain()).toMatchObject({ outcome: 'refused' });

    await guide.run('sallyport users set alice two_factor.force_setup=true');
    expect(await explain()).toMatchObject({ outcome: 'setup' });
    expect(await alice.signIn()).toMatchObject({ status: 200, body: { state: 'setup-required' } });
    ({ app, recovery } = await alice.setUp());
    expect(await alice.signIn(await app.next())).toMatchObject(signedIn);
    expect(await records('two-factor.reset', 1)).toMatchObject([{ detail: 'phone stolen, called back' }]);
  });
});

describe('her name came back', () => {
  it('opens nothing until it is kept: hers alone, or all that came back with it', async () => {
    const other = new HttpsUser(product, 'noa');
    const refused = { status: 401, body: { reason: 'refused' } };
    const comeBack = await leave(product, ['alice', 'noa']);
    await comeBackLate(product, comeBack);
    const answer = await alice.signIn();
    expect(answer).toMatchObject(refused);
    const shown = await guide.run('sallyport audit show', {
      '<reference>': String(answer.body['reference']),
    });
    expect(shown).toContain('the name was given again');
    expect(await guide.run('sallyport two-factor orphans')).toMatch(/^alice .*\nnoa .*keep noa/m);
    expect((await guide.try('sallyport status')).stdout).toContain('alice, noa');

    await guide.run('sallyport two-factor keep alice');
    expect(await alice.signIn(recovery[0])).toMatchObject(signedIn);
    expect(await other.signIn()).toMatchObject(refused);
    await guide.run('sallyport two-factor keep --all');
    expect(await other.signIn(await product.authenticator('noa').next())).toMatchObject(signedIn);
    expect(await guide.run('sallyport status')).toContain('All is well');
    expect(await records('two-factor.kept', 1)).toMatchObject([
      { detail: 'same person, her file was moved by mistake' },
    ]);
  });
});

describe('before a requirement begins', () => {
  async function rollOutOf(user: string): Promise<unknown> {
    const { users } = JSON.parse(await guide.run('sallyport --json two-factor status')) as {
      users: { username: string }[];
    };
    return users.find(({ username }) => username === user);
  }

  it('shows who is locked out, and who is not once there is more time', async () => {
    const table = await guide.run('sallyport two-factor status');
    expect(table).toMatch(/^mia +none +https, sftp +- +locked out +- +https, sftp$/m);
    expect(table).toMatch(/^1 are locked out today$/m);

    const day = new Date(Date.now() + 30 * 24 * 3_600_000).toISOString().slice(0, 10);
    await guide.run('sallyport users set alice two_factor.required_from', { ...asMia, '2027-01-15': day });
    expect(await rollOutOf('mia')).toMatchObject({
      protection: 'not required',
      locked_out_on: [],
      locked_out_then_on: ['https', 'sftp'],
    });
    const user = new HttpsUser(product, 'mia');
    expect(await user.signIn()).toMatchObject(signedIn);
    expect((await user.call('GET', '/api/me')).body['notice']).toContain(`required from ${day}`);
    const target = product.sftp('mia', { password: product.password('mia') });
    expect((await runOpenSshSftp(target, ['ls'])).stderr).toContain(`required from ${day}`);

    await guide.run('sallyport users set alice two_factor.registration=true', asMia);
    await user.signIn();
    await user.setUp();
    expect(await rollOutOf('mia')).toMatchObject({ state: 'enrolled', locked_out_then_on: [] });
  });

  it('helps who has nothing to be asked for: an address, or a code for one sign-in', async () => {
    const user = new HttpsUser(product, 'mia');
    await guide.run('sallyport two-factor reset alice', asMia);
    await askSallyport(product.site.files.main.socket, [
      'users',
      'set',
      'mia',
      '--unset',
      'two_factor.required_from',
    ]);
    expect(await user.signIn()).toMatchObject({ status: 401 });
    const made = await guide.run('sallyport two-factor bypass-code alice --ttl 15m --reason "first', asMia);
    expect(await user.password()).toMatchObject({ body: { challenge: { given: true } } });
    expect(await user.code(made.split('\n')[0] ?? '')).toMatchObject(signedIn);

    await guide.run('sallyport users set alice email=', asMia);
    expect(await user.password()).toMatchObject({ body: { challenge: { method: 'email' } } });
  });
});

describe('a group administrator', () => {
  it('adds a user, sets a password and resets a phone in the own group, and is refused everywhere else', async () => {
    const here = { cwd: product.folder };
    const { socket } = product.site.files.main;
    await product.sallyport('groups', 'add', 'sales', 'two_factor.required_on=[https]', 'quota=1GiB');
    await product.sallyport('users', 'add', 'anna', '--no-password');
    await guide.run('sallyport users set anna');
    await guide.run('(umask 077; sallyport tokens add --user anna', {}, here);
    const asAnna = ['--token-file', join(product.folder, 'anna.token')];

    await guide.run('sallyport --token-file anna.token users add ines', {}, here);
    const password = 'the first one of ines';
    await guide.run('sallyport --token-file anna.token users passwd', {}, { ...here, input: password });
    expect(await guide.run('sallyport --token-file anna.token users list', {}, here)).toMatch(
      /^USER .*\nines .*\n$/,
    );
    const ines = new HttpsUser({ site: product.site, password: () => password }, 'ines');
    expect(await ines.password()).toMatchObject({ body: { challenge: { method: 'email' } } });
    expect(await ines.code(product.newestMailedCode())).toMatchObject(signedIn);
    await guide.run('sallyport --token-file anna.token two-factor reset', {}, here);
    expect(await ines.call('GET', '/api/me')).toMatchObject({ status: 401 });
    await guide.run('sallyport --token-file anna.token users disable', {}, here);
    expect(await ines.password()).toMatchObject({ status: 401 });

    // A folder that somebody left, and one below which others have theirs.
    await mkdir(join(product.site.files.files, 'leaver'));
    for (const [code, ...args] of [
      [3, 'users', 'passwd', 'alice'],
      [3, 'two-factor', 'reset', 'alice', '--reason', 'called back'],
      [4, 'users', 'add', 'ida', '--group', 'sales', 'admin_role=admin'],
      [5, 'users', 'add', 'leaver', '--group', 'sales'],
      [4, 'audit', 'tail'],
    ] as const) {
      const words = ['--socket', socket, ...asAnna, ...args];
      const outcome = await runProgram(program, words, { input: 'a long enough one' });
      expect(outcome, args.join(' ')).toMatchObject({ status: code });
    }
    await product.sallyport('users', 'set', 'anna', 'admin_role=null');
    expect(await runProgram(program, ['--socket', socket, ...asAnna, 'whoami'])).toMatchObject({ status: 4 });
    await product.killMain();
    await product.sallyport('users', 'set', 'anna', 'admin_role=group-admin');
    const { stdout } = await runProgram(program, ['--socket', socket, ...asAnna, 'whoami']);
    expect(stdout).toMatch(/group-admin[^]*sales/);
  });
});

describe('a user whose name changes', () => {
  it('signs in under the new one, with what was asked for under the old', async () => {
    await guide.run('sallyport users rename alice alina', { 'alice alina': 'mia mira' });
    expect(await new HttpsUser(product, 'mia').password()).toMatchObject({ status: 401 });
    const mira = new HttpsUser({ site: product.site, password: () => product.password('mia') }, 'mira');
    expect(await mira.password()).toMatchObject({ body: { challenge: { method: 'email' } } });
    expect(await mira.code(product.newestMailedCode())).toMatchObject(signedIn);
  });
});

it('runs every command of the guide', () => {
  expect(guide.left()).toEqual([]);
});
