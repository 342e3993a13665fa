import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { sessionKey } from '#shared/random-id.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

/** One person each, so that no test waits for the next code of another's authenticator. */
const people = ['pia', 'rita', 'kim', 'sven'] as const;
type Person = (typeof people)[number];

describe('users who change their own account over the public API', () => {
  let product: Product;
  beforeAll(async () => {
    const user = { hasPassword: true, hasKey: false, isEnrolled: true, forceSetup: false };
    product = await startProduct({
      moreUsers: people.map((name) => ({
        ...user,
        name,
        displayName: name,
        email: `${name}@example.com`,
        requiredOn: ['https', 'sftp'] as const,
        registration: true,
      })),
    });
    const { config } = product.site.files.main;
    const text = await readFile(config, 'utf8');
    const switches = '  remember_device: 30d\n  self_service: { ssh_keys: anywhere }\n';
    await writeFile(config, text.replace('two_factor:\n', `two_factor:\n${switches}`));
    await product.killMain();
  });
  afterAll(() => product.close());

  const fresh = (): HttpsSession => new HttpsSession(product.site.https, product.site.files.ca);
  const code = (name: Person): Promise<string> => product.authenticator(name).next();

  async function signIn(name: Person, extra: object = {}): Promise<HttpsSession> {
    const session = fresh();
    const password = product.password(name);
    const first = await session.json('POST', '/api/login', { username: name, password });
    expect(first.body).toMatchObject({ challenge: { remember_device: true } });
    const second = await session.json('POST', '/api/login/code', { code: await code(name), ...extra });
    expect(second.body).toMatchObject({ state: 'signed-in' });
    return session;
  }

  it('password: the old one is refused, the new one works, other sessions are dead, this one lives', async () => {
    const [pia, other] = [await signIn('pia'), await signIn('pia')];
    expect((await pia.json('GET', '/api/me')).body).toMatchObject({
      may: { password: true, ssh_keys: true },
    });
    const change = async (body: object, headers: Record<string, string> = {}) =>
      pia.json('POST', '/api/me/password', body, headers);
    const [current, next] = [product.password('pia'), 'a wholly different phrase'];
    expect(await change({ current, new: 'short' }, { 'Sallyport-Code': '000000' })).toMatchObject({
      status: 422,
      body: {
        reason: 'weak-password',
        detail: 'A password needs at least 12 characters',
        weakness: 'too-short',
        minimum: 12,
      },
    });
    expect(await change({ current, new: next })).toMatchObject({
      status: 401,
      body: { reason: 'code-required' },
    });
    const step = { 'Sallyport-Code': await code('pia') };
    expect(await change({ current: 'not the password', new: next }, step)).toMatchObject({
      status: 401,
      body: { reason: 'wrong-password', attempts_left: 4 },
    });
    const before = pia.cookie;
    expect(await change({ current, new: next }, step)).toMatchObject({ status: 204 });
    expect(pia.cookie).not.toBe(before);
    expect((await pia.json('GET', '/api/me')).status).toBe(200);
    expect((await other.json('GET', '/api/me')).status).toBe(401);

    const login = (password: string) => fresh().json('POST', '/api/login', { username: 'pia', password });
    expect(await login(current)).toMatchObject({ status: 401, body: { reason: 'refused' } });
    expect(await login(next)).toMatchObject({ status: 200, body: { state: 'code-required' } });
    const file = await readFile(join(product.site.files.main.users, 'pia.yaml'), 'utf8');
    expect(file).toMatch(/password: \S*\$argon2id/);
    expect(product.audit().find(({ event }) => event === 'account.password')).toMatchObject({
      user: 'pia',
      node: 'dmz1',
      method: 'totp',
    });
  });

  it('recovery codes: the new ones work, those before do not', async () => {
    const rita = await signIn('rita');
    const renew = async (): Promise<string[]> => {
      const answer = await rita.json(
        'POST',
        '/api/two-factor/recovery-codes',
        { current: product.password('rita') },
        { 'Sallyport-Code': await code('rita') },
      );
      expect(answer.status).toBe(200);
      return answer.body['recovery_codes'] as string[];
    };
    const [first, second] = [await renew(), await renew()];
    expect([first.length, second.length]).toEqual([10, 10]);
    const session = fresh();
    const password = product.password('rita');
    await session.json('POST', '/api/login', { username: 'rita', password });
    const answer = (typed: string | undefined) => session.json('POST', '/api/login/code', { code: typed });
    expect(await answer(first[0])).toMatchObject({ status: 401, body: { reason: 'wrong-code' } });
    expect(await answer(second[0])).toMatchObject({ status: 200, body: { state: 'signed-in' } });
  });

  it('SSH key: added, it logs in over OpenSSH with a code; removed, it is refused', async () => {
    const kim = await signIn('kim');
    const keyFile = join(product.folder, 'kim_key');
    execFileSync('/usr/bin/ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'kim@lap', '-f', keyFile]);
    const key = (await readFile(`${keyFile}.pub`, 'utf8')).trim();
    const current = product.password('kim');
    const add = (line: string, headers: Record<string, string>) =>
      kim.json('POST', '/api/me/ssh-keys', { key: line, current }, headers);
    const added = await add(key, { 'Sallyport-Code': await code('kim') });
    expect(added).toMatchObject({
      status: 201,
      body: { type: 'ssh-ed25519', comment: 'kim@lap', removable: true, added_through: 'dmz1' },
    });
    expect(await add(key, { 'Sallyport-Code': '000000' })).toMatchObject({ status: 409 });
    expect(await add('ssh-rsa AAAA', { 'Sallyport-Code': '000000' })).toMatchObject({
      status: 422,
      body: { reason: 'weak-key', weakness: 'key-unreadable' },
    });
    const listed = (await kim.json('GET', '/api/me/ssh-keys')).body;
    expect(listed).toEqual({ ssh_keys: [added.body] });

    const sftp = async (typed: string) =>
      runOpenSshSftp(product.sftp('kim', { keyFile, code: typed }), ['pwd']);
    const into = await sftp(await code('kim'));
    expect(into.status, into.stderr).toBe(0);
    expect(into.prompts).toEqual([expect.stringContaining('Verification code:')]);

    const { leases } = (await kim.json('GET', '/api/me/leases')).body as { leases: { id: string }[] };
    expect(leases).toMatchObject([{ protocol: 'sftp', node: 'dmz1', client_ip: '127.0.0.1' }]);
    expect((await sftp('')).status).toBe(0);
    expect((await kim.json('DELETE', `/api/me/leases/${leases[0]?.id}`)).status).toBe(204);
    expect((await sftp('')).status).not.toBe(0);

    const path = `/api/me/ssh-keys/${String(added.body['id'])}`;
    expect((await kim.json('DELETE', path)).status).toBe(401);
    const proof = { 'Sallyport-Password': encodeURIComponent(current), 'Sallyport-Code': await code('kim') };
    expect((await kim.json('DELETE', path, undefined, proof)).status).toBe(204);
    expect((await sftp('')).stderr).toMatch(/Permission denied/);
    expect((await kim.json('DELETE', path, undefined, proof)).status).toBe(404);
  });

  it('sessions and devices: listed, ended, and dead', async () => {
    const sven = await signIn('sven', { remember_device: true });
    const other = await signIn('sven');
    const { sessions } = (await sven.json('GET', '/api/me/sessions')).body as {
      sessions: { id: string; current: boolean }[];
    };
    const [, own] = /=s\.(.+)/.exec(sven.cookie) ?? [];
    expect(sessions.map(({ id, current }) => [id === sessionKey(own ?? ''), current])).toEqual(
      expect.arrayContaining([
        [true, true],
        [false, false],
      ]),
    );
    const elsewhere = sessions.find(({ current }) => !current);
    expect((await sven.json('DELETE', `/api/me/sessions/${elsewhere?.id}`)).status).toBe(204);
    expect((await other.json('GET', '/api/me')).status).toBe(401);
    const { devices } = (await sven.json('GET', '/api/me/devices')).body as { devices: { id: string }[] };
    expect(devices).toHaveLength(1);
    expect((await sven.json('DELETE', `/api/me/devices/${devices[0]?.id}`)).status).toBe(204);
    expect((await sven.json('GET', '/api/me/devices')).body).toEqual({ devices: [] });
    expect((await sven.json('DELETE', `/api/me/devices/${devices[0]?.id}`)).status).toBe(404);
    const mine = sessions.find(({ current }) => current);
    expect((await sven.json('DELETE', `/api/me/sessions/${mine?.id}`)).status).toBe(204);
    expect((await sven.json('GET', '/api/me')).status).toBe(401);
  });

  it('S-15: an admin lists and revokes in one command what came through the node', async () => {
    const run = async (...args: string[]) => {
      const terminal = buildPlayedTerminal();
      const around = { terminal, folder: product.folder, nowMs: Date.now(), actor: 'eva' };
      const socket = ['--socket', product.site.files.main.socket, '--json'];
      const status = await runCommand([...socket, ...args], around);
      expect([status, terminal.complained()]).toEqual([0, '']);
      const { changes } = JSON.parse(terminal.printed()) as { changes: Record<string, unknown>[] };
      return changes.map(({ kind, user, state }) => `${String(user)} ${String(kind)} ${String(state)}`);
    };
    const window = ['nodes', 'changes', 'dmz1', '--since', '1h'];
    expect(await run(...window)).toEqual(
      expect.arrayContaining([
        'pia password in force',
        'rita recovery-codes gone',
        'rita recovery-codes in force',
        'kim ssh-key-added gone',
        'kim ssh-key-removed gone',
      ]),
    );
    const revoked = await run(...window, '--revoke', '--reason', 'the box was broken into');
    expect(revoked).toEqual(expect.arrayContaining(['pia password revoked', 'rita recovery-codes revoked']));
    const login = { username: 'pia', password: 'a wholly different phrase' };
    expect((await fresh().json('POST', '/api/login', login)).status).toBe(401);
    expect((await run(...window)).filter((line) => line.endsWith('in force'))).toEqual([]);
  });
});
