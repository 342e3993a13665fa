/** Lane frames on the wire: a 12-byte header, then at most 64 KiB of payload. PROTOCOL.md has the table. */
import { framePayloadBytesMax } from './lane-stream.ts';
import { openBytesMax, resetBytesMax, trailerBytesMax } from './limits.ts';

export const frameHeaderBytes = 12;

export const frameType = {
  /** First frame of a lane: the token that came over control. */
  join: 1,
  /** A new stream: JSON of its header. */
  open: 2,
  data: 3,
  /** No more data from this side: empty, or the trailer's JSON. */
  end: 4,
  /** The stream is over at once: JSON of the error's public half. */
  reset: 5,
  /** uint32 bytes dealt with, uint32 window given back. */
  credit: 6,
} as const;
export type FrameType = (typeof frameType)[keyof typeof frameType];

/** 256 bits in base64url, as `randomId` writes them. */
const joinTokenBytes = 43;
const creditPayloadBytes = 8;
/**
 * A data frame takes at least this much of the window, whatever its length: a receiver's cost is by the piece too, and
 * 512 KiB in frames of one byte would be half a million of them.
 */
export const frameCostBytesMin = 512;

export function frameCost(payloadBytes: number): number {
  return Math.max(payloadBytes, frameCostBytesMin);
}

/** Fewest and most payload bytes each type may have. */
export const payloadRange: Readonly<Record<number, readonly [number, number]>> = {
  [frameType.join]: [joinTokenBytes, joinTokenBytes],
  [frameType.open]: [2, openBytesMax],
  [frameType.data]: [1, framePayloadBytesMax],
  [frameType.end]: [0, trailerBytesMax],
  [frameType.reset]: [2, resetBytesMax],
  [frameType.credit]: [creditPayloadBytes, creditPayloadBytes],
};

/** Writes the header at the start of `target`. */
export function writeFrameHeader(
  target: Buffer,
  type: FrameType,
  streamId: number,
  payloadBytes: number,
): void {
  // Bytes 1 to 3 are flags and reserved: zero in version 1.
  target.writeUInt32LE(type, 0);
  target.writeUInt32LE(streamId, 4);
  target.writeUInt32LE(payloadBytes, 8);
}

/** A whole small frame in one buffer. */
export function encodeFrame(type: FrameType, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, type, streamId, payload.length);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

export function encodeCredit(streamId: number, acknowledgedBytes: number, windowBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + creditPayloadBytes);
  writeFrameHeader(bytes, frameType.credit, streamId, creditPayloadBytes);
  bytes.writeUInt32LE(acknowledgedBytes, frameHeaderBytes);
  bytes.writeUInt32LE(windowBytes, frameHeaderBytes + 4);
  return bytes;
}
