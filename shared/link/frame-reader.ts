/**
 * Reads lane frames off a byte stream. Takes bytes as they come and fills each large payload straight into a pooled
 * frame, so that a receiver gets whole frames whatever TLS made of them. It trusts no length: what is over the bound
 * of its type is a breach before a byte of it is kept.
 *
 * Trust: `read` eats the peer's raw bytes; main must survive a hostile node, a node a hostile main.
 */
import { SallyportError } from '#shared/error.ts';
import type { FramePool, PooledFrame } from './frame-pool.ts';
import { frameHeaderBytes, frameType, payloadRange, type FrameType } from './frames.ts';
import { framePayloadBytesMax } from './lane-stream.ts';

/** Below it a payload gets a buffer of its own size: a pooled 64 KiB one would be held for a few bytes. */
const pooledPayloadBytesMin = 32_768;

interface FrameSink {
  /**
   * One whole frame. With `frame` the payload lies in a pooled buffer that the sink must give back; without, the
   * payload is its own.
   */
  onFrame(type: FrameType, streamId: number, payload: Buffer, frame: PooledFrame | undefined): void;
}

function breach(detail: string): never {
  throw new SallyportError('protocol-violation', 'Bad frame', { detail });
}

export class FrameReader {
  readonly #pool: FramePool;
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerBytes = 0;
  #type: FrameType = frameType.join;
  #streamId = 0;
  #payload: Buffer | undefined;
  #payloadBytes = 0;
  #filledBytes = 0;
  #frame: PooledFrame | undefined;
  #closed = false;

  constructor(pool: FramePool, sink: FrameSink) {
    this.#pool = pool;
    this.#sink = sink;
  }

  /**
   * Takes the first `length` bytes of `bytes`, which may be used again afterwards. Throws `protocol-violation` at the
   * first impossible header; nothing after it is looked at, then or later.
   */
  read(bytes: Buffer, length: number): void {
    let at = 0;
    while (at < length && !this.#closed) {
      if (this.#payload === undefined) {
        const take = Math.min(frameHeaderBytes - this.#headerBytes, length - at);
        bytes.copy(this.#header, this.#headerBytes, at, at + take);
        this.#headerBytes += take;
        at += take;
        if (this.#headerBytes < frameHeaderBytes) return;
        this.#headerBytes = 0;
        this.#begin();
      } else {
        const take = Math.min(this.#payloadBytes - this.#filledBytes, length - at);
        bytes.copy(this.#payload, this.#filledBytes, at, at + take);
        this.#filledBytes += take;
        at += take;
      }
      if (this.#filledBytes === this.#payloadBytes) this.#finish();
    }
  }

  /** Forgets a half-read frame; reads nothing more. */
  close(): void {
    this.#closed = true;
    if (this.#frame !== undefined) this.#pool.release(this.#frame);
    this.#frame = undefined;
    this.#payload = undefined;
  }

  #begin(): void {
    const typeAndFlags = this.#header.readUInt32LE(0);
    const streamId = this.#header.readUInt32LE(4);
    const payloadBytes = this.#header.readUInt32LE(8);
    const range = payloadRange[typeAndFlags];
    if (range === undefined) {
      this.#closed = true;
      breach(`unknown type or flags ${this.#header.toString('hex', 0, 4)}`);
    }
    if (payloadBytes < range[0] || payloadBytes > range[1] || (streamId === 0) !== (typeAndFlags === 1)) {
      this.#closed = true;
      breach(`type ${typeAndFlags} of stream ${streamId} with ${payloadBytes} bytes`);
    }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the range table has exactly the known types
    this.#type = typeAndFlags as FrameType;
    this.#streamId = streamId;
    this.#payloadBytes = payloadBytes;
    this.#filledBytes = 0;
    if (payloadBytes < pooledPayloadBytesMin) {
      this.#payload = Buffer.allocUnsafe(payloadBytes);
    } else {
      this.#frame = this.#pool.acquire();
      this.#payload =
        payloadBytes === framePayloadBytesMax
          ? this.#frame.payload
          : this.#frame.payload.subarray(0, payloadBytes);
    }
  }

  #finish(): void {
    const payload = this.#payload;
    const frame = this.#frame;
    this.#payload = undefined;
    this.#frame = undefined;
    if (payload !== undefined) this.#sink.onFrame(this.#type, this.#streamId, payload, frame);
  }
}
