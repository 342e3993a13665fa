import { existsSync, readdirSync, statSync } from 'node:fs';
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Authenticator } from '#scripts/demonstration/codes.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Outcome, runProgram } from '#test/harness/clients/process.ts';
import { runSallyport } from '#test/harness/clients/sallyport.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { HttpsUser } from '#test/harness/https-user.ts';
import { comeBackLate, leave } from '#test/harness/leavers.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

const people = ['gone', 'expired', 'moved', 'doors', 'reader', 'broken', 'full'] as const;
type Person = (typeof people)[number];
/** Must have a second factor. */
const leavers = ['stayed', 'left'] as const;
const mib = 1024 * 1024;
/** Slow enough that every transfer is in its middle when the file is edited. */
const slow = 'limits: { upload: 512KiB/s, download: 512KiB/s }\n';
const largeBytes = 64 * mib;
/** From saving the file to the clients' end: what the product promises, 2 s to notice and 1 s to end. */
const promisedMs = 3_000;

describe('a user file edited under live sessions', () => {
  let product: Product;
  let large: string;
  beforeAll(async () => {
    product = await startProduct({
      moreUsers: [
        ...people.map((name) => buildDemoUser(name)),
        ...leavers.map((name) => buildDemoUser(name, { requiredOn: ['https', 'sftp'], forceSetup: true })),
      ],
    });
    large = join(product.folder, 'large.bin');
    await writeFile(large, '');
    await truncate(large, largeBytes);
  });
  afterAll(() => product.close());

  const fileOf = (name: Person): string => join(product.site.files.main.users, `${name}.yaml`);
  const homeOf = (name: Person): string => join(product.site.files.files, name);
  async function edit(name: Person, change: (text: string) => string): Promise<void> {
    await writeFile(fileOf(name), change(await readFile(fileOf(name), 'utf8')));
  }
  async function signIn(name: Person): Promise<HttpsSession> {
    const session = new HttpsSession(product.site.https, product.site.files.ca);
    await session.json('POST', '/api/login', { username: name, password: product.password(name) });
    return session;
  }
  const statusOf = async (session: HttpsSession, path = '/api/me'): Promise<number> =>
    (await session.json('GET', path)).status;

  function curl(session: HttpsSession, ...args: readonly string[]): Promise<Outcome> {
    const fixed = ['-sS', '-f', '--cacert', product.site.files.ca, '-b', session.cookie];
    return runProgram('/usr/bin/curl', [...fixed, ...args]);
  }
  const download = (session: HttpsSession, to: string): Promise<Outcome> =>
    curl(session, '-o', to, `${product.site.https}/api/files/large.bin`);
  const upload = (session: HttpsSession, name: string): Promise<Outcome> =>
    curl(session, '-T', large, `${product.site.https}/api/files/${name}`);
  const sftp = (name: Person, ...commands: readonly string[]): Promise<Outcome> =>
    runOpenSshSftp(product.sftp(name, { password: product.password(name) }), commands);

  async function giveLargeFile(name: Person): Promise<void> {
    await waitUntil(() => existsSync(homeOf(name)), 10_000);
    await writeFile(join(homeOf(name), 'large.bin'), '');
    await truncate(join(homeOf(name), 'large.bin'), largeBytes);
  }
  /** Uploads of these users that have bytes on main's disk. */
  function uploadsUnderWay(): number {
    const staging = join(product.site.files.files, '.sallyport-staging');
    const names = existsSync(staging) ? readdirSync(staging) : [];
    return names.filter((name) => name.endsWith('.part') && sizeOf(join(staging, name)) > 0).length;
  }

  it('disabling ends downloads and uploads of both doors in their middle, and the web session', async () => {
    await appendFile(fileOf('gone'), slow);
    const session = await signIn('gone');
    expect(await statusOf(session, '/api/files/')).toBe(200);
    await giveLargeFile('gone');
    const got = ['https.got', 'sftp.got'].map((name) => join(product.folder, name));
    const endedAt: number[] = [];
    const transfers = [
      download(session, got[0] ?? ''),
      sftp('gone', `get large.bin ${got[1]}`),
      upload(session, 'web.bin'),
      sftp('gone', `put ${large} sftp.bin`),
    ].map(async (transfer) => {
      const outcome = await transfer;
      endedAt.push(Date.now());
      return outcome;
    });
    await waitUntil(() => got.every((file) => sizeOf(file) > 0) && uploadsUnderWay() === 2, 30_000);
    expect(endedAt).toEqual([]);

    const savedAt = Date.now();
    await edit('gone', (text) => `${text}status: disabled\n`);
    const outcomes = await Promise.all(transfers);
    for (const { status, stderr } of outcomes) expect(status, stderr).not.toBe(0);
    expect(Math.max(...endedAt) - savedAt).toBeLessThan(promisedMs);
    expect(await statusOf(session)).toBe(401);
    expect((await sftp('gone', 'ls')).status).not.toBe(0);
    const ends = product.audit().filter(({ event, user }) => event === 'session.ended' && user === 'gone');
    expect(ends).toHaveLength(3);
    for (const { time } of ends) expect(Date.parse(String(time)) - savedAt).toBeLessThan(2_000);
    expect(existsSync(join(homeOf('gone'), 'web.bin')) || existsSync(join(homeOf('gone'), 'sftp.bin'))).toBe(
      false,
    );

    await edit('gone', (text) => text.replace('status: disabled\n', ''));
    await waitUntil(async () => (await statusOf(await signIn('gone'))) === 200, 10_000);
  });

  it('an expiry in the past, other networks and a door that is shut end the sessions they touch', async () => {
    await appendFile(fileOf('doors'), slow);
    const [expired, moved, doors] = [await signIn('expired'), await signIn('moved'), await signIn('doors')];
    expect(await statusOf(doors, '/api/files/')).toBe(200);
    await giveLargeFile('doors');
    const [web, ssh] = ['web.got', 'ssh.got'].map((name) => join(product.folder, name));
    const webGet = download(doors, web ?? '');
    const sshGet = sftp('doors', `get large.bin ${ssh}`);
    await waitUntil(() => sizeOf(web) > 0 && sizeOf(ssh) > 0, 30_000);

    await edit('expired', (text) => `${text}expires: 2020-12-31\n`);
    await edit('moved', (text) => `${text}allow_from: [192.0.2.0/24]\n`);
    await edit('doors', (text) => `${text}protocols: [https]\n`);
    const refused = await sshGet;
    expect(refused.status, refused.stderr).not.toBe(0);
    await waitUntil(async () => (await statusOf(expired)) === 401 && (await statusOf(moved)) === 401, 5_000);
    const before = sizeOf(web);
    await waitUntil(() => sizeOf(web) > before, 10_000);
    await edit('doors', (text) => text.replace('protocols: [https]', 'protocols: [sftp]'));
    expect((await webGet).status).not.toBe(0);
    const rules = product.audit().filter(({ event }) => event === 'session.ended');
    for (const name of ['expired', 'moved', 'doors']) expect(rules.map(({ user }) => user)).toContain(name);
  });

  it('a right taken from a mount counts for what runs, and the session lives on', async () => {
    await appendFile(fileOf('reader'), slow);
    const session = await signIn('reader');
    expect(await statusOf(session, '/api/files/')).toBe(200);
    await giveLargeFile('reader');
    const got = join(product.folder, 'reader.got');
    const running = download(session, got);
    const putting = sftp('reader', `put ${large} put.bin`);
    await waitUntil(() => sizeOf(got) > 0 && uploadsUnderWay() > 0, 30_000);
    await edit('reader', (text) => `${text}files:\n  - { path: /, root: "{username}", allow: [list] }\n`);
    expect((await running).status).not.toBe(0);
    const refused = await putting;
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toMatch(/Permission denied/i);
    expect(await statusOf(session, '/api/files/')).toBe(200);
    expect(await statusOf(session, '/api/files/large.bin')).toBe(403);
  });

  it('a broken file keeps the last good version and is named by status with file, line and column', async () => {
    const session = await signIn('broken');
    await edit('broken', (text) => `${text}qouta: 1GiB\n`);
    const line =
      (await readFile(fileOf('broken'), 'utf8')).split('\n').findIndex((one) => one.startsWith('qouta')) + 1;
    const status = async (): Promise<string> =>
      (await runSallyport(product.site.files.main.socket, ['status'])).stdout;
    await waitUntil(
      async () => (await status()).includes(`broken.yaml:${line}:1: qouta: unknown key`),
      10_000,
    );
    expect(await statusOf(session)).toBe(200);
    expect(await statusOf(await signIn('broken'))).toBe(200);
    await edit('broken', (text) => text.replace('qouta: 1GiB\n', ''));
    await waitUntil(async () => !(await status()).includes('broken.yaml'), 10_000);
  });

  it('S-16: a name that comes back late opens nothing with the old factor, until it is kept or reset', async () => {
    const { socket } = product.site.files.main;
    const returning = leavers.map((name) => new HttpsUser(product, name));
    const apps: { readonly app: Authenticator; readonly recovery: readonly string[] }[] = [];
    for (const user of returning) {
      expect(await user.signIn()).toMatchObject({ body: { state: 'setup-required' } });
      apps.push(await user.setUp());
    }
    const comeBack = await leave(product, leavers);
    expect((await runSallyport(socket, ['two-factor', 'orphans'])).stdout).toMatch(/^left .*\nstayed .*$/m);

    await comeBackLate(product, comeBack);
    for (const [index, user] of returning.entries()) {
      const unknown = { status: 401, body: { reason: 'refused' } };
      expect(await user.signIn()).toMatchObject(unknown);
      expect(await user.signIn(apps[index]?.app.now())).toMatchObject(unknown);
      expect(await user.signIn(apps[index]?.recovery[0])).toMatchObject(unknown);
      const target = product.sftp(user.name, { password: product.password(user.name) });
      expect((await runOpenSshSftp(target, ['ls'])).status).not.toBe(0);
    }
    expect((await runSallyport(socket, ['status'])).stdout).toContain('two-factor keep <user>');
    await product.sallyport('two-factor', 'keep', '--all', '--reason', 'restored the backup');
    const [stayed, left] = returning;
    expect(await stayed?.signIn(await apps[0]?.app.next())).toMatchObject({ status: 200 });
    expect(await stayed?.signIn(apps[0]?.recovery[0])).toMatchObject({ status: 200 });

    await product.sallyport('two-factor', 'reset', 'left', '--reason', 'a new person');
    expect(await left?.signIn()).toMatchObject({ body: { state: 'setup-required' } });
    const own = await left?.setUp();
    const wrong = { status: 401, body: { reason: 'wrong-code' } };
    expect(await left?.signIn(await apps[1]?.app.next())).toMatchObject(wrong);
    expect(await left?.signIn(apps[1]?.recovery[1])).toMatchObject(wrong);
    expect(await left?.signIn(await own?.app.next())).toMatchObject({ status: 200 });
    const decided = product.audit().map(({ event }) => event);
    for (const event of ['two-factor.returned', 'two-factor.kept', 'two-factor.reset'])
      expect(decided).toContain(event);
  });

  it('a quota holds under eight uploads over both doors at once, and is right after a crash', async () => {
    const quotaBytes = 20 * mib;
    await writeFile(join(homeOf('full'), 'of-another-program.bin'), Buffer.alloc(2 * mib));
    const session = await signIn('full');
    await edit('full', (text) => `${text}quota: 20MiB\n`);
    const usage = async (of: HttpsSession): Promise<unknown> =>
      (await of.json('GET', '/api/me')).body['quota'];
    const known = { used_bytes: 2 * mib, limit_bytes: quotaBytes };
    await waitUntil(async () => isDeepStrictEqual(await usage(session), known), 10_000);
    const piece = join(product.folder, 'piece.bin');
    await writeFile(piece, Buffer.alloc(5 * mib));
    const web = [0, 1, 2, 3].map((index) =>
      curl(session, '-w', '%{http_code}', '-T', piece, `${product.site.https}/api/files/web-${index}`),
    );
    const ssh = [0, 1, 2, 3].map((index) => sftp('full', `put ${piece} ssh-${index}`));
    const [webDone, sshDone] = [await Promise.all(web), await Promise.all(ssh)];

    const committed = (): number =>
      readdirSync(homeOf('full')).reduce((sum, name) => sum + sizeOf(join(homeOf('full'), name)), 0);
    expect(committed()).toBeLessThanOrEqual(quotaBytes);
    const refusedWeb = webDone.filter(({ status }) => status !== 0);
    const refusedSsh = sshDone.filter(({ status }) => status !== 0);
    expect(refusedWeb.length + refusedSsh.length).toBeGreaterThanOrEqual(5);
    for (const { stdout } of refusedWeb) expect(stdout).toMatch(/^507/);
    // OpenSSH shows the status and not the server's reason for it.
    for (const { stderr } of refusedSsh) expect(stderr).toMatch(/Failure/);

    const before = await usage(session);
    await product.killMain();
    const again = await signIn('full');
    expect(await usage(again)).toEqual(before);
    const left = quotaBytes - committed();
    await writeFile(piece, Buffer.alloc(left + 1));
    const over = await curl(again, '-T', piece, `${product.site.https}/api/files/over.bin`);
    expect(over.status, over.stderr).not.toBe(0);
  });
});

function sizeOf(file: string | undefined): number {
  return file === undefined ? 0 : (statSync(file, { throwIfNoEntry: false })?.size ?? 0);
}
