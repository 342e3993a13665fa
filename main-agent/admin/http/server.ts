import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureContext } from 'node:tls';
import type { Audit } from '#main-agent/state/audit-record.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { ListenAt } from '#shared/process/inherited-sockets.ts';
import { Authentication, type CallSource } from '#main-agent/admin/access/authentication.ts';
import { answerCall, type CallOptions, type DoneCall } from './call.ts';
import { docsContentSecurityPolicy, renderDocs } from './docs-page.ts';
import { closeServer, listenOnSocket, listenOnTls, portOf, type Certificate } from './listeners.ts';
import { describeRoutes } from './openapi.ts';
import { toProblem } from './problem.ts';
import type { Route } from './route.ts';
import { buildRouteTable } from './route-table.ts';
import type { Tokens } from '#main-agent/admin/access/tokens.ts';

/**
 * The admin API on its listeners. Reachable from inside only, never through a DMZ node. Every call leaves an audit
 * record; only the description of the API, which says nothing of this installation, is for everybody.
 *
 * Trust: callers are admins and their scripts; until a token says so they are anybody, and their bytes are bounded and
 * checked against each route's schema in any case.
 */

interface AdminServerOptions {
  readonly socket: string;
  readonly socketTokens: 'optional' | 'required';
  /** undefined: the socket only. */
  readonly tls?: { readonly listen: ListenAt; readonly certificate: Certificate };
  readonly tokens: Pick<Tokens, 'judge'>;
  readonly findUser: (username: string) => EffectiveUser | undefined;
  readonly administered: CallOptions['administered'];
  readonly routes: readonly Route[];
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AdminServer {
  /** Of the TLS listener. */
  readonly port: number | undefined;
  /** Throws for one that does not belong to its key. What it returns serves it, to the next connections. */
  prepareCertificate(certificate: Certificate): () => void;
  close(): Promise<void>;
}

/** Rejects `config` when a listener can't be opened. */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { routes, tokens, socketTokens, audit, clock, findUser, administered, log, tls } = options;
  const calls: CallOptions = {
    findRoute: buildRouteTable(routes),
    authentication: new Authentication({ tokens, socketTokens, audit, clock }),
    findUser,
    administered,
    audit,
    clock,
  };
  const description = describeRoutes(routes);
  const pages: Pages = {
    '/openapi.json': {
      type: 'application/json',
      body: `${JSON.stringify(description)}\n`,
    },
    '/docs': {
      type: 'text/html; charset=utf-8',
      body: renderDocs(routes),
      policy: docsContentSecurityPolicy,
    },
  };
  const serve = (request: IncomingMessage, response: ServerResponse, source: CallSource): void => {
    void answer(request, response, source, pages, calls, log);
  };
  const onSocket = await listenOnSocket(options.socket, (request, response) =>
    serve(request, response, { kind: 'socket' }),
  );
  const onTls =
    tls === undefined
      ? undefined
      : await listenOnTls(tls.listen, tls.certificate, (request, response) =>
          serve(request, response, { kind: 'tls', ip: request.socket.remoteAddress ?? '' }),
        ).catch(async (error: unknown) => {
          await closeServer(onSocket);
          throw error;
        });
  return {
    port: onTls === undefined ? undefined : portOf(onTls),
    prepareCertificate: ({ certificatePem, keyPem }) => {
      const context = { minVersion: 'TLSv1.3', cert: certificatePem, key: keyPem.expose() } as const;
      createSecureContext(context);
      return () => onTls?.setSecureContext(context);
    },
    close: async () => {
      await Promise.all([onSocket, ...(onTls === undefined ? [] : [onTls])].map(closeServer));
    },
  };
}

type Pages = Readonly<
  Record<string, { readonly type: string; readonly body: string; readonly policy?: string }>
>;

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: CallSource,
  pages: Pages,
  calls: CallOptions,
  log: Log,
): Promise<void> {
  const page = request.method === 'GET' ? pages[request.url ?? ''] : undefined;
  if (page !== undefined) {
    write(response, 200, page.body, page.type, {
      ...(page.policy !== undefined && { 'content-security-policy': page.policy }),
    });
    return;
  }
  try {
    sendAnswer(response, await answerCall(request, source, calls));
  } catch (error) {
    const problem = toProblem(error);
    if (problem.status >= 500) log.error({ err: error }, 'admin call failed');
    write(response, problem.status, `${JSON.stringify(problem)}\n`, 'application/problem+json', {
      ...(problem.status === 401 && { 'www-authenticate': 'Bearer realm="sallyport"' }),
      ...(problem.retry_after !== undefined && { 'retry-after': String(problem.retry_after) }),
    });
  }
}

function sendAnswer(response: ServerResponse, { body, etag, status }: DoneCall): void {
  const text = body === undefined ? '' : `${JSON.stringify(body)}\n`;
  write(response, status, text, 'application/json', {
    ...(etag !== undefined && { etag: `"${etag}"` }),
  });
}

function write(
  response: ServerResponse,
  status: number,
  body: string,
  type: string,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(status, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(body !== '' && { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
    ...headers,
  });
  response.end(body);
}
