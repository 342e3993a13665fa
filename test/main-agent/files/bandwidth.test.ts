import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Bandwidth, turnBytesAt, type Direction } from '#main-agent/files/bandwidth.ts';
import { ReadStream, type Pace } from '#main-agent/files/read-stream.ts';
import { WriteStream } from '#main-agent/files/write-stream.ts';
import { FakeStream } from './fake-stream.ts';

/** The streams wait in a time of the test's own: nothing here depends on how fast this machine is. */
const time = vi.hoisted(() => ({
  nowMs: 0,
  waiting: [] as { readonly atMs: number; readonly wake: () => void }[],
}));
vi.mock('#main-agent/files/wait.ts', () => ({
  wait: (ms: number) =>
    new Promise<void>((wake) => {
      time.waiting.push({ atMs: time.nowMs + ms, wake });
    }),
}));

async function pass(ms: number): Promise<void> {
  const end = time.nowMs + ms;
  for (;;) {
    // Reads, writes and drains of the fakes take no longer.
    for (let turn = 0; turn < 4; turn += 1) await setImmediate();
    time.waiting.sort((a, b) => a.atMs - b.atMs);
    const next = time.waiting[0];
    if (next === undefined || next.atMs > end) break;
    time.waiting.shift();
    time.nowMs = next.atMs;
    next.wake();
  }
  time.nowMs = end;
}

const kib = 1024;
const mib = 1024 * kib;
const seconds = 10;

let bandwidth: Bandwidth;
beforeEach(() => {
  time.nowMs = 0;
  time.waiting.length = 0;
  bandwidth = new Bandwidth({ now: () => time.nowMs, monotonic: () => time.nowMs });
});

function paceOf(direction: Direction, rate: () => number, username = 'alice'): Pace {
  return {
    turnBytes: () => turnBytesAt(rate()),
    waitBefore: (bytes) => bandwidth.take(username, direction, bytes, rate()),
  };
}

/** A download without an end; returns how many bytes went so far. */
function startDownload(pace: Pace): () => number {
  let sentBytes = 0;
  const source = {
    size: Number.MAX_SAFE_INTEGER,
    read: async (buffers: readonly Uint8Array[]) => {
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0);
      sentBytes += bytes;
      return bytes;
    },
  };
  void new ReadStream(source, new FakeStream(), { offset: 0 }, pace, () => undefined).run();
  return () => sentBytes;
}

/** An upload that always has a window of such pieces ready. */
function startUpload(pace: Pace, pieceBytes: number): () => number {
  let writtenBytes = 0;
  const stream = new FakeStream();
  const writing = new WriteStream(stream, pace, () => undefined);
  const piece = Buffer.alloc(pieceBytes);
  const send = (): void => stream.onData(piece, () => queueMicrotask(send));
  const target = {
    write: async (pieces: readonly Uint8Array[]) => {
      writtenBytes += pieces.reduce((sum, one) => sum + one.byteLength, 0);
    },
  };
  writing.start(target, 0);
  for (let sent = 0; sent < 512 * kib; sent += pieceBytes) send();
  return () => writtenBytes;
}

/** How far the sum is from the limit, or a stream from its share of it: the worst of them, as a fraction. */
function deviationOf(moved: readonly number[], rate: number): number {
  const total = moved.reduce((sum, bytes) => sum + bytes, 0);
  const shares = moved.map((bytes) => bytes / (total / moved.length));
  return Math.max(...[total / (rate * seconds), ...shares].map((ratio) => Math.abs(ratio - 1)));
}

describe('a speed limit', () => {
  test.each([100 * kib, mib, 6 * mib])(
    'of %d bytes a second is kept within a tenth over ten seconds, and four downloads share it evenly',
    async (rate) => {
      const downloads = Array.from({ length: 4 }, () => startDownload(paceOf('download', () => rate)));
      await pass(seconds * 1000);
      const moved = downloads.map((bytes) => bytes());
      expect(deviationOf(moved, rate), moved.join(' ')).toBeLessThan(0.1);
    },
  );

  test.each([100 * kib, mib, 6 * mib])(
    'of %d bytes a second is shared evenly by uploads whose pieces are of any size',
    async (rate) => {
      const sizes = [4 * kib, 32 * kib, 33_333, 64 * kib];
      const uploads = sizes.map((size) =>
        startUpload(
          paceOf('upload', () => rate),
          size,
        ),
      );
      await pass(seconds * 1000);
      const moved = uploads.map((bytes) => bytes());
      expect(deviationOf(moved, rate), moved.join(' ')).toBeLessThan(0.1);
    },
  );

  test('is of one user and one direction, and a changed one counts at once', async () => {
    let rate = mib;
    const mine = startDownload(paceOf('download', () => rate));
    const up = startUpload(
      paceOf('upload', () => mib),
      32 * kib,
    );
    const theirs = startDownload(paceOf('download', () => mib, 'bob'));
    await pass(seconds * 1000);
    for (const moved of [mine, up, theirs]) expect(deviationOf([moved()], mib)).toBeLessThan(0.1);
    rate = mib / 8;
    const before = mine();
    await pass(seconds * 1000);
    expect(deviationOf([mine() - before], rate)).toBeLessThan(0.1);
  });

  test('gives back what an idle stream left only for a moment', async () => {
    const pace = paceOf('download', () => mib);
    pace.waitBefore(1);
    await pass(60_000);
    const moved = startDownload(pace);
    await pass(1_000);
    expect(moved()).toBeLessThan(1.4 * mib);
  });
});

test('a stream moves no more in one turn than it may', async () => {
  const turns: number[] = [];
  const pace: Pace = {
    turnBytes: () => 100 * kib,
    waitBefore: (bytes) => {
      turns.push(bytes);
      return 0;
    },
  };
  const source = {
    size: 1_200_000,
    read: async (buffers: readonly Uint8Array[], position: number) =>
      Math.min(
        1_200_000 - position,
        buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0),
      ),
  };
  await new ReadStream(source, new FakeStream(), { offset: 0 }, pace, () => undefined).run();
  expect(turns.reduce((sum, bytes) => sum + bytes, 0)).toBe(1_200_000);
  expect(Math.max(...turns)).toBe(100 * kib);
});
