import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Answer, type Client, Door } from '../door.ts';

let door: Door;
let client: Client;
beforeAll(async () => {
  door = await Door.open({ inside: { parkForMs: 5_000 } });
  client = await door.signedIn('frank');
});
afterAll(() => door.close());
beforeEach(() => {
  for (const path of door.inside.files.keys()) if (path.startsWith('/up')) door.inside.files.delete(path);
});

const tus = { 'Tus-Resumable': '1.0.0' };
const octets = { ...tus, 'Content-Type': 'application/offset+octet-stream' };
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const naming = (path: string): Record<string, string> => ({ 'Upload-Metadata': `path ${base64(path)}` });

async function create(path: string, length: number, more: Record<string, string> = {}): Promise<Answer> {
  return client.send('POST', '/api/uploads', undefined, {
    ...tus,
    'Upload-Length': String(length),
    ...naming(path),
    ...more,
  });
}
async function created(path: string, length: number): Promise<string> {
  const { headers } = await create(path, length);
  return headers.location ?? '';
}
function patch(
  location: string,
  offset: number,
  bytes: Buffer | string,
  more: Record<string, string> = {},
): Promise<Answer> {
  return client.send('PATCH', location, bytes, { ...octets, 'Upload-Offset': String(offset), ...more });
}
const content = (path: string): string | undefined => door.inside.files.get(path)?.content.toString();

describe('creation', () => {
  it('answers where the upload is, how far it is and until when', async () => {
    const made = await create('/up.bin', 10);
    expect(made.status).toBe(201);
    expect(made.headers.location).toMatch(/^\/api\/uploads\/[A-Za-z0-9_-]{22}$/);
    expect(made.headers).toMatchObject({
      'tus-resumable': '1.0.0',
      'upload-offset': '0',
      'upload-expires': 'Tue, 01 Jan 2030 00:00:00 GMT',
    });
    expect(content('/up.bin')).toBeUndefined();
  });

  it('takes the whole file along, and an empty one is there at once', async () => {
    const whole = await client.send('POST', '/api/uploads', 'hello', {
      ...octets,
      'Upload-Length': '5',
      ...naming('/up-1'),
    });
    expect([whole.status, whole.headers['upload-offset']]).toEqual([201, '5']);
    expect(content('/up-1')).toBe('hello');
    expect((await create('/up-2', 0)).status).toBe(201);
    expect(content('/up-2')).toBe('');
  });

  it('puts a file named only by its name into the top folder', async () => {
    await client.send('POST', '/api/uploads', 'x', {
      ...octets,
      'Upload-Length': '1',
      'Upload-Metadata': `filename ${base64('up-named')},filetype ${base64('text/plain')}`,
    });
    expect(content('/up-named')).toBe('x');
  });

  it('refuses what it can not read, and begins nothing', async () => {
    const before = (await client.get('/api/uploads')).json['uploads'];
    const tries: Record<string, string>[] = [
      { 'Upload-Length': '5' },
      { ...naming('/up') },
      { 'Upload-Length': '-1', ...naming('/up') },
      { 'Upload-Length': '1e3', ...naming('/up') },
      { 'Upload-Length': '5', 'Upload-Metadata': 'path ***' },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('relative')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a/../b')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a')},path ${base64('/b')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a')},mtime ${base64('soon')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a')},overwrite ${base64('maybe')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/\u0000')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a')},\u00a0note ${base64('b')}` },
      { 'Upload-Length': '5', 'Upload-Metadata': `path ${base64('/a')},note ${'A'.repeat(8 * 1024)}` },
    ];
    for (const headers of tries) {
      const answer = await client.send('POST', '/api/uploads', undefined, { ...tus, ...headers });
      expect([headers, answer.status]).toEqual([headers, 400]);
    }
    expect((await client.get('/api/uploads')).json['uploads']).toEqual(before);
  });

  it('says that a name is taken or the folder is missing before anything is sent', async () => {
    expect((await create('/hello.txt', 5)).json['reason']).toBe('exists');
    expect((await create('/nowhere/x', 5)).json['reason']).toBe('parent-missing');
    const replacing = { 'Upload-Metadata': `path ${base64('/hello.txt')},overwrite ${base64('true')}` };
    expect((await create('/hello.txt', 5, replacing)).status).toBe(201);
  });

  it('is of version 1.0.0, and says so to a client of another', async () => {
    const other = await create('/up', 1, { 'Tus-Resumable': '0.2.2' });
    expect([other.status, other.headers['tus-version']]).toEqual([412, '1.0.0']);
    const options = await client.send('OPTIONS', '/api/uploads');
    expect([options.status, options.headers['tus-extension']]).toEqual([
      204,
      'creation,creation-with-upload,termination,checksum,expiration',
    ]);
  });
});

describe('going on', () => {
  it('puts piece after piece behind what is stored, and the last makes it a file', async () => {
    const location = await created('/up.bin', 11);
    expect((await patch(location, 0, 'hello ')).headers['upload-offset']).toBe('6');
    const head = await client.send('HEAD', location, undefined, tus);
    expect(head.status).toBe(200);
    expect(head.headers).toMatchObject({
      'upload-offset': '6',
      'upload-length': '11',
      'upload-metadata': `path ${base64('/up.bin')}`,
      'cache-control': 'no-store',
    });
    expect(content('/up.bin')).toBeUndefined();
    const last = await patch(location, 6, 'world');
    expect([last.status, last.headers['upload-offset']]).toEqual([204, '11']);
    expect(content('/up.bin')).toBe('hello world');
  });

  it('gives back what its client said of it, word for word', async () => {
    const metadata = `filename ${base64('up-said.txt')}, filetype ${base64('text/plain')},is_confidential,x`;
    const { headers } = await client.send('POST', '/api/uploads', undefined, {
      ...tus,
      'Upload-Length': '3',
      'Upload-Metadata': metadata,
    });
    const location = headers.location ?? '';
    const head = await client.send('HEAD', location, undefined, tus);
    expect(head.headers['upload-metadata']).toBe(metadata);
    await patch(location, 0, 'a');
    expect((await client.get(location)).headers['upload-metadata']).toBe(metadata);
  });

  it('refuses another offset than the stored one and tells which it is', async () => {
    const location = await created('/up.bin', 4);
    await patch(location, 0, 'ab');
    for (const offset of [0, 1, 3]) {
      const answer = await patch(location, offset, 'cd');
      expect([answer.status, answer.headers['upload-offset']]).toEqual([409, '2']);
    }
    expect((await patch(location, 2, 'cd')).status).toBe(204);
    expect(content('/up.bin')).toBe('abcd');
  });

  it('refuses more bytes than were announced, and keeps what was good', async () => {
    const location = await created('/up.bin', 4);
    expect((await patch(location, 0, 'abcde')).status).toBe(400);
    expect(content('/up.bin')).toBeUndefined();
    expect((await client.send('HEAD', location, undefined, tus)).headers['upload-offset']).toBe('0');
  });

  it('takes only its own media type', async () => {
    const location = await created('/up.bin', 2);
    const json = await client.send('PATCH', location, 'ab', {
      ...tus,
      'Upload-Offset': '0',
      'Content-Type': 'application/json',
    });
    expect(json.status).toBe(415);
    const none = await client.send('PATCH', location, 'ab', { ...tus, 'Upload-Offset': '0' });
    expect(none.status).toBe(415);
  });

  it('keeps what arrived of a connection that broke', async () => {
    const location = await created('/up.bin', 100_000);
    const socket = connect({ host: '127.0.0.1', port: door.port, servername: 'localhost', ca: door.ca });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write(
      `PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie ?? ''}\r\n` +
        'Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n' +
        `Content-Length: 100000\r\n\r\n${'x'.repeat(40_000)}`,
    );
    const stored = async (): Promise<number> =>
      Number((await client.send('HEAD', location, undefined, tus)).headers['upload-offset']);
    for (let turn = 0; turn < 200 && (await stored()) < 40_000; turn += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    socket.destroy();
    expect(await stored()).toBe(40_000);
    await patch(location, 40_000, 'x'.repeat(60_000));
    expect(content('/up.bin')).toBe('x'.repeat(100_000));
  });

  it('survives a lost link in the middle of a piece', async () => {
    const bytes = randomBytes(3_000_000);
    const location = await created('/up.bin', bytes.length);
    const sending = patch(location, 0, bytes);
    while (door.inside.openUploads() === 0) await new Promise((resolve) => setImmediate(resolve));
    door.inside.memory.cut();
    await door.inside.memory.join();
    expect((await sending).status).toBe(204);
    expect(door.inside.files.get('/up.bin')?.content.equals(bytes)).toBe(true);
  });
});

describe('checksums', () => {
  const sum = (algorithm: string, bytes: string): string =>
    `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}`;

  it('accepts a piece that has its checksum', async () => {
    const location = await created('/up.bin', 6);
    expect((await patch(location, 0, 'abc', { 'Upload-Checksum': sum('sha1', 'abc') })).status).toBe(204);
    expect((await patch(location, 3, 'def', { 'Upload-Checksum': sum('sha256', 'def') })).status).toBe(204);
    expect(content('/up.bin')).toBe('abcdef');
  });

  it('throws a damaged piece away and leaves the upload where it was, also if it would have been the last', async () => {
    const location = await created('/up.bin', 6);
    await patch(location, 0, 'abc');
    const damaged = await patch(location, 3, 'dXf', { 'Upload-Checksum': sum('sha256', 'def') });
    expect([damaged.status, damaged.json['reason']]).toEqual([460, 'wrong-checksum']);
    expect(content('/up.bin')).toBeUndefined();
    expect((await client.send('HEAD', location, undefined, tus)).headers['upload-offset']).toBe('3');
    await patch(location, 3, 'def');
    expect(content('/up.bin')).toBe('abcdef');
  });

  it('keeps nothing of a piece that was cut off before its checksum could be held against it', async () => {
    const location = await created('/up.bin', 1_000_000);
    await patch(location, 0, 'abc');
    const socket = await door.raw();
    socket.write(
      `PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie ?? ''}\r\n` +
        `Content-Type: application/offset+octet-stream\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 3\r\n` +
        `Upload-Checksum: ${sum('sha1', 'never whole')}\r\nContent-Length: 900000\r\n\r\n${'x'.repeat(200_000)}`,
    );
    const offset = async (): Promise<string> =>
      String((await client.send('HEAD', location, undefined, tus)).headers['upload-offset']);
    await vi.waitUntil(async () => (await offset()) === '200003');
    socket.destroy();
    await expect.poll(offset).toBe('3');
  });

  it('refuses an algorithm it does not offer', async () => {
    const location = await created('/up.bin', 3);
    expect((await patch(location, 0, 'abc', { 'Upload-Checksum': 'crc32 AAAA' })).status).toBe(400);
    expect((await patch(location, 0, 'abc')).status).toBe(204);
  });
});

describe('the list and the end', () => {
  it('lists what is unfinished, and forgets what was terminated', async () => {
    const location = await created('/up.bin', 6);
    await patch(location, 0, 'abc');
    const id = location.slice('/api/uploads/'.length);
    const { uploads } = (await client.get('/api/uploads')).json as { uploads: { id: string }[] };
    expect(uploads.find((one) => one.id === id)).toMatchObject({
      path: '/up.bin',
      length: 6,
      offset: 3,
      overwrite: false,
      expires: '2030-01-01T00:00:00.000Z',
    });
    expect((await client.send('DELETE', location, undefined, tus)).status).toBe(204);
    expect((await client.send('HEAD', location, undefined, tus)).status).toBe(404);
    expect((await client.send('DELETE', location, undefined, tus)).status).toBe(404);
  });

  it('knows no upload under a name that is none', async () => {
    for (const name of ['', 'x', `${'a'.repeat(22)}/..`, 'a'.repeat(23)])
      expect([name, (await client.get(`/api/uploads/${name}`)).status]).toEqual([name, 404]);
  });
});
