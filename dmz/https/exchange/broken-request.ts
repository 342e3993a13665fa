import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { SallyportError } from '#shared/error.ts';
import { apiHeaders } from './headers.ts';
import { drainMs } from '#dmz/https/limits.ts';
import { toProblem } from './problem.ts';

/** Answers to bytes that never became a request: written by hand, with the headers every answer has. */

const statusOf: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Whether the client broke the protocol, rather than went away, fell asleep or sent too much: a foreign page can make a
 * visitor's browser send an address or a cookie of any length here, and the visitor must not pay for it.
 */
export function isBreach(code: string | undefined): boolean {
  return code?.startsWith('HPE_') === true && statusOf[code] === undefined;
}

export function answerBrokenRequest(socket: Duplex, code: string | undefined): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = statusOf[code ?? ''] ?? 400;
  writeRaw(socket, status);
}

/** CONNECT would make us a proxy. */
export function refuseConnect(socket: Duplex): void {
  writeRaw(socket, 405);
}

function writeRaw(socket: Duplex, status: number): void {
  const error = new SallyportError('bad-request', 'That is not a request we read');
  endWithProblem(socket, error, { status }, apiHeaders);
}

/**
 * The last answer of a connection, written by hand. What the client is still sending is read and thrown away for a
 * moment: closing with unread bytes would reset the connection, and it would never see the answer.
 */
export function endWithProblem(
  socket: Duplex,
  error: SallyportError,
  special: { readonly status: number; readonly reason?: string },
  common: readonly string[],
): void {
  const cut = setTimeout(() => socket.destroy(), drainMs);
  socket.once('close', () => clearTimeout(cut));
  socket.resume();
  const { status } = special;
  const { headers, body } = toProblem(error, special);
  const text = JSON.stringify(body);
  const flat = [
    ...common,
    ...headers,
    'Connection',
    'close',
    'Content-Length',
    String(Buffer.byteLength(text)),
  ];
  const lines = flat.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${flat[index + 1] ?? ''}`] : []));
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('\r\n')}\r\n\r\n${text}`);
}
