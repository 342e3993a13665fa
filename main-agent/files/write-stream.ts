/**
 * Bytes from a lane into a file. A piece is released, which acknowledges it to the client, only when the kernel has it;
 * what arrived while the disk was busy goes in one `writev`. A slow disk therefore stops its own stream only.
 */
import type { SallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { toFileError } from './storage/file-error.ts';
import { writeBatchPieces } from './limits.ts';
import type { Pace } from './read-stream.ts';
import type { RunningStream } from './stream-set.ts';
import { wait } from './wait.ts';

interface WriteTarget {
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
  /** Of this turn; below zero after a piece that was larger. */
  #allowedBytes = 0;
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

  /** Pieces are not cut: what one turn has too much the next has less, or nothing. */
  #takeTurn(): readonly Piece[] {
    const turnBytes = this.#pace.turnBytes();
    this.#allowedBytes = Math.min(turnBytes, this.#allowedBytes + turnBytes);
    let count = 0;
    while (count < Math.min(writeBatchPieces, this.#waiting.length)) {
      if (this.#allowedBytes <= 0) break;
      this.#allowedBytes -= this.#waiting[count]?.bytes.byteLength ?? 0;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #writeWaiting(target: WriteTarget): Promise<void> {
    const pieces = this.#takeTurn();
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.byteLength, 0);
    try {
      const pauseMs = this.#pace.waitBefore(bytes);
      if (pauseMs > 0) await wait(pauseMs, this.#stopping.signal);
      if (pieces.length > 0 && !this.#stopping.signal.aborted) {
        await target.write(
          pieces.map((piece) => piece.bytes),
          this.#position,
        );
        if (this.#position !== undefined) this.#position += bytes;
      }
    } catch (error) {
      // Before the release: bytes the disk did not take must not be acknowledged.
      if (!this.#stopping.signal.aborted) this.stop(toFileError(error));
    }
    for (const piece of pieces) piece.release();
    this.#isWriting = false;
    this.#proceed();
  }
}
