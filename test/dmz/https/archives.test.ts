import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { archiveNamesMax } from '#dmz/https/limits.ts';
import { type Client, Door } from './door.ts';

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

  it('is cut, not shortened, when a file in it changes under way', async () => {
    put('/cut', undefined);
    put('/cut/a', randomBytes(1_000_000));
    door.inside.shorten = '/cut/a';
    await expect(client.get('/api/files/cut/?zip=1')).rejects.toThrow(/aborted/);
    door.inside.shorten = undefined;
  });

  it('lets go of every file it read', async () => {
    expect(door.inside.openStreams()).toBe(0);
    expect(door.inside.openHandles()).toBe(0);
  });
});
