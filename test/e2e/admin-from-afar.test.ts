import { copyFileSync, readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { buildAdminRoutes } from '#main-agent/admin/routes.ts';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { createThrowAwayAuthority } from '#shared/identity/throw-away-authority.ts';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Outcome, runProgram } from '#test/harness/clients/process.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil, writeRandomFile } from '#test/harness/product.ts';
import { goodRequests } from '#test/main-agent/admin/good-requests.ts';
import { startPlayedMain } from '#test/main-agent/admin/played-main.ts';

const command = join(import.meta.dirname, '..', '..', 'scripts', 'sallyport');

describe('an admin at another machine, over TLS with a token', () => {
  let product: Product;
  let files: Record<'ca' | 'wrongCa' | 'token', string>;
  let url: string;

  beforeAll(async () => {
    product = await startProduct();
    const at = (name: string): string => join(product.folder, name);
    files = { ca: at('admin-ca.pem'), wrongCa: at('wrong-ca.pem'), token: at('token') };
    const authority = createThrowAwayAuthority(Date.now());
    const server = authority.issueServerCertificate();
    await writeFile(files.ca, authority.certificatePem);
    await writeFile(files.wrongCa, createThrowAwayAuthority(Date.now()).certificatePem);
    await writeFile(at('admin.pem'), server.certificatePem);
    await writeFile(at('admin-key.pem'), server.privateKeyPem.expose(), { mode: 0o600 });
    const port = findFreePort();
    url = `https://localhost:${port}`;
    const { config } = product.site.files.main;
    const listener = `listen: 127.0.0.1:${port}, certificate: ${at('admin.pem')}, key: ${at('admin-key.pem')}`;
    await writeFile(config, readFileSync(config, 'utf8').replace('admin: { ', `admin: { ${listener}, `));
    await product.killMain();
    const token = await product.sallyport('tokens', 'add', '--service', 'afar', '--role', 'admin');
    await writeFile(files.token, token, { mode: 0o600 });
  });
  afterAll(() => product.close());

  const run = (args: readonly string[], ca = files.ca, token = files.token): Promise<Outcome> =>
    runProgram(command, ['--url', url, '--ca-file', ca, '--token-file', token, ...args]);
  const ask = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { status, stdout, stderr } = await run(['--json', ...args]);
    if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  it('works as on the socket, and the audit has the token as the actor', async () => {
    expect((await run(['status'])).stdout).toMatch(/dmz1 .* up [\s\S]*All is well/);
    expect(await ask('groups', 'add', 'partners', 'quota=1GiB')).toMatchObject({ name: 'partners' });
    expect(
      product.audit().find(({ rule, event }) => event === 'admin.call' && rule === 'POST /v1/groups'),
    ).toMatchObject({
      outcome: 'ok',
      actor: expect.stringMatching(/^token:service\.afar:/),
      clientIp: '127.0.0.1',
    });
  });

  it('a server of another authority, or one the system does not know, never sees the token', async () => {
    const before = product.audit().length;
    for (const args of [['--ca-file', files.wrongCa], []]) {
      const refused = await runProgram(command, [
        '--url',
        url,
        '--token-file',
        files.token,
        ...args,
        'status',
      ]);
      expect(refused).toMatchObject({ status: 1, stdout: '' });
      expect(refused.stderr).toMatch(/certificate is not trusted[\s\S]*hint: --ca-file/);
    }
    expect(product.audit().slice(before)).toEqual([]);
  });

  it('a wrong token is refused with exit code 4, and audited without it', async () => {
    const wrong = join(product.folder, 'wrong-token');
    const text = `slp_${'0'.repeat(12)}_${'A'.repeat(43)}`;
    await writeFile(wrong, text, { mode: 0o600 });
    const before = product.audit().length;
    expect(await run(['status'], files.ca, wrong)).toMatchObject({ status: 4, stdout: '' });
    await waitUntil(() => product.audit().length > before, 5_000);
    const [record] = product.audit().slice(before);
    expect(record).toMatchObject({ event: 'admin.refused', outcome: 'refused', actor: 'nobody' });
    expect(JSON.stringify(record)).not.toContain('A'.repeat(43));
  });

  it('a token file that others may read is refused before anything is sent', async () => {
    await chmod(files.token, 0o640);
    const before = product.audit().length;
    const refused = await run(['status']);
    await chmod(files.token, 0o600);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toMatch(/mode 0640; others can read it[\s\S]*hint: chmod 600/);
    expect(product.audit().slice(before)).toEqual([]);
  });

  it('every list and report of a running main is as openapi.json says', async () => {
    const carol = new HttpsSession(product.site.https, product.site.files.ca);
    expect((await carol.json('POST', '/api/login', login('carol'))).status).toBe(200);
    const refused = await carol.json('POST', '/api/login', { username: 'carol', password: 'wrong' });
    const paths: Readonly<Record<string, string>> = {
      'GET /v1/audit/{reference}': `/v1/audit/${String(refused.body['reference'])}`,
    };
    const played = await startPlayedMain();
    const routes = buildAdminRoutes(played.ports).filter(({ method }) => method === 'GET');
    await played.close();
    const curl = await CurlSession.start(url, files.ca);
    const headers = ['-H', `Authorization: Bearer ${readFileSync(files.token, 'utf8').trim()}`];
    const wrong: string[] = [];
    for (const { method, pattern, answer } of routes) {
      const name = `${method} ${pattern}`;
      const { status, body } = await curl.call(paths[name] ?? goodRequests[name]?.path ?? '', headers);
      // No authority is configured here.
      if (name === 'GET /v1/certificate' && status === 404) continue;
      const json: unknown = JSON.parse(body.toString());
      const parsed = answer.safeParse(json);
      if (status !== 200) wrong.push(`${name}: ${status} ${body.toString()}`);
      else if (!parsed.success) wrong.push(`${name}: ${z.prettifyError(parsed.error)}`);
      else if (!isDeepStrictEqual(parsed.data, json)) wrong.push(`${name}: unknown keys`);
    }
    await curl.close();
    expect(wrong).toEqual([]);
    expect(routes.length).toBeGreaterThan(15);
  });

  it('ends a download of SFTP or the web that is under way; the session goes on with other work', async () => {
    await writeRandomFile(join(product.site.files.files, 'carol', 'big.bin'), 64 * 1024 * 1024);
    await ask('users', 'set', 'carol', 'limits.download=1MiB/s');
    const local = join(product.folder, 'small.txt');
    await writeFile(local, 'small');
    const commands = [`-get big.bin ${product.folder}/sftp.bin`, `put ${local} after.txt`, 'ls'];
    const sftp = runOpenSshSftp(product.sftp('carol', { password: product.password('carol') }), commands);
    const first = await kickDownload('sftp');
    const outcome = await sftp;
    expect(outcome.status, outcome.stderr).toBe(0);
    expect(outcome.stderr).toMatch(/big\.bin/);
    expect(outcome.stdout).toContain('after.txt');
    expect(await kickedRecord(first)).toMatchObject({ bytes: expect.any(Number) });

    const web = new HttpsSession(product.site.https, product.site.files.ca);
    await web.json('POST', '/api/login', login('carol'));
    let received = 0;
    const download = web
      .stream('GET', '/api/files/big.bin', (piece) => (received += piece.length))
      .then(
        () => 'whole',
        () => 'cut',
      );
    const second = await kickDownload('https');
    expect(await download).toBe('cut');
    expect(received).toBeLessThan(64 * 1024 * 1024);
    expect(await web.stream('GET', '/api/files/after.txt', () => undefined)).toBe(200);
    expect(await kickedRecord(second)).toMatchObject({ protocol: 'https' });
  });

  interface LiveTransfer {
    readonly id: string;
    readonly session: string;
    readonly protocol: string;
    readonly path: string;
    readonly bytes: number;
  }

  /** As soon as it flows. */
  async function kickDownload(protocol: string): Promise<LiveTransfer> {
    let found: LiveTransfer | undefined;
    await waitUntil(async () => {
      const { transfers } = (await ask('transfers', 'list', '--user', 'carol')) as {
        transfers: LiveTransfer[];
      };
      found = transfers.find((one) => one.protocol === protocol && one.bytes > 0);
      return found !== undefined;
    }, 20_000);
    if (found === undefined) throw new Error('no transfer');
    expect((await run(['transfers', 'kick', found.id])).stdout).toBe('Ended.\n');
    return found;
  }

  /** What the audit says of the download, after who ended it. */
  async function kickedRecord({ id, session }: LiveTransfer): Promise<Record<string, unknown> | undefined> {
    const find = (): Record<string, unknown> | undefined =>
      product
        .audit()
        .find(
          ({ event, sessionKey, path }) =>
            event === 'file.download' && sessionKey === session && path === '/big.bin',
        );
    await waitUntil(() => find() !== undefined, 10_000);
    expect(product.audit()).toContainEqual(
      expect.objectContaining({
        event: 'admin.call',
        rule: 'DELETE /v1/transfers/{id}',
        actor: expect.stringMatching(/^token:service\.afar:/),
        detail: expect.stringContaining(id),
      }),
    );
    const record = find();
    expect(record).toMatchObject({
      outcome: 'cut',
      user: 'carol',
      detail: expect.stringContaining('administrator'),
    });
    return record;
  }

  it('gives a node new keys: the link is back with them, and the keys before are refused', async () => {
    const { identityKey, signingKey, config } = product.site.files.dmz;
    const first = [identityKey, signingKey].map((file) => {
      copyFileSync(file, `${file}.first`);
      return file;
    });
    const fingerprints = [await fingerprint()];
    // The second rotation ends what the first left good for a while.
    for (let round = 0; round < 2; round += 1) {
      const made = await runProgram(command, ['node', 'rotate', '--dir', dirname(config), '--json']);
      const { line } = JSON.parse(made.stdout) as { line: string };
      await ask('nodes', 'rotate', line, '--yes');
      expect(await isUp(), 'the link stays while both keys are good').toBe(true);
      await runProgram(command, ['node', 'rotate', '--dir', dirname(config), '--finish']);
      await restartNode();
      await waitUntil(isUp, 20_000);
      fingerprints.push(await fingerprint());
    }
    expect(new Set(fingerprints).size).toBe(3);
    const alice = new HttpsSession(product.site.https, product.site.files.ca);
    await alice.json('POST', '/api/login', login('alice'));
    const code = await product.authenticator('alice').next();
    expect((await alice.json('POST', '/api/login/code', { code })).body).toMatchObject({
      state: 'signed-in',
    });

    const newest = first.map((file) => readFileSync(file));
    for (const file of first) copyFileSync(`${file}.first`, file);
    await restartNode();
    await waitUntil(async () => /\bkey|pin|identity/i.test((await nodeRow()).problem ?? ''), 20_000);
    expect(await isReady()).toBe(false);
    for (const [at, file] of first.entries()) await writeFile(file, newest[at] ?? '');
    await restartNode();
    await waitUntil(isUp, 20_000);
  });

  const login = (username: string) => ({ username, password: product.password(username) });
  const isReady = async (): Promise<boolean> =>
    (await fetch(`${product.site.nodes[0]?.health ?? ''}/readyz`)).ok;
  const isUp = async (): Promise<boolean> => (await nodeRow()).state === 'up' && (await isReady());
  const fingerprint = async (): Promise<string> => (await nodeRow()).identity;

  async function nodeRow(): Promise<{ state: string; identity: string; problem: string | undefined }> {
    const { nodes } = (await ask('nodes', 'list')) as {
      nodes: { state: string; identity: string; links: { problem?: string }[] }[];
    };
    const [node] = nodes;
    if (node === undefined) throw new Error('no node');
    return { ...node, problem: node.links.find(({ problem }) => problem !== undefined)?.problem };
  }

  /** Resolves when another process serves. */
  async function restartNode(): Promise<void> {
    const old = product.site.dmz.pid;
    if (old !== undefined) process.kill(old, 'SIGKILL');
    await waitUntil(async () => {
      const { pid } = product.site.dmz;
      if (pid === undefined || pid === old) return false;
      return (await fetch(`${product.site.nodes[0]?.health ?? ''}/healthz`)).status > 0;
    }, 20_000);
  }
});
