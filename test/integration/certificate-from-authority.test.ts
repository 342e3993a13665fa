import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import ssh2, { type SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { startPebble, type Pebble } from '#test/harness/pebble.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { startWholeProduct, type WholeProduct } from '#test/harness/whole-product.ts';

/** More than sockets and a lane's window hold, so that both transfers are in the middle while the certificate changes. */
const content = randomBytes(24 * 1024 * 1024);
const half = content.length / 2;
const pieceBytes = 32 * 1024;

describe('both nodes and a certificate authority', () => {
  let folder: string;
  let pebble: Pebble;
  let product: WholeProduct | undefined;
  const plainPort = findFreePort();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-acme-'));
    pebble = await startPebble({ httpPort: plainPort, refusedNonces: 20 });
    await writeFile(join(folder, 'authority.pem'), pebble.ca);
  });
  afterAll(async () => {
    await product?.close();
    await pebble.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(workers: number): Promise<WholeProduct> {
    await product?.close();
    const ca = join(folder, 'authority.pem');
    const acme = { directory: pebble.directory, email: 'admin@example.com', names: ['localhost'], ca };
    product = await startWholeProduct({
      users: [
        buildDemoUser('carol', {
          mounts: ['{ path: /, storage: local, root: carol, allow: [list, read, write, overwrite] }'],
        }),
      ],
      folder,
      workers,
      changeMain: (config) => ({ ...config, https: { acme } }),
      changeDmz: (config) => ({
        ...config,
        log: { level: 'silent' },
        https: {
          ...config.https,
          certificate: undefined,
          key: undefined,
          plainListen: { type: 'tcp', host: '127.0.0.1', port: plainPort },
        },
      }),
    });
    return product;
  }

  /** Somebody in another network is another worker's. */
  async function served({ https: at }: WholeProduct, localAddress = '127.0.0.1') {
    const plain = connectPlain({ host: '127.0.0.1', port: Number(new URL(at).port), localAddress });
    const socket = connect({ socket: plain, servername: 'localhost', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const certificate = socket.getPeerCertificate();
    socket.destroy();
    return certificate;
  }

  async function sallyport({ files }: WholeProduct, ...args: string[]) {
    const terminal = buildPlayedTerminal();
    const surroundings = { terminal, folder, nowMs: Date.now(), actor: 'eva' };
    const code = await runCommand(['--socket', files.main.socket, ...args], surroundings);
    return { code, out: terminal.printed(), err: terminal.complained() };
  }

  async function openSftp(running: WholeProduct) {
    const client = new ssh2.Client();
    const ready = once(client, 'ready');
    client.connect({
      host: '127.0.0.1',
      port: running.sftpPort,
      username: 'carol',
      password: running.password('carol'),
    });
    await ready;
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      client.sftp((error, opened) => (error === undefined ? resolve(opened) : reject(error)));
    });
    return { client, sftp };
  }

  async function write(sftp: SFTPWrapper, handle: Buffer, from: number, to: number): Promise<void> {
    const pieces = Array.from({ length: (to - from) / pieceBytes }, (_, index) => from + index * pieceBytes);
    await Promise.all(
      pieces.map((at) =>
        ask<undefined>((done) =>
          sftp.write(handle, content, at, pieceBytes, at, (error) => done(error, undefined)),
        ),
      ),
    );
  }

  function ask<T>(act: (done: (error: Error | null | undefined, result: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      act((error, result) => (error === null || error === undefined ? resolve(result) : reject(error)));
    });
  }

  /** Renews under an SFTP put and a download that are half way. */
  async function renewUnderTransfers(running: WholeProduct): Promise<void> {
    const { client, sftp } = await openSftp(running);
    const handle = await ask<Buffer>((done) => sftp.open('/put.bin', 'w', done));
    await write(sftp, handle, 0, half);

    const ca = join(folder, 'ca.pem');
    await writeFile(ca, await pebble.root());
    const web = new HttpsSession(running.https, ca);
    await web.json('POST', '/api/login', { username: 'carol', password: running.password('carol') });
    await writeFile(join(running.files.files, 'carol', 'get.bin'), content);
    const request = https.get(new URL('/api/files/get.bin', running.https), {
      headers: { cookie: web.cookie },
      ca: await readFile(ca),
      agent: false,
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(200);

    const before = await served(running);
    const renewed = await sallyport(running, 'certificate', 'renew', '--reason', 'the key was copied');
    expect(renewed).toMatchObject({ code: 0, err: '' });
    // Two networks of each worker, as likely as not.
    for (const network of ['127.0.0.1', '127.0.1.1', '127.0.2.1', '127.0.3.1'])
      await expect
        .poll(async () => (await served(running, network)).fingerprint256)
        .not.toBe(before.fingerprint256);

    const pieces: Buffer[] = [];
    response.on('data', (piece: Buffer) => pieces.push(piece));
    await once(response, 'end');
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
    await write(sftp, handle, half, content.length);
    await ask<undefined>((done) => sftp.close(handle, (error) => done(error, undefined)));
    client.end();
    expect((await readFile(join(running.files.files, 'carol', 'put.bin'))).equals(content)).toBe(true);
  }

  it('get one through port 80 without a restart, and renew it under transfers, while two processes serve', async () => {
    const running = await start(2);
    const certificate = await served(running);
    expect(certificate.issuer.CN).toMatch(/^Pebble Intermediate CA/);
    expect(certificate.subjectaltname).toBe('DNS:localhost');
    await renewUnderTransfers(running);
    expect((await running.audit()).map(({ event }) => event)).toContain('certificate.issued');
  });

  it('have it again after a restart, as one process, without asking anew, and renew it under transfers', async () => {
    const before = await served(product ?? (await start(2)));
    const running = await start(1);
    expect((await served(running)).fingerprint256).toBe(before.fingerprint256);
    await renewUnderTransfers(running);
  });

  it('keep the old one when an order fails, and say so everywhere', async () => {
    const running = product ?? (await start(1));
    const before = await served(running);
    await pebble.close();
    const failed = await sallyport(running, 'certificate', 'renew');
    expect(failed.code).not.toBe(0);
    const why = /no new certificate from localhost:\d+ \(the present one ends in \d+ days\): /;
    const status = await sallyport(running, 'status');
    expect(status.code).toBe(1);
    expect(status.out).toMatch(why);
    expect(await running.health('main')).toMatch(why);
    expect((await sallyport(running, 'certificate', 'show')).out).toMatch(
      /last order +FAILED: .*\nnext try +20/,
    );
    await expect
      .poll(() => running.audit())
      .toContainEqual(expect.objectContaining({ event: 'certificate.failed', outcome: 'failed' }));
    expect((await served(running)).fingerprint256).toBe(before.fingerprint256);
  });
});
