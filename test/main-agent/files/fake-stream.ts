/** A LaneStream with its far end in the test: what main writes is received here, what is sent arrives at main. */
import { framePayloadBytesMax, type LaneFrame, type LaneStream } from '#shared/link/lane-stream.ts';
import type { SallyportError } from '#shared/error.ts';

const windowBytes = 512 * 1024;
const queuedBytesHigh = 256 * 1024;

class FakeFrame implements LaneFrame {
  readonly payload = Buffer.allocUnsafeSlow(framePayloadBytesMax);
  isOut = true;
}

export class FakeStream implements LaneStream {
  readonly id = 1;
  queuedBytes = 0;
  acknowledgedBytes = 0;
  /** Frames lent and not handed back. */
  lentFrames = 0;
  /** Stops taking bytes: the far end is slow. */
  isPaused = false;
  onData: (bytes: Buffer, release: () => void) => void = () => undefined;
  onEnd: (trailer: Readonly<Record<string, unknown>>) => void = () => undefined;
  onReset: (error: SallyportError) => void = () => undefined;
  onDrain: () => void = () => undefined;
  onAcknowledged: (acknowledgedBytes: number) => void = () => undefined;
  readonly #pieces: Buffer[] = [];
  readonly #over = Promise.withResolvers<void>();
  #releasedOnce = new Set<object>();
  #unreleased = 0;
  #progress = Promise.withResolvers<void>();
  #isReset = false;
  error: SallyportError | undefined;

  write(bytes: Uint8Array, sent?: () => void): boolean {
    this.#take(Buffer.from(bytes));
    sent?.();
    return this.#hasRoom();
  }

  acquireFrame(): LaneFrame {
    this.lentFrames += 1;
    return new FakeFrame();
  }

  writeFrame(frame: LaneFrame, lengthBytes: number): boolean {
    this.#handBack(frame);
    this.#take(Buffer.from(frame.payload.subarray(0, lengthBytes)));
    return this.#hasRoom();
  }

  discardFrame(frame: LaneFrame): void {
    this.#handBack(frame);
  }

  #handBack(frame: LaneFrame): void {
    if (!(frame instanceof FakeFrame) || !frame.isOut) throw new Error('a frame was handed back twice');
    frame.isOut = false;
    this.lentFrames -= 1;
  }

  #take(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.queuedBytes += bytes.length;
  }

  #hasRoom(): boolean {
    if (this.queuedBytes <= queuedBytesHigh) return true;
    setImmediate(() => this.drain());
    return false;
  }

  drain(): void {
    if (this.isPaused) return;
    this.queuedBytes = 0;
    this.onDrain();
  }

  end(): void {
    this.#over.resolve();
  }

  reset(error: SallyportError): void {
    if (this.#isReset) return;
    this.#isReset = true;
    this.error = error;
    this.#over.resolve();
    this.#progress.resolve();
  }

  /** All that main sent; rejects when it reset the stream. */
  async received(): Promise<Buffer> {
    await this.#over.promise;
    if (this.error !== undefined) throw this.error;
    if (this.lentFrames !== 0) throw new Error(`${this.lentFrames} frames were not handed back`);
    return Buffer.concat(this.#pieces);
  }

  get receivedBytes(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** One piece to main, as it comes off a lane: its memory is used for something else once it is released. */
  send(bytes: Buffer): void {
    const memory = Buffer.from(bytes);
    const once = {};
    this.#unreleased += memory.length;
    this.onData(memory, () => {
      if (this.#releasedOnce.has(once)) throw new Error('a piece was released twice');
      this.#releasedOnce.add(once);
      this.#unreleased -= memory.length;
      if (!this.#isReset) this.acknowledgedBytes += memory.length;
      memory.fill(0xee);
      this.#progress.resolve();
    });
  }

  /** Sends within the window and resolves when main has acknowledged all of it. */
  async sendAll(bytes: Buffer, pieceBytes = framePayloadBytesMax): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      while (this.#unreleased + pieceBytes > windowBytes) await this.#nextProgress();
      if (this.error !== undefined) throw this.error;
      this.send(bytes.subarray(at, at + pieceBytes));
    }
    this.onEnd({});
    while (this.#unreleased > 0 && this.error === undefined) await this.#nextProgress();
    if (this.error !== undefined) throw this.error;
    if (this.acknowledgedBytes !== bytes.length) throw new Error('not everything was acknowledged');
  }

  async #nextProgress(): Promise<void> {
    this.#progress = Promise.withResolvers();
    await this.#progress.promise;
  }
}
