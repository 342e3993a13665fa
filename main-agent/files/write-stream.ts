/**
 * Bytes from a lane into a file. A piece is released, which acknowledges it to the client, only when the kernel has it;
 * what arrived while the disk was busy goes in one `writev`. A slow disk therefore stops its own stream only.
 */
import type { SallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { toFileError } from './file-error.ts';
import { writeBatchPieces } from './limits.ts';
import type { Pace } from './read-stream.ts';
import type { RunningStream } from './stream-set.ts';
import { wait } from './wait.ts';

export interface WriteTarget {
  /** `position` undefined: at the end. */
  write(pieces: readonly Uint8Array[], position: number | undefined): Promise<void>;
}

interface Piece {
  readonly bytes: Buffer;
  readonly release: () => void;
}

export class WriteStream implements RunningStream {
  readonly sentBytes = 0;
  readonly #stream: LaneStream;
  readonly #pace: Pace;
  readonly #onOver: () => void;
  readonly #stopping = new AbortController();
  /** Bounded by the stream's window: unreleased bytes are not followed by more. */
  readonly #waiting: Piece[] = [];
  #target: WriteTarget | undefined;
  #position: number | undefined;
  #isWriting = false;
  #isOver = false;
  #hasEnded = false;

  /** Set up before the target is known, so that no byte is missed meanwhile. */
  constructor(stream: LaneStream, pace: Pace, onOver: () => void) {
    this.#stream = stream;
    this.#pace = pace;
    this.#onOver = onOver;
    stream.onData = (bytes, release) => {
      this.#waiting.push({ bytes, release });
      this.#proceed();
    };
    stream.onEnd = () => {
      this.#hasEnded = true;
      this.#proceed();
    };
    stream.onReset = () => this.#halt();
  }

  /** `position` undefined: every piece goes to the end. */
  start(target: WriteTarget, position: number | undefined): void {
    this.#target = target;
    this.#position = position;
    this.#proceed();
  }

  stop(error: SallyportError): void {
    this.#stream.reset(error);
    this.#halt();
  }

  #halt(): void {
    this.#stopping.abort();
    // Pieces that are being written are released when the write is done with their memory.
    for (const piece of this.#waiting.splice(0)) piece.release();
    this.#proceed();
  }

  #proceed(): void {
    if (this.#isWriting || this.#isOver) return;
    if (this.#stopping.signal.aborted || (this.#hasEnded && this.#waiting.length === 0)) {
      this.#isOver = true;
      this.#onOver();
      return;
    }
    if (this.#target === undefined || this.#waiting.length === 0) return;
    this.#isWriting = true;
    void this.#writeWaiting(this.#target);
  }

  async #writeWaiting(target: WriteTarget): Promise<void> {
    const pieces = this.#waiting.splice(0, writeBatchPieces);
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.byteLength, 0);
    try {
      await target.write(
        pieces.map((piece) => piece.bytes),
        this.#position,
      );
      if (this.#position !== undefined) this.#position += bytes;
      const pauseMs = this.#pace(bytes);
      if (pauseMs > 0) await wait(pauseMs, this.#stopping.signal);
    } catch (error) {
      // Before the release: bytes the disk did not take must not be acknowledged.
      if (!this.#stopping.signal.aborted) this.stop(toFileError(error));
    }
    for (const piece of pieces) piece.release();
    this.#isWriting = false;
    this.#proceed();
  }
}
