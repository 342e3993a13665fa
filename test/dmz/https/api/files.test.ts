import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { filePolicy, pagePolicy } from '#dmz/https/exchange/headers.ts';
import { Door, type Client } from '../door.ts';

let door: Door;
let client: Client;
beforeAll(async () => {
  door = await Door.open();
  client = await door.signedIn('frank');
});
afterAll(() => door.close());
beforeEach(() => {
  door.inside.quotaBytes = Number.MAX_SAFE_INTEGER;
  door.inside.stall = false;
});

const modified = 'Fri, 02 Jan 2026 03:04:05 GMT';
async function etagOf(path: string): Promise<string> {
  return (await client.send('HEAD', path)).headers.etag ?? '';
}
/** Waits for something that happens elsewhere, such as a cancelled upload reaching main. */
async function eventually(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !holds(); turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

describe('listing', () => {
  it('gives names, types, sizes and times in pages', async () => {
    const all = await client.get('/api/files/');
    expect(all.status).toBe(200);
    expect(all.json['path']).toBe('/');
    expect(all.json['entries']).toEqual(
      expect.arrayContaining([
        { name: 'docs', type: 'folder', size: 0, mtime: '1970-01-01T00:00:00.000Z' },
        {
          name: 'hello.txt',
          type: 'file',
          size: 11,
          mtime: '2026-01-02T03:04:05.678Z',
          etag: expect.any(String),
        },
      ]),
    );
    const first = await client.get('/api/files/?limit=1&sort=-name');
    expect(first.json['entries']).toHaveLength(1);
    const second = await client.get(`/api/files/?limit=1&sort=-name&cursor=${String(first.json['next'])}`);
    expect(second.json['entries']).not.toEqual(first.json['entries']);
  });

  it('finds a folder with and without a slash at the end, and the top folder in three spellings', async () => {
    for (const path of ['/api/files', '/api/files/', '/api/files/docs', '/api/files/docs/'])
      expect([path, (await client.get(path)).status]).toEqual([path, 200]);
    expect((await client.send('HEAD', '/api/files/docs')).status).toBe(200);
    expect((await client.get('/api/files/hello.txt/')).status).toBe(409);
  });

  it('refuses a limit, a sort key or a cursor that is none', async () => {
    for (const query of [
      'limit=0',
      'limit=1001',
      'limit=-1',
      'limit=1e2',
      'limit=',
      'sort=etag',
      `cursor=${'x'.repeat(1025)}`,
    ])
      expect([query, (await client.get(`/api/files/?${query}`)).status]).toEqual([query, 400]);
    for (const query of ['limit=1', 'limit=1000'])
      expect((await client.get(`/api/files/?${query}`)).status).toBe(200);
  });
});

describe('reading a file', () => {
  it('sends its bytes with everything a client needs to do better next time', async () => {
    const answer = await client.get('/api/files/hello.txt');
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe('hello world');
    expect(answer.headers).toMatchObject({
      'content-length': '11',
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': `inline; filename="hello.txt"; filename*=UTF-8''hello.txt`,
      'last-modified': modified,
      'accept-ranges': 'bytes',
      'cache-control': 'no-store',
      'content-security-policy': filePolicy,
      'x-content-type-options': 'nosniff',
    });
    expect(answer.headers.etag).toMatch(/^"[^"]+"$/);
  });

  it('answers HEAD with the same headers and no bytes', async () => {
    const get = await client.get('/api/files/hello.txt');
    const head = await client.send('HEAD', '/api/files/hello.txt');
    const { date: _, connection: __, ...wanted } = get.headers;
    expect(head.headers).toMatchObject(wanted);
    expect([head.status, head.body.length]).toEqual([200, 0]);
  });

  it('sends megabytes whole', async () => {
    const bytes = randomBytes(5_000_011);
    door.inside.files.set('/big.bin', { type: 'file', content: bytes, mtimeMs: 0 });
    expect((await client.get('/api/files/big.bin')).body.equals(bytes)).toBe(true);
    const part = await client.get('/api/files/big.bin', { Range: 'bytes=1000000-3999999' });
    expect(part.body.equals(bytes.subarray(1_000_000, 4_000_000))).toBe(true);
  });

  it('sends an empty file', async () => {
    door.inside.files.set('/empty', { type: 'file', content: Buffer.alloc(0), mtimeMs: 0 });
    const answer = await client.get('/api/files/empty');
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, '0', 0]);
    expect((await client.get('/api/files/empty', { Range: 'bytes=0-0' })).status).toBe(416);
  });

  it.for<[string, number, string, string | undefined]>([
    ['bytes=0-4', 206, 'hello', 'bytes 0-4/11'],
    ['bytes=6-', 206, 'world', 'bytes 6-10/11'],
    ['bytes=-5', 206, 'world', 'bytes 6-10/11'],
    ['bytes=-500', 206, 'hello world', 'bytes 0-10/11'],
    ['bytes=0-500', 206, 'hello world', 'bytes 0-10/11'],
    ['bytes=10-10', 206, 'd', 'bytes 10-10/11'],
    ['BYTES=0-0', 206, 'h', 'bytes 0-0/11'],
    ['bytes=11-', 416, '', 'bytes */11'],
    ['bytes=11-20', 416, '', 'bytes */11'],
    ['bytes=-0', 416, '', 'bytes */11'],
    ['bytes=0-1,3-4', 200, 'hello world', undefined],
    ['bytes=0-1, ,3-4,', 200, 'hello world', undefined],
    ['bytes=99-,100-', 200, 'hello world', undefined],
    ['bytes=, 0-1 ,', 206, 'he', 'bytes 0-1/11'],
    ['bytes=,', 200, 'hello world', undefined],
    [`bytes=${Array.from({ length: 500 }, () => '0-').join(',')}`, 200, 'hello world', undefined],
    ['bytes=5-2', 200, 'hello world', undefined],
    ['bytes=a-b', 200, 'hello world', undefined],
    ['bytes=-', 200, 'hello world', undefined],
    ['bytes', 200, 'hello world', undefined],
    ['items=0-1', 200, 'hello world', undefined],
    ['bytes=99999999999999999999-', 200, 'hello world', undefined],
  ])('Range %s gives %i', async ([range, status, body, contentRange]) => {
    const answer = await client.get('/api/files/hello.txt', { Range: range });
    expect([answer.status, answer.body.toString(), answer.headers['content-range']]).toEqual([
      status,
      body,
      contentRange,
    ]);
  });

  it('HEAD passes over a Range', async () => {
    expect(
      (await client.send('HEAD', '/api/files/hello.txt', undefined, { Range: 'bytes=0-1' })).status,
    ).toBe(200);
  });

  it('sends a part only to a client that has the rest of this very version', async () => {
    const etag = await etagOf('/api/files/hello.txt');
    const statusWith = async (ifRange: string): Promise<number> =>
      (await client.get('/api/files/hello.txt', { Range: 'bytes=0-1', 'If-Range': ifRange })).status;
    expect(await statusWith(etag)).toBe(206);
    expect(await statusWith(modified)).toBe(206);
    expect(await statusWith(`W/${etag}`)).toBe(200);
    expect(await statusWith('"other"')).toBe(200);
    expect(await statusWith('Fri, 02 Jan 2026 03:04:06 GMT')).toBe(200);
    expect(await statusWith('nonsense')).toBe(200);
  });

  it('answers conditions in the order of RFC 9110', async () => {
    const etag = await etagOf('/api/files/hello.txt');
    const statusWith = async (headers: Record<string, string>): Promise<number> =>
      (await client.get('/api/files/hello.txt', headers)).status;
    const before = 'Thu, 01 Jan 2026 00:00:00 GMT';
    expect(await statusWith({ 'If-None-Match': etag })).toBe(304);
    expect(await statusWith({ 'If-None-Match': `"x", W/${etag}` })).toBe(304);
    expect(await statusWith({ 'If-None-Match': '*' })).toBe(304);
    expect(await statusWith({ 'If-None-Match': '"x"' })).toBe(200);
    expect(await statusWith({ 'If-None-Match': '"x"', 'If-Modified-Since': modified })).toBe(200);
    expect(await statusWith({ 'If-Modified-Since': modified })).toBe(304);
    expect(await statusWith({ 'If-Modified-Since': before })).toBe(200);
    expect(await statusWith({ 'If-Modified-Since': 'yesterday' })).toBe(200);
    expect(await statusWith({ 'If-Match': etag })).toBe(200);
    expect(await statusWith({ 'If-Match': '*' })).toBe(200);
    expect(await statusWith({ 'If-Match': `W/${etag}` })).toBe(412);
    expect(await statusWith({ 'If-Match': '"x"' })).toBe(412);
    expect(await statusWith({ 'If-Match': etag, 'If-None-Match': etag })).toBe(304);
    expect(await statusWith({ 'If-Unmodified-Since': before })).toBe(412);
    expect(await statusWith({ 'If-Unmodified-Since': modified })).toBe(200);
    for (const unreadable of [
      'etag',
      '"a" "b"',
      '"a',
      '',
      Array.from({ length: 33 }, () => '"a"').join(', '),
    ])
      expect([unreadable, await statusWith({ 'If-Match': unreadable })]).toEqual([unreadable, 400]);
  });

  it('never lets a browser run what somebody uploaded', async () => {
    for (const name of [
      'x.html',
      'x.svg',
      'x.xml',
      'x.xhtml',
      'x.js',
      'x.HTML',
      'x',
      'constructor',
      'x.__proto__',
    ]) {
      door.inside.files.set(`/${name}`, { type: 'file', content: Buffer.from('<script>'), mtimeMs: 0 });
      const { headers } = await client.get(`/api/files/${name}`);
      expect([name, headers['content-type'], headers['content-disposition']?.split(';')[0]]).toEqual([
        name,
        'application/octet-stream',
        'attachment',
      ]);
      expect(headers['content-security-policy']).toContain('sandbox');
    }
  });

  it('carries any name in Content-Disposition without breaking out of it', async () => {
    const name = `a"b\\c;d é€'(x)*%41.bin`;
    door.inside.files.set(`/${name}`, { type: 'file', content: Buffer.from('x'), mtimeMs: 0 });
    const { headers, status } = await client.get(`/api/files/${encodeURIComponent(name)}`);
    expect(status).toBe(200);
    expect(headers['content-disposition']).toBe(
      `attachment; filename="a_b_c;d __'(x)*_41.bin"; filename*=UTF-8''a%22b%5Cc%3Bd%20%C3%A9%E2%82%AC%27%28x%29%2A%2541.bin`,
    );
  });

  it('says 404 for what is not there', async () => {
    expect((await client.get('/api/files/nope')).status).toBe(404);
  });

  it('gives the file back to main when the client goes away', async () => {
    door.inside.files.set('/huge.bin', { type: 'file', content: Buffer.alloc(64 * 1024 * 1024), mtimeMs: 0 });
    const socket = await door.raw();
    socket.write(`GET /api/files/huge.bin HTTP/1.1\r\nHost: x\r\nCookie: ${client.cookie ?? ''}\r\n\r\n`);
    await once(socket, 'data');
    socket.pause();
    expect(door.inside.openStreams()).toBe(1);
    socket.destroy();
    await eventually(() => door.inside.openStreams() === 0);
  });

  it('ends a running download with the session', async () => {
    const victim = await door.signedIn('frank');
    const socket = await door.raw();
    socket.write(`GET /api/files/huge.bin HTTP/1.1\r\nHost: x\r\nCookie: ${victim.cookie ?? ''}\r\n\r\n`);
    await once(socket, 'data');
    socket.pause();
    const closed = once(socket, 'close');
    await door.inside.kick(victim.cookie?.slice('__Host-sallyport=s.'.length) ?? '');
    socket.resume();
    await closed;
    expect(door.inside.openStreams()).toBe(0);
  });
});

describe('writing a file', () => {
  it('says whether it is new, and gives the tag of what is there now', async () => {
    const made = await client.send('PUT', '/api/files/new.bin', 'one', { 'Content-Type': 'anything/at-all' });
    expect([made.status, made.headers.etag]).toEqual([201, await etagOf('/api/files/new.bin')]);
    const replaced = await client.send('PUT', '/api/files/new.bin', 'two');
    expect(replaced.status).toBe(204);
    expect(replaced.headers.etag).not.toBe(made.headers.etag);
    expect((await client.get('/api/files/new.bin')).body.toString()).toBe('two');
  });

  it('takes an empty body, a chunked one, and an empty chunked one', async () => {
    const chunked = { 'Transfer-Encoding': 'chunked' };
    expect((await client.send('PUT', '/api/files/none', '')).status).toBe(201);
    expect((await client.send('PUT', '/api/files/chunks', 'chunky', chunked)).status).toBe(201);
    expect((await client.send('PUT', '/api/files/no-chunks', '', chunked)).status).toBe(201);
    expect(door.inside.files.get('/chunks')?.content.toString()).toBe('chunky');
    expect(door.inside.files.get('/no-chunks')?.content.length).toBe(0);
  });

  it('takes megabytes whole', async () => {
    const bytes = randomBytes(5_000_011);
    expect((await client.send('PUT', '/api/files/up.bin', bytes)).status).toBe(201);
    expect(door.inside.files.get('/up.bin')?.content.equals(bytes)).toBe(true);
  });

  it('keep the date that came with them, in the words of a resumable upload', async () => {
    const dated = Date.UTC(2020, 1, 3, 4, 5, 6, 789);
    for (const mtime of ['2020-02-03T04:05:06.789Z', String(dated)]) {
      const headers = { 'Sallyport-Mtime': mtime };
      await client.send('PUT', '/api/files/dated.bin', 'old', headers);
      expect(door.inside.files.get('/dated.bin')?.mtimeMs).toBe(dated);
    }
    await client.send('PUT', '/api/files/dated.bin', 'new');
    expect(door.inside.files.get('/dated.bin')?.mtimeMs).toBeGreaterThan(Date.UTC(2026, 0, 1));
    for (const mtime of ['soon', '', '2020-02-03', '1e3', '-1']) {
      const refused = await client.send('PUT', '/api/files/undated.bin', 'x', { 'Sallyport-Mtime': mtime });
      expect([mtime, refused.status]).toEqual([mtime, 400]);
    }
    expect(door.inside.files.has('/undated.bin')).toBe(false);
  });

  it('replaces only what the client has seen', async () => {
    await client.send('PUT', '/api/files/cond', 'one');
    const etag = await etagOf('/api/files/cond');
    const put = async (headers: Record<string, string>, path = 'cond'): Promise<number> =>
      (await client.send('PUT', `/api/files/${path}`, 'two', headers)).status;
    expect(await put({ 'If-None-Match': '*' })).toBe(412);
    expect(await put({ 'If-Match': '"other"' })).toBe(412);
    expect(await put({ 'If-Match': `W/${etag}` })).toBe(412);
    expect(await put({ 'If-Match': '*' }, 'cond-missing')).toBe(412);
    expect(await put({ 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' })).toBe(412);
    expect(await put({ 'If-Match': 'unreadable' })).toBe(400);
    expect(door.inside.files.get('/cond')?.content.toString()).toBe('one');
    expect(await put({ 'If-None-Match': '*' }, 'cond-new')).toBe(201);
    expect(await put({ 'If-Match': etag })).toBe(204);
    expect(door.inside.openUploads()).toBe(0);
  });

  it('says what stands in the way', async () => {
    expect((await client.send('PUT', '/api/files/missing/x', 'x')).status).toBe(409);
    expect((await client.send('PUT', '/api/files/docs', 'x')).status).toBe(409);
    expect((await client.send('PUT', '/api/files/', 'x')).status).toBe(409);
    const part = await client.send('PUT', '/api/files/part', 'x', { 'Content-Range': 'bytes 0-0/5' });
    expect(part.status).toBe(400);
    door.inside.quotaBytes = 1000;
    const full = await client.send('PUT', '/api/files/full', Buffer.alloc(2_000_000));
    expect([full.status, full.json['reason']]).toEqual([507, 'quota-exceeded']);
    expect(door.inside.files.has('/full')).toBe(false);
  });

  it('a body that was cut off never becomes a file', async () => {
    const cut = async (head: string, sent: string): Promise<void> => {
      const socket = await door.raw();
      socket.write(
        `PUT /api/files/cut HTTP/1.1\r\nHost: x\r\nCookie: ${client.cookie ?? ''}\r\n${head}\r\n\r\n${sent}`,
      );
      await eventually(() => door.inside.openUploads() === 1);
      socket.destroy();
      await eventually(() => door.inside.openUploads() === 0);
      expect(door.inside.files.has('/cut')).toBe(false);
    };
    await cut('Content-Length: 10', 'hello');
    await cut('Transfer-Encoding: chunked', '5\r\nhello\r\n');
    await cut('Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n');
  });

  it('a body whose chunks break off in nonsense never becomes a file', async () => {
    await door.exchangeRaw(
      `PUT /api/files/nonsense HTTP/1.1\r\nHost: x\r\nCookie: ${client.cookie ?? ''}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n`,
    );
    await eventually(() => door.inside.openUploads() === 0);
    expect(door.inside.files.has('/nonsense')).toBe(false);
  });

  it('stops reading from a client while main takes no more, and lets go when the session ends', async () => {
    const victim = await door.signedIn('frank');
    door.inside.stall = true;
    const socket = await door.raw();
    const total = 64 * 1024 * 1024;
    socket.write(
      `PUT /api/files/stalled HTTP/1.1\r\nHost: x\r\nCookie: ${victim.cookie ?? ''}\r\nContent-Length: ${total}\r\n\r\n`,
    );
    socket.write(Buffer.alloc(total));
    await eventually(() => socket.bytesWritten > 1024 * 1024);
    const closed = once(socket, 'close');
    await door.inside.kick(victim.cookie?.slice('__Host-sallyport=s.'.length) ?? '');
    expect(socket.writableLength).toBeGreaterThan(total / 2);
    socket.resume();
    socket.destroy();
    await closed;
    await eventually(() => door.inside.openUploads() === 0);
  });
});

describe('changing the tree', () => {
  it('makes, renames, copies and deletes', async () => {
    expect((await client.post('/api/files/tree?op=mkdir')).status).toBe(201);
    expect((await client.post('/api/files/tree?op=mkdir', {})).status).toBe(409);
    expect((await client.post('/api/files/no/tree?op=mkdir')).status).toBe(409);
    await client.send('PUT', '/api/files/tree/a', 'a');
    expect((await client.post('/api/files/tree/a?op=copy', { to: '/tree/b' })).status).toBe(201);
    expect((await client.post('/api/files/tree/a?op=copy', { to: '/tree/b' })).status).toBe(409);
    expect(
      (await client.post('/api/files/tree/a?op=rename', { to: '/tree/b', overwrite: true })).status,
    ).toBe(204);
    expect((await client.post('/api/files/tree/b?op=rename', { to: '/tree/c' })).status).toBe(201);
    expect((await client.send('DELETE', '/api/files/tree')).status).toBe(409);
    expect((await client.send('DELETE', '/api/files/tree/c')).status).toBe(204);
    expect((await client.send('DELETE', '/api/files/tree/c')).status).toBe(404);
    await client.send('PUT', '/api/files/tree/d', 'd');
    expect((await client.send('DELETE', '/api/files/tree?recursive=1')).status).toBe(204);
  });

  it('tells what a folder holds that is not served, and why it is not empty', async () => {
    door.inside.files.set('/odd', { type: 'folder', content: Buffer.alloc(0), mtimeMs: 0 });
    door.inside.unserved.set('/odd', { count: 2, names: ['aux', 'a\\u000ab'] });
    expect((await client.get('/api/files/odd/')).json).toEqual({
      path: '/odd',
      entries: [],
      unserved: { count: 2, names: ['aux', 'a\\u000ab'] },
    });
    expect((await client.get('/api/files/odd/?unserved=1')).json).toEqual({
      path: '/odd',
      looked: 2,
      complete: true,
      unserved: { count: 2, names: ['aux', 'a\\u000ab'] },
    });
    const refused = await client.send('DELETE', '/api/files/odd');
    expect(refused).toMatchObject({ status: 409, json: { reason: 'not-empty', unserved: 2 } });
    expect((await client.send('DELETE', '/api/files/odd?recursive=1')).status).toBe(204);
    expect((await client.send('DELETE', '/api/files/')).status).toBe(403);
  });

  it('deletes and renames only what the client has seen', async () => {
    await client.send('PUT', '/api/files/seen', 'x');
    const other = { 'If-Match': '"other"' };
    expect((await client.send('DELETE', '/api/files/seen', undefined, other)).status).toBe(412);
    expect((await client.post('/api/files/seen?op=rename', { to: '/unseen' }, other)).status).toBe(412);
    expect(
      (
        await client.send('DELETE', '/api/files/seen', undefined, {
          'If-Match': await etagOf('/api/files/seen'),
        })
      ).status,
    ).toBe(204);
  });

  it('knows three operations', async () => {
    for (const query of ['', '?op=', '?op=chmod', '?op=MKDIR', '?op'])
      expect([query, (await client.post(`/api/files/x${query}`, {})).status]).toEqual([query, 400]);
    expect((await client.post('/api/files/hello.txt?op=rename', { to: 'relative' })).status).toBe(400);
    expect((await client.post('/api/files/hello.txt?op=rename', { to: '/../up' })).status).toBe(400);
    expect((await client.post('/api/files/hello.txt?op=rename', {})).status).toBe(400);
  });
});

describe('S-08: hostile paths', () => {
  it.for([
    '..',
    '../x',
    'a/../b',
    'a/./b',
    '%2e%2e/x',
    '.%2e/x',
    '%2E',
    'a%2fb',
    'a%2Fb',
    '%2f',
    'a//b',
    '/a',
    'a%00',
    '%00',
    'a%0ab',
    'a%0d%0aSet-Cookie:x',
    '%c0%ae%c0%ae',
    '%c0%af',
    '%ff',
    '%e0%80%af',
    '%ed%a0%80',
    '%',
    '%2',
    '%zz',
    'a%u0041',
    'a%e2%80%aeb',
    'con',
    'nul.txt',
    'trailing.',
    'trailing%20',
    'a'.repeat(256),
    `${'a/'.repeat(256)}a`,
  ])('%s is 400', async (path) => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'])
      expect([
        method,
        (await client.send(method, `/api/files/${path}`, method === 'PUT' ? 'x' : undefined)).status,
      ]).toEqual([method, 400]);
    expect((await client.post(`/api/files/${path}?op=mkdir`)).status).toBe(400);
  });

  it('names are unescaped once, and letters of all alphabets are welcome', async () => {
    const name = '100%25 ünïcode 文件 🙂 +&=?#;.txt';
    expect((await client.send('PUT', `/api/files/${encodeURIComponent(name)}`, 'x')).status).toBe(201);
    expect(door.inside.files.has(`/${name}`)).toBe(true);
  });
});

describe('headers', () => {
  it('the policies are as strict as written down', () => {
    expect(pagePolicy).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    );
  });

  it('are on every kind of answer', async () => {
    const stranger = door.client();
    const answers = [
      await stranger.get('/'),
      await stranger.get('/assets/main-AbCd1234.js'),
      await stranger.get('/nope'),
      await stranger.post('/'),
      await stranger.get('/api/me'),
      await stranger.get('/api/login'),
      await stranger.post('/api/login', {}),
      await stranger.post('/api/login', {}, { Origin: 'https://evil.example' }),
      await client.get('/api/me'),
      await client.get('/api/files/'),
      await client.get('/api/files/hello.txt'),
      await client.get('/api/files/hello.txt', { Range: 'bytes=0-1' }),
      await client.get('/api/files/hello.txt', { Range: 'bytes=99-' }),
      await client.get('/api/files/hello.txt', { 'If-None-Match': '*' }),
      await client.send('HEAD', '/api/files/hello.txt'),
      await client.send('PUT', '/api/files/headers', 'x'),
      await client.send('DELETE', '/api/files/headers'),
      await client.get('/api/files/%ff'),
    ];
    for (const { status, headers } of answers) {
      const what = `${status} ${headers['content-type'] ?? ''}`;
      expect(headers['strict-transport-security'], what).toMatch(/^max-age=\d{8}/);
      expect(headers['x-content-type-options'], what).toBe('nosniff');
      expect(headers['referrer-policy'], what).toBe('no-referrer');
      expect(headers['cross-origin-opener-policy'], what).toBe('same-origin');
      expect(headers['cross-origin-resource-policy'], what).toBe('same-origin');
      expect(headers['permissions-policy'], what).toContain('camera=()');
      expect([pagePolicy, filePolicy], what).toContain(headers['content-security-policy']);
      expect(headers['cache-control'], what).toMatch(/no-store|no-cache|immutable/);
      expect(headers['server'], what).toBeUndefined();
      expect(headers['access-control-allow-origin'], what).toBeUndefined();
    }
    const broken = await door.exchangeRaw('nonsense\r\n\r\n');
    for (const name of [
      'Strict-Transport-Security',
      'X-Content-Type-Options: nosniff',
      'Content-Security-Policy',
      'Cache-Control: no-store',
    ])
      expect(broken).toContain(name);
  });

  it('everything behind the login is kept by no cache', async () => {
    for (const path of ['/api/me', '/api/files/', '/api/files/hello.txt'])
      expect((await client.get(path)).headers['cache-control']).toBe('no-store');
  });

  it('cookies can not be read by scripts, sent by other sites, or set for a sibling host', async () => {
    const answer = await door
      .client()
      .post('/api/login', { username: 'frank', password: 'correct horse battery' });
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(
        /^__Host-sallyport=s\.[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
      ),
    ]);
  });

  it('errors are problem details with a reference', async () => {
    const { headers, json, status } = await client.get('/api/files/nope');
    expect(headers['content-type']).toBe('application/problem+json');
    expect(json).toEqual({
      type: 'urn:sallyport:problem:not-found',
      title: 'Not Found',
      code: 'not-found',
      status,
      detail: expect.any(String),
      reference: expect.stringMatching(/^[2-9A-HJ-NP-Z]{8}$/),
      reason: 'not-found',
    });
  });
});

describe('a file with a time that no answer can say', () => {
  it('is listed and sent with the nearest one that can be said', async () => {
    const content = Buffer.from('x');
    door.inside.files.set('/times', { type: 'folder', content: Buffer.alloc(0), mtimeMs: 0 });
    door.inside.files.set('/times/far', { type: 'file', content, mtimeMs: 1e17 });
    door.inside.files.set('/times/old', { type: 'file', content, mtimeMs: -1e17 });
    const { status, json } = await client.get('/api/files/times/');
    expect([status, json['entries']]).toMatchObject([
      200,
      [{ mtime: '9999-12-31T23:59:59.000Z' }, { mtime: '0000-01-01T00:00:00.000Z' }],
    ]);
    const sent = await client.get('/api/files/times/far');
    expect([sent.status, sent.headers['last-modified']]).toEqual([200, 'Fri, 31 Dec 9999 23:59:59 GMT']);
  });
});
