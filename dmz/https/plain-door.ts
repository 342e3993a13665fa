import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createListener, type Socket } from 'node:net';
import { isHandedOver, type DoorListen } from '#dmz/guard/door-listen.ts';
import { buildRealClients } from '#dmz/guard/real-clients.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { sourceOf } from '#shared/networks.ts';

/**
 * Port 80: what a certificate authority asks (RFC 8555 §8.3), and the way to HTTPS for everybody else. One answer a
 * connection, no cookie, no body read, nothing of the product behind it.
 *
 * Trust: every byte comes from strangers. It is apart from the other doors: who floods it takes no place from them, and
 * is not counted or banned there, for any page can make a visitor's browser ask here.
 */
interface PlainDoorOptions {
  readonly listen: DoorListen;
  /** Balancers that say in a PROXY header whose connection it is. */
  readonly proxiesFrom?: readonly string[] | undefined;
  /** Where all else is sent; not where the request says it came to. */
  readonly publicUrl: string;
  /** What main proves to an authority that asks for this token. */
  readonly keyAuthorizationOf: (token: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PlainDoor {
  start(): Promise<void>;
  close(): Promise<void>;
  readonly address: { readonly host: string; readonly port: number };
}

/** A request line and what browsers send to a name, with its cookies. More gets 431. */
const headerBytesMax = 16 * 1024;
/** From the connection to the end of its headers; then the answer has as long to leave. */
const wholeTimeMs = 10_000;
/** Each is a socket and at most its headers; it is gone after one answer. */
const connectionsMax = 256;
/** An authority looks from several places at once, from each with a connection or two; a browser opens six. */
const connectionsOfSourceMax = 16;

const challengePrefix = '/.well-known/acme-challenge/';
/** What `Location` may carry on as it is: origin-form, visible ASCII, no fragment. */
const plainTarget = /^\/[\u0021-\u0022\u0024-\u007e]*$/;

export function buildPlainDoor(options: PlainDoorOptions): PlainDoor {
  const open = new Map<Socket, string>();
  const http = createServer(
    {
      maxHeaderSize: headerBytesMax,
      headersTimeout: wholeTimeMs,
      requestTimeout: wholeTimeMs,
      connectionsCheckingInterval: 1_000,
      insecureHTTPParser: false,
      // Its absence changes nothing here: nobody is sent to the name that was asked for.
      requireHostHeader: false,
    },
    (request, response) => answer(request, response, options),
  );
  // A body that is announced is refused by not being asked for; a request that wants to be a tunnel gets nothing.
  http.on('checkContinue', (request, response) => answer(request, response, options));
  http.on('connect', (_request, socket) => socket.destroy());
  http.on('upgrade', (_request, socket) => socket.destroy());
  http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || socket.writableEnded) return void socket.destroy();
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
      socket.destroy(),
    );
  });

  function serve(socket: Socket, ip: string): void {
    const source = sourceOf(ip);
    let ofSource = 0;
    for (const one of open.values()) if (one === source) ofSource += 1;
    if (open.size >= connectionsMax || ofSource >= connectionsOfSourceMax) {
      socket.destroy();
      return;
    }
    open.set(socket, source);
    const tooLate = setTimeout(() => socket.destroy(), 2 * wholeTimeMs);
    socket.once('close', () => {
      clearTimeout(tooLate);
      open.delete(socket);
    });
    http.emit('connection', socket);
    // One that was handed over is paused.
    socket.resume();
  }

  const clients = buildRealClients({ ...options, protocol: 'https' });
  const accept = (socket: Socket): void => clients.accept(socket, ({ ip }) => serve(socket, ip));
  const listener = createListener(accept);

  return {
    async start() {
      if (isHandedOver(options.listen)) options.listen.onConnection(accept);
      else await once(listener.listen(options.listen), 'listening');
      // Node begins to watch for slow headers when its server listens.
      http.emit('listening');
      options.log.info({ address: listener.address() }, 'port 80 is open');
    },

    async close() {
      http.close(() => undefined);
      clients.close();
      for (const socket of open.keys()) socket.destroy();
      if (!listener.listening) return;
      const closed = once(listener, 'close');
      listener.close();
      await closed;
    },

    get address() {
      const address = listener.address();
      if (address === null || typeof address === 'string') throw new Error('port 80 is not listening');
      return { host: address.address, port: address.port };
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, options: PlainDoorOptions): void {
  const { method = '', url = '' } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  const keyAuthorization =
    isRead && url.startsWith(challengePrefix)
      ? options.keyAuthorizationOf(url.slice(challengePrefix.length))
      : undefined;
  const target = plainTarget.test(url) ? url : '/';
  const [status, headers, body] =
    keyAuthorization === undefined
      ? // Old programs know 301 and ask with GET then; 308 is the one that keeps any other method.
        [isRead ? 301 : 308, { Location: `${options.publicUrl}${target}` }, '']
      : [200, { 'Content-Type': 'application/octet-stream', 'Cache-Control': 'no-store' }, keyAuthorization];
  response.writeHead(status, {
    ...headers,
    Connection: 'close',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(method === 'HEAD' ? '' : body);
}
