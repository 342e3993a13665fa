import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import https from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '#test/harness/clients/process.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

const size = 40 * 1024 * 1024;
const patienceMs = 20_000;

/** Reads a thousand bytes, and closes the file or is gone. */
const sftpReader = `
import base64, os, sys, paramiko
host, port, host_key, end = sys.argv[1:]
transport = paramiko.Transport((host, int(port)))
transport.connect(hostkey=paramiko.Ed25519Key(data=base64.b64decode(host_key.split()[1])))
transport.auth_password("carol", os.environ["LOGIN_PASSWORD"])
file = paramiko.SFTPClient.from_transport(transport).open("/big.bin")
assert len(file.read(1000)) == 1000
if end == "gone": os._exit(0)
file.close()
transport.close()
`;

describe('the audit says what arrived, not what was sent, as soon as a transfer ends', () => {
  let product: Product;
  let session: HttpsSession;
  beforeAll(async () => {
    product = await startProduct();
    await writeFile(join(product.site.files.files, 'carol', 'big.bin'), randomBytes(size));
    session = new HttpsSession(product.site.https, product.site.files.ca);
    const password = product.password('carol');
    await session.json('POST', '/api/login', { username: 'carol', password });
  });
  afterAll(() => product.close());

  /** The only record of that event since `from`. */
  async function nextRecord(event: string, from: number): Promise<Record<string, unknown> | undefined> {
    const find = () =>
      product
        .audit()
        .slice(from)
        .filter((record) => record['event'] === event);
    await waitUntil(() => find().length > 0, patienceMs);
    expect(find()).toHaveLength(1);
    return find()[0];
  }

  function request(method: string, path: string, headers: Readonly<Record<string, string>> = {}) {
    return https.request(new URL(path, product.site.https), {
      method,
      agent: false,
      ca: readFileSync(product.site.files.ca),
      headers: { cookie: session.cookie, ...headers },
    });
  }

  /** Goes away after the first piece; resolves then. */
  function getSome(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const asking = request('GET', path);
      asking.on('response', (response) => {
        response.once('data', () => {
          response.destroy();
          resolve();
        });
        response.on('error', () => undefined);
      });
      asking.on('error', reject);
      asking.end();
    });
  }

  it.each([
    ['a file', '/api/files/big.bin'],
    ['an archive', '/api/files?zip=1&name=big.bin'],
  ])('a client that leaves early in %s has cut it', async (_what, path) => {
    const from = product.audit().length;
    await getSome(path);
    const record = await nextRecord('file.download', from);
    expect(record).toMatchObject({ outcome: 'cut', path: '/big.bin', size });
    expect(record?.['acknowledged']).toBeLessThan(size / 2);
  });

  it('a range and a whole file that were taken are ok', async () => {
    for (const headers of [{ range: 'bytes=1000-99999' }, {}]) {
      const from = product.audit().length;
      let bytes = 0;
      await session.stream(
        'GET',
        '/api/files/big.bin',
        (piece) => (bytes += piece.length),
        undefined,
        headers,
      );
      expect(await nextRecord('file.download', from)).toMatchObject({ outcome: 'ok', bytes });
    }
  });

  it.each([
    ['closed', 'partial'],
    ['gone', 'cut'],
  ])('over SFTP a reader that is %s after a thousand bytes leaves it %s', async (end, outcome) => {
    const from = product.audit().length;
    const { host, port, hostKey } = product.site.sftp;
    const args = ['-c', sftpReader, host, String(port), hostKey, end];
    const { status, stderr } = await runProgram('/usr/bin/python3', args, {
      env: { LOGIN_PASSWORD: product.password('carol') },
    });
    expect(status, stderr).toBe(0);
    const record = await nextRecord('file.download', from);
    expect(record).toMatchObject({ outcome, path: '/big.bin', size });
    expect(record?.['acknowledged']).toBeLessThan(size / 2);
  });

  it('a node that is killed in a PUT and a GET has cut both when the next one says hello; the session lives', async () => {
    const from = product.audit().length;
    const put = request('PUT', '/api/files/new.bin', { 'content-length': String(size) });
    put.on('error', () => undefined);
    put.write(randomBytes(1024 * 1024));
    // A reader that takes nothing: its download stays under way.
    const get = request('GET', '/api/files/big.bin');
    const reading = new Promise<void>((resolve) => {
      get.on('response', (response) => {
        response.on('error', () => undefined);
        response.pause();
        resolve();
      });
    });
    get.on('error', () => undefined);
    get.end();
    await reading;
    const staging = join(product.site.files.files, '.sallyport-staging');
    // With something in it: of an upload that was only begun nothing is kept.
    const hasBytes = (name: string): boolean =>
      name.endsWith('.part') && statSync(join(staging, name)).size > 0;
    await waitUntil(() => readdirSync(staging).some(hasBytes), patienceMs);
    expect(
      product
        .audit()
        .slice(from)
        .filter(({ event }) => String(event).startsWith('file.')),
    ).toEqual([]);
    process.kill(product.site.dmz.pid ?? 0, 'SIGKILL');
    expect(await nextRecord('file.upload', from)).toMatchObject({
      outcome: 'cut',
      path: '/new.bin',
      detail: expect.stringContaining('may be resumed'),
    });
    const download = await nextRecord('file.download', from);
    expect(download).toMatchObject({ outcome: 'cut', path: '/big.bin', size });
    expect(download?.['acknowledged']).toBeLessThan(size);
    await waitUntil(async () => (await session.json('GET', '/api/me')).status === 200, patienceMs);
    expect(product.audit().slice(from)).not.toContainEqual(
      expect.objectContaining({ event: 'session.ended', protocol: 'https' }),
    );
  });
});
