import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Log } from '#shared/log.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
import type { Check } from './check.ts';

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
 * The listener for monitoring, apart from every public one: `/healthz` (is this process well), `/readyz` (can it serve
 * now), `/metrics` (Prometheus text). Plain HTTP, meant for loopback or a management network.
 *
 * Trust: answers whoever can reach it, so it says nothing about users and takes nothing but three paths.
 */
export function buildHealthServer(options: {
  readonly listen: ListenAt;
  readonly checks: () => Promise<readonly Check[]> | readonly Check[];
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
        return sendChecks(response, (check) => check.affects === 'health');
      case '/readyz':
        return sendChecks(response, () => true);
      case '/metrics':
        send(response, 200, options.registry.contentType, await options.registry.metrics());
        return;
      default:
        send(response, 404, 'text/plain', 'healthz, readyz, metrics\n');
    }
  }

  /** Every check is shown; only those that count decide. */
  async function sendChecks(response: ServerResponse, counts: (check: Check) => boolean): Promise<void> {
    const checks = await options.checks();
    const ok = checks.every((check) => check.ok || !counts(check));
    send(response, ok ? 200 : 503, 'application/json', `${JSON.stringify({ ok, checks })}\n`);
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
