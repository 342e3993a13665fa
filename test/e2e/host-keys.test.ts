import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
});

function isPrivateKey(content: Buffer): boolean {
  if (content.includes('BEGIN OPENSSH PRIVATE KEY')) return true;
  try {
    createPrivateKey(content);
    return true;
  } catch {
    return false;
  }
}
