import type { LaneFrame, LaneStream } from '#shared/link/lane-stream.ts';
import type { SallyportError } from '#shared/error.ts';

/** As main's window: more is not sent before pieces are released. */
const windowBytes = 512 * 1024;
const pieceBytes = 64 * 1024;

abstract class MemoryStream implements LaneStream {
  readonly id = 0;
  isOver = false;
  resetWith: SallyportError | undefined;
  acknowledgedBytes = 0;
  queuedBytes = 0;
  onData: LaneStream['onData'] = () => undefined;
  onEnd: LaneStream['onEnd'] = () => undefined;
  onReset: LaneStream['onReset'] = () => undefined;
  onDrain: LaneStream['onDrain'] = () => undefined;
  onAcknowledged: LaneStream['onAcknowledged'] = () => undefined;

  abstract write(bytes: Uint8Array, sent?: () => void): boolean;
  abstract end(): void;

  acquireFrame(): LaneFrame {
    return { payload: Buffer.alloc(pieceBytes) };
  }

  writeFrame(): boolean {
    throw new Error('not used by this side');
  }

  discardFrame(): void {}

  reset(error: SallyportError): void {
    this.isOver = true;
    this.resetWith = error;
  }

  /** As when the lane dies or main resets. */
  fail(error: SallyportError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onReset(error);
  }
}

/** main → DMZ: sends ahead as far as the window goes; each piece lives in a buffer that is spoiled once released. */
export class MemoryReadStream extends MemoryStream {
  #unreleased = 0;
  #isScheduled = false;
  #position: number;
  readonly #end: number;
  readonly #source: () => Buffer;
  readonly #delay: (() => Promise<void>) | undefined;
  /** Set to hold everything back. */
  isPaused = false;

  constructor(
    source: () => Buffer,
    range: { offset: number; lengthBytes?: number },
    delay?: () => Promise<void>,
  ) {
    super();
    this.#delay = delay;
    this.#source = source;
    this.#position = range.offset;
    this.#end = range.lengthBytes === undefined ? Infinity : range.offset + range.lengthBytes;
    this.#schedule();
  }

  /** One piece per turn of the event loop, as a socket would give them. */
  pump(): void {
    if (this.isOver || this.isPaused || this.#isScheduled) return;
    const bytes = this.#source();
    const left = Math.min(this.#end, bytes.length) - this.#position;
    if (left <= 0) {
      this.isOver = true;
      this.onEnd({});
      return;
    }
    if (this.#unreleased >= windowBytes) return;
    const piece = Buffer.from(bytes.subarray(this.#position, this.#position + Math.min(left, pieceBytes)));
    this.#position += piece.length;
    this.#unreleased += piece.length;
    let released = false;
    this.#schedule();
    this.onData(piece, () => {
      if (released) throw new Error('a piece was released twice');
      released = true;
      piece.fill(0xee);
      this.#unreleased -= piece.length;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const pump = () => {
      this.#isScheduled = false;
      this.pump();
    };
    if (this.#delay === undefined) setImmediate(pump);
    else void this.#delay().then(pump);
  }

  get unreleasedBytes(): number {
    return this.#unreleased;
  }

  write(): boolean {
    throw new Error('a read stream takes no bytes');
  }

  end(): void {}
}

/** DMZ → main. `holdsBack`: nothing is acknowledged until `acknowledge` is called. */
export class MemoryWriteStream extends MemoryStream {
  readonly #target: (offset: number, bytes: Uint8Array) => SallyportError | undefined;
  #position: number;
  #receivedBytes = 0;
  #hasEnded = false;
  holdsBack = false;
  readonly #delay: (() => Promise<void>) | undefined;
  /** Bytes on their way, one after the other. */
  #way: Promise<void> = Promise.resolve();

  constructor(
    offset: number,
    target: (offset: number, bytes: Uint8Array) => SallyportError | undefined,
    holdsBack: boolean,
    delay?: () => Promise<void>,
  ) {
    super();
    this.#delay = delay;
    this.#position = offset;
    this.#target = target;
    this.holdsBack = holdsBack;
  }

  write(bytes: Uint8Array, sent?: () => void): boolean {
    if (this.#hasEnded) throw new Error('write after end');
    const delay = this.#delay;
    if (delay === undefined) {
      this.#take(bytes);
      sent?.();
      return true;
    }
    const copy = Buffer.from(bytes);
    sent?.();
    this.#way = this.#way.then(delay).then(() => this.#take(copy));
    return true;
  }

  #take(bytes: Uint8Array): void {
    const error = this.isOver ? undefined : this.#target(this.#position, bytes);
    if (error !== undefined) {
      setImmediate(() => this.fail(error));
      return;
    }
    this.#position += bytes.length;
    this.#receivedBytes += bytes.length;
    if (!this.holdsBack) setImmediate(() => this.acknowledge());
  }

  acknowledge(bytes = this.#receivedBytes): void {
    if (this.isOver) return;
    if (bytes > this.acknowledgedBytes) {
      this.acknowledgedBytes = bytes;
      this.onAcknowledged(bytes);
    }
    if (this.#hasEnded && this.acknowledgedBytes === this.#receivedBytes && !this.isOver) {
      this.isOver = true;
      this.onEnd({});
    }
  }

  end(): void {
    void this.#way.then(() => {
      this.#hasEnded = true;
      if (!this.holdsBack) setImmediate(() => this.acknowledge());
    });
  }
}
