/** Shows every byte an end sends, in plaintext, to a recorder: how tests prove what never crosses the link (S-02). */
import type { ByteTransport } from '#shared/link/byte-transport.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';

export type LinkTap = (kind: 'control' | 'lane', bytes: Uint8Array) => void;

export function recordMessages(transport: MessageTransport, tap: LinkTap): MessageTransport {
  return {
    start: (receiver) => transport.start(receiver),
    send: (message) => {
      tap('control', Buffer.from(message));
      transport.send(message);
    },
    close: (reason) => transport.close(reason),
    get queuedBytes() {
      return transport.queuedBytes;
    },
  };
}

export function recordBytes(transport: ByteTransport, tap: LinkTap): ByteTransport {
  return {
    start: (receiver) => transport.start(receiver),
    write: (bytes, done) => {
      // A copy: the frame is used again once it is sent.
      tap('lane', Buffer.from(bytes));
      transport.write(bytes, done);
    },
    close: (reason) => transport.close(reason),
  };
}
