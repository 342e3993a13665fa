import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import { encodeReset } from '#shared/link/codec.ts';
import { cutBytesAfter, delayBytes, Gate } from '#test/harness/faulty-transport.ts';
import { encodeCredit, encodeFrame, frameType } from '#shared/link/frames.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { Lane } from '#shared/link/lane.ts';
import { framePayloadBytesMax, type LaneStream } from '#shared/link/lane-stream.ts';
import {
  socketQueuedBytesLow,
  socketQueuedBytesMax,
  streamQueuedBytesHigh,
  streamQueuedBytesMax,
  streamsPerLinkMax,
  trailerBytesMax,
  windowBytesMax,
  windowBytesStart,
  windowGrowthPerLaneMax,
} from '#shared/link/limits.ts';
import { buildMemoryBytes } from '#test/harness/memory-transport.ts';
import type { StreamHeader } from '#shared/link/messages.ts';
import type { Stream } from '#shared/link/streams.ts';
import { randomId } from '#shared/random-id.ts';
import {
  buildBusyTransport,
  buildLanePair,
  buildRawPeer,
  readHeader,
  roundTrip,
  session,
  settle,
  writeHeader,
} from './lane-pair.ts';

/** Collects what arrives; `release` all at once when asked, or at once each. */
function collect(
  stream: LaneStream,
  releases?: (() => void)[],
): { bytes: () => Buffer; ended: Promise<unknown> } {
  const pieces: Buffer[] = [];
  stream.onData = (bytes, release) => {
    pieces.push(Buffer.from(bytes));
    if (releases === undefined) release();
    else releases.push(release);
  };
  const ended = new Promise((resolve, reject) => {
    stream.onEnd = resolve;
    stream.onReset = reject;
  });
  return { bytes: () => Buffer.concat(pieces), ended };
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const header = (of: StreamHeader): Buffer => Buffer.from(JSON.stringify(of));

describe('credit', () => {
  it('S-09: lets a sender have one window outstanding, and go on when pieces are released', async () => {
    const pair = await buildLanePair();
    const down = pair.dmz.open(readHeader);
    const releases: (() => void)[] = [];
    const { bytes, ended } = collect(down, releases);
    await settle();
    pair.opened[0]?.write(Buffer.alloc(windowBytesStart + 10));
    pair.opened[0]?.end();
    await settle();
    expect(bytes().length).toBe(windowBytesStart);
    expect(pair.opened[0]?.queuedBytes).toBe(10);
    for (const release of releases.splice(0)) release();
    await settle();
    expect(bytes().length).toBe(windowBytesStart + 10);
    for (const release of releases.splice(0)) release();
    await ended;
    expect(pair.pools.dmz.lent).toBe(0);
    expect(pair.pools.main.lent).toBe(0);
  });

  it('acknowledges a lone 32 KiB write at once: a client may wait for exactly that', async () => {
    const releases: (() => void)[] = [];
    const pair = await buildLanePair({ onOpen: (_header, stream) => void collect(stream, releases) });
    const up = pair.dmz.open(writeHeader);
    const acknowledged: number[] = [];
    up.onAcknowledged = (bytes) => acknowledged.push(bytes);
    up.write(Buffer.alloc(32_768));
    await settle();
    expect(acknowledged).toEqual([]);
    releases.shift()?.();
    await settle();
    expect(acknowledged).toEqual([32_768]);
    expect(up.acknowledgedBytes).toBe(32_768);
  });

  it('acknowledges pieces released together in one frame', async () => {
    const releases: (() => void)[] = [];
    const pair = await buildLanePair({ onOpen: (_header, stream) => void collect(stream, releases) });
    const up = pair.dmz.open(writeHeader);
    const acknowledged: number[] = [];
    up.onAcknowledged = (bytes) => acknowledged.push(bytes);
    for (let piece = 0; piece < 4; piece += 1) up.write(Buffer.alloc(1000));
    await settle();
    for (const release of releases) release();
    await settle();
    expect(acknowledged).toEqual([4000]);
  });

  it('a release called twice counts once', async () => {
    const releases: (() => void)[] = [];
    const pair = await buildLanePair({ onOpen: (_header, stream) => void collect(stream, releases) });
    const up = pair.dmz.open(writeHeader);
    up.write(Buffer.alloc(1000));
    await settle();
    releases[0]?.();
    releases[0]?.();
    await settle();
    expect(up.acknowledgedBytes).toBe(1000);
    expect(pair.closed).toEqual({});
  });

  it('a slow reader stops its own stream and no other', async () => {
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        stream.write(Buffer.alloc(1_000_000));
        stream.end();
      },
    });
    const slow = collect(pair.dmz.open(readHeader), []);
    const quick = collect(pair.dmz.open(readHeader));
    await quick.ended;
    expect(quick.bytes().length).toBe(1_000_000);
    expect(slow.bytes().length).toBeLessThanOrEqual(windowBytesStart);
  });
});

describe('the window', () => {
  /** Downloads on a link where each window takes one round trip; gives back the bytes of each. */
  async function downloadWindows(rttMs: number, streams: number): Promise<number[]> {
    const time = { ms: 0 };
    const pair = await buildLanePair({ roundTrip: { now: () => time.ms, rttMs: () => rttMs } });
    const releases: (() => void)[] = [];
    let arrived = 0;
    for (let count = 0; count < streams; count += 1) {
      pair.dmz.open({ ...readHeader, session: randomId() }).onData = (bytes, release) => {
        arrived += bytes.length;
        releases.push(release);
      };
    }
    await settle();
    for (const stream of pair.opened)
      stream.onDrain = () => void stream.write(Buffer.alloc(16 * framePayloadBytesMax));
    for (const stream of pair.opened) stream.write(Buffer.alloc(100 * framePayloadBytesMax));
    const windows: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      await settle();
      await settle();
      windows.push(arrived);
      arrived = 0;
      time.ms += rttMs;
      for (const release of releases.splice(0)) release();
    }
    expect(pair.closed).toEqual({});
    return windows;
  }
  const twice = [1, 2, 4, 8, 8, 8].map((times) => times * windowBytesStart);

  it('grows on a long link up to its bound, as long as it is what holds the sender back', async () => {
    expect(await downloadWindows(50, 1)).toEqual(twice);
  });

  it('stays as it is on a short one', async () => {
    expect(await downloadWindows(4, 1)).toEqual(twice.map(() => windowBytesStart));
  });

  it('S-09: of all streams together grows no further than the lane can hold', async () => {
    const streams = 40;
    const windows = await downloadWindows(50, streams);
    expect(windows.at(-1)).toBeLessThanOrEqual(streams * windowBytesStart + windowGrowthPerLaneMax);
    expect(windows.at(-1)).toBeGreaterThan(streams * windowBytesStart);
  });
});

describe('an upload’s pieces', () => {
  /** The pieces main gets of what `write` does in one turn. */
  async function piecesOf(write: (stream: LaneStream) => void): Promise<readonly Buffer[]> {
    const pair = await buildLanePair();
    const stream = pair.dmz.open(writeHeader);
    await settle();
    const main = pair.opened[0];
    if (main === undefined) throw new Error('not opened');
    const pieces: Buffer[] = [];
    main.onData = (bytes, release) => {
      pieces.push(Buffer.from(bytes));
      release();
    };
    write(stream);
    await settle();
    await settle();
    return pieces;
  }
  const sizesOf = (pieces: readonly Buffer[]): readonly number[] => pieces.map(({ length }) => length);
  const record = Buffer.alloc(16_384);

  it('that come in one turn go in whole frames, what is left at its end as it is', async () => {
    const pieces = await piecesOf((stream) => {
      for (let index = 0; index < 9; index += 1) stream.write(record);
    });
    expect(sizesOf(pieces)).toEqual([framePayloadBytesMax, framePayloadBytesMax, record.length]);
  });

  it('are cut where a frame is full, keep their order and tell their owner once each', async () => {
    const told: number[] = [];
    const sent: Buffer[] = [];
    const arrived = await piecesOf((stream) => {
      for (const [index, length] of [5, 70_000, 1, 65_535, 16_384, 200_000, 3].entries()) {
        const bytes = Buffer.alloc(length, index + 1);
        sent.push(bytes);
        stream.write(bytes, () => told.push(index));
      }
      stream.end();
    });
    expect(Buffer.concat(arrived).equals(Buffer.concat(sent))).toBe(true);
    expect(told).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(arrived.slice(0, -1).every((bytes) => bytes.length === framePayloadBytesMax)).toBe(true);
  });

  it('do not wait for more when the end is there', async () => {
    const pieces = await piecesOf((stream) => {
      stream.write(record);
      stream.end();
    });
    expect(sizesOf(pieces)).toEqual([record.length]);
  });
});

describe('turns', () => {
  it('a new small stream starts while large ones fill the lane', async () => {
    const gate = new Gate();
    const order: number[] = [];
    const pair = await buildLanePair({ wrapDmz: (transport) => delayBytes(transport, gate) });
    const large = [pair.dmz.open(readHeader), pair.dmz.open(readHeader)];
    const small = pair.dmz.open({ ...readHeader, session: randomId() });
    for (const stream of [...large, small]) {
      stream.onData = (_bytes, release) => {
        order.push(stream.id);
        release();
      };
    }
    await settle();
    for (const stream of pair.opened.slice(0, 2)) stream.write(Buffer.alloc(1_000_000));
    const frame = pair.opened[2]?.acquireFrame();
    frame?.payload.write('hello');
    if (frame !== undefined) pair.opened[2]?.writeFrame(frame, 5);
    await settle();
    const before = order.indexOf(small.id);
    expect(before).toBeGreaterThanOrEqual(0);
    expect(before * framePayloadBytesMax).toBeLessThanOrEqual(2 * socketQueuedBytesLow);
  });

  it('go by session, so that fifty streams get no more than one', async () => {
    const pair = await buildLanePair();
    const greedy = Array.from({ length: 50 }, () => pair.dmz.open(readHeader));
    const modest = pair.dmz.open({ ...readHeader, session: randomId() });
    const counts = { greedy: 0, modest: 0 };
    for (const stream of greedy) {
      stream.onData = (bytes, release) => {
        if (counts.modest < windowBytesStart) counts.greedy += bytes.length;
        release();
      };
    }
    modest.onData = (bytes, release) => {
      counts.modest += bytes.length;
      release();
    };
    await settle();
    for (const stream of pair.opened) stream.write(Buffer.alloc(windowBytesStart));
    await settle();
    await settle();
    expect(counts.modest).toBe(windowBytesStart);
    expect(counts.greedy).toBeLessThanOrEqual(counts.modest + 2 * socketQueuedBytesLow);
  });
});

describe('streams', () => {
  it('carry any pieces whole and in order, both ways, through any frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 8 }),
        fc.constantFrom(readHeader, writeHeader),
        fc.boolean(),
        async (lengths, of, isBusy) => {
          const pieces = lengths.map((length) => randomBytes(length));
          const whole = Buffer.concat(pieces);
          const { wrap } = buildBusyTransport();
          const pair = await buildLanePair(isBusy ? { wrapDmz: wrap, wrapMain: wrap } : {});
          const atDmz = pair.dmz.open(of);
          await settle();
          const atMain = pair.opened[0];
          if (atMain === undefined) throw new Error('not opened');
          const [sender, receiver] = of.kind === 'read' ? [atMain, atDmz] : [atDmz, atMain];
          const { bytes, ended } = collect(receiver);
          let sent = 0;
          for (const piece of pieces) sender.write(piece, () => void (sent += 1));
          sender.end({ count: pieces.length });
          expect(await ended).toEqual({ count: pieces.length });
          await settle();
          expect(digest(bytes())).toBe(digest(whole));
          expect(sent).toBe(pieces.length);
          expect([pair.pools.dmz.lent, pair.pools.main.lent]).toEqual([0, 0]);
          expect([pair.dmz.streamCount, pair.main.streamCount]).toEqual([0, 0]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('send pooled frames without a copy, each back in the pool once', async () => {
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        for (const length of [framePayloadBytesMax, 10, 0]) {
          const frame = stream.acquireFrame();
          frame.payload.fill(length & 0xff);
          stream.writeFrame(frame, length);
        }
        stream.discardFrame(stream.acquireFrame());
        stream.end();
      },
    });
    const { bytes, ended } = collect(pair.dmz.open(readHeader));
    await ended;
    await settle();
    expect(bytes().length).toBe(framePayloadBytesMax + 10);
    expect(bytes().subarray(framePayloadBytesMax)).toEqual(Buffer.alloc(10, 10));
    expect(pair.pools.main.lent).toBe(0);
  });

  it('tell a writer to wait above the high mark, and to go on', async () => {
    const pair = await buildLanePair();
    const { ended } = collect(pair.dmz.open(readHeader));
    await settle();
    const stream = pair.opened[0];
    if (stream === undefined) throw new Error('not opened');
    let drained = 0;
    stream.onDrain = () => void (drained += 1);
    expect(stream.write(Buffer.alloc(100))).toBe(true);
    // Two windows and more: the second can't leave before the first is released.
    expect(stream.write(Buffer.alloc(windowBytesStart + streamQueuedBytesHigh))).toBe(false);
    expect(drained).toBe(0);
    await settle();
    expect(drained).toBe(1);
    stream.end();
    await ended;
  });

  it('S-09: reset a writer that does not stop when told to', async () => {
    const pair = await buildLanePair();
    pair.dmz.open(readHeader).onData = () => undefined;
    await settle();
    const stream = pair.opened[0];
    if (stream === undefined) throw new Error('not opened');
    const resets: string[] = [];
    stream.onReset = ({ code }) => resets.push(code);
    let discarded = 0;
    for (let count = 0; count * 1_000_000 <= streamQueuedBytesMax + windowBytesStart; count += 1)
      stream.write(Buffer.alloc(1_000_000), () => void (discarded += 1));
    await settle();
    expect(resets).toEqual(['busy']);
    expect(discarded).toBeGreaterThan(0);
    expect(pair.main.streamCount).toBe(0);
    expect(pair.pools.main.lent).toBe(0);
  });

  it('end with a trailer of main on a write stream, sent when everything was released', async () => {
    const releases: (() => void)[] = [];
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        stream.onData = (_bytes, release) => void releases.push(release);
        stream.onEnd = () => stream.end({ sha256: 'abc' });
      },
    });
    const up = pair.dmz.open(writeHeader);
    let trailer: unknown;
    up.onEnd = (facts) => {
      trailer = facts;
    };
    up.write(Buffer.alloc(10));
    up.end();
    await settle();
    expect(trailer).toBeUndefined();
    releases[0]?.();
    await settle();
    expect(trailer).toEqual({ sha256: 'abc' });
    expect(up.acknowledgedBytes).toBe(10);
  });

  it('reset both ends with the public half of the error, and discard what waits', async () => {
    const pair = await buildLanePair();
    const up = pair.dmz.open(writeHeader);
    let sent = 0;
    up.write(Buffer.alloc(windowBytesStart * 2), () => void (sent += 1));
    await settle();
    const error = await new Promise<SallyportError>((resolve) => {
      up.onReset = resolve;
      pair.opened[0]?.reset(new SallyportError('quota-exceeded', 'No room', { detail: '/srv' }));
    });
    expect(error).toMatchObject({ code: 'quota-exceeded', publicMessage: 'No room', detail: undefined });
    await settle();
    expect(sent).toBe(1);
    expect(up.write(Buffer.alloc(5), () => void (sent += 1))).toBe(true);
    await settle();
    expect(sent).toBe(2);
    expect(pair.pools.dmz.lent).toBe(0);
  });

  it('an owner that throws loses its own stream only', async () => {
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        stream.onData = () => {
          throw new Error('bug');
        };
      },
    });
    const up = pair.dmz.open(writeHeader);
    const reset = new Promise<SallyportError>((resolve) => {
      up.onReset = resolve;
    });
    up.write(Buffer.alloc(10));
    expect((await reset).code).toBe('internal');
    expect(pair.closed).toEqual({});
  });

  it('refuse a trailer over its bound', async () => {
    const pair = await buildLanePair();
    pair.dmz.open(readHeader);
    await settle();
    const trailer = (bytes: number) => ({ a: 'x'.repeat(bytes - '{"a":""}'.length) });
    expect(() => pair.opened[0]?.end(trailer(trailerBytesMax + 1))).toThrow(/trailer/);
    pair.opened[0]?.end(trailer(trailerBytesMax));
    await settle();
    expect(pair.dmz.streamCount).toBe(0);
  });
});

describe('a lane that is cut', () => {
  it('at any byte resets every stream with link-down on both ends, and leaks no buffer', async () => {
    const total = 12 + header(writeHeader).length + 12 + 5000 + 12;
    for (let place = 0; place < total; place += place < 200 ? 7 : 611) {
      const pair = await buildLanePair({ wrapMain: (transport) => cutBytesAfter(transport, place) });
      const codes: string[] = [];
      const up = pair.dmz.open(writeHeader);
      up.onReset = ({ code }) => codes.push(code);
      up.write(Buffer.alloc(5000));
      up.end();
      await settle();
      expect(codes, `cut at ${place}`).toEqual(['link-down']);
      expect(pair.closed.main?.breach).toBe(false);
      expect([pair.pools.dmz.lent, pair.pools.main.lent]).toEqual([0, 0]);
      expect(() => pair.dmz.open(readHeader)).toThrow(expect.objectContaining({ code: 'link-down' }));
    }
  });
});

describe('S-05: main closes the lane as a breach when the node', () => {
  const open = (streamId: number, of: StreamHeader = writeHeader): Buffer =>
    encodeFrame(frameType.open, streamId, header(of));
  const data = (streamId: number, bytes: number): Buffer =>
    encodeFrame(frameType.data, streamId, Buffer.alloc(bytes));
  const end = (streamId: number): Buffer => encodeFrame(frameType.end, streamId, Buffer.alloc(0));
  const window = Array.from({ length: windowBytesStart / framePayloadBytesMax }, () =>
    data(1, framePayloadBytesMax),
  );
  const breaches: Record<string, Buffer[]> = {
    'sends for a stream it never opened': [data(1, 10)],
    'uses a stream number again': [open(1), end(1), open(1)],
    'uses a lower stream number': [open(5), open(4)],
    'opens with junk': [encodeFrame(frameType.open, 1, Buffer.from('{}'))],
    'opens naming a user': [
      encodeFrame(frameType.open, 1, Buffer.from(JSON.stringify({ ...writeHeader, user: 'root' }))),
    ],
    'sends one byte over the window': [open(1), ...window, data(1, 1)],
    'sends more pieces than the window has room for': [
      open(1),
      ...Array.from({ length: 1025 }, () => data(1, 1)),
    ],
    'sends after its end': [open(1), data(1, 10), end(1), data(1, 1)],
    'ends twice': [open(1), data(1, 10), end(1), end(1)],
    'sends data on a read stream': [open(1, readHeader), data(1, 10)],
    'ends a read stream, which carries nothing of its': [open(1, readHeader), end(1)],
    'gives credit for nothing': [open(1, readHeader), encodeCredit(1, 0, 0)],
    'gives credit for bytes never sent': [open(1, readHeader), encodeCredit(1, 1, 0)],
    'grows the window over its bound': [
      open(1, readHeader),
      encodeCredit(1, 0, windowBytesMax - windowBytesStart),
      encodeCredit(1, 0, 1),
    ],
    'gives credit on a write stream': [open(1), encodeCredit(1, 0, 1)],
    'sends a bad trailer': [open(1), encodeFrame(frameType.end, 1, Buffer.from('[1]'))],
    'sends a bad reset': [open(1), encodeFrame(frameType.reset, 1, Buffer.from('{"code":"x","message":""}'))],
    'joins a second time': [encodeFrame(frameType.join, 0, Buffer.from(randomId()))],
    'sends an oversize frame': [open(1), Buffer.from('030000000100000001000100', 'hex')],
    'sends junk': [Buffer.alloc(12, 0xee)],
  };
  it.each(Object.entries(breaches))('%s', async (_name, frames) => {
    const peer = await buildRawPeer('main');
    for (const frame of frames) {
      expect(peer.closing()).toBeUndefined();
      for (const stream of peer.opened) stream.onData = () => undefined;
      peer.sendBytes(frame);
      await settle();
    }
    expect(peer.closing()?.breach).toBe(true);
  });

  it('opens a stream to main as main does', async () => {
    const peer = await buildRawPeer('dmz');
    peer.send(frameType.open, 1, header(readHeader));
    await settle();
    expect(peer.closing()).toEqual({ reason: 'a stream opened by main', breach: true });
  });
});

describe('S-09: bounds of a lane', () => {
  it('a full window is taken to the byte', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    for (const stream of peer.opened) stream.onData = () => undefined;
    for (let frame = 0; frame < windowBytesStart / framePayloadBytesMax; frame += 1)
      peer.send(frameType.data, 1, Buffer.alloc(framePayloadBytesMax));
    await settle();
    expect(peer.closing()).toBeUndefined();
  });

  it('streams over the bound are refused one by one, and the lane lives', async () => {
    const peer = await buildRawPeer('main');
    for (let id = 1; id <= streamsPerLinkMax + 1; id += 1) peer.send(frameType.open, id, header(writeHeader));
    await settle();
    expect(peer.opened.length).toBe(streamsPerLinkMax);
    expect(peer.lane.streamCount).toBe(streamsPerLinkMax);
    expect(peer.received().toString()).toContain('"busy"');
    expect(peer.closing()).toBeUndefined();
  });

  it('frames that were on their way when a stream was reset are dropped', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    peer.opened[0]?.reset(new SallyportError('quota-exceeded', 'No room'));
    peer.send(frameType.data, 1, Buffer.alloc(60_000));
    peer.send(frameType.end, 1, '');
    peer.send(frameType.reset, 1, '{"code":"busy","message":""}');
    await settle();
    expect(peer.closing()).toBeUndefined();
    expect(peer.pool.lent).toBe(0);
  });

  it('a peer that opens and never reads the answers is cut off', () => {
    const pool = new FramePool();
    let feed = (_bytes: Buffer): void => undefined;
    const closings: string[] = [];
    const lane = new Lane({
      side: 'main',
      pool,
      roundTrip,
      transport: {
        start: (receiver) => {
          feed = (bytes) => receiver.onBytes(bytes, bytes.length);
        },
        // A socket that takes everything and never gets rid of it.
        write: () => undefined,
        close: () => undefined,
      },
      onOpen: (_header, stream) => stream.reset(new SallyportError('no-session', 'No such session')),
      onClose: (reason) => void closings.push(reason),
      onFailure: () => undefined,
    });
    lane.start();
    for (let id = 1; id < 200_000 && closings.length === 0; id += 1)
      feed(encodeFrame(frameType.open, id, header({ ...writeHeader, session })));
    expect(closings).toEqual(['the peer does not read']);
  });
});

describe('what a receiver gives back', () => {
  /** The credit frames in what a lane sent: acknowledged bytes and window of each. */
  function creditsIn(bytes: Buffer): [number, number][] {
    const credits: [number, number][] = [];
    for (let at = 0; at < bytes.length; at += 12 + bytes.readUInt32LE(at + 8))
      if (bytes.readUInt32LE(at) === frameType.credit)
        credits.push([bytes.readUInt32LE(at + 12), bytes.readUInt32LE(at + 16)]);
    return credits;
  }
  const quarter = windowBytesStart / 4;

  it('at the node is a quarter of the window and more at once, never less', async () => {
    const peer = await buildRawPeer('dmz');
    const down = peer.lane.open(readHeader);
    down.onData = (_bytes, release) => release();
    peer.send(frameType.data, down.id, Buffer.alloc(framePayloadBytesMax));
    peer.send(frameType.data, down.id, Buffer.alloc(quarter - framePayloadBytesMax - 1));
    await settle();
    expect(creditsIn(peer.received())).toEqual([]);
    peer.send(frameType.data, down.id, Buffer.alloc(600));
    await settle();
    expect(creditsIn(peer.received())).toEqual([[quarter + 599, quarter + 599]]);
    peer.send(frameType.data, down.id, Buffer.alloc(framePayloadBytesMax));
    await settle();
    expect(creditsIn(peer.received())).toHaveLength(1);
  });

  it('of a small piece is the window it took, and the bytes it was', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    collect(peer.opened[0] as LaneStream).ended.catch(() => undefined);
    peer.send(frameType.data, 1, Buffer.alloc(1));
    await settle();
    peer.send(frameType.data, 1, Buffer.alloc(700));
    await settle();
    expect(creditsIn(peer.received())).toEqual([
      [1, 512],
      [700, 700],
    ]);
  });

  it('at main waits for a quarter while another piece is still held', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    const releases: (() => void)[] = [];
    collect(peer.opened[0] as LaneStream, releases).ended.catch(() => undefined);
    for (const bytes of [framePayloadBytesMax, framePayloadBytesMax, 1000])
      peer.send(frameType.data, 1, Buffer.alloc(bytes));
    await settle();
    releases[0]?.();
    await settle();
    expect(creditsIn(peer.received())).toEqual([]);
    releases[1]?.();
    await settle();
    expect(creditsIn(peer.received())).toEqual([[quarter, quarter]]);
    releases[2]?.();
    await settle();
    expect(creditsIn(peer.received())).toEqual([
      [quarter, quarter],
      [1000, 1000],
    ]);
  });

  it('goes before the end that says it was the last, and nothing goes after it', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    const releases: (() => void)[] = [];
    collect(peer.opened[0] as LaneStream, releases).ended.catch(() => undefined);
    for (const bytes of [10, 20]) peer.send(frameType.data, 1, Buffer.alloc(bytes));
    peer.send(frameType.end, 1, '');
    await settle();
    expect(peer.received().length).toBe(0);
    for (const release of releases) release();
    await settle();
    expect(peer.received()).toEqual(
      Buffer.concat([encodeCredit(1, 30, 1024), encodeFrame(frameType.end, 1, Buffer.alloc(0))]),
    );
    expect(peer.lane.streamCount).toBe(0);
  });
});

describe('what a stream refuses of its owner', () => {
  it('bytes for a side that only receives, and a frame of somewhere else', async () => {
    const pair = await buildLanePair();
    const down = pair.dmz.open(readHeader);
    const up = pair.dmz.open(writeHeader);
    await settle();
    expect(() => down.write(Buffer.alloc(1))).toThrow('only receives');
    expect(() => pair.opened[1]?.write(Buffer.alloc(1))).toThrow('only receives');
    expect(() => up.writeFrame({ payload: Buffer.alloc(10) }, 5)).toThrow('not a frame of this lane');
    expect(() => up.discardFrame({ payload: Buffer.alloc(10) })).toThrow('not a frame of this lane');
    up.discardFrame(up.acquireFrame());
    expect(pair.pools.dmz.lent).toBe(0);
    expect(pair.closed).toEqual({});
  });

  it('bytes after its end: they are told as gone and never sent', async () => {
    const releases: (() => void)[] = [];
    const pieces: Buffer[] = [];
    const trailers: unknown[] = [];
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        stream.onEnd = (trailer) => trailers.push(trailer);
        stream.onData = (bytes, release) => {
          pieces.push(Buffer.from(bytes));
          releases.push(release);
        };
      },
    });
    const up = pair.dmz.open(writeHeader);
    let told = 0;
    up.write(Buffer.alloc(10));
    up.end({ first: true });
    up.end({ first: false });
    expect(up.write(Buffer.alloc(20), () => void (told += 1))).toBe(true);
    const frame = up.acquireFrame();
    up.writeFrame(frame, 5);
    await settle();
    expect([told, pieces.length, pieces[0]?.length]).toEqual([1, 1, 10]);
    expect([up.queuedBytes, trailers]).toEqual([0, [{ first: true }]]);
    releases[0]?.();
    await settle();
    expect([pair.dmz.streamCount, pair.pools.dmz.lent]).toEqual([0, 0]);
    expect(pair.closed).toEqual({});
  });

  it('an end of what it only reads, at the node: it means nothing and costs nothing', async () => {
    const pair = await buildLanePair();
    const { bytes, ended } = collect(pair.dmz.open(readHeader));
    await settle();
    pair.dmz.open(readHeader).end();
    pair.opened[0]?.write(Buffer.alloc(5));
    pair.opened[0]?.end({ a: 1 });
    expect(await ended).toEqual({ a: 1 });
    expect(bytes().length).toBe(5);
    expect(pair.closed).toEqual({});
  });

  it('more than waits at the mark: one byte below goes on, at the mark it says stop', async () => {
    const pair = await buildLanePair();
    pair.dmz.open(readHeader).onData = () => undefined;
    await settle();
    const stream = pair.opened[0] as LaneStream;
    // A window of it leaves; what is written from now on waits.
    stream.write(Buffer.alloc(windowBytesStart));
    await settle();
    expect(stream.queuedBytes).toBe(0);
    expect(stream.write(Buffer.alloc(streamQueuedBytesHigh - 1))).toBe(true);
    expect(stream.write(Buffer.alloc(1))).toBe(false);
  });

  it('S-09: more than the greatest queue, which alone it bears', async () => {
    for (const [more, isBorne] of [
      [0, true],
      [1, false],
    ] as const) {
      const pair = await buildLanePair();
      pair.dmz.open(readHeader).onData = () => undefined;
      await settle();
      const stream = pair.opened[0] as LaneStream;
      const codes: string[] = [];
      stream.onReset = ({ code }) => codes.push(code);
      stream.write(Buffer.alloc(windowBytesStart));
      await settle();
      expect(stream.write(Buffer.alloc(streamQueuedBytesMax + more))).toBe(false);
      await settle();
      expect(codes).toEqual(isBorne ? [] : ['busy']);
      expect(pair.main.streamCount).toBe(isBorne ? 1 : 0);
      expect(stream.queuedBytes).toBe(isBorne ? streamQueuedBytesMax : 0);
    }
  });

  it('a second reset: one goes out', async () => {
    const peer = await buildRawPeer('main');
    peer.send(frameType.open, 1, header(writeHeader));
    await settle();
    const error = new SallyportError('not-allowed', 'No');
    for (let count = 0; count < 2; count += 1) peer.opened[0]?.reset(error);
    await settle();
    expect(peer.received()).toEqual(encodeFrame(frameType.reset, 1, encodeReset(error)));
  });

  it('a second reset, and its handlers after the first', async () => {
    const pair = await buildLanePair();
    const up = pair.dmz.open(writeHeader);
    await settle();
    const calls: string[] = [];
    for (const [name, stream] of [
      ['dmz', up],
      ['main', pair.opened[0] as LaneStream],
    ] as const) {
      stream.onReset = ({ code }) => calls.push(`${name} reset ${code}`);
      stream.onEnd = () => calls.push(`${name} end`);
      stream.onDrain = () => calls.push(`${name} drain`);
      stream.onAcknowledged = () => calls.push(`${name} acknowledged`);
    }
    up.write(Buffer.alloc(10));
    up.reset(new SallyportError('not-allowed', 'No'));
    up.reset(new SallyportError('busy', 'No'));
    await settle();
    expect(calls).toEqual(['main reset not-allowed']);
    expect([pair.dmz.streamCount, pair.main.streamCount]).toEqual([0, 0]);
    expect(pair.closed).toEqual({});
  });
});

describe('S-05: the node closes the lane as a breach when main', () => {
  it('ends a write stream before every byte was acknowledged', async () => {
    for (const [acknowledgedBytes, isBreach] of [
      [99, true],
      [100, false],
    ] as const) {
      const peer = await buildRawPeer('dmz');
      const up = peer.lane.open(writeHeader);
      let isEnded = false;
      up.onEnd = () => {
        isEnded = true;
      };
      up.write(Buffer.alloc(100));
      up.end();
      await settle();
      await settle();
      peer.sendBytes(encodeCredit(up.id, acknowledgedBytes, 0));
      await settle();
      expect(up.acknowledgedBytes).toBe(acknowledgedBytes);
      peer.send(frameType.end, up.id, '');
      await settle();
      expect(peer.closing()?.breach).toBe(isBreach ? true : undefined);
      expect(isEnded).toBe(!isBreach);
    }
  });

  it('ends a write stream that the node has not ended', async () => {
    const peer = await buildRawPeer('dmz');
    const up = peer.lane.open(writeHeader);
    peer.send(frameType.end, up.id, '');
    await settle();
    expect(peer.closing()?.breach).toBe(true);
  });

  it('sends data on a write stream, or credit on a read stream', async () => {
    const data = await buildRawPeer('dmz');
    data.send(frameType.data, data.lane.open(writeHeader).id, Buffer.alloc(1));
    await settle();
    expect(data.closing()).toEqual({ reason: 'data on a stream that only sends', breach: true });
    const credit = await buildRawPeer('dmz');
    credit.sendBytes(encodeCredit(credit.lane.open(readHeader).id, 0, 1));
    await settle();
    expect(credit.closing()).toEqual({ reason: 'credit for a side that does not send', breach: true });
  });

  it('acknowledges a byte twice', async () => {
    const peer = await buildRawPeer('dmz');
    const up = peer.lane.open(writeHeader);
    up.write(Buffer.alloc(100));
    await settle();
    await settle();
    peer.sendBytes(Buffer.concat([encodeCredit(up.id, 60, 0), encodeCredit(up.id, 40, 0)]));
    await settle();
    expect([up.acknowledgedBytes, peer.closing()]).toEqual([100, undefined]);
    peer.sendBytes(encodeCredit(up.id, 1, 0));
    await settle();
    expect(peer.closing()).toEqual({ reason: 'credit for bytes never sent', breach: true });
  });
});

describe('a lane', () => {
  it('counts the streams of each session until they are over', async () => {
    const pair = await buildLanePair();
    const other = randomId();
    const mine = [pair.dmz.open(readHeader), pair.dmz.open(writeHeader)];
    pair.dmz.open({ ...readHeader, session: other });
    await settle();
    for (const lane of [pair.dmz, pair.main]) {
      expect([lane.streamCount, lane.countOf(session), lane.countOf(other), lane.countOf('x')]).toEqual([
        3, 2, 1, 0,
      ]);
      expect(lane.sessions()).toEqual([session, other]);
    }
    mine[0]?.reset(new SallyportError('not-allowed', 'No'));
    await settle();
    for (const lane of [pair.dmz, pair.main])
      expect([lane.streamCount, lane.countOf(session)]).toEqual([2, 1]);
    mine[1]?.reset(new SallyportError('not-allowed', 'No'));
    await settle();
    for (const lane of [pair.dmz, pair.main]) {
      expect([lane.streamCount, lane.countOf(session)]).toEqual([1, 0]);
      expect(lane.sessions()).toEqual([other]);
    }
  });

  it('ends the streams of one session, tells both owners, and leaves the others', async () => {
    const pair = await buildLanePair();
    const told: string[] = [];
    const [mine, theirs] = [pair.dmz.open(readHeader), pair.dmz.open({ ...readHeader, session: randomId() })];
    await settle();
    for (const [name, stream] of [
      ['mine', mine],
      ['theirs', theirs],
      ['mine at main', pair.opened[0]],
    ] as const)
      if (stream !== undefined) stream.onReset = ({ code }) => told.push(`${name}: ${code}`);
    pair.main.abortSession(session, new SallyportError('no-session', 'Gone'));
    await settle();
    expect(told.toSorted()).toEqual(['mine at main: no-session', 'mine: no-session']);
    expect([pair.dmz.streamCount, pair.main.streamCount]).toEqual([1, 1]);
  });

  it('S-10: is not open before main’s token was taken, and a wrong one or none is the end of it', async () => {
    const build = (isKnown: boolean) => {
      const [laneEnd, testEnd] = buildMemoryBytes();
      const closings: unknown[] = [];
      const tokens: string[] = [];
      const lane = new Lane({
        side: 'dmz',
        transport: laneEnd,
        pool: new FramePool(),
        roundTrip,
        onJoin: (token) => {
          tokens.push(token);
          return isKnown;
        },
        onClose: (reason, breach) => closings.push({ reason, breach }),
        onFailure: () => undefined,
      });
      testEnd.start({ onBytes: () => undefined, onClose: () => undefined });
      lane.start();
      const send = async (bytes: Buffer): Promise<void> => {
        testEnd.write(bytes, () => undefined);
        await settle();
      };
      return { lane, closings, tokens, send };
    };
    const token = randomId();
    const join = encodeFrame(frameType.join, 0, Buffer.from(token));
    const good = build(true);
    expect(good.lane.isOpen).toBe(false);
    expect(() => good.lane.open(readHeader)).toThrow(expect.objectContaining({ code: 'link-down' }));
    await good.send(join);
    expect([good.lane.isOpen, good.closings, good.tokens]).toEqual([true, [], [token]]);
    const wrong = build(false);
    await wrong.send(join);
    expect(wrong.lane.isOpen).toBe(false);
    expect(wrong.closings).toEqual([{ reason: 'an unknown lane token', breach: true }]);
    const none = build(true);
    await none.send(encodeFrame(frameType.end, 1, Buffer.alloc(0)));
    expect(none.closings).toEqual([{ reason: 'a frame before the join', breach: true }]);
    expect(none.tokens).toEqual([]);
  });

  it('that is closed says so once, ends its streams, and sends and counts nothing more', async () => {
    const pair = await buildLanePair();
    const up = pair.dmz.open(writeHeader);
    const codes: string[] = [];
    up.onReset = ({ code }) => codes.push(code);
    await settle();
    const released: (() => void)[] = [];
    const main = pair.opened[0] as LaneStream;
    main.onData = (_bytes, release) => void released.push(release);
    up.write(Buffer.alloc(40_000));
    await settle();
    await settle();
    expect(pair.pools.main.lent).toBe(1);
    pair.dmz.close('enough');
    pair.dmz.close('again');
    await settle();
    expect(pair.closed).toEqual({
      dmz: { reason: 'enough', breach: false },
      main: { reason: 'enough', breach: false },
    });
    expect(codes).toEqual(['link-down']);
    expect([pair.dmz.isOpen, pair.dmz.streamCount, pair.main.streamCount]).toEqual([false, 0, 0]);
    released[0]?.();
    expect(pair.pools.main.lent).toBe(0);
    let told = 0;
    up.write(Buffer.alloc(5), () => void (told += 1));
    await settle();
    expect(told).toBe(1);
  });

  it('outlives a dispatcher and an owner that throw: the stream pays, and our side is told', async () => {
    const [dmzEnd, mainEnd] = buildMemoryBytes();
    const failures: string[] = [];
    const closings: string[] = [];
    const base = {
      pool: new FramePool(),
      roundTrip,
      onClose: (reason: string) => void closings.push(reason),
    };
    const onFailure = (error: unknown) => void failures.push(String(error));
    const dmz = new Lane({ ...base, side: 'dmz', transport: dmzEnd, onJoin: () => true, onFailure });
    let opened = 0;
    const main = new Lane({
      ...base,
      side: 'main',
      transport: mainEnd,
      onFailure,
      onOpen: (_header, stream) => {
        opened += 1;
        if (opened === 1) throw new Error('bug in opening');
        stream.onData = (_bytes, release) => release();
      },
    });
    dmz.start();
    main.start();
    main.join(randomId());
    await settle();
    const codes: string[] = [];
    dmz.open(writeHeader).onReset = ({ code }) => codes.push(code);
    await settle();
    expect([codes, failures]).toEqual([['internal'], ['Error: bug in opening']]);
    expect([dmz.streamCount, main.streamCount]).toEqual([0, 0]);
    const told: string[] = [];
    const up = dmz.open(writeHeader);
    up.write(Buffer.alloc(10), () => {
      throw new Error('bug in telling');
    });
    up.write(Buffer.alloc(10), () => told.push('second'));
    await settle();
    await settle();
    expect(told).toEqual(['second']);
    expect(failures.slice(1)).toEqual(['Error: bug in telling']);
    expect([up.acknowledgedBytes, closings.length]).toEqual([20, 0]);
  });

  it('S-09: has room for the windows of its streams up to the bound, and again when one is over', async () => {
    const { dmz } = await buildLanePair();
    expect(dmz.takeGrowth(windowGrowthPerLaneMax - 1)).toBe(true);
    expect(dmz.takeGrowth(2)).toBe(false);
    expect(dmz.takeGrowth(1)).toBe(true);
    expect(dmz.takeGrowth(1)).toBe(false);
  });

  it('S-09: has the room again that a stream’s window took, once the stream is over', async () => {
    const time = { ms: 0 };
    const pair = await buildLanePair({ roundTrip: { now: () => time.ms, rttMs: () => 50 } });
    const down = pair.dmz.open(readHeader);
    const releases: (() => void)[] = [];
    down.onData = (_bytes, release) => void releases.push(release);
    await settle();
    pair.opened[0]?.write(Buffer.alloc(windowBytesStart));
    await settle();
    time.ms = 50;
    for (const release of releases) release();
    await settle();
    expect(pair.dmz.takeGrowth(windowGrowthPerLaneMax)).toBe(false);
    down.reset(new SallyportError('not-allowed', 'No'));
    expect(pair.dmz.takeGrowth(windowGrowthPerLaneMax)).toBe(true);
  });
});

describe('a lane’s socket', () => {
  /** A lane of the node's over a socket that keeps what it is given until the test has it sent. */
  function buildHeld(onJoin: () => boolean = () => true) {
    let feed = (_bytes: Buffer): void => undefined;
    const written: Buffer[] = [];
    const dones: (() => void)[] = [];
    const closings: { reason: string; breach: boolean }[] = [];
    const lane = new Lane({
      side: 'dmz',
      pool: new FramePool(),
      roundTrip,
      transport: {
        start: (receiver) => {
          feed = (bytes) => receiver.onBytes(bytes, bytes.length);
        },
        write: (bytes, done) => {
          written.push(Buffer.from(bytes));
          dones.push(done);
        },
        close: () => undefined,
      },
      onJoin,
      onClose: (reason, breach) => void closings.push({ reason, breach }),
      onFailure: () => undefined,
    });
    lane.start();
    feed(encodeFrame(frameType.join, 0, Buffer.from(randomId())));
    const sendAll = (): void => {
      for (const done of dones.splice(0)) done();
    };
    /** An END of so many bytes on the wire. */
    const sendBytes = (stream: LaneStream, bytes: number): void =>
      lane.sendEnd(stream as Stream, Buffer.alloc(bytes - 12));
    return { lane, written, closings, sendAll, sendBytes, feed: (bytes: Buffer) => feed(bytes) };
  }
  const bytesOf = (pieces: readonly Buffer[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

  it('S-09: holds just the greatest queue; one byte more, and the peer does not read', () => {
    const { lane, written, closings, sendAll, sendBytes } = buildHeld();
    const up = lane.open(writeHeader);
    sendBytes(up, socketQueuedBytesMax - bytesOf(written));
    expect([lane.socketQueuedBytes, closings.length]).toEqual([socketQueuedBytesMax, 0]);
    sendAll();
    expect(lane.socketQueuedBytes).toBe(0);
    sendBytes(up, socketQueuedBytesMax);
    expect(closings).toEqual([]);
    sendBytes(up, 12);
    expect(closings).toEqual([{ reason: 'the peer does not read', breach: true }]);
  });

  it('is given data below its low mark, not at it, and again when any of it has gone', () => {
    for (const [less, isGiven] of [
      [1, true],
      [0, false],
    ] as const) {
      const { lane, written, sendAll, sendBytes } = buildHeld();
      const up = lane.open(writeHeader);
      sendBytes(up, socketQueuedBytesLow - less - bytesOf(written));
      const before = written.length;
      up.writeFrame(up.acquireFrame(), 10);
      expect(written.length - before).toBe(isGiven ? 1 : 0);
      sendAll();
      expect(written.length - before).toBe(1);
      sendAll();
      expect(lane.socketQueuedBytes).toBe(0);
    }
  });

  it('that is closed is given nothing more', () => {
    const { lane, written } = buildHeld();
    lane.close('enough');
    lane.join(randomId());
    expect([written, lane.socketQueuedBytes]).toEqual([[], 0]);
  });

  it('that is closed within a frame holds no buffer of it', () => {
    const { lane, feed } = buildHeld();
    feed(encodeFrame(frameType.data, 1, Buffer.alloc(60_000)).subarray(0, 40_000));
    expect(lane.pool.lent).toBe(1);
    lane.close('enough');
    expect(lane.pool.lent).toBe(0);
  });

  it('is closed with the reason, be it what the peer sent or what we threw', () => {
    const junk = buildHeld();
    junk.feed(Buffer.alloc(12, 0xee));
    expect(junk.closings).toEqual([{ reason: 'unknown type or flags eeeeeeee', breach: true }]);
    const { closings } = buildHeld(() => {
      throw new Error('bug');
    });
    expect(closings).toMatchObject([{ reason: 'Error: bug' }]);
  });
});
