/**
 * A lane's connection over a TLS socket.
 *
 * Reads: Node makes a new buffer for each 16 KiB TLS record it reads, which was measured to cost a quarter of what a
 * download costs the node. The dialling side gets one read buffer used again and again by the public `onread` option, an
 * accepted socket is lent one (`lent-read-buffer.ts`); where that can not be, `data` events are used.
 */
import type { TLSSocket } from 'node:tls';
import { TurnShare } from '#shared/turn-share.ts';
import { lendReadBuffer } from './lent-read-buffer.ts';
import type { ByteReceiver, ByteTransport } from './byte-transport.ts';
import { laneTurnBytes } from './limits.ts';

/** One TLS record is at most 16 KiB; the reader copies out of it at once. */
const readBufferBytes = 64 * 1024;

/**
 * The `onread` option for `tls.connect`, and where it delivers once a transport was started on the socket. Before the
 * peer is known nothing may arrive: `early` counts what does, and the transport then refuses the connection.
 */
export class ReadBuffer {
  receiver: ByteReceiver | undefined;
  early = false;
  readonly onread = {
    buffer: Buffer.allocUnsafeSlow(readBufferBytes),
    callback: (length: number): boolean => {
      if (this.receiver === undefined) this.early = true;
      else this.receiver.onBytes(this.onread.buffer, length);
      return true;
    },
  };
}

export class SocketTransport implements ByteTransport {
  readonly #socket: TLSSocket;
  readonly #readBuffer: ReadBuffer | undefined;
  #closeReason = 'closed by the peer';
  readonly #share: TurnShare;
  #receiver: ByteReceiver | undefined;

  constructor(socket: TLSSocket, readBuffer?: ReadBuffer) {
    this.#socket = socket;
    this.#readBuffer = readBuffer;
    this.#share = new TurnShare(laneTurnBytes, {
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      onQuiet: () => this.#receiver?.onQuiet?.(),
    });
    socket.setNoDelay(true);
    // A lane may be idle for long; a peer that vanished without a word is found by control's heartbeat, this only
    // keeps state in firewalls between.
    socket.setKeepAlive(true, 30_000);
  }

  get isBusy(): boolean {
    return this.#share.isBusy;
  }

  start(to: ByteReceiver): void {
    this.#receiver = to;
    const socket = this.#socket;
    const receiver: ByteReceiver = {
      onBytes: (bytes, length) => {
        to.onBytes(bytes, length);
        this.#share.count(length);
      },
      onClose: (reason) => to.onClose(reason),
    };
    socket.on('error', (error) => {
      this.#closeReason = error.message;
    });
    socket.on('end', () => socket.destroy());
    let closed = false;
    const close = (): void => {
      if (closed) return;
      closed = true;
      receiver.onClose(this.#closeReason);
    };
    socket.on('close', close);
    if (socket.destroyed) {
      queueMicrotask(close);
    } else if (this.#readBuffer === undefined) {
      this.#readAccepted(receiver);
    } else if (this.#readBuffer.early) {
      this.close('bytes before the join');
    } else {
      this.#readBuffer.receiver = receiver;
      socket.resume();
    }
  }

  #readAccepted(receiver: ByteReceiver): void {
    const buffer = Buffer.allocUnsafeSlow(readBufferBytes);
    const isLent = lendReadBuffer(this.#socket, buffer, (length) => receiver.onBytes(buffer, length));
    if (!isLent) this.#socket.on('data', (bytes: Buffer) => receiver.onBytes(bytes, bytes.length));
  }

  write(bytes: Uint8Array, done: () => void): void {
    // Called with an error when the connection is lost: the close event says so.
    this.#socket.write(bytes, () => done());
  }

  close(reason: string): void {
    this.#closeReason = reason;
    this.#socket.destroy();
  }
}
