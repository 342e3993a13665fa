import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Log } from '#shared/log.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
import type { Examination, Finding } from './check.ts';

/** A monitor asks one thing at a time; more at once is somebody else. */
const connectionsMax = 32;
const timeoutMs = 5_000;
const headerBytesMax = 4_096;

export interface HealthServer {
  start(): Promise<void>;
  close(): Promise<void>;
  readonly address: { readonly host: string; readonly port: number };
}

/**
 * The listener for monitoring, apart from every public one: `/healthz` (is anything wrong here), `/readyz` (can users be
 * served now), `/metrics` (Prometheus text). Plain HTTP, meant for loopback or a management network.
 *
 * Trust: answers whoever can reach it, and takes nothing but three paths. What is wrong, in words with names in them, is
 * told on this box alone; from elsewhere one hears which check it is.
 */
export function buildHealthServer(options: {
  readonly listen: ListenAt;
  readonly examine: () => Promise<Examination>;
  readonly registry: Pick<Registry, 'contentType' | 'metrics'>;
  readonly log: Log;
}): HealthServer {
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      headersTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
    },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        options.log.error({ err: error }, 'health question failed');
        if (!response.headersSent) send(response, 500, 'text/plain', 'failed\n');
      });
    },
  );
  server.maxConnections = connectionsMax;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'text/plain', 'only GET\n');
      return;
    }
    switch (request.url ?? '') {
      case '/healthz':
        return sendChecks(request, response, ({ affects }) => affects !== 'ready');
      case '/readyz':
        return sendChecks(request, response, ({ affects }) => affects !== 'health');
      case '/metrics':
        send(response, 200, options.registry.contentType, await options.registry.metrics());
        return;
      default:
        send(response, 404, 'text/plain', 'healthz, readyz, metrics\n');
    }
  }

  /** Every check is shown; only those that count decide. */
  async function sendChecks(
    request: IncomingMessage,
    response: ServerResponse,
    counts: (finding: Finding) => boolean,
  ): Promise<void> {
    const { findings, unlooked } = await options.examine();
    const ok = findings.every((one) => one.state !== 'bad' || !counts(one));
    const isHere = isLoopback(request.socket.remoteAddress);
    const checks = findings.map(({ check, state, affects, detail, hint }) => ({
      name: check,
      ok: state !== 'bad',
      state,
      affects,
      ...(isHere && { detail, ...(hint !== undefined && { hint }) }),
    }));
    const others = unlooked.map(({ check, why }) => ({ name: check, ...(isHere && { why }) }));
    send(
      response,
      ok ? 200 : 503,
      'application/json',
      `${JSON.stringify({ ok, checks, unlooked: others })}\n`,
    );
  }

  return {
    async start() {
      server.listen(options.listen);
      await once(server, 'listening');
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    get address() {
      const address = server.address();
      if (address === null || typeof address === 'string')
        throw new Error('the health server is not listening');
      return { host: address.address, port: address.port };
    },
  };
}

function isLoopback(address = ''): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}

/**
 * A registry with what every process has: memory, CPU, event loop, garbage collection, under the names that boards made
 * for any program know.
 */
export function buildMetricsRegistry(labels: Readonly<Record<string, string>>): Registry {
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  collectDefaultMetrics({ register: registry });
  return registry;
}
