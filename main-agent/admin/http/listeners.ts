import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { SallyportError } from '#shared/error.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
import type { Secret } from '#shared/secret.ts';
import { connectionsMax, headerBytesMax, requestMs, drainMs, connectionsPerSourceMax } from './limits.ts';

/** Where the admin API listens: a unix socket of mode 0660, and TLS 1.3 on one address where that is configured. */

export interface Certificate {
  readonly certificatePem: string;
  readonly keyPem: Secret;
}

const httpOptions = { maxHeaderSize: headerBytesMax, requestTimeout: requestMs, headersTimeout: requestMs };

/** Rejects `config` when the socket can't be made. */
export async function listenOnSocket(socket: string, listener: RequestListener): Promise<Server> {
  const server = createServer(httpOptions, listener);
  server.maxConnections = connectionsMax;
  try {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o750 });
    removeStale(socket);
    server.listen(socket);
    await once(server, 'listening');
    chmodSync(socket, 0o660);
    return server;
  } catch (cause) {
    throw new SallyportError('config', 'The admin socket cannot be opened', {
      detail: `${socket}: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint:
        socket.length > 100
          ? 'the path of a unix socket has at most 107 bytes'
          : 'check the folder and its owner',
      cause,
    });
  }
}

/** Rejects `config` when the address can't be listened on. */
export async function listenOnTls(
  listen: ListenAt,
  { certificatePem, keyPem }: Certificate,
  listener: RequestListener,
): Promise<TlsServer> {
  const server = createTlsServer(
    { ...httpOptions, minVersion: 'TLSv1.3', cert: certificatePem, key: keyPem.expose() },
    listener,
  );
  server.maxConnections = connectionsMax;
  boundBySource(server);
  try {
    server.listen(listen);
    await once(server, 'listening');
    return server;
  } catch (cause) {
    throw new SallyportError('config', 'The admin listener cannot be opened', {
      detail: cause instanceof Error ? cause.message : String(cause),
      hint: 'is `admin.listen` an address of this machine, and its port free?',
      cause,
    });
  }
}

export function portOf(server: TlsServer): number | undefined {
  const address = server.address();
  return typeof address === 'object' ? address?.port : undefined;
}

export async function closeServer(server: Server | TlsServer): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearTimeout(cut);
}

/** One address may not take all the connections there are. */
function boundBySource(server: TlsServer): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const source = socket.remoteAddress ?? '';
    const count = (open.get(source) ?? 0) + 1;
    open.set(source, count);
    socket.once('close', () => {
      const left = (open.get(source) ?? 1) - 1;
      if (left === 0) open.delete(source);
      else open.set(source, left);
    });
    if (count > connectionsPerSourceMax) socket.destroy();
  });
}

/** What a killed main left behind. That no other main runs is known: it would hold the state database. */
function removeStale(socket: string): void {
  const found = lstatSync(socket, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('something that is not a socket stands there');
  rmSync(socket);
}
