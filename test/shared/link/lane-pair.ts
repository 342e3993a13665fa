/** Two lanes joined in memory, and raw frames for those who want to misbehave. */
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { encodeFrame, frameType, type FrameType } from '#shared/link/frames.ts';
import { Lane } from '#shared/link/lane.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { buildMemoryBytes } from '#test/harness/memory-transport.ts';
import type { StreamHeader } from '#shared/link/messages.ts';
import type { RoundTrip } from '#shared/link/window-growth.ts';
import { randomId } from '#shared/random-id.ts';

export const session = randomId();
export const readHeader: StreamHeader = { kind: 'read', session, handle: 1, offset: 0 };
export const writeHeader: StreamHeader = { kind: 'write', session, handle: 1, offset: 0 };

/** A link in one room. */
export const roundTrip: RoundTrip = { now: () => 0, rttMs: () => undefined };

export interface Closing {
  readonly reason: string;
  readonly breach: boolean;
}

export interface LanePair {
  readonly dmz: Lane;
  readonly main: Lane;
  readonly pools: { readonly dmz: FramePool; readonly main: FramePool };
  /** Streams main was given, in order. */
  readonly opened: LaneStream[];
  readonly closed: { dmz?: Closing; main?: Closing };
  /** What owners threw, on both sides. */
  readonly failures: unknown[];
}

type Wrap = (transport: ByteTransport) => ByteTransport;

/** Joined when it resolves. `onOpen` defaults to keeping the stream as it is. */
export async function buildLanePair(
  options: {
    readonly onOpen?: (header: StreamHeader, stream: LaneStream) => void;
    readonly roundTrip?: RoundTrip;
    readonly wrapDmz?: Wrap;
    readonly wrapMain?: Wrap;
  } = {},
): Promise<LanePair> {
  const [dmzEnd, mainEnd] = buildMemoryBytes();
  const pools = { dmz: new FramePool(), main: new FramePool() };
  const opened: LaneStream[] = [];
  const closed: LanePair['closed'] = {};
  const failures: unknown[] = [];
  const onFailure = (error: unknown): void => void failures.push(error);
  const dmz = new Lane({
    side: 'dmz',
    transport: options.wrapDmz?.(dmzEnd) ?? dmzEnd,
    pool: pools.dmz,
    roundTrip: options.roundTrip ?? roundTrip,
    onJoin: () => true,
    onClose: (reason, breach) => {
      closed.dmz = { reason, breach };
    },
    onFailure,
  });
  const main = new Lane({
    side: 'main',
    transport: options.wrapMain?.(mainEnd) ?? mainEnd,
    pool: pools.main,
    roundTrip: options.roundTrip ?? roundTrip,
    onOpen: (header, stream) => {
      opened.push(stream);
      options.onOpen?.(header, stream);
    },
    onClose: (reason, breach) => {
      closed.main = { reason, breach };
    },
    onFailure,
  });
  dmz.start();
  main.start();
  main.join(randomId());
  await settle();
  return { dmz, main, pools, opened, closed, failures };
}

/** A transport that has more coming at once, until it is told to be quiet. */
export function buildBusyTransport(): { readonly wrap: Wrap; quiet(): void } {
  let isBusy = true;
  let tell = (): void => undefined;
  return {
    wrap: (transport) => ({
      start: (receiver) => {
        tell = () => receiver.onQuiet?.();
        transport.start(receiver);
      },
      write: (bytes, done) => transport.write(bytes, done),
      close: (reason) => transport.close(reason),
      get isBusy() {
        return isBusy;
      },
    }),
    quiet: () => {
      isBusy = false;
      tell();
    },
  };
}

/** A lane of the given side whose peer is the test itself. */
export async function buildRawPeer(side: 'dmz' | 'main'): Promise<{
  readonly lane: Lane;
  readonly pool: FramePool;
  readonly opened: LaneStream[];
  closing(): Closing | undefined;
  send(type: FrameType, streamId: number, payload: Uint8Array | string): void;
  sendBytes(bytes: Uint8Array): void;
  received(): Buffer;
  hangUp(): void;
}> {
  const [laneEnd, testEnd] = buildMemoryBytes();
  const pool = new FramePool();
  const opened: LaneStream[] = [];
  const pieces: Buffer[] = [];
  let closing: Closing | undefined;
  const lane = new Lane({
    side,
    transport: laneEnd,
    pool,
    roundTrip,
    ...(side === 'main' ? { onOpen: (_header, stream) => void opened.push(stream) } : { onJoin: () => true }),
    onClose: (reason, breach) => {
      closing = { reason, breach };
    },
    onFailure: () => undefined,
  });
  testEnd.start({
    onBytes: (bytes, length) => void pieces.push(Buffer.from(bytes.subarray(0, length))),
    onClose: () => undefined,
  });
  lane.start();
  const sendBytes = (bytes: Uint8Array): void => testEnd.write(bytes, () => undefined);
  if (side === 'dmz') sendBytes(encodeFrame(frameType.join, 0, Buffer.from(randomId())));
  await settle();
  return {
    lane,
    pool,
    opened,
    closing: () => closing,
    send: (type, streamId, payload) => sendBytes(encodeFrame(type, streamId, Buffer.from(payload))),
    sendBytes,
    received: () => Buffer.concat(pieces),
    hangUp: () => testEnd.close('hung up'),
  };
}

/** Everything in memory moves in microtasks; one turn of the loop lets all of them run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The frames in what a lane sent. */
export function framesIn(bytes: Buffer): { type: number; streamId: number; payload: Buffer }[] {
  const frames: { type: number; streamId: number; payload: Buffer }[] = [];
  for (let at = 0; at < bytes.length; at += 12 + bytes.readUInt32LE(at + 8))
    frames.push({
      type: bytes.readUInt32LE(at),
      streamId: bytes.readUInt32LE(at + 4),
      payload: bytes.subarray(at + 12, at + 12 + bytes.readUInt32LE(at + 8)),
    });
  return frames;
}
