import type { SallyportError } from '#shared/error.ts';

/** Most payload one frame carries: 64 KiB frames were measured faster than 32 and 128 KiB. */
export const framePayloadBytesMax = 65_536;

/**
 * One frame's buffer, from the lane's pool, with room for the header before the payload: bytes read into it go to the
 * socket without a copy. Whoever acquired it hands it back exactly once, with `writeFrame` or `discardFrame`.
 */
export interface LaneFrame {
  /** `framePayloadBytesMax` bytes to fill from the start. Not to be touched once handed back. */
  readonly payload: Buffer;
}

/**
 * One stream of bytes on a data lane, as both ends hold it. Implemented in `streams.ts`.
 *
 * Flow control is credit: the sender may have at most the window outstanding; the receiver gives credit back by
 * calling `release` for each piece it has really dealt with. A receiver that holds on to pieces therefore stops its
 * own stream and nobody else's, and never holds more than the window.
 *
 * Handlers are set by the owner right after it gets the stream and are called from the event loop, never re-entrantly
 * from `write`.
 *
 * Life: a `read` stream is over with main's `end`, a `write` stream when main has released every piece after the
 * DMZ's `end` (main's own END then goes out by itself; the DMZ's `onEnd` tells that all is with main's kernel). Either
 * is over with a reset from either side.
 *
 * The fast way to send a file (main's reader): acquire up to 8 frames, one `readv` into their payloads, `writeFrame`
 * each with its length, discard the unused; once `writeFrame` said false, read on at `onDrain`.
 */
export interface LaneStream {
  readonly id: number;

  /**
   * Queues bytes (any length; cut into frames inside). The bytes are not copied and must stay untouched until `sent`
   * is called. False: more than the high-water mark is queued, wait for `onDrain`. `sent` is called
   * exactly once, also when a reset discards the bytes.
   */
  write(bytes: Uint8Array, sent?: () => void): boolean;
  /** An empty frame buffer from the pool. Good also after the stream is over: then it is only to be handed back. */
  acquireFrame(): LaneFrame;
  /** Like `write` for the first `lengthBytes` of the frame's payload, without a copy; the frame is the stream's now. */
  writeFrame(frame: LaneFrame, lengthBytes: number): boolean;
  /** Hands an unused frame back. */
  discardFrame(frame: LaneFrame): void;
  /**
   * No more bytes from this side. `trailer` ≤ 4 KiB of JSON-able facts for the other side. Main, on a `write` stream,
   * calls it only to send a trailer, and before its last `release`.
   */
  end(trailer?: Readonly<Record<string, unknown>>): void;
  /** Ends both directions at once and tells the peer why. Safe to call twice. */
  reset(error: SallyportError): void;

  /** Bytes queued here and not yet on the wire. */
  readonly queuedBytes: number;
  /** Bytes of this side's sending that the peer has dealt with: for a write stream, main's kernel has them. */
  readonly acknowledgedBytes: number;

  /** A piece arrived. Call `release` exactly once when done with `bytes`; the buffer is reused afterwards. */
  onData: (bytes: Buffer, release: () => void) => void;
  onEnd: (trailer: Readonly<Record<string, unknown>>) => void;
  /** Reset by the peer, or the lane died (`link-down`). After it nothing else is called (`sent` excepted). */
  onReset: (error: SallyportError) => void;
  onDrain: () => void;
  /** `acknowledgedBytes` has grown. */
  onAcknowledged: (acknowledgedBytes: number) => void;
}
