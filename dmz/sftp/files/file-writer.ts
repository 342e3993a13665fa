import type { RemoteFile } from '#dmz/files/file-client.ts';
import { recoveriesMax } from '#dmz/sftp/limits.ts';
import type { StreamHolder, StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';

/**
 * WRITEs of one open file. Those that follow on go into one stream; each is answered when main's kernel has its last
 * byte, so a client that was told OK has lost nothing if main is killed.
 *
 * A write that leaves a gap waits while the stream has unacknowledged bytes, because clients that write from several
 * threads mix their order; then the stream is ended and another begins at the write's offset. Two writes that overlap
 * keep their order.
 *
 * The first one, if it is small and alone, goes as a request: most small files need no stream then.
 *
 * When the link is lost, what was not acknowledged is sent again once main is back; the client sees a pause.
 */
export interface WriteRequest {
  readonly offset: number;
  readonly length: number;
  /** Kept, and left as it is, until `done`. */
  readonly data: readonly Buffer[];
  readonly done: (error: SallyportError | undefined) => void;
}

/** Writes that follow on. Counts of bytes are from `offset`, over all the streams the run needed. */
interface Run extends StreamHolder {
  readonly offset: number;
  stream: LaneStream | undefined;
  /** Where the present stream began. */
  base: number;
  sentBytes: number;
  acknowledgedBytes: number;
  /** Sent and not yet answered, each with the run's byte count at its end. */
  readonly unanswered: { readonly request: WriteRequest; readonly end: number }[];
  isBlocked: boolean;
  recoveries: number;
  /** Being ended well. */
  ending: Promise<void> | undefined;
}

export class FileWriter {
  readonly #file: RemoteFile;
  readonly #slots: StreamSlots;
  readonly #appends: boolean;
  readonly #waiting: WriteRequest[] = [];
  #run: Run | undefined;
  /** On its way as a request; nothing else of the file is meanwhile. */
  #alone: WriteRequest | undefined;
  #failure: SallyportError | undefined;
  #onIdle: (() => void)[] = [];
  #hasWritten = false;
  /** Bytes of runs that are over: where an append stands. */
  #earlierBytes = 0;

  constructor(file: RemoteFile, slots: StreamSlots, options: { readonly appends: boolean }) {
    this.#file = file;
    this.#slots = slots;
    this.#appends = options.appends;
  }

  get failure(): SallyportError | undefined {
    return this.#failure;
  }

  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  get isIdle(): boolean {
    return (
      this.#waiting.length === 0 && this.#alone === undefined && (this.#run?.unanswered.length ?? 0) === 0
    );
  }

  write(request: WriteRequest): void {
    const isFirst = !this.#hasWritten;
    this.#hasWritten = true;
    if (this.#failure !== undefined) {
      request.done(this.#failure);
    } else if (isFirst && request.length <= this.#file.writeUpTo) {
      void this.#sendAlone(request);
    } else {
      this.#waiting.push(request);
      this.#send();
    }
  }

  /** When every write so far is answered (well or not). */
  async settled(): Promise<void> {
    while (!this.isIdle)
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
  }

  /** After `settled`: ends the stream, and waits until main has closed its end too. The next write begins another. */
  async endRun(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    this.#forget(run);
    await this.#end(run);
  }

  /** Gives up: requests under way are refused. */
  stop(reason: SallyportError): void {
    this.#run?.stream?.reset(reason);
    this.#fail(reason);
  }

  async #sendAlone(request: WriteRequest): Promise<void> {
    this.#alone = request;
    let failure: SallyportError | undefined;
    try {
      await this.#file.write(request.offset, request.data);
    } catch (error) {
      failure = toSallyportError(error);
    }
    if (this.#alone !== request) return;
    this.#alone = undefined;
    if (failure === undefined) request.done(undefined);
    else if (isSallyportError(failure, 'busy')) this.#waiting.unshift(request);
    else {
      request.done(failure);
      this.#fail(failure);
    }
    this.#send();
  }

  #send(): void {
    while (this.#failure === undefined && this.#alone === undefined) {
      const run = this.#run;
      if (run === undefined) {
        if (this.#waiting.length === 0) break;
        this.#begin();
        continue;
      }
      if (run.isBlocked) break;
      const next = this.#takeNext(run);
      if (next !== undefined) this.#pass(run, next);
      else if (this.#waiting.length > 0 && run.unanswered.length === 0) this.#replace(run);
      else break;
    }
    this.#wakeIfIdle();
  }

  #begin(): void {
    const run: Run = {
      get isIdle() {
        return run.unanswered.length === 0 && run.ending === undefined;
      },
      giveWay: () => this.#replace(run),
      offset: this.#waiting[0]?.offset ?? 0,
      stream: undefined,
      base: 0,
      sentBytes: 0,
      acknowledgedBytes: 0,
      unanswered: [],
      isBlocked: false,
      recoveries: 0,
      ending: undefined,
    };
    this.#run = run;
    this.#slots.take(run, () => this.#open(run));
  }

  #replace(run: Run): void {
    run.isBlocked = true;
    void this.#end(run).then(() => {
      if (this.#run === run) this.#forget(run);
      this.#send();
    });
  }

  #end(run: Run): Promise<void> {
    run.ending ??= (run.stream === undefined ? Promise.resolve() : endStream(run.stream)).then(() =>
      this.#slots.drop(run),
    );
    return run.ending;
  }

  #forget(run: Run): void {
    this.#earlierBytes += run.sentBytes;
    this.#run = undefined;
  }

  #open(run: Run): void {
    if (this.#run !== run) return;
    let stream: LaneStream;
    try {
      stream = this.#file.writeStream({ offset: run.offset + run.acknowledgedBytes });
    } catch (error) {
      this.#onLost(run, toSallyportError(error));
      return;
    }
    run.stream = stream;
    run.base = run.acknowledgedBytes;
    run.isBlocked = false;
    stream.onAcknowledged = (bytes) => this.#acknowledge(run, run.base + bytes);
    stream.onDrain = () => {
      run.isBlocked = false;
      this.#send();
    };
    stream.onReset = (error) => this.#onLost(run, error);
    for (const { request, end } of run.unanswered) {
      const known = Math.max(0, run.acknowledgedBytes - (end - request.length));
      this.#sendPieces(run, stream, request.data, known);
    }
  }

  #onLost(run: Run, error: SallyportError): void {
    if (this.#run !== run) return;
    run.stream = undefined;
    if (isSallyportError(error, 'busy')) {
      run.isBlocked = true;
      this.#slots.takeLater(run, () => this.#open(run));
      return;
    }
    this.#slots.drop(run);
    run.recoveries += 1;
    if (!isSallyportError(error, 'link-down') || run.recoveries > recoveriesMax) {
      this.#fail(error);
      return;
    }
    // Idle: nothing is lost, and the next write opens its own stream.
    if (run.unanswered.length === 0 && this.#waiting.length === 0) {
      this.#forget(run);
      return;
    }
    run.isBlocked = true;
    void this.#recover(run);
  }

  /** The link parks us until main and a lane are back, or gives up for us. */
  async #recover(run: Run): Promise<void> {
    try {
      const { appendedBytes } = await this.#file.resume();
      if (this.#run !== run) return;
      if (this.#appends) {
        // Main places appended bytes itself, between those of others; what it does not count may have landed.
        if (appendedBytes === undefined)
          throw new SallyportError('changed', 'What was appended is not known');
        const has = appendedBytes - this.#earlierBytes;
        run.acknowledgedBytes = Math.min(run.sentBytes, Math.max(run.acknowledgedBytes, has));
      }
      this.#slots.take(run, () => this.#open(run));
      this.#acknowledge(run, run.acknowledgedBytes);
    } catch (error) {
      if (this.#run === run) this.#fail(toSallyportError(error));
    }
  }

  /** The first waiting write that continues the stream and overtakes no overlapping one. */
  #takeNext(run: Run): WriteRequest | undefined {
    if (this.#appends) return this.#waiting.shift();
    const position = run.offset + run.sentBytes;
    const index = this.#waiting.findIndex((request) => request.offset === position);
    const request = this.#waiting[index];
    if (request === undefined) return undefined;
    if (this.#waiting.slice(0, index).some((earlier) => overlaps(earlier, request))) return undefined;
    this.#waiting.splice(index, 1);
    return request;
  }

  #pass(run: Run, request: WriteRequest): void {
    run.sentBytes += request.length;
    run.unanswered.push({ request, end: run.sentBytes });
    if (run.stream !== undefined) this.#sendPieces(run, run.stream, request.data, 0);
  }

  #sendPieces(run: Run, stream: LaneStream, data: readonly Buffer[], skipBytes: number): void {
    let skip = skipBytes;
    for (const piece of data) {
      if (piece.length > skip && !stream.write(piece.subarray(skip))) run.isBlocked = true;
      skip = Math.max(0, skip - piece.length);
    }
  }

  #acknowledge(run: Run, acknowledgedBytes: number): void {
    if (acknowledgedBytes > run.acknowledgedBytes) run.recoveries = 0;
    run.acknowledgedBytes = acknowledgedBytes;
    for (;;) {
      const first = run.unanswered[0];
      if (first === undefined || first.end > acknowledgedBytes) break;
      run.unanswered.shift();
      first.request.done(undefined);
    }
    if (this.#run === run) this.#send();
    if (run.isIdle) this.#slots.becameIdle();
  }

  #fail(error: SallyportError): void {
    this.#failure ??= error;
    const run = this.#run;
    this.#run = undefined;
    if (run !== undefined) this.#slots.drop(run);
    const alone = this.#alone;
    this.#alone = undefined;
    alone?.done(error);
    for (const { request } of run?.unanswered.splice(0) ?? []) request.done(error);
    for (const request of this.#waiting.splice(0)) request.done(error);
    this.#wakeIfIdle();
  }

  #wakeIfIdle(): void {
    if (!this.isIdle) return;
    for (const wake of this.#onIdle.splice(0)) wake();
  }
}

/** A reset after the last acknowledgement loses nothing: the bytes are with main. */
function endStream(stream: LaneStream): Promise<void> {
  return new Promise((resolve) => {
    stream.onEnd = () => resolve();
    stream.onReset = () => resolve();
    stream.end();
  });
}

function overlaps(a: WriteRequest, b: WriteRequest): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
