import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { Guide, shellBeside } from '#test/harness/guide.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil, writeRandomFile } from '#test/harness/product.ts';

/** What bans and revocations promise. */
const withinMs = 1_000;

describe('a help desk and an admin at work', () => {
  let product: Product;
  let tokenFile: string;
  const helpdesk = (...args: readonly string[]): Promise<string> =>
    product.sallyport('--token-file', tokenFile, ...args);

  beforeAll(async () => {
    product = await startProduct();
    // The demo's own address is never banned; here other addresses of loopback are strangers.
    const { config } = product.site.files.main;
    const text = readFileSync(config, 'utf8');
    await writeFile(config, text.replace(/never_ban: \[[^\]]*\]/, 'never_ban: [127.0.0.1]'));
    await product.killMain();
    tokenFile = join(product.folder, 'token');
    await product.sallyport('users', 'set', 'carol', 'admin_role=helpdesk');
    const token = await product.sallyport('tokens', 'add', '--user', 'carol', '--role', 'helpdesk');
    await writeFile(tokenFile, token, { mode: 0o600 });
  });
  afterAll(() => product.close());

  async function signIn(user: string, from: string): Promise<HttpsSession> {
    const session = new HttpsSession(product.site.https, product.site.files.ca, from);
    const username = user;
    await session.json('POST', '/api/login', { username, password: product.password(user) });
    const code = await product.authenticator(user).next();
    const done = await session.json('POST', '/api/login/code', { code });
    expect(done, JSON.stringify(done.body)).toMatchObject({ body: { state: 'signed-in' } });
    return session;
  }

  it('finds why Alice can’t sign in, unlocks her, and gives her a code for a lost phone', async () => {
    const session = new HttpsSession(product.site.https, product.site.files.ca, '127.0.0.2');
    for (let login = 0; login < 2; login += 1) {
      await session.json('POST', '/api/login', { username: 'alice', password: product.password('alice') });
      for (let attempt = 0; attempt < 5; attempt += 1)
        await session.json('POST', '/api/login/code', { code: '000000' });
    }
    const why = ['explain', 'login', 'alice', '--protocol', 'https', '--ip', '127.0.0.2'];
    expect(await helpdesk(...why)).toMatch(/factor lock +until/);
    await helpdesk('two-factor', 'unlock', 'alice', '--reason', 'called');
    expect(await helpdesk(...why)).not.toMatch(/factor lock +until/);
    const made = await helpdesk('two-factor', 'bypass-code', 'alice', '--reason', 'phone lost');
    expect(made).toMatch(/^[A-Z0-9-]{8,}\n/);
  });

  it('may not do what an admin may, nor act on one', async () => {
    await expect(helpdesk('nodes', 'revoke', 'dmz1', '--reason', 'curious')).rejects.toThrow(/may not/);
    await expect(helpdesk('tokens', 'list')).rejects.toThrow(/may not/);
    await expect(product.sallyport('--token-file', '/dev/null', 'status')).rejects.toThrow(/token/i);
  });

  it('sees what Erin transferred today, and ends her sessions', async () => {
    const local = join(product.folder, 'erin.bin');
    await writeRandomFile(local, 100_000);
    const { sshKeyFile: keyFile } = product.site.users['erin'] ?? {};
    const code = await product.authenticator('erin').next();
    const target = product.sftp('erin', { code, ...(keyFile !== undefined && { keyFile }) });
    const outcome = await runOpenSshSftp(target, [`put ${local} report.bin`]);
    expect(outcome.status, outcome.stderr).toBe(0);
    expect(await helpdesk('transfers', '--user', 'erin', '--since', 'today')).toMatch(
      /erin +upload +\/report\.bin +100000 .*ok/,
    );
    expect(await helpdesk('sessions', 'kick', '--user', 'erin')).toBe('Ended.\n');
    expect(JSON.parse(await helpdesk('sessions', 'list', '--user', 'erin', '--json'))).toEqual({
      sessions: [],
    });
  });

  it('does all of it with the lines README shows, as they stand there', async () => {
    const guide = new Guide('README.md', shellBeside(product.site.files.main.socket));
    expect(await guide.run('sallyport explain login erin')).toMatch(/^outcome +totp/m);
    expect(await guide.run('sallyport two-factor unlock erin')).toMatch(/erin/);
    expect(await guide.run('sallyport two-factor bypass-code erin')).toMatch(/^[A-Z0-9-]{8,}\n/);
    expect(await guide.run('sallyport sessions kick --user erin')).toBe('Ended.\n');
    expect(await guide.run('sallyport transfers --user erin')).toContain('erin');
    expect(guide.left()).toEqual([]);
  });

  it('a ban shuts an address out of the node within a second, ends its sessions, and is lifted again', async () => {
    const session = await signIn('alice', '127.0.0.3');
    expect((await session.json('GET', '/api/me')).status).toBe(200);
    await helpdesk('bans', 'add', '--address', '127.0.0.3', '--for', '10m', '--reason', 'abuse');
    await waitUntil(async () => !(await reaches('127.0.0.3')), withinMs);
    expect(await reaches('127.0.0.2')).toBe(true);
    expect(await helpdesk('bans', 'list')).toMatch(/127\.0\.0\.3/);
    expect(JSON.parse(await helpdesk('sessions', 'list', '--user', 'alice', '--json'))).toEqual({
      sessions: [],
    });
    const explained = ['explain', 'login', 'alice', '--protocol', 'https', '--ip', '127.0.0.3'];
    expect(await helpdesk(...explained)).toMatch(
      /bans +banned: 127\.0\.0\.3 \(abuse\)[\s\S]*Outcome: refused/,
    );
    await helpdesk('bans', 'remove', '127.0.0.3');
    await waitUntil(() => reaches('127.0.0.3'), withinMs);
  });

  it('a ban that the node made by itself is listed and lifted', async () => {
    const bait = new HttpsSession(product.site.https, product.site.files.ca, '127.0.0.4');
    for (const username of ['root', 'admin', 'administrator', 'root', 'admin'])
      await bait.json('POST', '/api/login', { username, password: 'guess' });
    await waitUntil(async () => /127\.0\.0\.4 .*failures/.test(await helpdesk('bans', 'list')), withinMs * 5);
    expect((await bait.json('POST', '/api/login', { username: 'x', password: 'y' })).status).toBe(429);
    expect(await helpdesk('explain', 'login', '--ip', '127.0.0.4')).toMatch(
      /https banned-failures +until .* `sallyport bans remove 127\.0\.0\.4` lifts it[\s\S]*Outcome: refused/,
    );
    await helpdesk('bans', 'remove', '127.0.0.4');
    await waitUntil(
      async () => (await bait.json('POST', '/api/login', { username: 'x', password: 'y' })).status === 401,
      withinMs,
    );
  });

  it('revoking a node kills its sessions within a second, for good, until it is taken back', async () => {
    const session = await signIn('alice', '127.0.0.5');
    const revoked = await product.sallyport('nodes', 'revoke', 'dmz1', '--reason', 'was broken into');
    expect(revoked).toMatch(/ended \d+ sessions/);
    expect(JSON.parse(await product.sallyport('sessions', 'list', '--json'))).toEqual({ sessions: [] });
    await waitUntil(async () => !(await dmzReady()), withinMs);
    expect(await product.sallyport('nodes', 'list')).toMatch(/revoked: was broken into/);

    const old = product.site.main.pid;
    if (old !== undefined) process.kill(old, 'SIGKILL');
    await waitUntil(async () => {
      if (product.site.main.pid === old) return false;
      return /revoked/.test(await product.sallyport('nodes', 'list'));
    }, 20_000);
    expect(await dmzReady()).toBe(false);

    await product.sallyport('nodes', 'unrevoke', 'dmz1');
    await waitUntil(dmzReady, 15_000);
    expect((await session.json('GET', '/api/me')).status).toBe(401);
  });

  it('doctor says what is not as it should be, with a hint', async () => {
    const { findings } = JSON.parse(await product.sallyport('doctor', '--json')) as {
      findings: { check: string; state: string }[];
    };
    expect(findings.filter(({ state }) => state === 'bad')).toEqual([]);
    expect(findings.map(({ check }) => check)).toContain('links');
  });

  async function reaches(from: string): Promise<boolean> {
    const session = new HttpsSession(product.site.https, product.site.files.ca, from);
    try {
      return (await session.json('GET', '/api/me')).status === 401;
    } catch {
      return false;
    }
  }

  async function dmzReady(): Promise<boolean> {
    const { dmzHealth } = JSON.parse(readFileSync(product.site.files.secrets, 'utf8')).ports;
    return (await fetch(`http://127.0.0.1:${dmzHealth}/readyz`)).ok;
  }
});
