import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import { SallyportError } from '#shared/error.ts';
import { endWithProblem } from './exchange/broken-request.ts';
import { drainBytesMax, handshakeTimeoutMs } from './limits.ts';

/**
 * Who speaks HTTP to the HTTPS port without TLS is told so, in HTTP and once: a browser, a script or a monitor with
 * `http://` in its address would show a broken connection and nothing else. All else is left to TLS.
 *
 * Trust: one byte of a stranger's is looked at; what follows is thrown away unread.
 */

/** What every request line begins with (RFC 9110 §9.1: methods are upper-case by custom); a TLS record never does. */
const isMethodByte = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;

/**
 * Takes over when the server begins TLS. `arrive` is asked first, with what to do when the connection shall be served;
 * until then it belongs to `arrive`, which is told when it begins TLS. Returns how to end what has not said anything yet.
 */
export function startTlsAfterFirstByte(
  server: Server,
  arrive: (socket: Socket, serve: (onTls: () => void) => void) => void,
): () => void {
  const silent = new Set<Socket>();
  // TLS is begun by the only listener there is; it takes connections that others hand it as well.
  const [beginTls, ...others] = server.listeners('connection');
  if (beginTls === undefined || others.length > 0) throw new Error('tls.Server is not as we know it');
  server.removeAllListeners('connection');
  const serve = (socket: Socket, onTls: () => void): void => {
    socket.on('error', () => undefined);
    const tooLate = setTimeout(() => socket.destroy(), handshakeTimeoutMs);
    silent.add(socket);
    const hasSpoken = (): void => {
      clearTimeout(tooLate);
      silent.delete(socket);
      socket.off('close', hasSpoken);
    };
    socket.on('close', hasSpoken);
    const look = (): void => {
      const first: unknown = socket.read();
      // The end, or a wake-up for nothing.
      if (!(first instanceof Buffer) || first.length === 0) return;
      socket.off('readable', look);
      hasSpoken();
      if (isMethodByte(first[0] ?? 0)) return tellPlain(socket);
      onTls();
      socket.unshift(first);
      Reflect.apply(beginTls, server, [socket]);
    };
    socket.on('readable', look);
  };
  server.on('connection', (socket: Socket) => arrive(socket, (onTls) => serve(socket, onTls)));
  return () => {
    for (const socket of silent) socket.destroy();
  };
}

function tellPlain(socket: Socket): void {
  const error = new SallyportError(
    'bad-request',
    'This port speaks HTTPS: the address has to begin with https://',
  );
  endWithProblem(socket, error, { status: 400, reason: 'https-only' }, []);
  let drained = 0;
  socket.on('data', ({ length }: Buffer) => {
    drained += length;
    if (drained > drainBytesMax) socket.destroy();
  });
}
