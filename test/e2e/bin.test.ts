import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Product, sha256OfFile, startProduct, writeRandomFile } from '#test/harness/product.ts';

describe('the bin, through both nodes', () => {
  let product: Product;
  let frank: CurlSession;
  let local: string;
  let hash: string;
  const onDisk = (...names: string[]): string => join(product.site.files.files, 'frank', ...names);

  beforeAll(async () => {
    product = await startProduct();
    local = join(product.folder, 'plan.bin');
    hash = await writeRandomFile(local, 3_000_001);
    frank = await CurlSession.start(product.site.https, product.site.files.ca);
    await frank.json('POST', '/api/login', { username: 'frank', password: product.password('frank') });
  });
  afterAll(async () => {
    await frank.close();
    await product.close();
  });

  async function binned(path: string, args: readonly string[]): Promise<string> {
    const { status, headers } = await frank.call(path, args);
    expect(status).toBe(204);
    return /^Sallyport-Bin: (\S{22})\r$/im.exec(headers)?.[1] ?? 'not kept';
  }

  async function kept(): Promise<readonly Record<string, unknown>[]> {
    const { status, body } = await frank.json('GET', '/api/bin');
    expect(status).toBe(200);
    return body['entries'] as readonly Record<string, unknown>[];
  }

  it('keeps what is deleted and replaced over a kill of main, shows it to no SFTP client, and gives it back whole', async () => {
    const me = await frank.json('GET', '/api/me');
    expect(me.body['files']).toEqual([expect.objectContaining({ path: '/', bin_seconds: 7 * 86_400 })]);
    await frank.json('POST', '/api/files/deals?op=mkdir');
    await frank.call('/api/files/deals/plan.bin', ['-T', local]);
    const replaced = await binned('/api/files/deals/plan.bin', ['-X', 'PUT', '--data-binary', 'newer']);
    const deleted = await binned('/api/files/deals/plan.bin', ['-X', 'DELETE']);
    const folder = await binned('/api/files/deals?recursive=1', ['-X', 'DELETE']);
    expect(readdirSync(onDisk())).toEqual([]);
    await product.killMain();
    expect(await kept()).toMatchObject([
      { id: folder, name: 'deals', path: '/deals', type: 'folder', reason: 'deleted', by: 'frank' },
      { id: deleted, name: 'plan.bin', path: '/deals/plan.bin', type: 'file', size: 5, reason: 'deleted' },
      { id: replaced, size: 3_000_001, reason: 'replaced' },
    ]);
    const target = product.sftp('frank', { password: product.password('frank') });
    const listed = await runOpenSshSftp(target, ['ls -la', 'ls -la .sallyport-staging/bin']);
    expect(listed.stdout).not.toMatch(/sallyport-staging\W*$|deals|plan/m);
    expect(listed.stderr).toMatch(/not found|No such file/i);

    const ids = [folder, replaced, deleted];
    const some = await frank.json('POST', '/api/bin/restore', { ids });
    expect(some.body['results']).toMatchObject([
      { id: folder, path: '/deals' },
      { id: replaced, path: '/deals/plan.bin' },
      { id: deleted, problem: { status: 409, reason: 'exists' } },
    ]);
    expect(await frank.json('POST', '/api/bin/restore', { ids: [deleted] })).toMatchObject({
      status: 409,
      body: { reason: 'exists' },
    });
    const both = await frank.json('POST', '/api/bin/restore', { ids: [deleted], conflict: 'keep-both' });
    expect(both.body['results']).toEqual([{ id: deleted, path: '/deals/plan (restored).bin' }]);
    expect(sha256OfFile(onDisk('deals', 'plan.bin'))).toBe(hash);
    expect(await readFile(onDisk('deals', 'plan (restored).bin'), 'utf8')).toBe('newer');
    expect(await kept()).toEqual([]);
  });

  it('is listed, given back and emptied by an admin, and asked-for removals leave nothing in it', async () => {
    await writeFile(onDisk('note.txt'), 'a note');
    const id = await binned('/api/files/note.txt', ['-X', 'DELETE']);
    expect(await product.sallyport('bin', 'list', 'frank')).toMatch(new RegExp(`^${id} .* /note.txt `, 'm'));
    const said = await product.sallyport('bin', 'restore', 'frank', id, '--reason', 'frank called');
    expect(said).toBe('Restored /note.txt.\n');
    expect(await readFile(onDisk('note.txt'), 'utf8')).toBe('a note');
    const replaced = await binned('/api/files/note.txt', ['-X', 'PUT', '--data-binary', 'another']);
    expect(
      await product.sallyport('bin', 'restore', 'frank', replaced, '--keep-both', '--reason', 'he asked'),
    ).toBe('Restored /note (restored).txt.\n');
    expect(await readFile(onDisk('note (restored).txt'), 'utf8')).toBe('a note');
    expect(await readFile(onDisk('note.txt'), 'utf8')).toBe('another');
    await binned('/api/files/note.txt', ['-X', 'DELETE']);
    expect(await product.sallyport('bin', 'empty', 'frank', '--reason', 'frank asked')).toContain('1 entry');
    await writeFile(onDisk('secret.txt'), 'x');
    expect(await binned('/api/files/secret.txt?bin=0', ['-X', 'DELETE'])).toBe('not kept');
    expect(await kept()).toEqual([]);
    expect(product.audit().filter(({ event }) => event === 'file.restore')).toHaveLength(5);
  });
});
