import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { archiveNamesMax, archivesOfUserMax } from '#dmz/https/limits.ts';
import { type Client, Door, readAll } from '../door.ts';

const run = promisify(execFile);

let door: Door;
let client: Client;
let folder: string;
beforeAll(async () => {
  door = await Door.open();
  client = await door.signedIn('frank');
  folder = await mkdtemp(join(tmpdir(), 'sallyport-zip-'));
});
afterAll(async () => {
  await door.close();
  await rm(folder, { recursive: true });
});

function put(path: string, content: Buffer | undefined): void {
  const type = content === undefined ? 'folder' : 'file';
  door.inside.files.set(path, { type, content: content ?? Buffer.alloc(0), mtimeMs: Date.UTC(2026, 2, 4) });
}

/** As Python's zipfile, an implementation that is not ours, reads it. */
async function unpack(bytes: Buffer): Promise<Record<string, string>> {
  const file = join(folder, 'a.zip');
  await writeFile(file, bytes);
  const script =
    'import sys,json,zipfile,hashlib\n' +
    'z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None\n' +
    'print(json.dumps({i.filename: hashlib.sha256(z.read(i)).hexdigest() for i in z.infolist()}))';
  const { stdout } = await run('python3', ['-c', script, file]);
  return JSON.parse(stdout) as Record<string, string>;
}
async function digest(bytes: Buffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))).toString('hex');
}

describe('an archive of folders that hold what is not served', () => {
  it('says so in a note of its own, whose name no file loses', async () => {
    put('/hid', undefined);
    put('/hid/_not-included.txt', Buffer.from('a file of that name'));
    put('/hid/sub', undefined);
    put('/hid/sub/f', Buffer.from('x'));
    door.inside.unserved.set('/hid', { count: 2, names: ['aux.txt', 'gnp\\u202e.exe'] });
    door.inside.unserved.set('/hid/sub', { count: 25, names: ['nul'] });
    const { body } = await client.get('/api/files/hid/?zip=1');
    const unpacked = await unpack(body);
    expect(Object.keys(unpacked).toSorted()).toEqual([
      '_not-included (2).txt',
      '_not-included.txt',
      'sub/',
      'sub/f',
    ]);
    expect(unpacked['_not-included.txt']).toBe(await digest(Buffer.from('a file of that name')));
    const script =
      'import sys,zipfile; print(zipfile.ZipFile(sys.argv[1]).read("_not-included (2).txt").decode())';
    const { stdout } = await run('python3', ['-c', script, join(folder, 'a.zip')]);
    expect(stdout).toMatch(/^27 entries are not in this archive/);
    const lines = stdout.trimEnd().split(/\r?\n/);
    expect(lines.slice(-4)).toEqual(['aux.txt', 'gnp\\u202e.exe', 'sub/nul', 'sub/… and 24 more']);
  });

  it('has no note where all is in it', async () => {
    put('/all', undefined);
    put('/all/f', Buffer.from('x'));
    expect(Object.keys(await unpack((await client.get('/api/files/all/?zip=1')).body))).toEqual(['f']);
  });
});

describe('an archive', () => {
  it('holds a folder with all below, names, bytes and empty folders', async () => {
    const big = randomBytes(2_500_000);
    put('/zip', undefined);
    put('/zip/ä b.txt', Buffer.from('text'));
    put('/zip/empty', undefined);
    put('/zip/empty.bin', Buffer.alloc(0));
    put('/zip/deep', undefined);
    put('/zip/deep/big.bin', big);
    const answer = await client.get('/api/files/zip/?zip=1');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/zip');
    expect(answer.headers['content-disposition']).toBe(
      `attachment; filename="zip.zip"; filename*=UTF-8''zip.zip`,
    );
    expect(await unpack(answer.body)).toEqual({
      'ä b.txt': await digest(Buffer.from('text')),
      'empty/': await digest(Buffer.alloc(0)),
      'empty.bin': await digest(Buffer.alloc(0)),
      'deep/': await digest(Buffer.alloc(0)),
      'deep/big.bin': await digest(big),
    });
  });

  it('holds only what was asked for', async () => {
    put('/pick', undefined);
    put('/pick/a', Buffer.from('a'));
    put('/pick/b', Buffer.from('b'));
    put('/pick/c', undefined);
    put('/pick/c/d', Buffer.from('d'));
    const { body } = await client.get('/api/files/pick?zip=1&name=a&name=c&name=a');
    expect(Object.keys(await unpack(body))).toEqual(['a', 'c/', 'c/d']);
  });

  it('is refused before the first byte when a name is none, missing, or one too many', async () => {
    put('/few', undefined);
    put('/few/a', Buffer.from('a'));
    expect((await client.get('/api/files/few?zip=1&name=missing')).status).toBe(404);
    expect((await client.get('/api/files/few?zip=1&name=..')).status).toBe(400);
    expect((await client.get('/api/files/few?zip=1&name=a%2Fb')).status).toBe(400);
    const names = Array.from({ length: archiveNamesMax + 1 }, (_, index) => `name=${index}`).join('&');
    expect((await client.get(`/api/files/few?zip=1&${names}`)).status).toBe(429);
    expect((await client.get('/api/files/nowhere?zip=1')).status).toBe(404);
  });

  it('is not for HTTP/1.0, which can not say that something was cut', async () => {
    const request = `GET /api/files?zip=1 HTTP/1.0\r\nHost: x\r\nCookie: ${client.cookie ?? ''}\r\n\r\n`;
    expect(await door.exchangeRaw(request)).toMatch(/^HTTP\/1\.1 501 /);
  });

  it('is cut, not shortened, when a file in it changes under way', async () => {
    put('/cut', undefined);
    put('/cut/a', randomBytes(1_000_000));
    door.inside.shorten = '/cut/a';
    await expect(client.get('/api/files/cut/?zip=1')).rejects.toThrow(/aborted/);
    door.inside.shorten = undefined;
  });

  it('holds files from before 1970 and long after, with the nearest time that ZIP can say', async () => {
    put('/old', undefined);
    door.inside.files.set('/old/a', { type: 'file', content: Buffer.from('a'), mtimeMs: -1 });
    door.inside.files.set('/old/b', { type: 'folder', content: Buffer.alloc(0), mtimeMs: -1e13 });
    door.inside.files.set('/old/c', { type: 'file', content: Buffer.from('c'), mtimeMs: 8e15 });
    expect(Object.keys(await unpack((await client.get('/api/files/old?zip=1')).body))).toEqual([
      'a',
      'b/',
      'c',
    ]);
  });

  it('of one large file from before 1970 is whole too', async () => {
    put('/old-big', undefined);
    const content = randomBytes(4_000_000);
    door.inside.files.set('/old-big/a', { type: 'file', content, mtimeMs: -1 });
    expect(Object.keys(await unpack((await client.get('/api/files/old-big?zip=1')).body))).toEqual(['a']);
  });

  it('holds names that look like a drive or a stream of Windows, without what makes them one', async () => {
    put('/odd', undefined);
    put('/odd/C:x', Buffer.from('1'));
    put('/odd/a:b', undefined);
    put('/odd/a:b/c:d', Buffer.from('2'));
    const { body } = await client.get('/api/files/odd?zip=1');
    expect(Object.keys(await unpack(body)).sort()).toEqual(['C_x', 'a_b/', 'a_b/c_d']);
  });

  it('never makes one name of two', async () => {
    put('/same', undefined);
    put('/same/a:b.txt', Buffer.from('colon'));
    put('/same/a\\b.txt', Buffer.from('backslash'));
    put('/same/a_b.txt', Buffer.from('neither'));
    put('/same/a_b (2).txt', undefined);
    const { body } = await client.get('/api/files/same?zip=1');
    expect(await unpack(body)).toEqual({
      'a_b.txt': await digest(Buffer.from('neither')),
      'a_b (2).txt/': await digest(Buffer.alloc(0)),
      'a_b (3).txt': await digest(Buffer.from('colon')),
      'a_b (4).txt': await digest(Buffer.from('backslash')),
    });
  });

  it('may hold thousands of folders behind a file', async () => {
    put('/nest', undefined);
    put('/nest/a', randomBytes(1_000_000));
    for (let index = 0; index < 6000; index += 1) put(`/nest/d${index}`, undefined);
    const { body } = await client.get('/api/files/nest?zip=1');
    expect(Object.keys(await unpack(body))).toHaveLength(6001);
  }, 60_000);

  it('may be given up at any moment', async () => {
    put('/small', undefined);
    for (let index = 0; index < 200; index += 1) put(`/small/${index}`, randomBytes(500));
    for (let round = 0; round < 30; round += 1) {
      const socket = await door.raw();
      socket.write(
        `GET /api/files/small?zip=1 HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie ?? ''}\r\n\r\n`,
      );
      let seen = 0;
      for await (const chunk of socket) {
        seen += (chunk as Buffer).length;
        if (seen > round * 2000) break;
      }
      socket.destroy();
    }
    await vi.waitUntil(() => door.inside.openHandles() === 0);
    expect((await client.get('/api/files/small?zip=1')).status).toBe(200);
  });

  it('asks main no more once the client is gone, while the tree is still being listed', async () => {
    put('/wide', undefined);
    for (let index = 0; index < 2000; index += 1) put(`/wide/${index}`, undefined);
    const asked = (): number => door.inside.asked.filter((verb) => verb === 'fs.list').length;
    const socket = await door.raw();
    const before = asked();
    socket.write(
      `GET /api/files/wide?zip=1 HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie ?? ''}\r\n\r\n`,
    );
    await vi.waitUntil(() => asked() > before + 1, { interval: 1 });
    socket.destroy();
    let last = -1;
    await vi.waitUntil(() => last === (last = asked()), { interval: 50, timeout: 20_000 });
    expect(asked() - before).toBeLessThan(2000);
  });

  it(`goes to one user at most ${archivesOfUserMax} times at once, whatever the session`, async () => {
    put('/many', undefined);
    put('/many/a', randomBytes(24_000_000));
    const sockets = await Promise.all(Array.from({ length: archivesOfUserMax }, () => door.raw()));
    for (const socket of sockets) {
      socket.write(
        `GET /api/files/many?zip=1 HTTP/1.1\r\nHost: localhost\r\nCookie: ${client.cookie ?? ''}\r\n\r\n`,
      );
      socket.pause();
    }
    await vi.waitUntil(() => door.inside.openStreams() === archivesOfUserMax);
    expect((await client.get('/api/files/many?zip=1')).status).toBe(429);
    expect((await (await door.signedIn('frank')).get('/api/files/many?zip=1')).status).toBe(429);
    expect((await (await door.signedIn('alice')).get('/api/files/many?zip=1')).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await vi.waitUntil(() => door.inside.openHandles() === 0);
    expect((await client.get('/api/files/many?zip=1')).status).toBe(200);
  });

  it('lets go of every file it read', async () => {
    expect(door.inside.openStreams()).toBe(0);
    expect(door.inside.openHandles()).toBe(0);
  });
});

describe('an archive whose session ends under way', () => {
  it('is cut', async () => {
    const other = await Door.open();
    try {
      const { cookie = '' } = await other.signedIn('frank');
      const content = randomBytes(8_000_000);
      other.inside.files.set('/kicked', { type: 'file', content, mtimeMs: 0 });
      const socket = await other.raw();
      socket.write(
        `GET /api/files?zip=1&name=kicked HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`,
      );
      await vi.waitUntil(() => other.inside.openStreams() === 1);
      await other.inside.kick(cookie.split('s.')[1] ?? '');
      expect(await readAll(socket)).not.toContain('PK\u0005\u0006');
      await vi.waitUntil(() => other.inside.openStreams() === 0);
    } finally {
      await other.close();
    }
  });
});
