import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FileReader } from '#dmz/sftp/files/file-reader.ts';
import { FileWriter } from '#dmz/sftp/files/file-writer.ts';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { streamsMax } from '#dmz/sftp/limits.ts';
import { SallyportError } from '#shared/error.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import { MemoryFiles } from '../fakes/memory-files.ts';

const forReading = { read: true, write: false, create: 'never', truncate: false, append: false } as const;
const forWriting = { read: false, write: true, create: 'if-missing', truncate: true, append: false } as const;

function read(reader: FileReader, offset: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    reader.read({
      offset,
      length,
      done: (error, pieces) => {
        if (error !== undefined) reject(error);
        else resolve(Buffer.concat(pieces?.buffers.map((piece) => Buffer.from(piece)) ?? []));
        pieces?.release();
      },
    });
  });
}

function write(writer: FileWriter, offset: number, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const data = [Buffer.from(text)];
    const done = (error: Error | undefined) => (error === undefined ? resolve() : reject(error));
    writer.write({ offset, length: text.length, data, done });
  });
}

describe('the streams of one connection', () => {
  it('500 scattered READs of one file at once are all served', async () => {
    const files = new MemoryFiles();
    files.streamsMax = streamsMax;
    const bytes = randomBytes(100_000);
    files.put('/f', bytes);
    const reader = new FileReader(await files.open(parseVirtualPath('/f'), forReading), new StreamSlots());
    const offsets = Array.from({ length: 500 }, (_, index) => (index * 7919) % 99_000);
    const got = await Promise.all(offsets.map((offset) => read(reader, offset, 100)));
    for (const [index, offset] of offsets.entries())
      expect(got[index]?.equals(bytes.subarray(offset, offset + 100))).toBe(true);
  });

  it('160 files open for writing at once are all written, a little of each in turn', async () => {
    const files = new MemoryFiles();
    files.streamsMax = streamsMax;
    const slots = new StreamSlots();
    const writers = await Promise.all(
      Array.from({ length: 160 }, async (_, index) => {
        const file = await files.open(parseVirtualPath(`/${index}`), forWriting);
        return { file, writer: new FileWriter(file, slots, { appends: false }) };
      }),
    );
    for (const round of [0, 1, 2])
      await Promise.all(writers.map(({ writer }, index) => write(writer, round * 4, `${1000 + index}`)));
    for (const { file, writer } of writers) {
      await writer.settled();
      await writer.endRun();
      await file.commit();
    }
    for (let index = 0; index < 160; index++)
      expect(files.get(`/${index}`)?.toString()).toBe(`${1000 + index}`.repeat(3));
  });

  it('files that are only kept open make room, and go on where they were', async () => {
    const files = new MemoryFiles();
    files.streamsMax = streamsMax;
    const slots = new StreamSlots();
    const bytes = randomBytes(2_000_000);
    const readers = await Promise.all(
      Array.from({ length: streamsMax + 20 }, async (_, index) => {
        files.put(`/${index}`, bytes);
        return new FileReader(await files.open(parseVirtualPath(`/${index}`), forReading), slots);
      }),
    );
    for (const offset of [0, 1000, 2000])
      for (const reader of readers)
        expect((await read(reader, offset, 1000)).equals(bytes.subarray(offset, offset + 1000))).toBe(true);
    expect(files.readStreams.filter((stream) => !stream.isOver)).toHaveLength(streamsMax);
    for (const reader of readers) reader.dropReadAhead();
    expect(files.readStreams.every((stream) => stream.isOver)).toBe(true);
  });

  it('waits while main has too many streams of everybody, whether it says so at once or by a reset', async () => {
    const files = new MemoryFiles();
    files.streamsMax = 0;
    const slots = new StreamSlots();
    files.put('/f', Buffer.from('hello'));
    const reader = new FileReader(await files.open(parseVirtualPath('/f'), forReading), slots);
    const file = await files.open(parseVirtualPath('/new'), forWriting);
    const writer = new FileWriter(file, slots, { appends: false });
    const reading = read(reader, 0, 5);
    files.streamsMax = Infinity;
    files.holdsBack = true;
    const writing = write(writer, 0, 'text');
    files.writeStreams[0]?.fail(new SallyportError('busy', 'Too many transfers at once'));
    files.holdsBack = false;
    expect((await reading).toString()).toBe('hello');
    await writing;
    await writer.endRun();
    await file.commit();
    expect(files.get('/new')?.toString()).toBe('text');
  });
});
