import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { RemoteFile } from '#dmz/files/file-client.ts';
import { FileWriter } from '#dmz/sftp/files/file-writer.ts';
import { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { SallyportError } from '#shared/error.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import { MemoryFiles } from '../fakes/memory-files.ts';

const lost = () => new SallyportError('link-down', 'The link is down');

async function openWriter(
  options: { appends?: boolean; present?: Buffer; files?: MemoryFiles } = {},
): Promise<{ files: MemoryFiles; file: RemoteFile; writer: FileWriter }> {
  const files = options.files ?? new MemoryFiles();
  if (options.present !== undefined) files.put('/f', options.present);
  const append = options.appends ?? false;
  const mode = { read: false, write: true, create: 'if-missing', truncate: false, append } as const;
  const file = await files.open(parseVirtualPath('/f'), mode);
  return { files, file, writer: new FileWriter(file, new StreamSlots(), { appends: append }) };
}

function write(writer: FileWriter, offset: number, data: Buffer | string): Promise<void> {
  const bytes = Buffer.from(data as string);
  return new Promise((resolve, reject) => {
    writer.write({
      offset,
      length: bytes.length,
      data: [bytes],
      done: (error) => (error === undefined ? resolve() : reject(error)),
    });
  });
}

async function commit({ files, file, writer }: Awaited<ReturnType<typeof openWriter>>): Promise<Buffer> {
  await writer.settled();
  await writer.endRun();
  await file.commit();
  return files.get('/f') ?? Buffer.alloc(0);
}

describe('a first write that is small', () => {
  async function openSmall() {
    const files = new MemoryFiles();
    files.writeUpTo = 4;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    files.beforeWrite = () => promise;
    const open = await openWriter({ files });
    return { ...open, resolve, reject };
  }

  it('goes as a request, is answered when main has it, and needs no stream', async () => {
    const open = await openSmall();
    let isAnswered = false;
    const first = write(open.writer, 0, 'aaaa').then(() => {
      isAnswered = true;
    });
    await new Promise(setImmediate);
    expect([isAnswered, open.writer.isIdle]).toEqual([false, false]);
    open.resolve();
    await first;
    expect((await commit(open)).toString()).toBe('aaaa');
    expect(open.files.writeStreams).toHaveLength(0);
  });

  it('holds back what comes after it, which goes by a stream', async () => {
    const open = await openSmall();
    const done = [write(open.writer, 0, 'aaaa'), write(open.writer, 2, 'bb'), write(open.writer, 4, 'cc')];
    await new Promise(setImmediate);
    expect(open.files.writeStreams).toHaveLength(0);
    open.resolve();
    await Promise.all(done);
    expect((await commit(open)).toString()).toBe('aabbcc');
    expect(open.files.calls.filter((call) => call.startsWith('write'))).toHaveLength(1);
  });

  it('goes by a stream where main says that it is to', async () => {
    const open = await openSmall();
    const done = [write(open.writer, 0, 'aaaa'), write(open.writer, 4, 'b')];
    open.reject(new SallyportError('busy', 'By a stream'));
    await Promise.all(done);
    expect((await commit(open)).toString()).toBe('aaaab');
    expect(open.files.writeStreams).toHaveLength(1);
  });

  it('that fails fails all that come after it', async () => {
    const open = await openSmall();
    const done = [write(open.writer, 0, 'aaaa'), write(open.writer, 4, 'b')];
    open.reject(new SallyportError('quota-exceeded', 'Your quota is used up'));
    const settled = await Promise.allSettled([...done, write(open.writer, 5, 'c')]);
    expect(settled).toMatchObject(settled.map(() => ({ reason: { code: 'quota-exceeded' } })));
    expect(open.writer.isIdle).toBe(true);
  });

  it('is refused when the client goes away meanwhile, once', async () => {
    const open = await openSmall();
    const first = write(open.writer, 0, 'aaaa');
    open.writer.stop(new SallyportError('bad-handle', 'closed'));
    await expect(first).rejects.toMatchObject({ code: 'bad-handle' });
    open.resolve();
    await new Promise(setImmediate);
    expect(open.writer.isIdle).toBe(true);
  });

  it('of one byte more than that goes by a stream', async () => {
    const open = await openSmall();
    await write(open.writer, 0, 'aaaaa');
    expect(open.files.writeStreams).toHaveLength(1);
  });
});

describe('writing one open file', () => {
  it('puts writes that follow on into one stream, also when two threads mixed their order', async () => {
    const open = await openWriter();
    open.files.holdsBack = true;
    const done = [0, 2, 1, 3].map((index) =>
      write(open.writer, index * 4, `${index}${index}${index}${index}`),
    );
    open.files.writeStreams[0]?.acknowledge();
    await Promise.all(done);
    open.files.writeStreams[0]!.holdsBack = false;
    expect(open.files.writeStreams).toHaveLength(1);
    expect((await commit(open)).toString()).toBe('0000111122223333');
  });

  it('a jump ends the stream once it is acknowledged, and begins another', async () => {
    const open = await openWriter();
    open.files.holdsBack = true;
    const first = write(open.writer, 0, 'aaaa');
    const far = write(open.writer, 100, 'bbbb');
    expect(open.files.writeStreams).toHaveLength(1);
    open.files.holdsBack = false;
    open.files.writeStreams[0]!.holdsBack = false;
    open.files.writeStreams[0]?.acknowledge();
    await Promise.all([first, far]);
    expect(open.files.writeStreams).toHaveLength(2);
    const bytes = await commit(open);
    expect([bytes.length, bytes.subarray(100).toString()]).toEqual([104, 'bbbb']);
  });

  it('overlapping writes keep their order', async () => {
    const open = await openWriter();
    await Promise.all([
      write(open.writer, 0, 'aaaaaaaa'),
      write(open.writer, 4, 'bbbbbbbb'),
      write(open.writer, 8, 'cccc'),
      write(open.writer, 2, 'dd'),
    ]);
    expect((await commit(open)).toString()).toBe('aaddbbbbcccc');
  });

  it('any writes give what a plain file would hold', async () => {
    const piece = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.uint8Array({ minLength: 1, maxLength: 30 }));
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 12 }), async (pieces) => {
        const open = await openWriter();
        const plain = Buffer.alloc(100);
        let length = 0;
        for (const [offset, bytes] of pieces) {
          plain.set(bytes, offset);
          length = Math.max(length, offset + bytes.length);
        }
        await Promise.all(pieces.map(([offset, bytes]) => write(open.writer, offset, Buffer.from(bytes))));
        expect((await commit(open)).equals(plain.subarray(0, length))).toBe(true);
      }),
    );
  });

  it('sends again exactly what was not acknowledged when the link comes back', async () => {
    const open = await openWriter();
    open.files.holdsBack = true;
    const bytes = randomBytes(1000);
    const done = [0, 250, 500, 750].map((at) => write(open.writer, at, bytes.subarray(at, at + 250)));
    const stream = open.files.writeStreams[0];
    stream?.acknowledge(300);
    open.files.holdsBack = false;
    stream?.fail(lost());
    await Promise.all(done);
    expect(open.files.writeStreams).toHaveLength(2);
    expect(open.files.writeStreams[1]?.acknowledgedBytes).toBe(700);
    expect((await commit(open)).equals(bytes)).toBe(true);
  });

  it('an append is not doubled when only its acknowledgement was lost', async () => {
    const open = await openWriter({ appends: true, present: Buffer.from('start ') });
    open.files.holdsBack = true;
    const done = [write(open.writer, 0, 'one '), write(open.writer, 0, 'two ')];
    open.files.holdsBack = false;
    open.files.writeStreams[0]?.fail(lost());
    await Promise.all(done);
    await write(open.writer, 0, 'three');
    expect((await commit(open)).toString()).toBe('start one two three');
  });

  it('an append is not taken for landed because somebody else appended meanwhile', async () => {
    const open = await openWriter({ appends: true, present: Buffer.from('start ') });
    const other = await openWriter({ appends: true, files: open.files });
    await write(open.writer, 0, 'one ');
    await open.writer.endRun();
    open.files.delay = () => new Promise((resolve) => setImmediate(resolve));
    open.files.beforeStat = () => write(other.writer, 0, 'theirs ');
    const done = write(open.writer, 0, 'two ');
    // On its way, and lost with the link.
    open.files.writeStreams.at(-1)?.fail(lost());
    await done;
    expect((await commit(open)).toString()).toBe('start one theirs two ');
  });

  it('gives up when main stays away, and tells every write', async () => {
    const open = await openWriter();
    open.files.holdsBack = true;
    open.files.beforeStat = () => Promise.reject(lost());
    const done = [write(open.writer, 0, 'aaaa'), write(open.writer, 4, 'bbbb')];
    open.files.writeStreams[0]?.fail(lost());
    for (const one of done) await expect(one).rejects.toMatchObject({ code: 'link-down' });
    await expect(write(open.writer, 8, 'cccc')).rejects.toMatchObject({ code: 'link-down' });
    expect(open.writer.failure?.code).toBe('link-down');
    expect(open.writer.isIdle).toBe(true);
  });

  it('a write that main refuses fails that one and all after it', async () => {
    const open = await openWriter();
    open.files.quotaBytes = 4;
    await write(open.writer, 0, 'aaaa');
    await expect(write(open.writer, 4, 'b')).rejects.toMatchObject({ code: 'quota-exceeded' });
    await expect(write(open.writer, 0, 'c')).rejects.toMatchObject({ code: 'quota-exceeded' });
  });
});
