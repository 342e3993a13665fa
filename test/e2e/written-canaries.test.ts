import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { type Canary, listCanaries, spellings } from '#test/harness/canaries.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';
import { findWritten, readWrittenPlaces } from '#test/harness/written-places.ts';

/** One person for each way of proving oneself: nobody waits for the next code of their authenticator. */
const people: readonly DemoUser[] = ['pia', 'rita', 'kim'].map((name) => ({
  name,
  displayName: name,
  hasPassword: true,
  hasKey: false,
  isEnrolled: true,
  email: `${name}@example.com`,
  requiredOn: ['https', 'sftp'],
  registration: true,
  forceSetup: false,
}));

describe('what main and the node write down, at the most talkative log level', () => {
  let product: Product;
  const canaries: Canary[] = [];
  const remember = (name: string, secret: string): string => {
    canaries.push([name, secret], ...spellings(name, Buffer.from(secret)).slice(1));
    return secret;
  };

  beforeAll(async () => {
    product = await startProduct({ moreUsers: people });
    const { main, dmz } = product.site.files;
    const text = readFileSync(main.config, 'utf8');
    const switches = 'two_factor:\n  remember_device: 30d\n  self_service: { ssh_keys: anywhere }\n';
    await writeFile(main.config, `${text.replace('two_factor:\n', switches)}log: { level: trace }\n`);
    await writeFile(dmz.config, `${readFileSync(dmz.config, 'utf8')}log: { level: trace }\n`);
    if (product.site.dmz.pid !== undefined) process.kill(product.site.dmz.pid, 'SIGKILL');
    await product.killMain();
    for (const [name, user] of Object.entries(product.site.users))
      if (user.password !== undefined) remember(`${name}'s password`, user.password);
  });
  afterAll(() => product.close());

  const fresh = (): HttpsSession => new HttpsSession(product.site.https, product.site.files.ca);
  const code = async (user: string): Promise<string> =>
    remember(`a code of ${user}`, await product.authenticator(user).next());
  const begin = async (session: HttpsSession, user: string): Promise<void> => {
    const login = { username: user, password: product.password(user) };
    expect(await session.json('POST', '/api/login', login)).toMatchObject({
      status: 200,
      body: { state: 'code-required' },
    });
  };
  async function answer(session: HttpsSession, typed: string, extra: object = {}): Promise<void> {
    const done = await session.json('POST', '/api/login/code', { code: typed, ...extra });
    expect(done).toMatchObject({ status: 200, body: { state: 'signed-in' } });
    remember('a session cookie', session.cookie.slice(session.cookie.indexOf('=') + 1));
  }

  async function signIn(user: string, extra: object = {}): Promise<HttpsSession> {
    const session = fresh();
    await begin(session, user);
    await answer(session, await code(user), extra);
    return session;
  }
  /** A private key's last lines: its first are the same for every key. */
  const rememberKey = (file: string): void => {
    const [, ...lines] = readFileSync(file, 'utf8').trim().split('\n');
    remember('a private SSH key', lines.slice(0, -1).join('').slice(-120, -30));
  };

  it('S-11: passwords, codes of every kind, tokens, cookies and keys are in none of it', async () => {
    // Wrong ones, and those of SFTP.
    const stranger = fresh();
    await begin(stranger, 'alice');
    await stranger.json('POST', '/api/login/code', { code: remember('a wrong code', '918273') });
    const wrong = remember('a wrong password', 'not the password of pia');
    await fresh().json('POST', '/api/login', { username: 'pia', password: wrong });
    const keyFile = product.site.users['erin']?.sshKeyFile ?? '';
    rememberKey(keyFile);
    for (const target of [
      product.sftp('alice', { password: product.password('alice'), code: await code('alice') }),
      product.sftp('erin', { keyFile, code: await code('erin') }),
    ]) {
      const outcome = await runOpenSshSftp(target, ['pwd']);
      expect(outcome.status, outcome.stderr).toBe(0);
    }

    // A new password, from a browser that is remembered; new recovery codes, one of them used; a new key.
    const pia = await signIn('pia', { remember_device: true });
    const change = { current: product.password('pia'), new: 'a wholly different phrase' };
    remember('a new password', change.new);
    const changed = await pia.json('POST', '/api/me/password', change, {
      'Sallyport-Code': await code('pia'),
    });
    expect(changed.status).toBe(204);
    remember('a session cookie', pia.cookie.slice(pia.cookie.indexOf('=') + 1));
    const renewed = await (
      await signIn('rita')
    ).json(
      'POST',
      '/api/two-factor/recovery-codes',
      { current: product.password('rita') },
      { 'Sallyport-Code': await code('rita') },
    );
    const recovery = renewed.body['recovery_codes'] as string[];
    expect(recovery).toHaveLength(10);
    for (const one of recovery) {
      remember('a recovery code', one);
      remember('a recovery code without dashes', one.replaceAll('-', ''));
    }
    const other = fresh();
    await begin(other, 'rita');
    await answer(other, recovery[0] ?? '');
    const newKey = join(product.folder, 'kim_key');
    execFileSync('/usr/bin/ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', newKey]);
    rememberKey(newKey);
    const key = readFileSync(`${newKey}.pub`, 'utf8').trim();
    const kim = await signIn('kim');
    const added = await kim.json(
      'POST',
      '/api/me/ssh-keys',
      { key, current: product.password('kim') },
      { 'Sallyport-Code': await code('kim') },
    );
    expect(added.status).toBe(201);

    // A mailed code, and what a help desk makes.
    const bob = fresh();
    await begin(bob, 'bob');
    await waitUntil(() => product.newestMailedCode() !== '', 20_000);
    await answer(bob, remember('a mailed code', product.newestMailedCode()));
    const bypass = await product.sallyport('two-factor', 'bypass-code', 'alice', '--reason', 'phone lost');
    const alice = fresh();
    await begin(alice, 'alice');
    await answer(alice, remember('a bypass code', bypass.split('\n')[0] ?? ''));
    const token = (await product.sallyport('tokens', 'add', '--service', 'robot', '--role', 'viewer')).trim();
    remember('a token', token);
    // It may have the separator in it.
    remember('the secret half of a token', token.split('_').slice(2).join('_'));
    const tokenFile = join(product.folder, 'token');
    await writeFile(tokenFile, token, { mode: 0o600 });
    await product.sallyport('--token-file', tokenFile, 'status');

    const places = await readWrittenPlaces(product);
    expect([...places.keys()]).toEqual(
      expect.arrayContaining(["main's log", "dmz1's log", 'state.db', 'audit.jsonl', 'sallyport doctor']),
    );
    // They say something, and what is found is found: who was there stands in all that tells of logins.
    const seen: Canary[] = [['a name', 'rita']];
    expect(findWritten(places, seen)).toEqual(
      expect.arrayContaining([
        'a name in audit.jsonl',
        'a name in state.db',
        'a name in assertions in the audit',
      ]),
    );
    for (const [place, content] of places) expect(content.length, place).toBeGreaterThan(20);
    expect(canaries.filter(([, secret]) => secret.length < 6)).toEqual([]);
    expect(findWritten(places, [...canaries, ...listCanaries(product.site)])).toEqual([]);
  });
});
