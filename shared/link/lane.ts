/**
 * One data connection with its streams (D-03): reads frames to the streams they name, and lets streams send in turn
 * while little is queued in the socket, so that a new small stream need not wait behind a large one's bytes.
 *
 * The DMZ opens every stream, with rising numbers; a number once closed is never used again, so frames that were on
 * their way when a stream ended are known to be late and dropped, while a number never opened is a breach.
 *
 * It decides nothing about who may read or write what: a stream's header goes to the dispatcher as it came.
 *
 * Trust: everything in `#receive` comes from the peer. Any breach ends the lane, and its owner ends the link.
 */
import type { ErrorCode } from '#shared/error-codes.ts';
import { SallyportError } from '#shared/error.ts';
import type { ByteTransport } from './byte-transport.ts';
import { decodeOpen, decodeReset, decodeTrailer, encodeOpen, encodeReset } from './codec.ts';
import type { FramePool, PooledFrame } from './frame-pool.ts';
import { FrameReader } from './frame-reader.ts';
import {
  encodeCredit,
  encodeFrame,
  frameHeaderBytes,
  frameType,
  writeFrameHeader,
  type FrameType,
} from './frames.ts';
import { framePayloadBytesMax, type LaneStream } from './lane-stream.ts';
import {
  socketQueuedBytesLow,
  socketQueuedBytesMax,
  streamsPerLinkMax,
  windowGrowthPerLaneMax,
} from './limits.ts';
import type { StreamHeader } from './messages.ts';
import { SendRing } from './send-ring.ts';
import type { RoundTrip } from './window-growth.ts';
import { Stream, type LaneSide, type Outgoing, type StreamHost } from './streams.ts';

interface LaneOptions {
  readonly side: LaneSide;
  readonly transport: ByteTransport;
  readonly pool: FramePool;
  /** Main only: a stream the DMZ opened. Set its handlers before returning. */
  readonly onOpen?: (header: StreamHeader, stream: LaneStream) => void;
  /** DMZ only: the token of the JOIN frame, which comes first and once. False: not one of ours. */
  readonly onJoin?: (token: string) => boolean;
  /** Once. `breach` is set when the peer broke the protocol: the whole link must go. */
  readonly onClose: (reason: string, breach: boolean) => void;
  /** Of the control connection to the same peer: long links get wider windows. */
  readonly roundTrip: RoundTrip;
  /** A stream owner's handler threw. */
  readonly onFailure: (error: unknown) => void;
}

export class Lane implements StreamHost {
  readonly side: LaneSide;
  readonly pool: FramePool;
  readonly roundTrip: RoundTrip;
  readonly #options: LaneOptions;
  readonly #transport: ByteTransport;
  readonly #reader: FrameReader;
  readonly #streams = new Map<number, Stream>();
  readonly #perSession = new Map<string, number>();
  readonly #ring = new SendRing<Stream>();
  /** Highest stream number seen or given out. */
  #lastId = 0;
  #joined: boolean;
  /** What the windows of its streams have grown by. */
  #grownBytes = 0;
  #socketQueuedBytes = 0;
  #pumping = false;
  /** Streams with bytes that wait for more. */
  readonly #holding = new Set<Stream>();
  #closed = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.side = options.side;
    this.pool = options.pool;
    this.roundTrip = options.roundTrip;
    this.#transport = options.transport;
    this.#joined = options.side === 'main';
    this.#reader = new FrameReader(options.pool, {
      onFrame: (type, streamId, payload, frame) => {
        const breach = this.#receive(type, streamId, payload, frame);
        if (breach !== undefined) this.#fail(breach);
      },
    });
  }

  start(): void {
    this.#transport.start({
      onBytes: (bytes, length) => {
        try {
          this.#reader.read(bytes, length);
        } catch (error) {
          this.#fail(error instanceof SallyportError ? (error.detail ?? error.code) : String(error));
        }
      },
      onQuiet: () => {
        for (const stream of this.#holding) stream.deliver();
        this.#holding.clear();
      },
      onClose: (reason) => {
        this.#close(reason, false);
      },
    });
  }

  /** Main's first frame. */
  join(token: string): void {
    this.#send(encodeFrame(frameType.join, 0, Buffer.from(token)));
  }

  get isOpen(): boolean {
    return this.#joined && !this.#closed;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Streams of one session. */
  countOf(session: string): number {
    return this.#perSession.get(session) ?? 0;
  }

  /** Sessions with open streams. */
  sessions(): string[] {
    return [...this.#perSession.keys()];
  }

  /** Ends every stream of a session, and tells both its owners. */
  abortSession(session: string, error: SallyportError): void {
    for (const stream of this.#streams.values()) if (stream.group === session) stream.abort(error);
  }

  /** What is in the socket now: the lane with least is the least busy. */
  get socketQueuedBytes(): number {
    return this.#socketQueuedBytes;
  }

  /** DMZ only. */
  open(header: StreamHeader): LaneStream {
    if (!this.isOpen) throw new SallyportError('link-down', 'The connection to the inside is down');
    const payload = encodeOpen(header);
    this.#lastId += 1;
    const stream = new Stream(this, this.#lastId, header.kind, header.session);
    this.#keep(stream);
    this.#send(encodeFrame(frameType.open, stream.id, payload));
    return stream;
  }

  close(reason: string): void {
    this.#close(reason, false);
  }

  // — for its streams —

  activate(stream: Stream): void {
    if (this.#closed) return;
    this.#ring.add(stream);
    this.#pump();
  }

  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  mayHold(stream: Stream): boolean {
    // Main hands a client's bytes to the kernel as they come: an acknowledgement may be waited for.
    if (this.side === 'main' || this.#transport.isBusy !== true) return false;
    this.#holding.add(stream);
    return true;
  }

  sendEnd(stream: Stream, payload: Buffer): void {
    this.#send(encodeFrame(frameType.end, stream.id, payload));
  }

  sendReset(stream: Stream, error: SallyportError): void {
    this.#send(encodeFrame(frameType.reset, stream.id, encodeReset(error)));
  }

  sendCredit(stream: Stream, acknowledgedBytes: number, windowBytes: number): void {
    this.#send(encodeCredit(stream.id, acknowledgedBytes, windowBytes));
  }

  takeGrowth(bytes: number): boolean {
    if (this.#grownBytes + bytes > windowGrowthPerLaneMax) return false;
    this.#grownBytes += bytes;
    return true;
  }

  forget(stream: Stream): void {
    this.#ring.remove(stream);
    if (!this.#streams.delete(stream.id)) return;
    this.#grownBytes -= stream.grownBytes;
    const left = this.countOf(stream.group) - 1;
    if (left === 0) this.#perSession.delete(stream.group);
    else this.#perSession.set(stream.group, left);
  }

  reportFailure(error: unknown): void {
    this.#options.onFailure(error);
  }

  #keep(stream: Stream): void {
    this.#streams.set(stream.id, stream);
    this.#perSession.set(stream.group, this.countOf(stream.group) + 1);
  }

  #send(bytes: Buffer): void {
    if (this.#closed) return;
    this.#socketQueuedBytes += bytes.length;
    this.#transport.write(bytes, () => {
      this.#socketQueuedBytes -= bytes.length;
      this.#pump();
    });
    if (this.#socketQueuedBytes > socketQueuedBytesMax) this.#fail('the peer does not read');
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#closed && this.#socketQueuedBytes < socketQueuedBytesLow) {
      const stream = this.#ring.next();
      if (stream === undefined) break;
      if (!stream.isReady) continue;
      const outgoing = stream.takeOutgoing();
      if (outgoing !== undefined) this.#sendData(stream, outgoing);
      if (stream.isReady) this.#ring.add(stream);
    }
    this.#pumping = false;
  }

  #sendData(stream: Stream, { frame, payloadBytes, sent }: Outgoing): void {
    writeFrameHeader(frame.buffer, frameType.data, stream.id, payloadBytes);
    const bytes =
      payloadBytes === framePayloadBytesMax
        ? frame.buffer
        : frame.buffer.subarray(0, frameHeaderBytes + payloadBytes);
    this.#socketQueuedBytes += bytes.length;
    this.#transport.write(bytes, () => {
      this.#socketQueuedBytes -= bytes.length;
      this.pool.release(frame);
      for (const tell of sent) {
        try {
          tell();
        } catch (error) {
          this.#options.onFailure(error);
        }
      }
      stream.notifyDrained();
      this.#pump();
    });
  }

  /** Returns what is in breach, if anything. */
  #receive(
    type: FrameType,
    streamId: number,
    payload: Buffer,
    frame: PooledFrame | undefined,
  ): string | undefined {
    // Only data outlives this call; the pool hands nothing out before it returns.
    if (frame !== undefined && type !== frameType.data) this.pool.release(frame);
    const stream = this.#streams.get(streamId);
    if (frame !== undefined && type === frameType.data && (stream === undefined || !this.isOpen))
      this.pool.release(frame);
    if (this.#closed) return undefined;
    if (!this.#joined) return type === frameType.join ? this.#join(payload) : 'a frame before the join';
    if (type === frameType.join) return 'a second join';
    if (type === frameType.open) return this.#open(streamId, payload);
    if (stream === undefined)
      return streamId > this.#lastId ? `a frame of stream ${streamId}, which was never opened` : undefined;
    switch (type) {
      case frameType.data:
        return stream.receiveData(payload, frame);
      case frameType.credit:
        return stream.receiveCredit(payload.readUInt32LE(0), payload.readUInt32LE(4));
      case frameType.end: {
        const trailer = decodeTrailer(payload);
        return trailer === undefined ? 'a bad trailer' : stream.receiveEnd(trailer);
      }
      case frameType.reset: {
        const error = decodeReset(payload);
        if (error === undefined) return 'a bad reset';
        stream.receiveReset(error);
        return undefined;
      }
    }
  }

  #join(payload: Buffer): string | undefined {
    this.#joined = true;
    return this.#options.onJoin?.(payload.toString('latin1')) === true ? undefined : 'an unknown lane token';
  }

  #open(streamId: number, payload: Buffer): string | undefined {
    const onOpen = this.#options.onOpen;
    if (onOpen === undefined) return 'a stream opened by main';
    if (streamId <= this.#lastId) return 'a stream number used again';
    const header = decodeOpen(payload);
    if (header === undefined) return 'a bad stream header';
    this.#lastId = streamId;
    const stream = new Stream(this, streamId, header.kind, header.session);
    if (this.#streams.size >= streamsPerLinkMax) {
      this.sendReset(stream, new SallyportError('busy', 'Too many transfers at once'));
      return undefined;
    }
    this.#keep(stream);
    try {
      onOpen(header, stream);
    } catch (error) {
      this.#options.onFailure(error);
      stream.reset(new SallyportError('internal', 'Something went wrong on our side'));
    }
    return undefined;
  }

  #fail(detail: string): void {
    this.#close(detail, true);
  }

  #close(reason: string, breach: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.close();
    this.#transport.close(reason);
    const code: ErrorCode = 'link-down';
    const error = new SallyportError(code, 'The connection to the inside was lost', { detail: reason });
    // First its link, so that who takes a stream up again does not find this lane.
    this.#options.onClose(reason, breach);
    for (const stream of this.#streams.values()) stream.receiveReset(error);
  }
}
