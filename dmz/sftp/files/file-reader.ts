import { readReorderBytes, recoveriesMax } from '#dmz/sftp/limits.ts';
import type { StreamHolder, StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { PieceQueue, type Pieces } from '#dmz/sftp/files/piece-queue.ts';
import { addTaken, type RemoteFile, type Taken } from '#dmz/files/file-client.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';

/**
 * READs of one open file, each answered with its bytes in order of arrival from main.
 *
 * SFTP asks for ranges; main serves streams. The first read at 0, or one that begins where another ended, starts a
 * stream to the end of the file, and the reads that follow on are cut from it: main reads ahead, and nothing waits for
 * a round trip. Any other read gets a short stream of its own. Clients that send requests from several threads mix
 * their order, so a read that jumps ahead a little waits for the ones between as long as the stream has work.
 *
 * What is read ahead and not asked for stays in the lane's window: it is not released, so main stops. When the link
 * is lost a stream is opened again where it stood, unless the file is no longer the same.
 */
export interface ReadRequest {
  readonly offset: number;
  readonly length: number;
  /** No bytes: the file ends at or before `offset`. Otherwise `release` the pieces when they are sent. */
  readonly done: (error: SallyportError | undefined, bytes: Pieces | undefined) => void;
}

/** Reads that are cut from one stretch of the file. */
class Run implements StreamHolder {
  stream: LaneStream | undefined;
  readonly queue: ReadRequest[] = [];
  readonly pieces = new PieceQueue();
  readonly #end: number | undefined;
  /** Where the next read must begin to be served from here. */
  position: number;
  /** How far the bytes from main have come. */
  receivedTo: number;
  hasEnded = false;
  recoveries = 0;

  readonly giveWay: () => void;
  readonly #noteServed: (bytes: number, end: number) => void;
  readonly #noteTaken: (bytes: number, end: number) => void;

  constructor(
    range: { offset: number; lengthBytes?: number },
    owner: {
      readonly giveWay: (run: Run) => void;
      readonly noteServed: (bytes: number, end: number) => void;
      readonly noteTaken: (bytes: number, end: number) => void;
    },
  ) {
    this.giveWay = () => owner.giveWay(this);
    this.#noteServed = owner.noteServed;
    this.#noteTaken = owner.noteTaken;
    this.position = range.offset;
    this.receivedTo = range.offset;
    this.#end = range.lengthBytes === undefined ? undefined : range.offset + range.lengthBytes;
  }

  get isIdle(): boolean {
    return this.queue.length === 0;
  }

  /** What is still to come. */
  get range(): { offset: number; lengthBytes?: number } {
    if (this.#end === undefined) return { offset: this.receivedTo };
    return { offset: this.receivedTo, lengthBytes: this.#end - this.receivedTo };
  }

  add(request: ReadRequest): void {
    this.queue.push(request);
    this.position += request.length;
  }

  serve(): void {
    for (;;) {
      const request = this.queue[0];
      if (request === undefined) return;
      if (this.pieces.bytes < request.length && !this.hasEnded) return;
      this.queue.shift();
      const bytes = this.pieces.take(request.length);
      request.done(undefined, bytes.length > 0 ? this.#counted(bytes, request.offset) : undefined);
    }
  }

  /** Main is told how much of the file its client got. */
  #counted({ length, buffers, release }: Pieces, offset: number): Pieces {
    this.#noteServed(length, offset + length);
    return {
      length,
      buffers,
      release: () => {
        this.#noteTaken(length, offset + length);
        release();
      },
    };
  }
}

export class FileReader {
  readonly #file: RemoteFile;
  readonly #slots: StreamSlots;
  readonly #runs = new Set<Run>();
  /** The run that goes to the end of the file; new reads are cut from it. */
  #sequential: Run | undefined;
  /** What READs were answered with. */
  #served: Taken = { bytes: 0, end: 0 };
  /** Reads ahead of the sequential run, until the ones between arrive. */
  readonly #early: ReadRequest[] = [];
  /** End of the latest read of its own: the next one there proves a sequence. */
  #lastEnd = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(file: RemoteFile, slots: StreamSlots) {
    this.#file = file;
    this.#slots = slots;
  }

  get served(): Taken {
    return this.#served;
  }

  get isIdle(): boolean {
    if (this.#early.length > 0) return false;
    for (const run of this.#runs) if (run.queue.length > 0) return false;
    return true;
  }

  /** When every read so far is answered. */
  async settled(): Promise<void> {
    while (!this.isIdle)
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
  }

  read(request: ReadRequest): void {
    const { content } = this.#file;
    if (content !== undefined) {
      this.#readTold(content, request);
      return;
    }
    const run = this.#sequential;
    if (run !== undefined && !run.hasEnded) {
      if (request.offset === run.position) {
        run.add(request);
        this.#addEarly(run);
        run.serve();
        return;
      }
      const ahead = request.offset - run.position;
      if (ahead > 0 && ahead <= readReorderBytes && run.queue.length > 0) {
        this.#early.push(request);
        return;
      }
    }
    this.#readAlone(request);
  }

  #readTold(content: Buffer, { offset, length, done }: ReadRequest): void {
    const bytes = content.subarray(offset, offset + length);
    if (bytes.length === 0) {
      done(undefined, undefined);
      return;
    }
    const end = offset + bytes.length;
    this.#served = addTaken(this.#served, bytes.length, end);
    done(undefined, {
      length: bytes.length,
      buffers: [bytes],
      release: () => this.#file.noteTaken(bytes.length, end),
    });
  }

  /**
   * The file is being changed, and what came ahead of the READs is of yesterday; or it is being closed. To be called when
   * idle.
   */
  dropReadAhead(): void {
    this.#file.dropContent();
    if (this.#runs.size > 0) this.stop(new SallyportError('bad-request', 'Not read further'));
  }

  /** Ends every stream: the file is being closed. Requests under way are refused. */
  stop(reason: SallyportError): void {
    for (const run of this.#runs) {
      run.stream?.reset(reason);
      this.#end(run, reason);
    }
    for (const request of this.#early.splice(0)) request.done(reason, undefined);
  }

  #addEarly(run: Run): void {
    for (;;) {
      const index = this.#early.findIndex((early) => early.offset === run.position);
      const next = index < 0 ? undefined : this.#early.splice(index, 1)[0];
      if (next === undefined) return;
      run.add(next);
    }
  }

  #readAlone(request: ReadRequest): void {
    const isSequence = request.offset === this.#lastEnd;
    this.#lastEnd = request.offset + request.length;
    const run = new Run(
      isSequence ? { offset: request.offset } : { offset: request.offset, lengthBytes: request.length },
      {
        giveWay: (idle) => {
          idle.stream?.reset(new SallyportError('bad-request', 'Not read further just now'));
          this.#leaveOff(idle);
        },
        noteServed: (bytes, end) => {
          this.#served = addTaken(this.#served, bytes, end);
        },
        noteTaken: (bytes, end) => this.#file.noteTaken(bytes, end),
      },
    );
    this.#runs.add(run);
    run.add(request);
    if (isSequence) {
      const previous = this.#sequential;
      this.#sequential = run;
      if (previous !== undefined) this.#retire(previous);
      this.#addEarly(run);
    }
    this.#slots.take(run, () => this.#open(run));
  }

  #open(run: Run): void {
    let stream: LaneStream;
    try {
      stream = this.#file.readStream(run.range);
    } catch (error) {
      this.#onLost(run, toSallyportError(error));
      return;
    }
    run.stream = stream;
    stream.onData = (bytes, release) => {
      run.recoveries = 0;
      run.receivedTo += bytes.length;
      run.pieces.add(bytes, release);
      this.#serve(run);
    };
    stream.onEnd = () => {
      run.hasEnded = true;
      this.#slots.drop(run);
      this.#serve(run);
    };
    stream.onReset = (error) => this.#onLost(run, error);
  }

  #onLost(run: Run, error: SallyportError): void {
    if (!this.#runs.has(run)) return;
    run.stream = undefined;
    if (isSallyportError(error, 'busy') && run.queue.length > 0) {
      this.#slots.takeLater(run, () => this.#open(run));
      return;
    }
    this.#slots.drop(run);
    run.recoveries += 1;
    if (!isSallyportError(error, 'link-down') || run.recoveries > recoveriesMax) {
      this.#end(run, error);
    } else if (run.queue.length === 0) {
      this.#leaveOff(run);
    } else {
      void this.#recover(run);
    }
  }

  /** Nothing is waited for: the next read begins here anew. */
  #leaveOff(run: Run): void {
    this.#lastEnd = run.position;
    this.#forget(run);
    // It may be asked to make room in the middle of an answer: those that waited for reads between go their own way.
    this.#flushEarly();
  }

  /** The link parks us until main and a lane are back, or gives up for us. */
  async #recover(run: Run): Promise<void> {
    try {
      // Main knows whether the handle is still that file; what was written into it meanwhile is read, as from a disk.
      await this.#file.resume();
      if (!this.#runs.has(run)) return;
      this.#slots.take(run, () => this.#open(run));
    } catch (error) {
      if (this.#runs.has(run)) this.#end(run, toSallyportError(error));
    }
  }

  #serve(run: Run): void {
    run.serve();
    if (run !== this.#sequential) this.#retire(run);
    else if (run.queue.length === 0) {
      this.#flushEarly();
      this.#slots.becameIdle();
    }
    this.#wakeIfIdle();
  }

  /** The gap was never asked for: the early ones go their own way. */
  #flushEarly(): void {
    for (const request of this.#early.splice(0)) this.#readAlone(request);
  }

  /** A run nobody will ask again goes once its last request is served. */
  #retire(run: Run): void {
    if (run.queue.length > 0) return;
    if (!run.hasEnded) run.stream?.reset(new SallyportError('bad-request', 'Read no further'));
    this.#forget(run);
  }

  #end(run: Run, error: SallyportError): void {
    this.#forget(run);
    for (const request of run.queue.splice(0)) request.done(error, undefined);
    if (this.#sequential === undefined)
      for (const request of this.#early.splice(0)) request.done(error, undefined);
    this.#wakeIfIdle();
  }

  #forget(run: Run): void {
    this.#runs.delete(run);
    if (this.#sequential === run) this.#sequential = undefined;
    run.pieces.clear();
    this.#slots.drop(run);
  }

  #wakeIfIdle(): void {
    if (this.#onIdle.length === 0 || !this.isIdle) return;
    for (const wake of this.#onIdle.splice(0)) wake();
  }
}
