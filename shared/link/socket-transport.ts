/**
 * A lane's connection over a TLS socket.
 *
 * Reads: Node makes a new buffer for each 16 KiB TLS record it reads, which was measured to cost a third of a
 * download's throughput. The dialling side gets one read buffer used again and again by the public `onread` option;
 * for accepted sockets Node has no public way, and `data` events are used.
 */
import type { TLSSocket } from 'node:tls';
import type { ByteReceiver, ByteTransport } from './byte-transport.ts';

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

  constructor(socket: TLSSocket, readBuffer?: ReadBuffer) {
    this.#socket = socket;
    this.#readBuffer = readBuffer;
    socket.setNoDelay(true);
    // A lane may be idle for long; a peer that vanished without a word is found by control's heartbeat, this only
    // keeps state in firewalls between.
    socket.setKeepAlive(true, 30_000);
  }

  start(receiver: ByteReceiver): void {
    const socket = this.#socket;
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
      socket.on('data', (bytes: Buffer) => receiver.onBytes(bytes, bytes.length));
    } else if (this.#readBuffer.early) {
      this.close('bytes before the join');
    } else {
      this.#readBuffer.receiver = receiver;
      socket.resume();
    }
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
