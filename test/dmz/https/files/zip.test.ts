import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  formatCentralRecord,
  formatDescriptor,
  formatEnd,
  formatLocalHeader,
  type ZipEntry,
} from '#dmz/https/files/zip.ts';

const run = promisify(execFile);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-zip-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

interface Stored {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  readonly mtimeMs?: number;
  readonly content?: Buffer;
}

/** Large files are holes: their bytes are zeros that take no room. */
async function write(name: string, files: readonly Stored[]): Promise<string> {
  const path = join(folder, name);
  const to = await open(path, 'w');
  const records: Buffer[] = [];
  let at = 0;
  const put = async (bytes: Buffer): Promise<void> => {
    await to.write(bytes, 0, bytes.length, at);
    at += bytes.length;
  };
  for (const { name: inside, size, crc, content, mtimeMs = 0 } of files) {
    const entry: ZipEntry = { name: inside, isFolder: false, size, mtimeMs, mode: 0o640, offset: at };
    await put(formatLocalHeader(entry));
    if (content !== undefined) await put(content);
    else at += size;
    await put(formatDescriptor(entry, crc));
    records.push(formatCentralRecord(entry, crc));
  }
  const offset = at;
  const directory = Buffer.concat(records);
  await put(directory);
  await put(formatEnd(records.length, { offset, lengthBytes: directory.length }));
  await to.close();
  return path;
}

/** As Python's zipfile and Info-ZIP, two implementations that are not ours, read the table of contents. */
async function readBack(path: string): Promise<{ name: string; size: number; last: string }[]> {
  const script =
    'import sys,json,zipfile\n' +
    'z=zipfile.ZipFile(sys.argv[1])\n' +
    'print(json.dumps([{"name":i.filename,"size":i.file_size,"last":"%d-%02d-%02d" % i.date_time[:3]} for i in z.infolist()]))';
  const { stdout } = await run('python3', ['-c', script, path], { maxBuffer: 64 * 1024 * 1024 });
  await run('zipinfo', ['-t', path], { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as { name: string; size: number; last: string }[];
}

const text = Buffer.from('after');
const after = { name: 'after.txt', size: text.length, crc: crc32(text), content: text };

describe('the records of a ZIP', () => {
  for (const size of [0xffff_fffe, 0xffff_ffff, 0x1_0000_0000])
    it(`can say a file of ${size} bytes and what lies behind it`, async () => {
      const path = await write(`size-${size}.zip`, [{ name: 'large', size, crc: 0 }, after]);
      expect((await readBack(path)).map(({ name, size: bytes }) => [name, bytes])).toEqual([
        ['large', size],
        ['after.txt', text.length],
      ]);
      const { stdout } = await run('unzip', ['-p', path, 'after.txt']);
      expect(stdout).toBe('after');
    });

  for (const count of [0xfffe, 0xffff, 0x1_0000])
    it(`can say ${count} files`, async () => {
      const path = join(folder, `count-${count}.zip`);
      const to = await open(path, 'w');
      const entry = { ...after, isFolder: true, mtimeMs: 0, mode: 0, size: 0, offset: 0 };
      const directory = Buffer.concat(Array.from({ length: count }, () => formatCentralRecord(entry, 0)));
      await to.write(
        Buffer.concat([directory, formatEnd(count, { offset: 0, lengthBytes: directory.length })]),
      );
      await to.close();
      expect(await readBack(path)).toHaveLength(count);
    });

  it('say a time they can not hold as the nearest they can', async () => {
    const times = [Number.NaN, -1e18, -1, Date.UTC(2026, 1, 28, 12), 1e18];
    const path = await write(
      'times.zip',
      times.map((mtimeMs, index) => ({ ...after, name: `f${index}`, mtimeMs })),
    );
    expect((await readBack(path)).map(({ last }) => last)).toEqual([
      '1980-01-01',
      '1980-01-01',
      '1980-01-01',
      '2026-02-28',
      '2107-12-31',
    ]);
  });
});
