import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { startWholeProduct, type WholeProduct } from '#test/harness/whole-product.ts';

const diskMiB = 4;
let folder: string;
let disk: string;
let product: WholeProduct;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-full-'));
  disk = join(folder, 'disk');
  mkdirSync(disk);
  // Takes root. A file system of its own, because SQLite asks the kernel and not Node.
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=700`, 'tmpfs', disk]);
  product = await startWholeProduct({
    users: [buildDemoUser('carol')],
    folder,
    changeMain: (config) => {
      const file = join(disk, 'state.db');
      copyFileSync(config.state.file, file);
      return { ...config, state: { ...config.state, file } };
    },
  });
});
afterAll(async () => {
  await product.close();
  execFileSync('umount', [disk]);
  await rm(folder, { recursive: true, force: true });
});

const ballast = () => join(disk, 'ballast');

function fillDisk(): void {
  const file = openSync(ballast(), 'w');
  const block = Buffer.alloc(4096);
  const fill = (): void => {
    for (let blocks = 0; blocks <= diskMiB * 256; blocks += 1) writeSync(file, block);
  };
  expect(fill).toThrow('ENOSPC');
  closeSync(file);
}

describe('a full disk below state.db', () => {
  const password = () => product.password('carol');
  const newSession = () => new HttpsSession(product.https, product.files.ca);
  const signIn = (session: HttpsSession) =>
    session.json('POST', '/api/login', { username: 'carol', password: password() });
  const ourFault = { status: 500, body: expect.objectContaining({ code: 'internal' }) };

  async function signInOverSftp(): Promise<'in' | 'refused'> {
    const [type, blob] = readFileSync(`${product.files.dmz.hostKey}.pub`, 'utf8').split(' ');
    const { sftpPort: port } = product;
    const target = {
      host: '127.0.0.1',
      port,
      hostKey: `${type} ${blob}`,
      user: 'carol',
      password: password(),
    };
    const { status, stderr } = await runOpenSshSftp(target, ['ls']);
    expect(status === 0 ? '' : stderr).toMatch(/^$|Permission denied/);
    return status === 0 ? 'in' : 'refused';
  }

  it('S-14: nobody gets in and nothing is changed, sessions go on, and with room again all is as before', async () => {
    const web = newSession();
    expect((await signIn(web)).status).toBe(200);
    expect(await signInOverSftp()).toBe('in');
    const before = await product.held();
    const isAdmitted = ({ event }: Readonly<Record<string, unknown>>) => event === 'login.admitted';
    await expect.poll(async () => (await product.audit()).filter(isAdmitted).length).toBe(2);

    fillDisk();
    // More often than wrong passwords may be given: none of these counts as one.
    for (let attempt = 0; attempt < 12; attempt += 1) expect(await signIn(newSession())).toEqual(ourFault);
    expect(await signInOverSftp()).toBe('refused');
    const change = { current: password(), new: 'another long enough one' };
    expect(await web.json('POST', '/api/me/password', change)).toEqual(ourFault);
    expect((await web.json('GET', '/api/me')).status).toBe(200);
    expect((await web.json('GET', '/api/files')).status).toBe(200);

    rmSync(ballast());
    // With the password of before, on both doors.
    const again = newSession();
    expect((await signIn(again)).body['state']).toBe('signed-in');
    expect(await signInOverSftp()).toBe('in');
    await expect.poll(async () => (await product.audit()).filter(isAdmitted).length).toBe(4);
    await again.json('POST', '/api/logout');
    await expect
      .poll(async () => {
        const { descriptors, ...held } = await product.held();
        return { ...held, descriptors: Math.max(before.descriptors, descriptors) };
      })
      .toEqual(before);
  });
});
