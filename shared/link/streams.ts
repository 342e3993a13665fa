/**
 * One stream's two halves (D-05): what waits to be sent under the peer's window, and what arrived under ours. Which
 * stream sends next, and the wire itself, are the lane's (`lane.ts`).
 *
 * While more is coming at once, the node's end gathers frames and hands them on together: each piece alone would be a
 * write to a client, a wake of that client and, by twos, a credit to main (D-132).
 *
 * Credit: a receiver gives window back for each released piece. On main (write streams) it does so as soon as nothing
 * is outstanding, because a client may wait for exactly that acknowledgement; else in quarters of the window.
 *
 * Trust: `receiveData`, `receiveEnd` and `receiveCredit` are fed by the peer; each returns what is in breach of the
 * protocol, and the lane then ends the link.
 */
import { SallyportError, toSallyportError } from '#shared/error.ts';
import { PooledFrame, type FramePool } from './frame-pool.ts';
import { frameCost } from './frames.ts';
import { framePayloadBytesMax, type LaneFrame, type LaneStream } from './lane-stream.ts';
import {
  gatheredFramesMax,
  streamQueuedBytesHigh,
  streamQueuedBytesLow,
  streamQueuedBytesMax,
  trailerBytesMax,
  windowBytesMax,
  windowBytesStart,
} from './limits.ts';
import { WindowGrowth, type RoundTrip } from './window-growth.ts';

export type LaneSide = 'dmz' | 'main';
type Trailer = Readonly<Record<string, unknown>>;

/** What a stream asks of its lane. */
export interface StreamHost {
  readonly side: LaneSide;
  readonly pool: FramePool;
  /** The stream has something to send now. */
  activate(stream: Stream): void;
  /** Calls back when what has already arrived in this process was looked at. */
  afterTurn(callback: () => void): void;
  sendEnd(stream: Stream, payload: Buffer): void;
  sendReset(stream: Stream, error: SallyportError): void;
  sendCredit(stream: Stream, acknowledgedBytes: number, windowBytes: number): void;
  readonly roundTrip: RoundTrip;
  /** Whether the lane has room for a window that grows by this; given back when the stream is over. */
  takeGrowth(bytes: number): boolean;
  /** Whether bytes may wait for more, because more is coming at once; `deliver` is called when it is not, and soon. */
  mayHold(stream: Stream): boolean;
  /** The stream is over; its frames are late from now on. */
  forget(stream: Stream): void;
  /** An owner's handler threw: our own fault, to be logged. */
  reportFailure(error: unknown): void;
}

interface Queued {
  /** The payload: a pooled frame that is ours, or the owner's bytes. */
  readonly frame: PooledFrame | undefined;
  readonly bytes: Uint8Array;
  readonly sent: (() => void) | undefined;
}

/** One frame's worth of bytes, ready for the wire. */
export interface Outgoing {
  readonly frame: PooledFrame;
  readonly payloadBytes: number;
  /** To call when the kernel has them, in order. */
  readonly sent: readonly (() => void)[];
}

const ignore = (): void => undefined;

export class Stream implements LaneStream {
  readonly id: number;
  /** Streams of one group share a turn: the session, so that nobody gains by opening more streams. */
  readonly group: string;
  readonly #host: StreamHost;
  readonly #sends: boolean;

  // Sending.
  readonly #queue: Queued[] = [];
  /** Bytes of the first queued item that are already in frames. */
  #queueAt = 0;
  #queuedBytes = 0;
  #windowLeft = windowBytesStart;
  /**
   * A client's bytes come in TLS records of 16 KiB, several in one turn of the event loop. Less than a frame of them
   * waits for the turn's end: whole frames were measured to halve what an upload costs main.
   */
  #isGathering = false;
  #sentBytes = 0;
  #acknowledgedBytes = 0;
  #wantsDrain = false;
  #endPayload: Buffer | undefined;
  #endSent = false;

  // Receiving.
  #receiveWindowLeft = windowBytesStart;
  /** Arrived, and not yet handed on. */
  #held: (readonly [bytes: Buffer, release: () => void])[] = [];
  #outstandingCost = 0;
  #releasedBytes = 0;
  #releasedCost = 0;
  #creditScheduled = false;
  #peerEnded = false;
  readonly #growth: WindowGrowth;

  #over = false;

  onData: (bytes: Buffer, release: () => void) => void = (_bytes, release) => release();
  onEnd: (trailer: Trailer) => void = ignore;
  onReset: (error: SallyportError) => void = ignore;
  onDrain: () => void = ignore;
  onAcknowledged: (acknowledgedBytes: number) => void = ignore;

  constructor(host: StreamHost, id: number, kind: 'read' | 'write', group: string) {
    this.#host = host;
    this.id = id;
    this.group = group;
    this.#growth = new WindowGrowth(host.roundTrip);
    this.#sends = (kind === 'read') === (host.side === 'main');
  }

  /** What this end has let the window grow by. */
  get grownBytes(): number {
    return this.#growth.grownBytes;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes;
  }

  // — the owner's side —

  write(bytes: Uint8Array, sent?: () => void): boolean {
    return this.#enqueue({ frame: undefined, bytes, sent });
  }

  acquireFrame(): LaneFrame {
    return this.#host.pool.acquire();
  }

  writeFrame(frame: LaneFrame, lengthBytes: number): boolean {
    const pooled = requirePooled(frame);
    const bytes =
      lengthBytes === framePayloadBytesMax ? pooled.payload : pooled.payload.subarray(0, lengthBytes);
    return this.#enqueue({ frame: pooled, bytes, sent: undefined });
  }

  discardFrame(frame: LaneFrame): void {
    this.#host.pool.release(requirePooled(frame));
  }

  end(trailer?: Trailer): void {
    if (this.#over || this.#endPayload !== undefined) return;
    const payload = trailer === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(trailer));
    if (payload.length > trailerBytesMax) throw new Error(`a stream's trailer over ${trailerBytesMax} bytes`);
    // The DMZ has nothing to end on a read stream.
    if (!this.#sends && this.#host.side === 'dmz') return;
    this.#endPayload = payload;
    if (this.#sends) this.#host.activate(this);
    else this.#endWhenReleased();
  }

  reset(error: SallyportError): void {
    if (this.#over) return;
    this.#host.sendReset(this, error);
    this.#finish();
  }

  /** Like `reset`, by somebody other than the owner, who is told. */
  abort(error: SallyportError): void {
    if (this.#over) return;
    this.reset(error);
    queueMicrotask(() => this.#guard(() => this.onReset(error)));
  }

  // — the lane's side: sending —

  /** Whether `takeOutgoing` or the END has something now. */
  get isReady(): boolean {
    if (this.#over || !this.#sends) return false;
    const next = this.#queue[0];
    if (next === undefined) return this.#endPayload !== undefined && !this.#endSent;
    if (this.#isGathering && this.#queuedBytes < framePayloadBytesMax && this.#endPayload === undefined)
      return false;
    return this.#windowLeft >= frameCost(Math.min(next.bytes.length - this.#queueAt, framePayloadBytesMax));
  }

  /** The next frame, within the window. Undefined: the END was due and is sent. Only when `isReady`. */
  takeOutgoing(): Outgoing | undefined {
    const next = this.#queue[0];
    if (next === undefined) {
      this.#endSent = true;
      this.#host.sendEnd(this, this.#endPayload ?? Buffer.alloc(0));
      if (this.#host.side === 'main') this.#finish();
      return undefined;
    }
    const outgoing = next.frame === undefined ? this.#gather() : this.#takeFrame(next, next.frame);
    this.#queuedBytes -= outgoing.payloadBytes;
    this.#sentBytes += outgoing.payloadBytes;
    this.#windowLeft -= frameCost(outgoing.payloadBytes);
    return outgoing;
  }

  #takeFrame({ bytes, sent }: Queued, frame: PooledFrame): Outgoing {
    this.#queue.shift();
    return { frame, payloadBytes: bytes.length, sent: sent === undefined ? [] : [sent] };
  }

  /** As many of the owner's bytes as a frame and the window have room for, in one frame. */
  #gather(): Outgoing {
    const frame = this.#host.pool.acquire();
    const sent: (() => void)[] = [];
    const room = Math.min(framePayloadBytesMax, this.#windowLeft);
    let payloadBytes = 0;
    let taken = 0;
    for (const item of this.#queue) {
      if (item.frame !== undefined || payloadBytes === room) break;
      const end = Math.min(item.bytes.length, this.#queueAt + room - payloadBytes);
      const isWhole = this.#queueAt === 0 && end === item.bytes.length;
      frame.payload.set(isWhole ? item.bytes : item.bytes.subarray(this.#queueAt, end), payloadBytes);
      payloadBytes += end - this.#queueAt;
      this.#queueAt = end;
      if (end < item.bytes.length) break;
      this.#queueAt = 0;
      taken += 1;
      if (item.sent !== undefined) sent.push(item.sent);
    }
    this.#queue.splice(0, taken);
    return { frame, payloadBytes, sent };
  }

  /** After bytes went out: the owner may write again. */
  notifyDrained(): void {
    if (this.#over || !this.#wantsDrain || this.#queuedBytes >= streamQueuedBytesLow) return;
    this.#wantsDrain = false;
    this.#guard(() => this.onDrain());
  }

  /** Returns what is in breach, if anything. */
  receiveCredit(acknowledgedBytes: number, windowBytes: number): string | undefined {
    if (!this.#sends) return 'credit for a side that does not send';
    if (acknowledgedBytes === 0 && windowBytes === 0) return 'credit for nothing';
    if (acknowledgedBytes > this.#sentBytes - this.#acknowledgedBytes) return 'credit for bytes never sent';
    if (this.#windowLeft + windowBytes > windowBytesMax) return 'window over the bound';
    this.#windowLeft += windowBytes;
    this.#acknowledgedBytes += acknowledgedBytes;
    if (acknowledgedBytes > 0) this.#guard(() => this.onAcknowledged(this.#acknowledgedBytes));
    if (this.isReady) this.#host.activate(this);
    return undefined;
  }

  // — the lane's side: receiving —

  receiveData(payload: Buffer, frame: PooledFrame | undefined): string | undefined {
    const cost = frameCost(payload.length);
    const breach = this.#sends
      ? 'data on a stream that only sends'
      : this.#peerEnded
        ? 'data after the end'
        : cost > this.#receiveWindowLeft
          ? 'data over the window'
          : undefined;
    if (breach !== undefined) {
      if (frame !== undefined) this.#host.pool.release(frame);
      return breach;
    }
    this.#receiveWindowLeft -= cost;
    this.#outstandingCost += cost;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      if (frame !== undefined) this.#host.pool.release(frame);
      this.#release(payload.length, cost);
    };
    this.#held.push([payload, release]);
    // Less than a frame is an end, or a slow source: nothing follows at once.
    const isWhole = payload.length === framePayloadBytesMax;
    if (!isWhole || this.#held.length === gatheredFramesMax || !this.#host.mayHold(this)) this.deliver();
    return undefined;
  }

  /** Hands on what waits for more. */
  deliver(): void {
    const held = this.#held;
    this.#held = [];
    for (const [bytes, release] of held) {
      // The owner may have enough after any of them.
      if (this.#over) release();
      else this.#guard(() => this.onData(bytes, release));
    }
  }

  receiveEnd(trailer: Trailer): string | undefined {
    if (this.#peerEnded) return 'a second end';
    if (this.#sends && this.#host.side === 'main')
      return 'an end of a stream that carries nothing from there';
    this.deliver();
    if (this.#over) return undefined;
    this.#peerEnded = true;
    if (this.#host.side === 'dmz') {
      // Main's END closes the stream whichever way its bytes go.
      const early = this.#sends && !(this.#endSent && this.#acknowledgedBytes === this.#sentBytes);
      if (early) return 'the end of a write stream before all its bytes were acknowledged';
      this.#finish();
      this.#guard(() => this.onEnd(trailer));
      return undefined;
    }
    this.#guard(() => this.onEnd(trailer));
    this.#endWhenReleased();
    return undefined;
  }

  receiveReset(error: SallyportError): void {
    this.deliver();
    if (this.#over) return;
    this.#finish();
    this.#guard(() => this.onReset(error));
  }

  #enqueue(item: Queued): boolean {
    if (!this.#sends) throw new Error('this side of the stream only receives');
    if (this.#over || this.#endPayload !== undefined || item.bytes.length === 0) {
      this.#discard(item);
      return true;
    }
    this.#queue.push(item);
    this.#queuedBytes += item.bytes.length;
    if (this.#queuedBytes > streamQueuedBytesMax) {
      this.abort(
        new SallyportError('busy', 'Too much is waiting to be sent', {
          detail: `a writer queued ${this.#queuedBytes} bytes on stream ${this.id}`,
        }),
      );
      return false;
    }
    if (item.frame === undefined && !this.#isGathering) this.#gatherForTurn();
    if (this.isReady) this.#host.activate(this);
    if (this.#queuedBytes < streamQueuedBytesHigh) return true;
    this.#wantsDrain = true;
    return false;
  }

  #gatherForTurn(): void {
    this.#isGathering = true;
    this.#host.afterTurn(() => {
      this.#isGathering = false;
      if (this.isReady) this.#host.activate(this);
    });
  }

  #discard(item: Queued): void {
    if (item.frame !== undefined) this.#host.pool.release(item.frame);
    const sent = item.sent;
    if (sent !== undefined) queueMicrotask(sent);
  }

  #release(payloadBytes: number, cost: number): void {
    if (this.#over) return;
    this.#outstandingCost -= cost;
    this.#releasedBytes += payloadBytes;
    this.#releasedCost += cost;
    const prompt = this.#host.side === 'main' && this.#outstandingCost === 0;
    if (this.#peerEnded && this.#outstandingCost === 0) {
      this.#endWhenReleased();
    } else if ((prompt || this.#releasedCost >= windowBytesStart / 4) && !this.#creditScheduled) {
      // Pieces released in one go share a credit frame.
      this.#creditScheduled = true;
      queueMicrotask(() => this.#giveCredit());
    }
  }

  #giveCredit(): void {
    this.#creditScheduled = false;
    if (this.#over || this.#releasedCost === 0) return;
    const growBytes = this.#growth.wanted(this.#releasedCost);
    const isGrown = growBytes > 0 && this.#host.takeGrowth(growBytes);
    if (isGrown) this.#growth.grow(growBytes);
    const windowBytes = this.#releasedCost + (isGrown ? growBytes : 0);
    this.#receiveWindowLeft += windowBytes;
    this.#host.sendCredit(this, this.#releasedBytes, windowBytes);
    this.#releasedBytes = 0;
    this.#releasedCost = 0;
  }

  /** Main's end of a write stream: everything that came has been dealt with. */
  #endWhenReleased(): void {
    if (this.#over || this.#host.side !== 'main' || !this.#peerEnded || this.#outstandingCost !== 0) return;
    this.#giveCredit();
    this.#host.sendEnd(this, this.#endPayload ?? Buffer.alloc(0));
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    for (const item of this.#queue.splice(0)) this.#discard(item);
    this.#queuedBytes = 0;
    for (const [, release] of this.#held.splice(0)) release();
    this.#host.forget(this);
  }

  /** An owner's handler that throws costs its own stream only. */
  #guard(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#host.reportFailure(error);
      this.reset(toSallyportError(error));
    }
  }
}

function requirePooled(frame: LaneFrame): PooledFrame {
  if (frame instanceof PooledFrame) return frame;
  throw new Error('not a frame of this lane');
}
