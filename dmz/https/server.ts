import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Registry } from 'prom-client';
import type { Admission, Guard } from '#dmz/guard/guard.ts';
import { plainAgent } from '#shared/visible-text.ts';
import type { Endpoint } from '#dmz/guard/proxy-header.ts';
import { buildRealClients } from '#dmz/guard/real-clients.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type { LoginService } from '#dmz/login/login-service.ts';
import type { Clock } from '#shared/clock.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
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

export interface HttpsServerOptions extends Certificate {
  /** `{host, port}`, or `{fd}` of an inherited socket. */
  readonly listen: ListenAt;
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
  readonly clock: Clock;
  readonly log: Log;
  readonly registry?: Registry;
}

interface HttpsServer {
  start(): Promise<void>;
  /** Stops accepting, lets answers in flight finish for a moment, cuts the rest. */
  close(): Promise<void>;
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
  let dispatch: ReturnType<typeof buildDispatch> | undefined;
  const timers: NodeJS.Timeout[] = [];
  /** Sockets with an answer in progress: raw bytes written there would land in the middle of it. */
  const answering = new WeakMap<object, number>();

  const server = createServer({
    ...tlsOptions(options.profile, options),
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

  function handle(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = request;
    const arrival = arrivalOf.get(socket);
    if (arrival === undefined) {
      socket.destroy();
      return;
    }
    const inFlight = answering.get(socket) ?? 0;
    if (inFlight >= pipelinedMax) {
      request.on('error', () => undefined);
      response.on('error', () => undefined);
      socket.destroy();
      return;
    }
    answering.set(socket, inFlight + 1);
    response.on('close', () => {
      answering.set(socket, (answering.get(socket) ?? 1) - 1);
      metrics.answered(response.statusCode);
    });
    // A client that goes away shows as 'close', which everyone who cares listens to.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const target = request.url ?? '';
    const mark = target.indexOf('?');
    const exchange: Exchange = {
      request,
      response,
      method: request.method ?? '',
      path: mark === -1 ? target : target.slice(0, mark),
      query: new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1)),
      client: addressOf(request, arrival.client),
      onSession: () => arrival.admission.authenticated(),
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
    // Told already; Node's parser stumbles over each piece that still comes.
    if (socket.writableEnded) {
      if (socket instanceof TLSSocket && socket.bytesRead > drainBytesMax) socket.destroy();
      return;
    }
    if (isBreach(error.code)) {
      const arrival = arrivalOf.get(socket);
      if (arrival !== undefined) guard.malformed(arrival.client.ip, 'https', error.code ?? '');
    }
    if ((answering.get(socket) ?? 0) > 0) socket.destroy();
    else answerBrokenRequest(socket, error.code);
  });
  server.on('tlsClientError', (error, socket) => {
    log.debug({ err: error }, 'TLS handshake failed');
    socket.destroy();
  });
  const clients = buildRealClients({ ...options, protocol: 'https' });
  /** Who is behind a connection; TLS connections by themselves, others by their ends, until TLS is there. */
  const arrivalOf = new WeakMap<object, Arrival>();
  const arrivalByEnds = new Map<string, Arrival>();
  server.on('secureConnection', (socket) => {
    const arrival = arrivalByEnds.get(endsOf(socket));
    if (arrival === undefined) {
      socket.destroy();
      return;
    }
    arrivalOf.set(socket, arrival);
    arrival.admission.reached('secured');
  });
  const endSilent = startTlsAfterFirstByte(server, (socket, serve) =>
    clients.accept(socket, (client) => {
      const admission = guard.admitConnection(client.ip, 'https', () => socket.destroy());
      if (!admission.admitted) {
        socket.destroy();
        return;
      }
      const ends = endsOf(socket);
      const arrival = { client, admission };
      arrivalByEnds.set(ends, arrival);
      metrics.connections(1);
      socket.once('close', () => {
        // The same ends may be another connection's by now.
        if (arrivalByEnds.get(ends) === arrival) arrivalByEnds.delete(ends);
        metrics.connections(-1);
        admission.release();
      });
      serve(() => admission.reached('hello'));
    }),
  );

  function rotateTicketKeys(): void {
    server.setTicketKeys(randomBytes(48));
  }

  const securityTxt = (): string | undefined =>
    options.securityTxt === undefined
      ? undefined
      : renderSecurityTxt(options.securityTxt, { publicUrl: options.publicUrl, nowMs: clock.now() });

  return {
    async start() {
      const staticFiles = await loadStaticFiles(
        options.webRoot,
        () => options.link.policy.branding.name,
        log,
      );
      dispatch = buildDispatch({ ...options, routes: buildRoutes({ ...options, securityTxt }), staticFiles });
      server.listen(options.listen);
      await once(server, 'listening');
      rotateTicketKeys();
      timers.push(
        setInterval(rotateTicketKeys, ticketKeyLifeMs).unref(),
        setInterval(() => pace.check(), paceCheckMs).unref(),
      );
      log.info({ address: server.address() }, 'https is open');
    },

    async close() {
      for (const timer of timers) clearInterval(timer);
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      endSilent();
      clients.close();
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), closeDrainMs);
      await closed;
      clearTimeout(cut);
    },

    get address() {
      const address = server.address();
      if (address === null || typeof address === 'string')
        throw new Error('the https server is not listening');
      return { host: address.address, port: address.port };
    },

    reload(certificate) {
      server.setSecureContext(tlsOptions(options.profile, certificate));
      rotateTicketKeys();
    },
  };
}

/** A connection that was let in, and whose it is. */
interface Arrival {
  readonly client: Endpoint;
  readonly admission: Admission;
}

/** The socket under TLS can't be had from the one above it; both have the same ends. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}

function addressOf(request: IncomingMessage, client: Endpoint): ClientAddress {
  return { ...client, agent: plainAgent(request.headers['user-agent'] ?? '') };
}
