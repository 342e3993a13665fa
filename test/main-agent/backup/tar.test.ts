import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memberBytesMax, nameBytesMax } from '#main-agent/backup/limits.ts';
import { readTar, writeTar } from '#main-agent/backup/tar.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-tar-'));
afterAll(() => rmSync(folder, { recursive: true }));

const modifiedAtMs = Date.UTC(2026, 10, 30);

async function write(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const members = async function* () {
    for (const [name, text] of Object.entries(files))
      yield { name, bytes: Buffer.byteLength(text), modifiedAtMs, content: [Buffer.from(text)] };
  };
  return gather(writeTar(members()));
}

async function gather(all: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of all) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(archive: Buffer, size = 700): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {};
  await readTar(inPieces(archive, size), async ({ name, bytes }, content) => {
    files[name] = (await gather(content)).toString();
    expect(bytes).toBe(Buffer.byteLength(files[name]));
  });
  return files;
}

const files = {
  'manifest.json': '{}',
  'users/_default.yaml': 'x'.repeat(511),
  'users/full.yaml': 'x'.repeat(512),
  'users/more.yaml': 'x'.repeat(513),
  'users/empty.yaml': '',
  'users/jürgen@example.com.yaml': 'protocols: [https]\n',
  [`users/${'n'.repeat(200)}.yaml`]: 'long',
};

describe('the archive in a backup', () => {
  it('is read by tar, names and contents', async () => {
    const archive = join(folder, 'all.tar');
    writeFileSync(archive, await write(files));
    const listed = execFileSync('tar', ['--list', '--quoting-style=literal', '--file', archive], {
      encoding: 'utf8',
    });
    expect(listed.trimEnd().split('\n')).toEqual(Object.keys(files));
    const into = join(folder, 'all');
    mkdirSync(into);
    execFileSync('tar', ['--extract', '--file', archive, '--directory', into]);
    for (const [name, text] of Object.entries(files))
      expect(readFileSync(join(into, name), 'utf8')).toBe(text);
  });

  it('is read by us in whatever pieces it comes', async () => {
    const archive = await write(files);
    for (const size of [1, 511, 512, 513, archive.length]) expect(await read(archive, size)).toEqual(files);
  });

  it('has names of up to 512 bytes, and files as long as a header can say', async () => {
    const longest = 'n'.repeat(nameBytesMax);
    expect(await read(await write({ [longest]: 'x' }))).toEqual({ [longest]: 'x' });
    await expect(write({ [`${longest}n`]: 'x' })).rejects.toMatchObject({ code: 'unsupported' });
    const huge = async function* () {
      yield { name: 'state.db', bytes: memberBytesMax + 1, modifiedAtMs, content: [] };
    };
    await expect(writeTar(huge()).next()).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('does not hold a file that became longer or shorter while it was read', async () => {
    for (const text of ['long', 'longer.']) {
      const members = async function* () {
        yield { name: 'audit.jsonl', bytes: 6, modifiedAtMs, content: [Buffer.from(text)] };
      };
      await expect(gather(writeTar(members()))).rejects.toMatchObject({ code: 'changed' });
    }
  });

  it('is refused with links, folders, a wrong sum, without an end, with something behind it', async () => {
    const archive = await write({ a: 'x' });
    for (let length = 0; length < archive.length; length += 64)
      await expect(read(archive.subarray(0, length)), `${length} bytes`).rejects.toThrow(/whole backup/);
    await expect(read(Buffer.concat([archive, Buffer.from('x')]))).rejects.toThrow(/whole backup/);
    const renamed = Buffer.from(archive);
    renamed.write('b', 0);
    await expect(read(renamed)).rejects.toThrow(/whole backup/);
    const [tree, linked] = [join(folder, 'tree'), join(folder, 'linked.tar')];
    mkdirSync(tree);
    execFileSync('ln', ['-s', '/etc/passwd', join(tree, 'link')]);
    for (const what of ['link', '.']) {
      execFileSync('tar', ['--create', '--format=ustar', '--file', linked, '--directory', tree, what]);
      await expect(read(readFileSync(linked)), what).rejects.toThrow(/whole backup/);
    }
  });
});
