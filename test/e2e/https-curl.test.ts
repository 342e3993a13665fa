import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CurlSession } from '#test/harness/clients/curl.ts';
import {
  type Product,
  sha256,
  sha256OfFile,
  startProduct,
  waitUntil,
  writeRandomFile,
} from '#test/harness/product.ts';

const bytes = 7_000_003;

describe('curl over HTTPS', () => {
  let product: Product;
  let alice: CurlSession;
  let local: string;
  let hash: string;
  beforeAll(async () => {
    product = await startProduct();
    local = join(product.folder, 'sample.bin');
    hash = await writeRandomFile(local, bytes);
    alice = await CurlSession.start(product.site.https, product.site.files.ca);
  });
  afterAll(async () => {
    await alice.close();
    await product.close();
  });

  it('signs alice in with password and code', async () => {
    const first = await alice.json('POST', '/api/login', {
      username: 'alice',
      password: product.password('alice'),
    });
    expect(first).toMatchObject({
      status: 200,
      body: { state: 'code-required', challenge: { method: 'totp' } },
    });
    const wrong = await alice.json('POST', '/api/login/code', { code: '000000' });
    expect(wrong).toMatchObject({ status: 401, body: { reason: 'wrong-code' } });
    const code = await product.authenticator('alice').next();
    const right = await alice.json('POST', '/api/login/code', { code });
    expect(right).toMatchObject({ status: 200, body: { state: 'signed-in', user: expect.anything() } });
    const me = await alice.json('GET', '/api/me');
    expect(me).toMatchObject({ status: 200, body: { username: 'alice', two_factor: { enrolled: true } } });
  });

  it('uploads, reports what it stored, and downloads it again', async () => {
    const put = await alice.call('/api/files/sample.bin', ['-T', local]);
    expect(put.status, put.body.toString()).toBe(201);
    expect(sha256OfFile(join(product.site.files.files, 'alice', 'sample.bin'))).toBe(hash);
    const again = await alice.call('/api/files/sample.bin', ['-T', local]);
    expect(again.status).toBe(204);
    const got = await alice.call('/api/files/sample.bin');
    expect([got.status, sha256(got.body)]).toEqual([200, hash]);
  });

  it('uploads a body of unknown length', async () => {
    const content = await readFile(local);
    const put = await alice.call(
      '/api/files/chunked.bin',
      ['-X', 'PUT', '-H', 'Transfer-Encoding: chunked'],
      content,
    );
    expect(put.status).toBe(201);
    expect(sha256((await alice.call('/api/files/chunked.bin')).body)).toBe(hash);
  });

  it('answers ranges, HEAD and validators', async () => {
    const content = await readFile(local);
    const range = await alice.call('/api/files/sample.bin', ['-r', '100-299']);
    expect([range.status, range.body.equals(content.subarray(100, 300))]).toEqual([206, true]);
    const tail = await alice.call('/api/files/sample.bin', ['-r', '-5']);
    expect([tail.status, tail.body.equals(content.subarray(-5))]).toEqual([206, true]);
    expect((await alice.call('/api/files/sample.bin', ['-r', `${bytes}-`])).status).toBe(416);
    const pieces = await alice.call('/api/files/sample.bin', ['-r', '0-1,5-6']);
    expect([pieces.status, sha256(pieces.body)]).toEqual([200, hash]);
    const head = await alice.call('/api/files/sample.bin', ['-I']);
    expect(head.status).toBe(200);
    expect(head.headers).toMatch(new RegExp(`content-length: ${bytes}`, 'i'));
    const etag = /etag: (\S+)/i.exec(head.headers)?.[1] ?? '';
    expect(etag).toMatch(/^"[^"]+"$/);
    expect((await alice.call('/api/files/sample.bin', ['-H', `If-None-Match: ${etag}`])).status).toBe(304);
    const stale = await alice.call('/api/files/sample.bin', ['-T', local, '-H', 'If-Match: "other"']);
    expect(stale.status).toBe(412);
    const exists = await alice.call('/api/files/sample.bin', ['-T', local, '-H', 'If-None-Match: *']);
    expect(exists.status).toBe(412);
  });

  it('makes folders, renames, copies, lists and deletes', async () => {
    expect((await alice.json('POST', '/api/files/folder?op=mkdir')).status).toBe(201);
    expect((await alice.json('POST', '/api/files/folder?op=mkdir')).status).toBe(409);
    const renamed = await alice.json('POST', '/api/files/chunked.bin?op=rename', { to: '/folder/moved.bin' });
    expect([201, 204]).toContain(renamed.status);
    const copied = await alice.json('POST', '/api/files/folder/moved.bin?op=copy', {
      to: '/folder/copy.bin',
    });
    expect([201, 204]).toContain(copied.status);
    const listed = await alice.json('GET', '/api/files/folder?sort=-name');
    expect(listed.body['entries']).toEqual([
      expect.objectContaining({ name: 'moved.bin', type: 'file', size: bytes }),
      expect.objectContaining({ name: 'copy.bin', type: 'file', size: bytes }),
    ]);
    expect((await alice.call('/api/files/folder', ['-X', 'DELETE'])).status).toBe(409);
    expect((await alice.call('/api/files/folder?recursive=1', ['-X', 'DELETE'])).status).toBe(204);
    expect((await alice.call('/api/files/folder')).status).toBe(404);
    expect((await alice.call('/api/files/no/parent.bin', ['-T', local])).status).toBe(409);
  });

  it('keeps the old file when an upload breaks off', async () => {
    const before = await alice.call('/api/files/sample.bin', ['-I']);
    const slow = ['-T', local, '--limit-rate', '1M', '--max-time', '1'];
    // 100 Continue at most; never a final answer.
    expect([0, 100]).toContain((await alice.call('/api/files/sample.bin', slow)).status);
    const after = await alice.call('/api/files/sample.bin', ['-I']);
    expect(/etag: (\S+)/i.exec(after.headers)?.[1]).toBe(/etag: (\S+)/i.exec(before.headers)?.[1]);
  });

  it('shows files that other programs put there', async () => {
    await writeFile(join(product.site.files.files, 'alice', 'from-outside.txt'), 'hello');
    expect((await alice.call('/api/files/from-outside.txt')).body.toString()).toBe('hello');
  });

  it('S-11: writes receipts to the audit and no secret', async () => {
    await waitUntil(
      () => product.audit().some((record) => record['event'] === 'file.upload' && record['sha256'] === hash),
      5_000,
    );
    const text = await readFile(product.site.files.main.audit, 'utf8');
    expect(text).not.toContain(product.password('alice'));
    expect(text).not.toContain(product.site.users['alice']?.totpSecret);
    const admitted = product
      .audit()
      .find((record) => record['event'] === 'login.admitted' && record['user'] === 'alice');
    expect(admitted).toMatchObject({
      node: 'dmz1',
      protocol: 'https',
      method: 'totp',
      assertion: expect.any(String),
    });
  });

  it('signs out for good', async () => {
    expect((await alice.json('POST', '/api/logout')).status).toBe(204);
    expect((await alice.call('/api/files/')).status).toBe(401);
  });

  it('S-07: refuses unknown user, wrong password and missing code alike', async () => {
    const stranger = await CurlSession.start(product.site.https, product.site.files.ca);
    const answers = [
      await stranger.json('POST', '/api/login', { username: 'nobody-we-know', password: 'some password' }),
      await stranger.json('POST', '/api/login', { username: 'alice', password: 'some password' }),
      await stranger.json('POST', '/api/login', { username: 'erin', password: 'some password' }),
    ];
    await stranger.close();
    const shapes = answers.map(({ status, body }) => ({ status, ...body, reference: 'one' }));
    expect(shapes[1]).toEqual(shapes[0]);
    expect(shapes[2]).toEqual(shapes[0]);
    expect(shapes[0]).toMatchObject({ status: 401, reason: 'refused' });
  });
});
