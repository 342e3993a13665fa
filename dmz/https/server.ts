import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Registry } from 'prom-client';
import { isHandedOver, type DoorListen } from '#dmz/guard/door-listen.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import { plainAgent } from '#shared/visible-text.ts';
import { buildRealClients } from '#dmz/guard/real-clients.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type { LoginService } from '#dmz/login/login-service.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { Arrivals } from './arrivals.ts';
import { answerBrokenRequest, isBreach, refuseConnect } from './exchange/broken-request.ts';
import { buildDispatch } from './dispatch.ts';
import type { Exchange } from './exchange/exchange.ts';
import { startTlsAfterFirstByte } from './first-byte.ts';
import {
  closeDrainMs,
  connectionIdleMs,
  drainBytesMax,
  headerBytesMax,
  headersMax,
  headersTimeoutMs,
  keepAliveTimeoutMs,
  paceCheckMs,
  pipelinedMax,
  ticketKeyLifeMs,
} from './limits.ts';
import { buildHttpsMetrics } from './metrics.ts';
import { Pace } from './exchange/pace.ts';
import { buildRoutes } from './routes.ts';
import { renderSecurityTxt, type SecurityTxt } from './security-txt.ts';
import { loadStaticFiles } from './static.ts';
import { tlsOptions, type Certificate, type TlsProfile } from './tls.ts';

export interface HttpsServerOptions {
  /** Undefined: none is there yet; `reload` brings it. */
  readonly certificate: Certificate | undefined;
  readonly listen: DoorListen;
  /** Balancers that say in a PROXY header whose connection it is. */
  readonly proxiesFrom?: readonly string[] | undefined;
  readonly profile: TlsProfile;
  /** Origin browsers know this node by. */
  readonly publicUrl: string;
  readonly login: LoginService;
  readonly guard: Guard;
  readonly link: Pick<MainLink, 'isUp' | 'policy'>;
  /** Whom to tell of a weakness; undefined: nobody is named. */
  readonly securityTxt?: SecurityTxt | undefined;
  /** Folder of the built web client. */
  readonly webRoot: string;
  /** A fault of this node's own was answered under that reference. */
  readonly onFault?: (fault: {
    readonly clientIp: string;
    readonly reference: string;
    readonly detail: string;
  }) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry?: Registry;
}

interface HttpsServer {
  start(): Promise<void>;
  /** Stops accepting, lets answers in flight finish for a moment, cuts the rest. */
  close(): Promise<void>;
  /** Of its own listening socket. */
  readonly address: { readonly host: string; readonly port: number };
  /** A new certificate for connections from now on. */
  reload(certificate: Certificate): void;
}

/**
 * The HTTPS door: TLS, HTTP/1.1, the API and the web client's files.
 *
 * Trust: every byte comes from strangers. Nothing here knows a secret or decides who may do what.
 */
export function buildHttpsServer(options: HttpsServerOptions): HttpsServer {
  const { guard, clock, log } = options;
  const pace = new Pace(clock);
  const metrics = buildHttpsMetrics(options.registry);
  const arrivals = new Arrivals(guard, metrics);
  let dispatch: ReturnType<typeof buildDispatch> | undefined;
  const timers: NodeJS.Timeout[] = [];
  /** Sockets with an answer in progress: raw bytes written there would land in the middle of it. */
  const answering = new WeakMap<object, number>();

  const server = buildServer(tlsOptions(options.profile, options.certificate));

  function handle(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = request;
    const arrival = arrivals.of(socket);
    if (arrival === undefined) {
      socket.destroy();
      return;
    }
    // A client that goes away shows as 'close', which everyone who cares listens to.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const inFlight = answering.get(socket) ?? 0;
    if (inFlight >= pipelinedMax) {
      socket.destroy();
      return;
    }
    const arrivedAtMs = clock.monotonic();
    answering.set(socket, inFlight + 1);
    response.on('close', () => {
      answering.set(socket, (answering.get(socket) ?? 1) - 1);
      metrics.answered(response.statusCode, (clock.monotonic() - arrivedAtMs) / 1000);
    });
    const exchange: Exchange = {
      request,
      response,
      ...targetOf(request),
      client: { ...arrival.client, agent: plainAgent(request.headers['user-agent'] ?? '') },
      onSession: () => arrival.admission.authenticated(),
      onFault: (reference, detail) => options.onFault?.({ clientIp: arrival.client.ip, reference, detail }),
      awaitsContinue,
      pace,
      log,
    };
    void dispatch?.(exchange).catch((error: unknown) => {
      log.error({ err: error }, 'an answer could not be sent');
      socket.destroy();
    });
  }

  server.on('request', (request, response) => handle(request, response, false));
  server.on('checkContinue', (request, response) => handle(request, response, true));
  server.on('checkExpectation', (request, response) => handle(request, response, true));
  server.on('connect', (_request, socket) => refuseConnect(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const { ip } = arrivals.of(socket)?.client ?? {};
    if (ip !== undefined && !socket.writableEnded && isBreach(error.code))
      guard.malformed(ip, 'https', error.code ?? '');
    answerClientError(error.code, socket, (answering.get(socket) ?? 0) > 0);
  });
  server.on('tlsClientError', (error, socket) => {
    log.debug({ err: error }, 'TLS handshake failed');
    socket.destroy();
  });
  const clients = buildRealClients({ ...options, protocol: 'https' });
  server.on('secureConnection', (socket) => arrivals.secured(socket));
  const endSilent = startTlsAfterFirstByte(server, (socket, serve) =>
    clients.accept(socket, (client) => {
      const arrival = arrivals.letIn(socket, client);
      if (arrival !== undefined) serve(() => arrival.admission.reached('hello'));
    }),
  );

  function rotateTicketKeys(): void {
    server.setTicketKeys(randomBytes(48));
  }

  return {
    async start() {
      const staticFiles = await loadStaticFiles(options.webRoot, () => options.link.policy.branding, log);
      const routes = buildRoutes({ ...options, securityTxt: () => securityTxtOf(options) });
      dispatch = buildDispatch({ ...options, routes, staticFiles });
      await open(server, options.listen);
      rotateTicketKeys();
      timers.push(
        setInterval(rotateTicketKeys, ticketKeyLifeMs).unref(),
        setInterval(() => pace.check(), paceCheckMs).unref(),
      );
      log.info({ address: server.address() }, 'https is open');
    },

    async close() {
      for (const timer of timers) clearInterval(timer);
      if (dispatch === undefined) return;
      const closed = server.listening ? once(server, 'close') : arrivals.allGone();
      // It stops watching for slow headers, too, and minds nothing else when it does not listen.
      server.close(() => undefined);
      endSilent();
      clients.close();
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), closeDrainMs);
      await closed;
      clearTimeout(cut);
    },

    get address() {
      return addressOf(server);
    },

    reload(certificate) {
      server.setSecureContext(tlsOptions(options.profile, certificate));
      rotateTicketKeys();
    },
  };
}

async function open(server: Server, listen: DoorListen): Promise<void> {
  if (isHandedOver(listen)) {
    // Node begins to watch for slow headers when the server listens, and takes what it is told for that.
    server.emit('listening');
    listen.onConnection((socket) => {
      socket.setNoDelay(true);
      server.emit('connection', socket);
    });
  } else {
    server.listen(listen);
    await once(server, 'listening');
  }
}

function answerClientError(code: string | undefined, socket: Duplex, isAnswering: boolean): void {
  // Told already; Node's parser stumbles over each piece that still comes.
  if (socket.writableEnded) {
    if (socket instanceof TLSSocket && socket.bytesRead > drainBytesMax) socket.destroy();
  } else if (isAnswering) socket.destroy();
  else answerBrokenRequest(socket, code);
}

function securityTxtOf({ securityTxt, publicUrl, clock }: HttpsServerOptions): string | undefined {
  return securityTxt === undefined
    ? undefined
    : renderSecurityTxt(securityTxt, { publicUrl, nowMs: clock.now() });
}

/** Node's server with our bounds. */
function buildServer(tls: ReturnType<typeof tlsOptions>): Server {
  const server = createServer({
    ...tls,
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersTimeoutMs,
    // Bodies have a pace instead: a large upload may take hours.
    requestTimeout: 0,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(headersTimeoutMs, 1_000),
    insecureHTTPParser: false,
    // Asked for in `strictness.ts`, where the answer gets our headers.
    requireHostHeader: false,
    noDelay: true,
  });
  // One more than allowed: Node drops the rest silently, and we must know that there was a rest.
  server.maxHeadersCount = headersMax + 1;
  server.setTimeout(connectionIdleMs);
  return server;
}

function targetOf({ method = '', url = '' }: IncomingMessage): Pick<Exchange, 'method' | 'path' | 'query'> {
  const mark = url.indexOf('?');
  return {
    method,
    path: mark === -1 ? url : url.slice(0, mark),
    query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)),
  };
}

function addressOf(server: Server): HttpsServer['address'] {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the https server is not listening');
  return { host: address.address, port: address.port };
}
