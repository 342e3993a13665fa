import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileReader } from '#dmz/sftp/files/file-reader.ts';
import type { Pieces } from '#dmz/sftp/files/piece-queue.ts';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { SallyportError } from '#shared/error.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import { MemoryFiles } from '../fakes/memory-files.ts';

const content = randomBytes(1_500_000);
const readOnly = { read: true, write: false, create: 'never', truncate: false, append: false } as const;
const lost = () => new SallyportError('link-down', 'The link is down');

async function openReader(): Promise<{ files: MemoryFiles; reader: FileReader }> {
  const files = new MemoryFiles();
  files.put('/f', content);
  return {
    files,
    reader: new FileReader(await files.open(parseVirtualPath('/f'), readOnly), new StreamSlots()),
  };
}

/** The bytes as they were when handed over (empty at the end of the file), or the error. */
function read(reader: FileReader, offset: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    reader.read({
      offset,
      length,
      done: (error, pieces) => {
        const bytes = Buffer.concat(pieces?.buffers ?? []);
        pieces?.release();
        if (error === undefined) resolve(bytes);
        else reject(error);
      },
    });
  });
}

describe('reading one open file', () => {
  it('serves a whole download from one stream', async () => {
    const { files, reader } = await openReader();
    const parts: Promise<Buffer>[] = [];
    for (let at = 0; at < content.length; at += 32_768) parts.push(read(reader, at, 32_768));
    expect(Buffer.concat(await Promise.all(parts)).equals(content)).toBe(true);
    expect(files.readStreams).toHaveLength(1);
  });

  it('serves requests that come in mixed order from the same stream', async () => {
    const { files, reader } = await openReader();
    const size = 10_000;
    const order = [0, 2, 1, 4, 5, 3, 6, 9, 8, 7];
    const parts = order.map(async (index) => [index, await read(reader, index * size, size)] as const);
    for (const [index, bytes] of await Promise.all(parts))
      expect(bytes.equals(content.subarray(index * size, (index + 1) * size))).toBe(true);
    expect(files.readStreams).toHaveLength(1);
  });

  it('a gap that is never asked for does not hold up what is behind it', async () => {
    const { reader } = await openReader();
    const [first, behind] = await Promise.all([read(reader, 0, 1000), read(reader, 500_000, 1000)]);
    expect([first.length, behind.equals(content.subarray(500_000, 501_000))]).toEqual([1000, true]);
  });

  it('reads that jump ahead are served although the stream had to make room in the middle of an answer', async () => {
    const files = new MemoryFiles();
    files.put('/f', content);
    const slots = new StreamSlots();
    const path = parseVirtualPath('/f');
    const [even, odd] = [
      new FileReader(await files.open(path, readOnly), slots),
      new FileReader(await files.open(path, readOnly), slots),
    ];
    // As a pipelining client: whenever one is answered the next is there.
    const lengths: number[] = [];
    let next = 0;
    await new Promise<void>((resolve, reject) => {
      const ask = (): void => {
        if (next === 400) return;
        const index = next++;
        const reader = index % 2 === 0 ? even : odd;
        const done = (error: SallyportError | undefined, pieces: Pieces | undefined): void => {
          lengths.push(pieces?.length ?? 0);
          pieces?.release();
          if (error !== undefined) reject(error);
          else if (lengths.length === 400) resolve();
          else ask();
        };
        reader.read({ offset: index * 500, length: 500, done });
      };
      for (let count = 0; count < 128; count += 1) ask();
    });
    expect(lengths).toEqual(lengths.map(() => 500));
  });

  it('a read that begins where a single one ended starts a sequence', async () => {
    const { files, reader } = await openReader();
    await read(reader, 700_000, 1000);
    await read(reader, 701_000, 1000);
    await read(reader, 702_000, 1000);
    expect(files.readStreams).toHaveLength(2);
  });

  it('any reads at all give the right bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 1_600_000 }), fc.integer({ min: 1, max: 261_120 })), {
          maxLength: 12,
        }),
        async (ranges) => {
          const { files, reader } = await openReader();
          const found = await Promise.all(ranges.map(([offset, length]) => read(reader, offset, length)));
          found.forEach((bytes, index) => {
            const [offset, length] = ranges[index] ?? [0, 0];
            expect(bytes.equals(content.subarray(offset, offset + length))).toBe(true);
          });
          expect(reader.isIdle).toBe(true);
          reader.stop(new SallyportError('bad-handle', 'closed'));
          expect(files.readStreams.every((stream) => stream.isOver)).toBe(true);
          expect(files.readStreams.every((stream) => stream.unreleasedBytes === 0)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('a content that came with the open is read without a stream, and counts as taken', async () => {
    const files = new MemoryFiles();
    files.tellsContent = true;
    files.put('/f', Buffer.from('small'));
    const file = await files.open(parseVirtualPath('/f'), readOnly, {}, 5);
    const reader = new FileReader(file, new StreamSlots());
    const parts = [await read(reader, 0, 32_768), await read(reader, 3, 1), await read(reader, 5, 32_763)];
    expect(parts.map(String)).toEqual(['small', 'l', '']);
    expect(files.readStreams).toHaveLength(0);
    expect(reader.served).toEqual({ bytes: 6, end: 5 });
    // Another content is there by now: as long as none is known the file is asked.
    files.replace('/f', Buffer.from('longer than before'));
    reader.dropReadAhead();
    expect(String(await read(reader, 5, 100))).toBe('r than before');
    expect(files.readStreams).toHaveLength(1);
  });

  it('does not read ahead more than the window', async () => {
    const { files, reader } = await openReader();
    await read(reader, 0, 1000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(files.readStreams[0]?.unreleasedBytes).toBeLessThanOrEqual(512 * 1024);
    expect(files.readStreams[0]?.isOver).toBe(false);
  });

  it('goes on where it stood when the link comes back', async () => {
    const { files, reader } = await openReader();
    const parts: Promise<Buffer>[] = [];
    for (let at = 0; at < content.length; at += 100_000) parts.push(read(reader, at, 100_000));
    await parts[0];
    files.readStreams[0]?.fail(lost());
    expect(Buffer.concat(await Promise.all(parts)).equals(content)).toBe(true);
    expect(files.readStreams).toHaveLength(2);
  });

  it('waits as long as main is away, and says so when it stays away', async () => {
    const { files, reader } = await openReader();
    let comeBack: () => void = () => undefined;
    files.beforeStat = () => new Promise((resolve) => (comeBack = resolve));
    const part = read(reader, 0, 1000);
    files.readStreams[0]?.fail(lost());
    await Promise.resolve();
    comeBack();
    expect((await part).length).toBe(1000);

    files.beforeStat = () => Promise.reject(lost());
    const other = read(reader, 900_000, 1000);
    files.readStreams.at(-1)?.fail(lost());
    await expect(other).rejects.toMatchObject({ code: 'link-down' });
  });

  it('does not go on when main says that the handle is not that file any more', async () => {
    const { files, reader } = await openReader();
    const part = read(reader, 0, 1000);
    files.beforeStat = () => Promise.reject(new SallyportError('changed', 'Another file'));
    files.readStreams[0]?.fail(lost());
    await expect(part).rejects.toMatchObject({ code: 'changed' });
  });

  it('goes on in a file that somebody writes to meanwhile', async () => {
    const { files, reader } = await openReader();
    const part = read(reader, 0, 1000);
    files.replace('/f', Buffer.concat([content, randomBytes(1)]));
    files.readStreams[0]?.fail(lost());
    expect((await part).equals(content.subarray(0, 1000))).toBe(true);
  });

  it('another error than a lost link is told and not tried again', async () => {
    const { files, reader } = await openReader();
    const part = read(reader, 0, 1000);
    files.readStreams[0]?.fail(new SallyportError('changed', 'The file changed'));
    await expect(part).rejects.toMatchObject({ code: 'changed' });
    expect(files.readStreams).toHaveLength(1);
  });
});
