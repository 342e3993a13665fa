import { setTimeout as wait } from 'node:timers/promises';
import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { Exchange } from './exchange.ts';
import { downloadPace, recoveriesMax, recoveryPauseMs } from './limits.ts';
import type { Transfer } from './pace.ts';
import type { ByteRange } from './range.ts';

/**
 * The bytes of one download, from main's lane to the client's socket.
 *
 * Lane pieces go to the socket as they are and are given back when the socket is done with them, so a reader that stops
 * stops its own stream on main, and at most one credit window waits here. A lost link is a pause: the stream is taken
 * up where it broke off, if the file is still the same.
 */
export class DownloadBody {
  readonly #x: Exchange;
  readonly #session: Admitted;
  readonly #file: RemoteFile;
  readonly #begin: () => void;
  readonly #transfer: Transfer;
  /** Pieces the socket still has. */
  readonly #held = new Set<() => void>();
  readonly #outcome = Promise.withResolvers<void>();
  #offset: number;
  #leftBytes: number;
  #stream: LaneStream | undefined;
  #recoveries = 0;
  #isOver = false;

  /** `begin` writes the headers; it is called with the first piece, so that what goes wrong before can still be told. */
  constructor(
    x: Exchange,
    source: { readonly session: Admitted; readonly file: RemoteFile; readonly range: ByteRange },
    begin: () => void,
  ) {
    this.#x = x;
    this.#session = source.session;
    this.#file = source.file;
    this.#offset = source.range.offset;
    this.#leftBytes = source.range.lengthBytes;
    this.#begin = begin;
    this.#transfer = x.pace.watch(downloadPace, () =>
      this.#fail(new SallyportError('deadline', 'The reader is too slow')),
    );
    this.#transfer.setClientsTurn(false);
  }

  /** Resolves when the client's socket has taken everything; rejects with why it has not. */
  send(): Promise<void> {
    const { ended } = this.#session;
    const { response } = this.#x;
    ended.addEventListener('abort', this.#onSessionEnded);
    response.on('close', this.#onClientGone);
    if (ended.aborted) this.#onSessionEnded();
    else if (response.destroyed) this.#onClientGone();
    else this.#open();
    return this.#outcome.promise;
  }

  readonly #onSessionEnded = (): void =>
    this.#fail(new SallyportError('no-session', 'The session has ended'));
  readonly #onClientGone = (): void => this.#fail(new SallyportError('bad-request', 'The client went away'));

  #open(): void {
    let stream: LaneStream;
    try {
      stream = this.#file.readStream({ offset: this.#offset, lengthBytes: this.#leftBytes });
    } catch (error) {
      this.#onLost(toSallyportError(error));
      return;
    }
    this.#stream = stream;
    stream.onData = (bytes, release) => this.#pass(bytes, release);
    stream.onEnd = () => this.#finish();
    stream.onReset = (error) => this.#onLost(error);
  }

  #pass(bytes: Buffer, release: () => void): void {
    if (this.#isOver || bytes.length > this.#leftBytes) {
      release();
      this.#fail(changed('more bytes than announced'));
      return;
    }
    const { response } = this.#x;
    if (!response.headersSent) this.#begin();
    this.#recoveries = 0;
    this.#offset += bytes.length;
    this.#leftBytes -= bytes.length;
    this.#held.add(release);
    this.#transfer.setClientsTurn(true);
    response.write(bytes, () => {
      if (!this.#held.delete(release)) return;
      release();
      this.#transfer.moved(bytes.length);
      if (this.#held.size === 0) this.#transfer.setClientsTurn(false);
    });
  }

  #finish(): void {
    if (this.#leftBytes > 0) {
      this.#fail(changed('fewer bytes than announced'));
      return;
    }
    // The last pieces are still with the socket: their callbacks, or the loss of the client, come first.
    this.#x.response.end(() => {
      if (this.#settle()) this.#outcome.resolve();
    });
  }

  #onLost(error: SallyportError): void {
    this.#stream = undefined;
    this.#recoveries += 1;
    if (!isSallyportError(error, 'link-down') || this.#recoveries > recoveriesMax) this.#fail(error);
    else void this.#recover();
  }

  /** The link parks the question until main is back, or gives up for us. */
  async #recover(): Promise<void> {
    try {
      const { etag } = await this.#file.stat();
      if (etag !== this.#file.attributes.etag) throw changed('another version after a lost link');
      // The link is up before its lanes are.
      await wait(recoveryPauseMs * (this.#recoveries - 1));
      if (!this.#isOver) this.#open();
    } catch (error) {
      this.#fail(toSallyportError(error));
    }
  }

  #fail(error: SallyportError): void {
    if (!this.#settle()) return;
    this.#stream?.reset(error);
    // Before the pieces are given back: their memory is reused at once.
    if (this.#x.response.headersSent) this.#x.request.socket.destroy();
    for (const release of this.#held) release();
    this.#held.clear();
    this.#outcome.reject(error);
  }

  #settle(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#transfer.done();
    this.#session.ended.removeEventListener('abort', this.#onSessionEnded);
    this.#x.response.off('close', this.#onClientGone);
    return true;
  }
}

function changed(detail: string): SallyportError {
  return new SallyportError('changed', 'The file has changed', { detail });
}
