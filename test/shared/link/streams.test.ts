import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import { encodeCredit, frameType } from '#shared/link/frames.ts';
import { framePayloadBytesMax, type LaneStream } from '#shared/link/lane-stream.ts';
import {
  gatheredFramesMax,
  streamQueuedBytesHigh,
  streamQueuedBytesLow,
  windowBytesStart,
  windowGrowthPerLaneMax,
} from '#shared/link/limits.ts';
import {
  buildBusyTransport,
  buildLanePair,
  buildRawPeer,
  framesIn,
  readHeader,
  settle,
  writeHeader,
} from './lane-pair.ts';

const no = new SallyportError('not-allowed', 'No');

/** What has come in is looked at, and the turn of the loop goes on. */
async function microtasks(): Promise<void> {
  for (let count = 0; count < 100; count += 1) await Promise.resolve();
}

/** A stream of the node's to main, which is the test. */
async function openUp() {
  const peer = await buildRawPeer('dmz');
  const up = peer.lane.open(writeHeader);
  await settle();
  const before = peer.received().length;
  return { peer, up, sent: () => framesIn(peer.received().subarray(before)) };
}

/** A stream to main, whose node is the test. */
async function openAtMain(header = writeHeader) {
  const peer = await buildRawPeer('main');
  peer.send(frameType.open, 1, JSON.stringify(header));
  await settle();
  const stream = peer.opened[0] as LaneStream;
  const releases: (() => void)[] = [];
  stream.onData = (_bytes, release) => void releases.push(release);
  return { peer, stream, releases, sent: () => framesIn(peer.received()) };
}

/** A download on a lane that has more coming at once: what its owner is handed, and in how many goes. */
async function openBusyDownload() {
  const transport = buildBusyTransport();
  const pair = await buildLanePair({ wrapDmz: transport.wrap });
  const down = pair.dmz.open(readHeader);
  await settle();
  const main = pair.opened[0] as LaneStream;
  const told: (number | string)[] = [];
  down.onData = (bytes, release) => {
    told.push(bytes[0] ?? -1);
    release();
  };
  down.onEnd = () => void told.push('end');
  down.onReset = ({ code }) => void told.push(code);
  let count = 0;
  /** Each of its bytes says how many pieces were sent before it. */
  const send = async (lengthBytes: number): Promise<void> => {
    main.write(Buffer.alloc(lengthBytes, count));
    count += 1;
    await settle();
    await settle();
  };
  const sendFrame = (): Promise<void> => send(framePayloadBytesMax);
  return { pair, down, main, told, send, sendFrame, quiet: () => transport.quiet() };
}

const sizesOf = (frames: readonly { type: number; payload: Buffer }[]): readonly number[] =>
  frames.filter(({ type }) => type === frameType.data).map(({ payload }) => payload.length);
const typesOf = (frames: readonly { type: number }[]): readonly number[] => frames.map(({ type }) => type);

describe('what a stream sends', () => {
  it('a whole frame at once, and less than one at the end of the turn', async () => {
    const { up, sent } = await openUp();
    up.write(Buffer.alloc(framePayloadBytesMax - 1));
    await microtasks();
    expect(sizesOf(sent())).toEqual([]);
    up.write(Buffer.alloc(1));
    await microtasks();
    expect(sizesOf(sent())).toEqual([framePayloadBytesMax]);
    up.write(Buffer.alloc(10));
    await microtasks();
    expect(sizesOf(sent())).toEqual([framePayloadBytesMax]);
    await settle();
    expect(sizesOf(sent())).toEqual([framePayloadBytesMax, 10]);
  });

  it('less than a frame at once too, when nothing more will come, and a frame that its owner filled', async () => {
    const ended = await openUp();
    ended.up.write(Buffer.alloc(10));
    ended.up.end();
    await microtasks();
    expect(typesOf(ended.sent())).toEqual([frameType.data, frameType.end]);
    const { up, sent } = await openUp();
    up.writeFrame(up.acquireFrame(), 10);
    await microtasks();
    expect(sizesOf(sent())).toEqual([10]);
    up.write(Buffer.alloc(20));
    await microtasks();
    expect(sizesOf(sent())).toEqual([10]);
  });

  it('what the window has room for, though it is less than a frame', async () => {
    const { peer, up, sent } = await openUp();
    up.write(Buffer.alloc(windowBytesStart + 5000));
    await settle();
    expect(up.queuedBytes).toBe(5000);
    peer.sendBytes(encodeCredit(up.id, 0, 4999));
    await settle();
    expect(up.queuedBytes).toBe(5000);
    peer.sendBytes(encodeCredit(up.id, 0, 1));
    await settle();
    expect(sizesOf(sent()).at(-1)).toBe(5000);
  });

  it('bytes of its owner and frames that it filled in the order they came, each buffer given back', async () => {
    const pair = await buildLanePair();
    const up = pair.dmz.open(writeHeader);
    await settle();
    const pieces: Buffer[] = [];
    const main = pair.opened[0] as LaneStream;
    main.onData = (bytes, release) => {
      pieces.push(Buffer.from(bytes));
      release();
    };
    const words = ['one', 'two', 'three', 'four'];
    for (const [index, word] of words.entries()) {
      if (index % 2 === 0) {
        up.write(Buffer.from(word));
      } else {
        const frame = up.acquireFrame();
        frame.payload.write(word);
        up.writeFrame(frame, word.length);
      }
    }
    await settle();
    await settle();
    expect(Buffer.concat(pieces).toString()).toBe(words.join(''));
    expect(pair.pools.dmz.lent).toBe(0);
    expect(pair.failures).toEqual([]);
  });

  it('the rest of a piece that was cut after its first byte', async () => {
    const { up, sent } = await openUp();
    const [first, second] = [randomBytes(framePayloadBytesMax - 1), randomBytes(1000)];
    up.write(first);
    up.write(second);
    await settle();
    expect(sizesOf(sent())).toEqual([framePayloadBytesMax, 999]);
    expect(Buffer.concat(sent().map(({ payload }) => payload))).toEqual(Buffer.concat([first, second]));
  });

  it('nothing after its reset, not even an end that was due', async () => {
    const { up, sent } = await openUp();
    up.write(Buffer.alloc(windowBytesStart + 10));
    up.end();
    up.reset(no);
    await settle();
    await settle();
    expect(typesOf(sent()).at(-1)).toBe(frameType.reset);
  });

  it('its end and main’s trailer when all was dealt with, however early main had it ready', async () => {
    const { peer, stream, releases, sent } = await openAtMain();
    stream.end({ sha256: 'abc' });
    await settle();
    expect(sent()).toEqual([]);
    peer.send(frameType.data, 1, Buffer.alloc(600));
    await settle();
    releases[0]?.();
    await settle();
    expect(typesOf(sent())).toEqual([frameType.credit]);
    peer.send(frameType.end, 1, '');
    await settle();
    expect(sent().at(-1)).toMatchObject({ type: frameType.end, payload: Buffer.from('{"sha256":"abc"}') });
  });
});

describe('a writer that was told to wait', () => {
  it('is told to go on once, when less than the low mark waits', async () => {
    const { peer, up } = await openUp();
    up.write(Buffer.alloc(windowBytesStart));
    await settle();
    let drained = 0;
    up.onDrain = () => void (drained += 1);
    expect(up.write(Buffer.alloc(streamQueuedBytesHigh))).toBe(false);
    await settle();
    peer.sendBytes(encodeCredit(up.id, 0, streamQueuedBytesHigh - streamQueuedBytesLow));
    await settle();
    expect([up.queuedBytes, drained]).toEqual([streamQueuedBytesLow, 0]);
    peer.sendBytes(encodeCredit(up.id, 0, 512));
    await settle();
    expect([up.queuedBytes, drained]).toEqual([streamQueuedBytesLow, 0]);
    peer.sendBytes(encodeCredit(up.id, 0, framePayloadBytesMax));
    await settle();
    expect(drained).toBe(1);
    peer.sendBytes(encodeCredit(up.id, 0, windowBytesStart));
    await settle();
    expect([up.queuedBytes, drained]).toEqual([0, 1]);
  });

  it('alone is told: not one that may go on, and not one whose stream is over', async () => {
    const { up } = await openUp();
    let drained = 0;
    up.onDrain = () => void (drained += 1);
    up.write(Buffer.alloc(10));
    await settle();
    expect(drained).toBe(0);
    expect(up.write(Buffer.alloc(windowBytesStart + streamQueuedBytesHigh))).toBe(false);
    up.reset(no);
    await settle();
    await settle();
    expect(drained).toBe(0);
  });
});

describe('what a stream tells its owner', () => {
  it('is each byte that was dealt with, and nothing when only the window grew', async () => {
    const { peer, up } = await openUp();
    const told: number[] = [];
    up.onAcknowledged = (bytes) => told.push(bytes);
    up.write(Buffer.alloc(100));
    await settle();
    peer.sendBytes(encodeCredit(up.id, 0, 10));
    await settle();
    expect(told).toEqual([]);
    peer.sendBytes(encodeCredit(up.id, 1, 0));
    await settle();
    expect(told).toEqual([1]);
  });

  it('and what the owner throws at it is told to our own side', async () => {
    const pair = await buildLanePair({
      onOpen: (_header, stream) => {
        stream.onData = () => {
          throw new Error('bug');
        };
      },
    });
    pair.dmz.open(writeHeader).write(Buffer.alloc(10));
    await settle();
    await settle();
    expect(pair.failures).toEqual([new Error('bug')]);
  });
});

describe('what a stream was sent', () => {
  it('in breach of the protocol holds no buffer', async () => {
    const peer = await buildRawPeer('dmz');
    const up = peer.lane.open(writeHeader);
    peer.send(frameType.data, up.id, Buffer.alloc(framePayloadBytesMax));
    await settle();
    expect(peer.closing()).toEqual({ reason: 'data on a stream that only sends', breach: true });
    expect(peer.pool.lent).toBe(0);
  });

  it('is acknowledged in quarters also when its end is there already', async () => {
    const { peer, releases, sent } = await openAtMain();
    for (let frame = 0; frame < 4; frame += 1)
      peer.send(frameType.data, 1, Buffer.alloc(framePayloadBytesMax));
    peer.send(frameType.end, 1, '');
    await settle();
    for (const release of releases.splice(0, 2)) release();
    await settle();
    expect(typesOf(sent())).toEqual([frameType.credit]);
    for (const release of releases.splice(0)) release();
    await settle();
    expect(typesOf(sent())).toEqual([frameType.credit, frameType.credit, frameType.end]);
  });

  it('and was nothing, or is acknowledged already, is answered with the end alone', async () => {
    const empty = await openAtMain();
    empty.peer.send(frameType.end, 1, '');
    await settle();
    expect(typesOf(empty.sent())).toEqual([frameType.end]);
    const { peer, releases, sent } = await openAtMain();
    peer.send(frameType.data, 1, Buffer.alloc(100));
    await settle();
    releases[0]?.();
    await settle();
    peer.send(frameType.end, 1, '');
    await settle();
    expect(typesOf(sent())).toEqual([frameType.credit, frameType.end]);
  });

  it('is acknowledged no more once its stream was reset', async () => {
    const { peer, stream, releases, sent } = await openAtMain();
    peer.send(frameType.data, 1, Buffer.alloc(100));
    await settle();
    releases[0]?.();
    stream.reset(no);
    await settle();
    expect(typesOf(sent())).toEqual([frameType.reset]);
  });

  it('has an end, at which main may still refuse it: then no other end goes out', async () => {
    const { peer, stream, sent } = await openAtMain();
    stream.onEnd = () => stream.reset(no);
    peer.send(frameType.end, 1, '');
    await settle();
    expect(typesOf(sent())).toEqual([frameType.reset]);
  });
});

describe('S-09: a window that wants to grow', () => {
  it('and is not let has taken nothing that it could give back', async () => {
    const time = { ms: 0 };
    const pair = await buildLanePair({ roundTrip: { now: () => time.ms, rttMs: () => 50 } });
    expect(pair.dmz.takeGrowth(windowGrowthPerLaneMax)).toBe(true);
    const down = pair.dmz.open(readHeader);
    const releases: (() => void)[] = [];
    down.onData = (_bytes, release) => void releases.push(release);
    await settle();
    pair.opened[0]?.write(Buffer.alloc(windowBytesStart));
    await settle();
    time.ms = 50;
    for (const release of releases) release();
    await settle();
    down.reset(no);
    expect(pair.dmz.takeGrowth(1)).toBe(false);
  });
});

describe('a download, while more is coming at once,', () => {
  it('is handed on some frames at a time, and by single frames again when nothing more comes', async () => {
    const { told, sendFrame, quiet, pair } = await openBusyDownload();
    for (let frame = 1; frame < gatheredFramesMax; frame += 1) await sendFrame();
    expect(told).toEqual([]);
    await sendFrame();
    expect(told).toEqual([0, 1, 2, 3]);
    await sendFrame();
    expect(told).toHaveLength(4);
    quiet();
    expect(told).toEqual([0, 1, 2, 3, 4]);
    await sendFrame();
    expect(told).toEqual([0, 1, 2, 3, 4, 5]);
    expect(pair.pools.dmz.lent).toBe(0);
  });

  it('does not wait with less than a frame, nor what came before it', async () => {
    const { told, send, sendFrame } = await openBusyDownload();
    await sendFrame();
    await send(framePayloadBytesMax - 1);
    expect(told).toEqual([0, 1]);
  });

  it('is handed on in full before its end, and before main’s reset', async () => {
    const ended = await openBusyDownload();
    await ended.sendFrame();
    ended.main.end();
    await settle();
    expect(ended.told).toEqual([0, 'end']);
    const refused = await openBusyDownload();
    await refused.sendFrame();
    refused.main.reset(no);
    await settle();
    expect(refused.told).toEqual([0, 'not-allowed']);
    expect([ended.pair.pools.dmz.lent, refused.pair.pools.dmz.lent]).toEqual([0, 0]);
  });

  it('that its owner ends is handed on no further, and every buffer given back', async () => {
    const waiting = await openBusyDownload();
    await waiting.sendFrame();
    expect(waiting.pair.pools.dmz.lent).toBe(1);
    waiting.down.reset(no);
    expect(waiting.pair.pools.dmz.lent).toBe(0);
    waiting.quiet();
    expect(waiting.told).toEqual([]);

    for (const over of ['a frame', 'the end', 'a reset']) {
      const { down, main, told, sendFrame, quiet, pair } = await openBusyDownload();
      const { onData } = down;
      down.onData = (bytes, release) => {
        onData(bytes, release);
        down.reset(no);
      };
      await sendFrame();
      await sendFrame();
      if (over === 'a frame') quiet();
      else if (over === 'the end') main.end();
      else main.reset(no);
      await settle();
      expect(told, over).toEqual([0]);
      expect([pair.pools.dmz.lent, pair.failures], over).toEqual([0, []]);
    }
  });

  it('holds nothing of an upload back: its acknowledgement may be waited for', async () => {
    const transport = buildBusyTransport();
    const pair = await buildLanePair({ wrapMain: transport.wrap });
    const up = pair.dmz.open(writeHeader);
    up.write(Buffer.alloc(framePayloadBytesMax));
    await settle();
    await settle();
    expect(up.acknowledgedBytes).toBe(framePayloadBytesMax);
  });
});
