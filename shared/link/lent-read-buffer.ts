/**
 * A read buffer of our own for a socket that was accepted. Node has that for sockets that are dialled (`onread`), and for
 * accepted ones only inside: the handle takes a buffer, and two of the socket's own properties say who hears of it. All of
 * it is looked for, and where anything is missing the socket is left as it was; a test tells when a new Node has it no
 * more.
 */
import type { TLSSocket } from 'node:tls';

interface ReadingHandle {
  useUserBuffer(buffer: Buffer): void;
}

function isReadingHandle(handle: unknown): handle is ReadingHandle {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'useUserBuffer' in handle &&
    typeof handle.useUserBuffer === 'function'
  );
}

/**
 * From now on each read of the socket fills `buffer` from its start, and `onBytes` is told how many bytes; `data` events
 * come no more. False: this Node has no such way, and nothing was changed.
 */
export function lendReadBuffer(
  socket: TLSSocket,
  buffer: Buffer,
  onBytes: (lengthBytes: number) => void,
): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  const own = Object.getOwnPropertySymbols(socket);
  const place = own.find(({ description }) => description === 'kBuffer');
  const callback = own.find(({ description }) => description === 'kBufferCb');
  if (!isReadingHandle(handle) || place === undefined || callback === undefined || socket.readableLength > 0)
    return false;
  Reflect.set(socket, place, buffer);
  Reflect.set(socket, callback, (lengthBytes: number) => {
    onBytes(lengthBytes);
    return true;
  });
  handle.useUserBuffer(buffer);
  socket.resume();
  return true;
}
