import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pagePolicy } from '#dmz/https/exchange/headers.ts';
import { Door, type Client } from './door.ts';

let door: Door;
let client: Client;
beforeAll(async () => {
  door = await Door.open();
  client = door.client();
});
afterAll(() => door.close());

const script = '/assets/main-AbCd1234.js';

describe('the web client', () => {
  it('is served to strangers, page first', async () => {
    const page = await client.get('/');
    expect([page.status, page.headers['content-type'], page.headers['cache-control']]).toEqual([
      200,
      'text/html; charset=utf-8',
      'no-cache',
    ]);
    expect(page.headers['content-security-policy']).toBe(pagePolicy);
    expect((await client.get('/index.html')).body.equals(page.body)).toBe(true);
    expect((await client.get('/?from=mail')).status).toBe(200);
    expect((await client.send('HEAD', '/')).body.length).toBe(0);
  });

  it('lets browsers keep what has a hash in its name for good, and asks about the rest', async () => {
    expect((await client.get(script)).headers['cache-control']).toBe('public, max-age=31536000, immutable');
    const icon = await client.get('/favicon.svg');
    expect(icon.headers['cache-control']).toBe('no-cache');
    const again = await client.get('/favicon.svg', { 'If-None-Match': icon.headers.etag ?? '' });
    expect([again.status, again.body.length]).toEqual([304, 0]);
  });

  it('is sent compressed to who can read that', async () => {
    const plain = await client.get(script);
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(plain.headers.vary).toBe('Accept-Encoding');
    const brotli = await client.get(script, { 'Accept-Encoding': 'gzip, deflate, br' });
    expect(brotli.headers['content-encoding']).toBe('br');
    expect(brotliDecompressSync(brotli.body).equals(plain.body)).toBe(true);
    const gzip = await client.get(script, { 'Accept-Encoding': 'gzip, br;q=0' });
    expect(gzip.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
    expect(
      (await client.get('/favicon.svg', { 'Accept-Encoding': 'br' })).headers['content-encoding'],
    ).toBeUndefined();
  });

  it('has exactly its own files', async () => {
    for (const path of [
      '/nope',
      '/assets',
      '/assets/',
      '/../package.json',
      '/%2e%2e/package.json',
      '/assets/..%2findex.html',
      '//index.html',
      '/index.html/',
      '/INDEX.HTML',
      '/healthz',
      '/readyz',
      '/metrics',
    ])
      expect([path, (await client.get(path)).status]).toEqual([path, 404]);
    const post = await client.post('/');
    expect([post.status, post.headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it('that was never built is a page that says so', async () => {
    const bare = await Door.open({ withoutWeb: true });
    const page = await bare.client().get('/');
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
    expect(page.body.toString()).toContain('not built');
    await bare.close();
  });
});
