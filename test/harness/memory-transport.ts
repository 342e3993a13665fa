/**
 * Two ends of a connection without a socket, for tests. Like a socket it delivers later, in order, in copies (a
 * receiver may keep nothing it was not given), and reports `done` after the bytes have left.
 */
import type { ByteReceiver, ByteTransport } from '#shared/link/byte-transport.ts';
import type { MessageReceiver, MessageTransport } from '#shared/link/message-transport.ts';

interface Receiver<T> {
  deliver(item: T): void;
  onClose(reason: string): void;
}

/** One end: what the peer sends waits here until it is started. */
class End<T> {
  peer: End<T> | undefined;
  #receiver: Receiver<T> | undefined;
  readonly #waiting: (() => void)[] = [];
  #scheduled = false;
  #closed = false;

  start(receiver: Receiver<T>): void {
    this.#receiver = receiver;
    this.#schedule();
  }

  push(item: T, taken: () => void): void {
    this.#waiting.push(() => {
      taken();
      if (!this.#closed) this.#receiver?.deliver(item);
    });
    this.#schedule();
  }

  close(reason: string): void {
    this.closeLater(reason);
    this.peer?.closeLater(reason);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  closeLater(reason: string): void {
    this.#waiting.push(() => {
      if (this.#closed) return;
      this.#closed = true;
      this.#receiver?.onClose(reason);
    });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#receiver === undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const step of this.#waiting.splice(0)) step();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}

function buildPair<T>(): [End<T>, End<T>] {
  const left = new End<T>();
  const right = new End<T>();
  left.peer = right;
  right.peer = left;
  return [left, right];
}

function bytesEnd(end: End<Buffer>, peer: End<Buffer>): ByteTransport {
  return {
    start: (receiver: ByteReceiver) =>
      end.start({
        deliver: (bytes) => receiver.onBytes(bytes, bytes.length),
        onClose: (reason) => receiver.onClose(reason),
      }),
    write: (bytes, done) => {
      if (end.isClosed) queueMicrotask(done);
      else peer.push(Buffer.from(bytes), done);
    },
    close: (reason) => end.close(reason),
  };
}

function messageEnd(end: End<string>, peer: End<string>): MessageTransport {
  return {
    start: (receiver: MessageReceiver) =>
      end.start({
        deliver: (message) => receiver.onMessage(Buffer.from(message)),
        onClose: (reason) => receiver.onClose(reason),
      }),
    send: (message) => {
      if (!end.isClosed) peer.push(message, () => undefined);
    },
    close: (reason) => end.close(reason),
    queuedBytes: 0,
  };
}

export function buildMemoryBytes(): [ByteTransport, ByteTransport] {
  const [left, right] = buildPair<Buffer>();
  return [bytesEnd(left, right), bytesEnd(right, left)];
}

export function buildMemoryMessages(): [MessageTransport, MessageTransport] {
  const [left, right] = buildPair<string>();
  return [messageEnd(left, right), messageEnd(right, left)];
}
