import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { TurnShare } from '#shared/turn-share.ts';
import type { Exchange } from '#dmz/https/exchange/exchange.ts';
import { recoveriesMax, uploadPace, uploadTurnBytes } from '#dmz/https/limits.ts';
import { tooSlow, type Transfer } from '#dmz/https/exchange/pace.ts';

/**
 * The body of one upload, from the client's socket to main's lane.
 *
 * Nothing is read from the client that the lane does not take. What main has not acknowledged is kept (at most the
 * lane's window and queue) and sent again after a lost link, which so is a pause.
 */
export class UploadBody {
  readonly #exchange: Exchange;
  readonly #session: Admitted;
  readonly #file: RemoteFile;
  readonly #transfer: Transfer;
  readonly #outcome = Promise.withResolvers<number>();
  readonly #offset: number;
  /** Chunks main's kernel may not have yet, with the offset of each one's end. */
  #unacknowledged: { readonly chunk: Buffer; readonly end: number }[] = [];
  /** Both count from the start of the file. */
  #acknowledgedBytes: number;
  #receivedBytes: number;
  readonly #endBytesMax: number;
  readonly #onChunk: ((chunk: Buffer) => void) | undefined;
  #hasEnded = false;
  #waitsForLane = false;
  readonly #share: TurnShare;
  #stream: LaneStream | undefined;
  #isRecovering = false;
  #recoveries = 0;
  #isOver = false;

  /** The body's first byte is the file's at `offset`; a body that would pass `endBytesMax` is refused. */
  constructor(
    exchange: Exchange,
    target: {
      readonly session: Admitted;
      readonly file: RemoteFile;
      readonly offset?: number;
      readonly endBytesMax?: number;
      /** Sees every chunk as it comes. */
      readonly onChunk?: (chunk: Buffer) => void;
    },
  ) {
    const { offset = 0, endBytesMax = Number.MAX_SAFE_INTEGER } = target;
    this.#acknowledgedBytes = offset;
    this.#receivedBytes = offset;
    this.#endBytesMax = endBytesMax;
    this.#onChunk = target.onChunk;
    this.#offset = offset;
    this.#exchange = exchange;
    this.#session = target.session;
    this.#file = target.file;
    this.#share = new TurnShare(uploadTurnBytes, {
      pause: () => exchange.request.pause(),
      resume: () => {
        if (!this.#isOver && !this.#waitsForLane) exchange.request.resume();
      },
    });
    this.#transfer = exchange.pace.watch(uploadPace, () => this.#fail(tooSlow()));
  }

  /** Resolves with where the file ends now, when main's kernel has every byte; rejects with why it has not. */
  receive(): Promise<number> {
    const { request } = this.#exchange;
    const { ended } = this.#session;
    ended.addEventListener('abort', this.#onSessionEnded);
    request.on('data', this.#take).on('end', this.#onEnd).on('close', this.#onClose);
    if (ended.aborted) this.#onSessionEnded();
    else if (request.destroyed) this.#onClose();
    return this.#outcome.promise;
  }

  readonly #take = (chunk: Buffer): void => {
    this.#transfer.moved(chunk.length);
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#endBytesMax) {
      this.#fail(new SallyportError('bad-request', 'That is more than the upload was to have'));
      return;
    }
    this.#onChunk?.(chunk);
    this.#unacknowledged.push({ chunk, end: this.#receivedBytes });
    if (this.#stream === undefined) {
      // The first chunk opens the stream. While a lost one is taken up again, the chunk goes with the others.
      if (this.#isRecovering) this.#holdClient();
      else this.#open();
    } else if (!this.#stream.write(chunk)) this.#holdClient();
    this.#share.count(chunk.length);
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    this.#transfer.setClientsTurn(false);
    if (this.#receivedBytes === this.#offset) this.#finish();
    else this.#stream?.end();
  };

  readonly #onClose = (): void => {
    // 'close' also follows a complete body; only an early one cuts it off.
    if (!this.#exchange.request.complete)
      this.#fail(new SallyportError('bad-request', 'The upload was cut off'));
  };

  readonly #onSessionEnded = (): void =>
    this.#fail(new SallyportError('no-session', 'The session has ended'));

  #holdClient(): void {
    this.#waitsForLane = true;
    this.#transfer.setClientsTurn(false);
    this.#exchange.request.pause();
  }

  /** A stream from where main's kernel has got to, with everything after that. */
  #open(): void {
    const base = this.#acknowledgedBytes;
    let stream: LaneStream;
    try {
      stream = this.#file.writeStream({ offset: base });
    } catch (error) {
      this.#onLost(toSallyportError(error));
      return;
    }
    this.#stream = stream;
    this.#isRecovering = false;
    stream.onAcknowledged = (bytes) => this.#acknowledge(base + bytes);
    stream.onDrain = () => {
      if (this.#hasEnded) return;
      this.#waitsForLane = false;
      this.#transfer.setClientsTurn(true);
      if (!this.#share.isUsedUp) this.#exchange.request.resume();
    };
    stream.onEnd = () => this.#finish();
    stream.onReset = (error) => this.#onLost(error);

    let takesMore = true;
    for (const { chunk, end } of this.#unacknowledged) {
      const known = Math.max(0, base - (end - chunk.length));
      takesMore = stream.write(chunk.subarray(known));
    }
    if (this.#hasEnded) stream.end();
    else if (takesMore) stream.onDrain();
    else this.#holdClient();
  }

  #acknowledge(bytes: number): void {
    this.#recoveries = 0;
    this.#acknowledgedBytes = bytes;
    const first = this.#unacknowledged.findIndex(({ end }) => end > bytes);
    this.#unacknowledged.splice(0, first === -1 ? this.#unacknowledged.length : first);
  }

  #onLost(error: SallyportError): void {
    this.#stream = undefined;
    this.#recoveries += 1;
    if (!isSallyportError(error, 'link-down') || this.#recoveries > recoveriesMax) {
      this.#fail(error);
      return;
    }
    this.#isRecovering = true;
    if (!this.#hasEnded) this.#holdClient();
    void this.#recover();
  }

  /** The link parks us until main and a lane are back, or gives up for us. */
  async #recover(): Promise<void> {
    try {
      await this.#file.resume();
      if (!this.#isOver) this.#open();
    } catch (error) {
      this.#fail(toSallyportError(error));
    }
  }

  #finish(): void {
    if (this.#settle()) this.#outcome.resolve(this.#receivedBytes);
  }

  #fail(error: SallyportError): void {
    if (!this.#settle()) return;
    this.#exchange.request.pause();
    this.#stream?.reset(error);
    this.#outcome.reject(error);
  }

  #settle(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#transfer.done();
    this.#unacknowledged = [];
    this.#exchange.request.off('data', this.#take).off('end', this.#onEnd).off('close', this.#onClose);
    this.#session.ended.removeEventListener('abort', this.#onSessionEnded);
    return true;
  }
}
