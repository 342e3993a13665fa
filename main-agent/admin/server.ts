import type { Audit } from '#main-agent/audit/record.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import {
  bodyBytesMax,
  connectionsMax,
  detailCharactersMax,
  drainMs,
  headerBytesMax,
  requestMs,
} from './limits.ts';
import { describeRoutes } from './openapi.ts';
import { toProblem } from './problem.ts';
import { noBody, roleCovers, type Answer, type Caller, type Route } from './route.ts';

/**
 * The admin API on a unix socket of mode 0660: whoever may open it is an admin. It is reachable from this machine
 * only, never through a DMZ node. Every call leaves an audit record.
 *
 * Trust: callers are admins and their scripts; their bytes are still bounded and checked against each route's schema.
 */

export interface AdminServerOptions {
  readonly socket: string;
  /** As configured. Tokens don't exist yet, so a configuration that counts on them must not start (fail closed). */
  readonly socketTokens?: 'optional' | 'required';
  readonly routes: readonly Route[];
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AdminServer {
  close(): Promise<void>;
}

/** Rejects `config` when the socket can't be made. */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  if (options.socketTokens === 'required') {
    throw new SallyportError('config', 'The admin socket cannot ask for tokens in this version', {
      detail: 'admin.socket_tokens: required',
      hint: 'set it to `optional`; owner and group of the socket decide who may use it',
    });
  }
  const routes = compileRoutes(options.routes);
  const description = describeRoutes(options.routes);
  const server = createServer(
    { maxHeaderSize: headerBytesMax, requestTimeout: requestMs, headersTimeout: requestMs },
    (request, response) => {
      void answer(request, response, routes, description, options);
    },
  );
  server.maxConnections = connectionsMax;
  await listen(server, options.socket);
  return {
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), drainMs);
      await closed;
      clearTimeout(cut);
    },
  };
}

async function listen(server: Server, socket: string): Promise<void> {
  try {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o750 });
    removeStale(socket);
    server.listen(socket);
    await once(server, 'listening');
    chmodSync(socket, 0o660);
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

/** What a killed main left behind. That no other main runs is known: it would hold the state database. */
function removeStale(socket: string): void {
  const found = lstatSync(socket, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('something that is not a socket stands there');
  rmSync(socket);
}

interface CompiledRoute {
  readonly route: Route;
  readonly segments: readonly string[];
}

function compileRoutes(routes: readonly Route[]): readonly CompiledRoute[] {
  return routes.map((route) => ({ route, segments: route.pattern.split('/') }));
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: readonly CompiledRoute[],
  description: object,
  options: AdminServerOptions,
): Promise<void> {
  const caller = identifyCaller(request);
  const url = URL.canParse(request.url ?? '', 'http://admin')
    ? new URL(request.url ?? '', 'http://admin')
    : undefined;
  try {
    if (url === undefined) throw new SallyportError('bad-request', 'The address does not fit');
    if (request.method === 'GET' && url.pathname === '/openapi.json') {
      send(response, { body: description });
      return;
    }
    const { route, params } = findRoute(routes, request.method ?? '', url.pathname);
    const result = await runAudited(route, params, caller, request, url, options);
    send(response, result);
  } catch (error) {
    const problem = toProblem(error);
    if (problem.status >= 500) options.log.error({ err: error }, 'admin call failed');
    send(response, { status: problem.status, body: problem }, 'application/problem+json');
  }
}

/** The record is durable before the caller hears how it went. */
async function runAudited(
  route: Route,
  params: Readonly<Record<string, string>>,
  caller: Caller,
  request: IncomingMessage,
  url: URL,
  options: AdminServerOptions,
): Promise<Answer> {
  let user = params['user'] ?? url.searchParams.get('user') ?? undefined;
  const record = async (outcome: 'ok' | 'refused' | 'failed', detail?: string): Promise<void> =>
    options.audit.append({
      time: new Date(options.clock.now()).toISOString(),
      event: 'admin.call',
      outcome,
      actor: caller.actor,
      ...(user !== undefined && { user: user.slice(0, 255) }),
      rule: `${route.method} ${route.pattern}`,
      ...(detail !== undefined && { detail: detail.slice(0, detailCharactersMax) }),
    });
  try {
    if (!roleCovers(caller.role, route.role)) {
      throw new SallyportError('not-allowed', 'Your role may not do this', { detail: `needs ${route.role}` });
    }
    const body = await readJson(request, route);
    user ??= usernameIn(body);
    const result = await route.run({
      params,
      query: Object.fromEntries(url.searchParams),
      body,
      caller,
      ifMatch: headerOf(request, 'if-match')?.replace(/^"(.*)"$/, '$1'),
    });
    await record('ok', result.note);
    return result;
  } catch (error) {
    const problem = toProblem(error);
    await record(problem.status >= 500 ? 'failed' : 'refused', `${problem.code}: ${problem.title}`);
    throw error;
  }
}

/** A user that is added is named in the body. */
function usernameIn(body: unknown): string | undefined {
  const named = typeof body === 'object' && body !== null && 'username' in body ? body.username : undefined;
  return typeof named === 'string' ? named : undefined;
}

function findRoute(
  routes: readonly CompiledRoute[],
  method: string,
  pathname: string,
): { readonly route: Route; readonly params: Readonly<Record<string, string>> } {
  const parts = pathname.split('/');
  for (const { route, segments } of routes) {
    if (route.method !== method) continue;
    const params = matchSegments(segments, parts);
    if (params !== undefined) return { route, params };
  }
  throw new SallyportError('not-found', 'There is no such route', {
    detail: `${method} ${pathname.slice(0, 200)}`,
  });
}

function matchSegments(
  segments: readonly string[],
  parts: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (segments.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const part = parts[index] ?? '';
    if (segment.startsWith('{')) {
      const value = decodeSegment(part);
      if (value === undefined) return undefined;
      params[segment.slice(1, -1)] = value;
    } else if (segment !== part) return undefined;
  }
  return params;
}

function decodeSegment(part: string): string | undefined {
  try {
    const value = decodeURIComponent(part);
    return value.length > 0 && value.length <= 255 ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Unix sockets don't tell who calls; `socket:` says that the name is only what the caller stated. */
function identifyCaller(request: IncomingMessage): Caller {
  const stated = headerOf(request, 'sallyport-actor') ?? '';
  const name = /^[A-Za-z0-9._@-]{1,64}$/.test(stated) ? stated : 'unknown';
  return { actor: `socket:${name}`, role: 'admin' };
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

async function readJson(request: IncomingMessage, route: Route): Promise<unknown> {
  const pieces: Buffer[] = [];
  const most = route.bodyBytesMax ?? bodyBytesMax;
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > most) {
      throw new SallyportError('too-many', 'The body is too large', {
        detail: `more than ${most} bytes`,
      });
    }
    pieces.push(piece);
  }
  if (bytes === 0) return undefined;
  if (route.body === noBody) throw new SallyportError('bad-request', 'This call takes no body');
  if (!/^application\/json\b/.test(headerOf(request, 'content-type') ?? '')) {
    throw new SallyportError('bad-request', 'The body must be application/json');
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new SallyportError('bad-request', 'The body is not JSON', { cause });
  }
}

function send(response: ServerResponse, result: Answer, type = 'application/json'): void {
  const body = result.body === undefined ? '' : `${JSON.stringify(result.body)}\n`;
  response.writeHead(result.status ?? (body === '' ? 204 : 200), {
    'cache-control': 'no-store',
    ...(body !== '' && { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
    ...(result.etag !== undefined && { etag: `"${result.etag}"` }),
  });
  response.end(body);
}
