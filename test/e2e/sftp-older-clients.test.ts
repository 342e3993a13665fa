import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCurlSftp } from '#test/harness/clients/curl-sftp.ts';
import type { Outcome } from '#test/harness/clients/process.ts';
import { type Product, startProduct, writeRandomFile } from '#test/harness/product.ts';

/**
 * Debian 12's `curl sftp://` is libssh2 1.10, which knows no cipher with built-in integrity and no encrypt-then-MAC:
 * what CLIENTS.md says of it and of its like is held here.
 */
describe('curl over SFTP', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct({ sftpProfile: 'compat' });
  });
  afterAll(() => product.close());

  it('finds no algorithm in common where the profile is strict', async () => {
    const strict = await startProduct();
    const { status, stderr } = await curl(strict, '/');
    await strict.close();
    expect(status).toBe(2);
    expect(stderr).toMatch(/Failure establishing ssh session.*Unable to exchange encryption keys/);
  });

  it('uploads, goes on, lists, downloads, renames and removes where it is compat', async () => {
    const file = join(product.folder, 'curl.bin');
    await writeRandomFile(file, 3_000_017);
    const ok = async (path: string, ...args: readonly string[]): Promise<string> => {
      const { status, stdout, stderr } = await curl(product, path, ...args);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    await ok('/new/folder/curl.bin', '--ftp-create-dirs', '-T', file);
    const stored = join(product.site.files.files, 'frank/new/folder/curl.bin');
    expect((await readFile(stored)).equals(await readFile(file))).toBe(true);
    expect(await ok('/new/folder/')).toContain('curl.bin');
    const got = join(product.folder, 'curl.got');
    await ok('/new/folder/curl.bin', '-o', got, '-r', '0-999999');
    await ok('/new/folder/curl.bin', '-o', got, '-C', '-');
    expect((await readFile(got)).equals(await readFile(file))).toBe(true);
    await ok(
      '/',
      '-Q',
      'rename /new/folder/curl.bin /curl2.bin',
      '-Q',
      'rmdir /new/folder',
      '-Q',
      'rm /curl2.bin',
    );
    expect(await ok('/')).not.toContain('curl2.bin');
  });
});

function curl(product: Product, path: string, ...args: readonly string[]): Promise<Outcome> {
  return runCurlSftp(product.sftp('frank', { password: product.password('frank') }), path, args);
}
