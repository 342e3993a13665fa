import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReadStream } from '#main-agent/files/read-stream.ts';
import { SallyportError } from '#shared/error.ts';
import { FakeStream } from './fake-stream.ts';
import { mountOf, newFile, randomContent, reading, resume, startRig, userOf } from './rig.ts';
import { onEachStorage } from './on-each-storage.ts';

test('any range of a file arrives as it is on the disk', { timeout: 60_000 }, async () => {
  const rig = await startRig();
  const client = rig.client();
  const size = 1_234_567;
  const bytes = randomContent(size);
  await client.put(['f'], bytes);
  const handle = await client.open(['f'], reading);
  const position = fc.oneof(
    fc.integer({ min: 0, max: size + 100_000 }),
    fc.constantFrom(0, 65_535, 65_536, 65_537, 524_287, 524_288, size - 1, size, size + 1),
  );
  await fc.assert(
    fc.asyncProperty(position, fc.option(position, { nil: undefined }), async (offset, lengthBytes) => {
      const received = await client.read(handle, {
        offset,
        ...(lengthBytes !== undefined && { lengthBytes }),
      });
      const end = lengthBytes === undefined ? size : offset + lengthBytes;
      expect(received.equals(bytes.subarray(offset, end))).toBe(true);
    }),
    { numRuns: 80 },
  );
});

test.each([0, 1, 65_536, 8 * 65_536, 8 * 65_536 + 1])(
  'a file of %d bytes is read to its end',
  async (size) => {
    const rig = await startRig();
    const client = rig.client();
    const bytes = randomContent(size);
    await client.put(['f'], bytes);
    expect((await client.get(['f'])).equals(bytes)).toBe(true);
  },
);

test(
  'writes of any offsets and lengths in any order are what a plain file would be',
  { timeout: 60_000 },
  async () => {
    const rig = await startRig();
    const client = rig.client();
    const write = fc.record({
      offset: fc.integer({ min: 0, max: 300_000 }),
      length: fc.integer({ min: 1, max: 200_000 }),
      pieceBytes: fc.constantFrom(1_000, 32_768, 65_536),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 6 }), async (writes) => {
        const handle = await client.open(['f'], newFile);
        let expected = Buffer.alloc(0);
        for (const { offset, length, pieceBytes } of writes) {
          const bytes = randomContent(length);
          await client.stream({ kind: 'write', handle, offset }).sendAll(bytes, pieceBytes);
          const grown = Buffer.alloc(Math.max(expected.length, offset + length));
          expected.copy(grown);
          bytes.copy(grown, offset);
          expected = grown;
        }
        await client.ask('fs.commit', { handle });
        expect(expected.equals(await rig.medium.readFile('alice', 'f'))).toBe(true);
      }),
      { numRuns: 25 },
    );
  },
);

onEachStorage('several streams write one file at the same time, each at its own offset', async (start) => {
  const rig = await start();
  const client = rig.client();
  const bytes = randomContent(2_000_000);
  const handle = await client.open(['f'], newFile);
  const part = 250_000;
  await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      client.write(handle, bytes.subarray(index * part, (index + 1) * part), index * part),
    ),
  );
  await client.ask('fs.commit', { handle });
  expect(bytes.equals(await rig.medium.readFile('alice', 'f'))).toBe(true);
});

onEachStorage('a commit has all that was written before it', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], newFile);
  const stream = client.stream({ kind: 'write', handle });
  await client.ask('fs.sync', { handle });
  stream.send(Buffer.from('written'));
  await client.ask('fs.commit', { handle });
  expect((await rig.medium.readFile('alice', 'f')).toString()).toBe('written');
});

onEachStorage('a piece is acknowledged only when the file has it', async (start) => {
  const rig = await start();
  const client = rig.client();
  const handle = await client.open(['f'], { ...newFile, read: true });
  const stream = client.stream({ kind: 'write', handle });
  stream.send(Buffer.from('abc'));
  expect(stream.acknowledgedBytes).toBe(0);
  await expect.poll(() => stream.acknowledgedBytes).toBe(3);
  expect((await client.read(handle)).toString()).toBe('abc');
});

onEachStorage('a reader that stops taking bytes stops the reading of the file', async (start) => {
  const rig = await start();
  const client = rig.client();
  await client.put(['f'], randomContent(10_000_000));
  const handle = await client.open(['f'], reading);
  const stream = client.stream({ kind: 'read', handle });
  stream.isPaused = true;
  await expect.poll(() => stream.receivedBytes).toBeGreaterThan(0);
  await client.ask('fs.stat-handle', { handle });
  expect(stream.receivedBytes).toBeLessThanOrEqual(2 * 524_288);
  stream.isPaused = false;
  stream.drain();
  expect(await stream.received()).toHaveLength(10_000_000);
});

onEachStorage(
  'streams of a released handle, of an ended session and of a stopping main are reset',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], randomContent(5_000_000));
    const paused = async () => {
      const handle = await client.open(['f'], reading);
      const stream = client.stream({ kind: 'read', handle });
      stream.isPaused = true;
      await expect.poll(() => stream.receivedBytes).toBeGreaterThan(0);
      return { handle, stream };
    };
    const released = await paused();
    await client.ask('fs.release', { handle: released.handle, keepPartial: false });
    await expect(released.stream.received()).rejects.toMatchObject({ code: 'bad-handle' });
    const ended = await paused();
    const upload = await client.open(['g'], newFile);
    const writing = client.stream({ kind: 'write', handle: upload });
    writing.send(Buffer.from('abc'));
    await expect.poll(() => writing.acknowledgedBytes).toBe(3);
    client.end();
    await expect(ended.stream.received()).rejects.toMatchObject({ code: 'no-session' });
    await expect.poll(() => writing.error).toMatchObject({ code: 'no-session' });
    await expect(client.open(['f'], reading)).rejects.toMatchObject({ code: 'no-session' });
    expect(ended.stream.lentFrames + released.stream.lentFrames).toBe(0);
    // Its stream ends before it is kept.
    const next = rig.client();
    await expect
      .poll(
        async () => (await Promise.allSettled([next.ask('fs.stat', { path: ['g'], followLinks: true })]))[0],
      )
      .toMatchObject({ value: { size: 3 } });
    expect((await next.ask('fs.open', { path: ['g'], mode: resume })).attributes.size).toBe(3);
  },
);

onEachStorage(
  'streams on handles of the wrong kind, unknown ones or after the end of a session are refused',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], 'x');
    const reader = await client.open(['f'], reading);
    const writer = await client.open(['g'], newFile);
    const { handle: folder } = await client.ask('fs.open-folder', { path: [] });
    await expect(client.write(reader, 'x')).rejects.toMatchObject({ code: 'bad-handle' });
    await expect(client.read(writer)).rejects.toMatchObject({ code: 'permission-denied' });
    await expect(client.read(folder)).rejects.toMatchObject({ code: 'bad-handle' });
    await expect(client.write(folder, 'x')).rejects.toMatchObject({ code: 'bad-handle' });
    await expect(client.read(12345)).rejects.toMatchObject({ code: 'bad-handle' });
    client.end();
    await expect(client.read(reader)).rejects.toMatchObject({
      code: expect.stringMatching(/bad-handle|no-session/),
    });
  },
);

onEachStorage(
  'a download goes on with its handle after main was killed, unless the file is another one by then',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    await before.put(['f'], 'the content');
    await before.put(['g'], 'the content');
    const kept = await before.open(['f'], reading);
    const changed = await before.open(['g'], reading);
    expect((await before.read(kept, { lengthBytes: 4 })).toString()).toBe('the ');
    await before.put(['g'], 'other content');
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    expect(await after.ask('fs.stat-handle', { handle: kept })).toMatchObject({ size: 11 });
    expect((await after.read(kept, { offset: 4 })).toString()).toBe('content');
    await expect(after.read(changed, { offset: 4 })).rejects.toMatchObject({ code: 'changed' });
    const other = rig.client('alice', 'sftp', 'other-session');
    await expect(other.read(kept)).rejects.toMatchObject({ code: 'bad-handle' });
    after.user = userOf('alice', [mountOf([], ['alice'], ['list'])]);
    await rig.restart();
    await expect(after.read(kept)).rejects.toMatchObject({ code: 'permission-denied' });
  },
);

onEachStorage(
  'a right to read that was taken away while main was down opens no file again',
  async (start) => {
    const rig = await start();
    const before = rig.client('alice', 'sftp', 'one-session');
    await before.put(['f'], 'the content');
    const handle = await before.open(['f'], reading);
    await rig.restart();
    const after = rig.client('alice', 'sftp', 'one-session');
    after.user = userOf('alice', [mountOf([], ['alice'], ['list', 'write'])]);
    await expect(after.ask('fs.stat-handle', { handle })).rejects.toMatchObject({
      code: 'permission-denied',
    });
  },
);

onEachStorage(
  'over SFTP a file that is written to while it is read goes on, over a kill too',
  async (start) => {
    const rig = await start();
    const client = rig.client('alice', 'sftp', 'one-session');
    await client.put(['log'], 'one,');
    const reader = await client.open(['log'], reading);
    expect((await client.read(reader)).toString()).toBe('one,');
    await client.put(['log'], 'two,', { ...newFile, truncate: false, append: true });
    expect((await client.read(reader, { offset: 4 })).toString()).toBe('two,');
    await rig.restart();
    expect((await client.read(reader)).toString()).toBe('one,two,');
    await client.ask('fs.change', { path: ['log'], change: { size: 2 }, followLinks: false });
    expect((await client.read(reader)).toString()).toBe('on');
  },
);

onEachStorage('a page that was told a length and an ETag never gets bytes of two versions', async (start) => {
  const rig = await start();
  const web = rig.client('alice', 'https', 'one-session');
  const sftp = rig.client();
  const bytes = randomContent(3_000_000);
  const open = async (name: string) => {
    await sftp.put([name], bytes);
    const reader = await web.open([name], reading);
    const stream = web.stream({ kind: 'read', handle: reader });
    stream.isPaused = true;
    await expect.poll(() => stream.queuedBytes).toBeGreaterThan(0);
    return { reader, stream, writer: await sftp.open([name], { ...newFile, truncate: false }) };
  };
  const appended = await open('appended');
  await sftp.write(appended.writer, 'more', bytes.length);
  appended.stream.isPaused = false;
  appended.stream.drain();
  expect((await appended.stream.received()).subarray(0, bytes.length).equals(bytes)).toBe(true);
  const edited = await open('edited');
  await sftp.write(edited.writer, 'X', bytes.length - 1);
  await expect(edited.stream.received()).rejects.toMatchObject({ code: 'changed' });
  const cut = await open('cut');
  await sftp.ask('fs.change-handle', { handle: cut.writer, change: { size: 1_000_000 } });
  await expect(cut.stream.received()).rejects.toMatchObject({ code: 'changed' });
  await expect(web.read(cut.reader)).rejects.toMatchObject({ code: 'changed' });
  // Another page that comes later has the new version.
  expect(await web.get(['cut'])).toHaveLength(1_000_000);
});

onEachStorage(
  'a right that is taken away ends what runs on it, and what begins on an open handle',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['a'], randomContent(8_000_000));
    const reader = await client.open(['a'], reading);
    const stream = client.stream({ kind: 'read', handle: reader });
    stream.isPaused = true;
    await expect.poll(() => stream.queuedBytes).toBeGreaterThan(0);
    const writer = await client.open(['b'], newFile);
    await client.write(writer, 'some');
    client.user = userOf('alice', [mountOf([], ['alice'], ['list'])]);
    stream.isPaused = false;
    stream.drain();
    const denied = { code: 'permission-denied' };
    await expect(stream.received()).rejects.toMatchObject(denied);
    await expect(client.read(reader)).rejects.toMatchObject(denied);
    await expect(client.write(writer, 'more', 4)).rejects.toMatchObject(denied);
    client.user = userOf('alice', [mountOf([], ['alice'], ['list', 'read'])]);
    expect((await client.read(reader)).byteLength).toBe(8_000_000);
  },
);

test('a stream waits before each batch as long as its speed limit says', async () => {
  const stream = new FakeStream();
  const bytes = randomContent(1_200_000);
  const paced: number[] = [];
  const source = {
    size: bytes.length,
    read: (buffers: readonly Uint8Array[], position: number) => {
      let at = position;
      for (const buffer of buffers) {
        buffer.set(bytes.subarray(at, at + buffer.byteLength));
        at = Math.min(bytes.length, at + buffer.byteLength);
      }
      return Promise.resolve(at - position);
    },
  };
  const pace = {
    turnBytes: () => 512 * 1024,
    waitBefore: (moved: number) => {
      paced.push(moved);
      return 1;
    },
  };
  await new ReadStream(source, stream, { offset: 0 }, pace, () => undefined).run();
  expect((await stream.received()).equals(bytes)).toBe(true);
  expect(paced.reduce((sum, moved) => sum + moved, 0)).toBe(bytes.length);
});

onEachStorage(
  'S-09: a reader that gives up before its handle was found is read nothing for',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    await client.put(['f'], randomContent(1_000_000));
    const handle = await client.open(['f'], reading);
    const stream = client.stream({ kind: 'read', handle, offset: 0 });
    stream.onReset(new SallyportError('deadline', 'Cancelled'));
    // A whole file later there would be something.
    await client.get(['f']);
    expect(stream.receivedBytes).toBe(0);
  },
);

onEachStorage(
  'a file is stored while the stream that brought its bytes has not ended, which then is over',
  async (start) => {
    const rig = await start();
    const client = rig.client();
    const handle = await client.open(['f'], newFile);
    const stream = client.stream({ kind: 'write', handle, offset: 0 });
    stream.send(Buffer.from('all of it'));
    await expect.poll(() => stream.acknowledgedBytes).toBe(9);
    await client.ask('fs.commit', { handle });
    expect((await client.get(['f'])).toString()).toBe('all of it');
    expect(stream.error?.code).toBe('bad-handle');
  },
);
