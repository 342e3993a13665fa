import { createPrivateKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoginService } from '#dmz/login/login-service.ts';
import { buildSftpServer } from '#dmz/sftp/server.ts';
import { publicKeyOf } from '#main-agent/host-keys/private-keys.ts';
import { systemClock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeGuard } from '#test/dmz/sftp/fakes/fake-guard.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import {
  type Product,
  sha256OfFile,
  startProduct,
  waitUntil,
  writeRandomFile,
} from '#test/harness/product.ts';

const patienceMs = 20_000;
/** Client and door exchange keys again after each; OpenSSH takes no less. */
const rekeyOften = ['-o', 'RekeyLimit=1M'];

describe('a DMZ node whose SSH host keys are at main, to the OpenSSH client', () => {
  let product: Product;
  let folder: string;
  beforeAll(async () => {
    product = await startProduct({ hostKey: 'main' });
    folder = mkdtempSync(join(tmpdir(), 'sallyport-host-keys-'));
  });
  afterAll(async () => {
    await product.close();
    await rm(folder, { recursive: true, force: true });
  });
  const carol = () => product.sftp('carol', { password: product.password('carol') });

  it('is the server it knows, and no private host key is on the box', async () => {
    const { status, stdout, stderr } = await runOpenSshSftp(carol(), ['pwd']);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).toContain('Remote working directory');
    const box = join(product.site.files.dir, 'dmz');
    const files = readdirSync(box, { recursive: true, encoding: 'utf8' }).map((name) => join(box, name));
    const keys = files.filter((file) => statSync(file).isFile() && isPrivateKey(readFileSync(file)));
    expect(keys.map((file) => file.slice(box.length + 1)).toSorted()).toEqual([
      'keys/link.key',
      'keys/signing.key',
      'tls/key.pem',
    ]);
  });

  it('exchanges keys again and again while files move, also while main is killed and back', async () => {
    const size = 24 * 1024 * 1024;
    const stored = join(product.site.files.files, 'carol', 'large.bin');
    const sum = await writeRandomFile(stored, size);
    const got = join(folder, 'got.bin');
    // 64 Mbit/s: three seconds, in which main goes and comes.
    const limited = [...rekeyOften, '-l', '64000', '-v'];
    const moving = runOpenSshSftp(carol(), [`get large.bin ${got}`], limited);
    await waitUntil(() => statSync(got).size > 4 * 1024 * 1024, patienceMs);
    await product.killMain();
    const { status, stderr } = await moving;
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    expect(sha256OfFile(got)).toBe(sum);
    expect(stderr.match(/rekey/g)?.length).toBeGreaterThan(10);
  });

  it('is known after a rotation to a client that learned the next key, without an edit of known_hosts', async () => {
    const known = join(folder, 'known_hosts');
    const { host, port, hostKey } = product.site.sftp;
    await writeFile(known, `[${host}]:${port} ${hostKey}\n`);
    const keys = () => readFileSync(known, 'utf8').match(/AAAA\S+/g) ?? [];
    const [before] = keys();
    const logIn = async () => {
      const options = ['-o', `UserKnownHostsFile=${known}`, '-o', 'UpdateHostKeys=yes'];
      return runOpenSshSftp(carol(), ['pwd'], options);
    };
    expect((await logIn()).status).toBe(0);
    expect(keys()).toHaveLength(2);
    const [, next] = keys();

    await product.sallyport('hostkeys', 'rotate', 'dmz1', '--reason', 'as a test');
    const { status, stderr } = await logIn();
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    // The old one is forgotten, the one after is learned.
    expect(keys()).toContain(next);
    expect(keys()).not.toContain(before);
    expect(keys()).toHaveLength(2);
    expect((await logIn()).status).toBe(0);
    // Who did not look is asked about it.
    const unaware = await runOpenSshSftp(carol(), ['pwd']);
    expect(unaware.status).not.toBe(0);
    expect(unaware.stderr).toContain('Host key verification failed');
  });

  it('is nobody once it is revoked: with every key of the box it can not be the server that clients know', async () => {
    const now = JSON.parse(await product.sallyport('--json', 'hostkeys', 'list')) as {
      nodes: { keys: { line: string; standing: string }[] }[];
    };
    const hostKey = now.nodes[0]?.keys.find(({ standing }) => standing === 'signs')?.line ?? '';
    expect((await runOpenSshSftp({ ...carol(), hostKey }, ['pwd'])).status).toBe(0);
    await product.sallyport('nodes', 'revoke', 'dmz1', '--reason', 'as a test');
    const away = await runOpenSshSftp({ ...carol(), hostKey }, ['pwd']);
    expect(away.status).not.toBe(0);
    expect(away.stderr).toContain('can not be reached right now');

    const shown = Buffer.from(hostKey.split(' ')[1] ?? '', 'base64');
    const { identityKey, signingKey } = product.site.files.dmz;
    for (const file of [identityKey, signingKey]) {
      const key = createPrivateKey(readFileSync(file));
      // The public half is no secret: it shows that, or its own.
      for (const blob of [shown, publicKeyOf(key).blob]) {
        const impostor = await startImpostor(blob, key);
        const { status, stderr } = await runOpenSshSftp({ ...carol(), hostKey, port: impostor.port }, [
          'pwd',
        ]);
        await impostor.close();
        expect(status).not.toBe(0);
        expect(stderr).toMatch(blob === shown ? /incorrect signature/ : /Host key verification failed/);
        expect(impostor.logins()).toBe(0);
      }
    }
  });
});

/** What somebody can make of the box: our own door, which shows `blob` and signs with `key`. */
async function startImpostor(blob: Buffer, key: KeyObject) {
  let logins = 0;
  const login = {
    probe: async () => true,
    begin: async () => {
      logins += 1;
      throw new SallyportError('refused', 'Sign-in refused');
    },
  } as unknown as LoginService;
  const server = buildSftpServer({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeys: {
      present: () => [{ type: 'ssh-ed25519', blob, signs: true }],
      isReady: true,
      prove: () => Promise.reject(new Error('not asked')),
      sign: async () => sign(null, randomBytes(32), key),
    },
    login,
    guard: buildFakeGuard(),
    publicUrl: 'https://files.example.com',
    clock: systemClock,
    log: buildLog('silent', {}),
  });
  await server.start();
  return { port: server.address().port, logins: () => logins, close: () => server.close() };
}

function isPrivateKey(content: Buffer): boolean {
  if (content.includes('BEGIN OPENSSH PRIVATE KEY')) return true;
  try {
    createPrivateKey(content);
    return true;
  } catch {
    return false;
  }
}
