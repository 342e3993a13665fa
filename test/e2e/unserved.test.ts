import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runLftp } from '#test/harness/clients/lftp.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

describe('what other programs put on the storage and nobody is served', () => {
  let product: Product;
  let frank: CurlSession;
  const onDisk = (...names: string[]): string => join(product.site.files.files, 'frank', ...names);

  beforeAll(async () => {
    product = await startProduct();
    await mkdir(onDisk('odd', 'deep'), { recursive: true });
    await writeFile(onDisk('odd', 'aux.txt'), 'x');
    await symlink('/etc/passwd', onDisk('odd', 'link'));
    await writeFile(onDisk('odd', 'deep', 'seen.txt'), 'seen');
    execFileSync('mkfifo', [onDisk('odd', 'deep', 'pipe')]);
    await mkdir(onDisk('looks-empty'));
    await writeFile(onDisk('looks-empty', 'blank '), 'x');
    frank = await CurlSession.start(product.site.https, product.site.files.ca);
    await frank.json('POST', '/api/login', { username: 'frank', password: product.password('frank') });
  });
  afterAll(async () => {
    await frank.close();
    await product.close();
  });

  it('is counted where a folder is listed over HTTPS', async () => {
    const { body } = await frank.json('GET', '/api/files/odd/');
    expect(body['entries']).toMatchObject([{ name: 'deep' }]);
    expect(body['unserved']).toMatchObject({ count: 2 });
    expect((body['unserved'] as { names: string[] }).names.toSorted()).toEqual(['aux.txt', 'link']);
  });

  it('is counted with all below before a folder is deleted', async () => {
    const { body } = await frank.json('GET', '/api/files/odd/?unserved=1');
    expect(body).toMatchObject({ path: '/odd', complete: true, unserved: { count: 3 } });
  });

  it('is named in a note of the archive that unzip unpacks', async () => {
    const answer = await frank.call('/api/files/odd/?zip=1');
    const file = join(product.folder, 'odd.zip');
    await writeFile(file, answer.body);
    const listed = await runProgram('/usr/bin/python3', ['-m', 'zipfile', '-t', file]);
    expect(listed.status, listed.stderr).toBe(0);
    const read =
      'import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);print(z.namelist());print(z.read("_not-included.txt").decode())';
    const { stdout } = await runProgram('/usr/bin/python3', ['-c', read, file]);
    expect(stdout).toContain("['_not-included.txt', 'deep/', 'deep/seen.txt']");
    expect(stdout).toContain('3 entries are not in this archive');
    for (const name of ['aux.txt', 'link', 'deep/pipe'])
      expect(stdout).toMatch(new RegExp(`^${name}\\r?$`, 'm'));
  });

  it('is what a folder that looks empty is not removed for: lftp and curl are told', async () => {
    const target = product.sftp('frank', { password: product.password('frank') });
    const told = 'it holds 1 entry that this server does not show';
    const lftp = await runLftp(target, ['rmdir looks-empty']);
    expect(lftp.stdout + lftp.stderr).toContain(told);
    const curl = await frank.json('DELETE', '/api/files/looks-empty');
    expect(curl).toMatchObject({ status: 409, body: { reason: 'not-empty', unserved: 1 } });
    expect(curl.body['detail']).toContain(told);
  });

  it('is counted by status and named by doctor', async () => {
    const doctor = await product.sallyport('doctor').catch(String);
    expect(doctor).toContain('4 entries are not served');
    for (const name of ['odd/aux.txt', 'odd/link', 'odd/deep/pipe', 'looks-empty/blank\\u0020'])
      expect(doctor).toContain(`${product.site.files.files}/frank/${name}`);
    const status = await product.sallyport('status').catch(String);
    expect(status).toContain('4 entries are not served');
  });

  it('goes with its folder where that is asked for, and the audit says how many', async () => {
    expect((await frank.call('/api/files/odd?recursive=1&bin=0', ['-X', 'DELETE'])).status).toBe(204);
    const record = (): unknown => product.audit().find((one) => one['event'] === 'file.delete')?.['detail'];
    await expect.poll(record).toBe('a folder with all that was in it, also 3 that no listing shows');
    await product.sallyport('doctor').catch(String);
    expect(await product.sallyport('status').catch(String)).toContain('1 entry is not served');
  });
});
