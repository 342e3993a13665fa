/** Connections that fail as networks do, at an exact place, for tests: cut after a byte or message, or held back. */
import type { ByteReceiver, ByteTransport } from '#shared/link/byte-transport.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';

/** Delivers the first `bytesMax` bytes that arrive and then is cut. */
export function cutBytesAfter(transport: ByteTransport, bytesMax: number): ByteTransport {
  let left = bytesMax;
  return {
    start: (receiver) =>
      transport.start({
        onBytes: (bytes, length) => {
          const delivered = Math.min(length, left);
          left -= delivered;
          if (delivered > 0) receiver.onBytes(bytes, delivered);
          if (delivered < length) transport.close(`cut after ${bytesMax} bytes`);
        },
        onClose: (reason) => receiver.onClose(reason),
      }),
    write: (bytes, done) => transport.write(bytes, done),
    close: (reason) => transport.close(reason),
  };
}

/** Delivers the first `messagesMax` messages that arrive and then is cut. */
export function cutMessagesAfter(transport: MessageTransport, messagesMax: number): MessageTransport {
  let left = messagesMax;
  return {
    start: (receiver) =>
      transport.start({
        onMessage: (message) => {
          left -= 1;
          if (left >= 0) receiver.onMessage(message);
          else transport.close(`cut after ${messagesMax} messages`);
        },
        onClose: (reason) => receiver.onClose(reason),
      }),
    send: (message) => transport.send(message),
    close: (reason) => transport.close(reason),
    get queuedBytes() {
      return transport.queuedBytes;
    },
  };
}

/** Holds arrivals back while `hold()` is in force; `resume()` delivers them in order. Closing is never held back. */
export class Gate {
  #held: (() => void)[] | undefined;

  hold(): void {
    this.#held ??= [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const deliver of held) deliver();
  }

  pass(deliver: () => void): void {
    if (this.#held === undefined) deliver();
    else this.#held.push(deliver);
  }
}

export function delayBytes(transport: ByteTransport, gate: Gate): ByteTransport {
  return {
    start: (receiver: ByteReceiver) =>
      transport.start({
        onBytes: (bytes, length) => {
          const copy = Buffer.from(bytes.subarray(0, length));
          gate.pass(() => receiver.onBytes(copy, copy.length));
        },
        onClose: (reason) => receiver.onClose(reason),
      }),
    write: (bytes, done) => transport.write(bytes, done),
    close: (reason) => transport.close(reason),
  };
}
