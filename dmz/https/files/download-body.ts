import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { Exchange } from '#dmz/https/exchange/exchange.ts';
import type { ByteReceiver, ByteSource } from './file-bytes.ts';
import { downloadPace } from '#dmz/https/limits.ts';
import type { Transfer } from '#dmz/https/exchange/pace.ts';

/**
 * The bytes of one download, a file or an archive, from main's lane to the client's socket.
 *
 * Lane pieces go to the socket as they are and are given back when the socket is done with them, so a reader that stops
 * stops its own stream on main, and at most one credit window waits here.
 */
export class DownloadBody {
  readonly #exchange: Exchange;
  readonly #session: Admitted;
  readonly #begin: () => void;
  readonly #bytes: ByteSource;
  readonly #transfer: Transfer;
  /** Pieces the socket still has. */
  readonly #held = new Set<() => void>();
  readonly #outcome = Promise.withResolvers<void>();
  #isOver = false;

  /** `begin` writes the headers; it is called with the first piece, so that what goes wrong before can still be told. */
  constructor(
    exchange: Exchange,
    session: Admitted,
    connect: (to: ByteReceiver) => ByteSource,
    begin: () => void,
  ) {
    this.#exchange = exchange;
    this.#session = session;
    this.#begin = begin;
    this.#bytes = connect({
      onData: (bytes, release) => this.#pass(bytes, release),
      onEnd: () => this.#finish(),
      onError: (error) => this.#fail(error),
    });
    this.#transfer = exchange.pace.watch(downloadPace, () =>
      this.#fail(new SallyportError('deadline', 'The reader is too slow')),
    );
    this.#transfer.setClientsTurn(false);
  }

  /** Resolves when the client's socket has taken everything; rejects with why it has not. */
  send(): Promise<void> {
    const { ended } = this.#session;
    const { response } = this.#exchange;
    ended.addEventListener('abort', this.#onSessionEnded);
    response.on('close', this.#onClientGone);
    if (ended.aborted) this.#onSessionEnded();
    else if (response.destroyed) this.#onClientGone();
    else this.#bytes.start();
    return this.#outcome.promise;
  }

  readonly #onSessionEnded = (): void =>
    this.#fail(new SallyportError('no-session', 'The session has ended'));
  readonly #onClientGone = (): void => this.#fail(new SallyportError('bad-request', 'The client went away'));

  #pass(bytes: Buffer, release: () => void): void {
    const { response } = this.#exchange;
    if (!response.headersSent) this.#begin();
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
    // The last pieces are still with the socket: their callbacks, or the loss of the client, come first.
    this.#exchange.response.end(() => {
      if (this.#settle()) this.#outcome.resolve();
    });
  }

  #fail(error: SallyportError): void {
    if (!this.#settle()) return;
    this.#bytes.stop(error);
    // Before the pieces are given back: their memory is reused at once.
    if (this.#exchange.response.headersSent) this.#exchange.request.socket.destroy();
    for (const release of this.#held) release();
    this.#held.clear();
    this.#outcome.reject(error);
  }

  #settle(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#transfer.done();
    this.#session.ended.removeEventListener('abort', this.#onSessionEnded);
    this.#exchange.response.off('close', this.#onClientGone);
    return true;
  }
}
