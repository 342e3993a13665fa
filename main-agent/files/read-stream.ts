/**
 * Bytes of a file to a lane: up to 8 frames are filled by one `readv`, handed to the stream without a copy, and no more
 * is read while the stream says that enough is queued. So each stream holds a batch or two in memory, whatever the file.
 */
import type { SallyportError } from '#shared/error.ts';
import { framePayloadBytesMax, type LaneFrame, type LaneStream } from '#shared/link/lane-stream.ts';
import { toFileError } from './storage/file-error.ts';
import { readBatchFrames } from './limits.ts';
import type { RunningStream } from './stream-set.ts';
import { lengthOf } from './storage/storage.ts';
import { wait } from './wait.ts';

interface ReadSource {
  /** As far as is known; a hint for how many frames to fill. */
  readonly size: number;
  read(buffers: readonly Uint8Array[], position: number): Promise<number>;
}

export interface ReadRange {
  readonly offset: number;
  readonly lengthBytes?: number | undefined;
}

/** How a stream goes on, by the user as the files say now. */
export interface Pace {
  /** The most to move in one turn. */
  turnBytes(): number;
  /** Milliseconds to wait before so many bytes may be moved. Throws when the stream may not go on. */
  waitBefore(bytes: number): number;
}

/** `failure`: why it could not go on, where that was on our side. */
type ReadStreamEnd = (sentBytes: number, failure: SallyportError | undefined) => void;

export class ReadStream implements RunningStream {
  readonly #source: ReadSource;
  readonly #stream: LaneStream;
  readonly #pace: Pace;
  readonly #onOver: ReadStreamEnd;
  readonly #stopping = new AbortController();
  #position: number;
  #leftBytes: number;
  #sentBytes = 0;
  /** A file may have grown since it was opened: what came unexpected is paid before the next turn. */
  #unpacedBytes = 0;
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(source: ReadSource, stream: LaneStream, range: ReadRange, pace: Pace, onOver: ReadStreamEnd) {
    this.#source = source;
    this.#stream = stream;
    this.#pace = pace;
    this.#onOver = onOver;
    this.#position = range.offset;
    this.#leftBytes = range.lengthBytes ?? Number.POSITIVE_INFINITY;
    stream.onDrain = () => this.#drained?.resolve();
    stream.onReset = () => this.#halt();
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  stop(error: SallyportError): void {
    this.#stream.reset(error);
    this.#halt();
  }

  #halt(): void {
    this.#stopping.abort();
    this.#drained?.resolve();
  }

  async run(): Promise<void> {
    let failure: SallyportError | undefined;
    try {
      while (this.#leftBytes > 0 && !this.#stopping.signal.aborted) {
        if (!(await this.#sendBatch())) break;
      }
      if (!this.#stopping.signal.aborted) this.#stream.end();
    } catch (error) {
      if (!this.#stopping.signal.aborted) {
        failure = toFileError(error);
        this.stop(failure);
      }
    } finally {
      this.#onOver(this.#sentBytes, failure);
    }
  }

  /** False at the end of the file. */
  async #sendBatch(): Promise<boolean> {
    const turnBytes = Math.min(this.#leftBytes, this.#pace.turnBytes());
    const expected = Math.min(turnBytes, Math.max(0, this.#source.size - this.#position));
    const pauseMs = this.#pace.waitBefore(expected + this.#unpacedBytes);
    if (pauseMs > 0) await wait(pauseMs, this.#stopping.signal);
    if (this.#stopping.signal.aborted) return false;
    const frames = this.#acquire(turnBytes);
    const buffers = this.#buffersOf(frames, turnBytes);
    const wanted = lengthOf(buffers);
    let bytes: number;
    try {
      bytes = await this.#source.read(buffers, this.#position);
    } catch (error) {
      for (const frame of frames) this.#stream.discardFrame(frame);
      throw error;
    }
    if (!this.#sendFrames(frames, bytes)) await this.#waitForDrain();
    this.#unpacedBytes = Math.max(0, bytes - expected);
    return bytes === wanted;
  }

  /** One frame more than the rest of the file needs, so that the read that meets its end is this one. */
  #acquire(turnBytes: number): readonly LaneFrame[] {
    const expected = Math.min(turnBytes, Math.max(0, this.#source.size - this.#position) + 1);
    const count = Math.min(readBatchFrames, Math.ceil(expected / framePayloadBytesMax));
    return Array.from({ length: count }, () => this.#stream.acquireFrame());
  }

  #buffersOf(frames: readonly LaneFrame[], turnBytes: number): readonly Uint8Array[] {
    let left = turnBytes;
    return frames.map(({ payload }) => {
      const length = Math.min(left, framePayloadBytesMax);
      left -= length;
      return payload.subarray(0, length);
    });
  }

  /** Every frame is handed back exactly once; what is over or empty is discarded. */
  #sendFrames(frames: readonly LaneFrame[], bytes: number): boolean {
    let left = this.#stopping.signal.aborted ? 0 : bytes;
    let hasRoom = true;
    for (const frame of frames) {
      const length = Math.min(left, framePayloadBytesMax);
      if (length === 0) {
        this.#stream.discardFrame(frame);
        continue;
      }
      hasRoom = this.#stream.writeFrame(frame, length);
      left -= length;
      this.#position += length;
      this.#leftBytes -= length;
      this.#sentBytes += length;
    }
    return hasRoom;
  }

  async #waitForDrain(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#drained = Promise.withResolvers<void>();
    await this.#drained.promise;
    this.#drained = undefined;
  }
}
