import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import type { ClientAddress } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { apiHeaders } from './headers.ts';
import { drainBytesMax, drainKeepAliveBytesMax, drainMs } from '#dmz/https/limits.ts';
import type { Pace } from './pace.ts';
import { toProblem } from './problem.ts';
import type { Violation } from './strictness.ts';

/** One request and its answer, as handlers see them. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Method as sent; HEAD is answered by GET handlers and Node leaves the body out. */
  readonly method: string;
  /** Raw path of the request target, still escaped. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly client: ClientAddress;
  /** Somebody is signed in on this connection: it is dropped for no newcomer. */
  readonly onSession: () => void;
  /** A fault of this node's own was answered under that reference. */
  readonly onFault: (reference: string, detail: string) => void;
  /** The client waits for 100 Continue before it sends the body; until `askForBody`. */
  awaitsContinue: boolean;
  readonly pace: Pace;
  readonly log: Log;
}

/** From here on the client's body is wanted (RFC 9110 §10.1.1). */
export function askForBody(exchange: Exchange): void {
  if (!exchange.awaitsContinue) return;
  exchange.awaitsContinue = false;
  exchange.response.writeContinue();
}

/**
 * Answers with JSON; `headers` are added to those every API answer has. Which answer of the API it is must be said
 * (`sendJson<Account>(…)`), so that another does not compile.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- inferred it would fit whatever is sent
export function sendJson<Answer = never>(
  exchange: Exchange,
  status: number,
  body: NoInfer<Answer>,
  headers: readonly string[] = [],
): Promise<void> {
  return sendBytes(exchange, status, Buffer.from(JSON.stringify(body)), [
    'Content-Type',
    'application/json',
    ...headers,
  ]);
}

export async function sendEmpty(
  exchange: Exchange,
  status: number,
  headers: readonly string[] = [],
): Promise<void> {
  await finish(exchange, status, [
    ...apiHeaders,
    ...(status === 204 ? [] : ['Content-Length', '0']),
    ...headers,
  ]);
}

/** The one way an error leaves. Our own faults are logged under the reference that the client is shown. */
export async function sendProblem(
  exchange: Exchange,
  thrown: unknown,
  special: { status?: number; reason?: string; headers?: readonly string[] } = {},
): Promise<void> {
  const error = toSallyportError(thrown);
  const problem = toProblem(error, special);
  const facts = {
    path: exchange.path,
    status: problem.status,
    code: error.code,
    reference: problem.body.reference,
  };
  // What comes in masses when there is too much of it, and main counts, is no line each.
  const isQuiet = error.code === 'link-down' || error.code === 'too-slow' || error.code === 'busy';
  if (problem.status >= 500 && !isQuiet)
    exchange.log.error({ ...facts, detail: error.detail, err: error.cause }, 'request failed');
  else exchange.log.debug({ ...facts, detail: error.detail }, 'request refused');
  // What is main's has a reference already, and stands in its audit.
  const { reference } = problem.body;
  if (problem.status === 500 && error.reference === undefined && reference !== undefined)
    exchange.onFault(reference, `${error.code}: ${error.detail ?? error.publicMessage}`);
  if (exchange.response.headersSent || exchange.response.destroyed) {
    // Half an answer is out: only a cut connection tells the client that it is not whole.
    exchange.request.socket.destroy();
    return;
  }
  const body = Buffer.from(JSON.stringify(problem.body));
  await sendBytes(exchange, problem.status, body, [...problem.headers, ...(special.headers ?? [])]);
}

/**
 * A request whose very form is wrong: where its body ends, and so where the next request begins, can't be trusted.
 * The connection ends with the answer.
 */
export function refuseViolation(exchange: Exchange, violation: Violation): void {
  const error = new SallyportError('bad-request', 'That is not a request we read', {
    detail: violation.what,
  });
  const { status, headers, body } = toProblem(error, { status: violation.status });
  exchange.log.debug({ ip: exchange.client.ip, what: violation.what }, 'request refused');
  exchange.response.writeHead(status, [...apiHeaders, ...headers, 'Connection', 'close']);
  exchange.response.end(JSON.stringify(body));
}

/** As `sendJson`, of what is written already. */
export async function sendBytes(
  exchange: Exchange,
  status: number,
  body: Buffer,
  headers: readonly string[],
): Promise<void> {
  await finish(exchange, status, [...apiHeaders, 'Content-Length', String(body.length), ...headers], body);
}

/** Writes the answer, and deals with a request body nobody read. */
export async function finish(
  exchange: Exchange,
  status: number,
  headers: readonly string[],
  body?: Buffer,
): Promise<void> {
  const { request, response } = exchange;
  if (response.destroyed) return;
  if (!hasUnreadBody(request)) {
    response.writeHead(status, [...headers]);
    response.end(body);
    return;
  }
  const declared = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
  const isEnd = headers.includes('Connection');
  const closes = isEnd || declared > drainKeepAliveBytesMax || exchange.awaitsContinue;
  response.writeHead(status, closes && !isEnd ? [...headers, 'Connection', 'close'] : [...headers]);
  if (body === undefined) response.flushHeaders();
  else response.write(body);
  if (!exchange.awaitsContinue) await drain(request);
  if (request.complete || closes) response.end();
  else request.socket.destroy();
}

function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  return (
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  );
}

/** Reads the rest of a body into nothing, for a while. */
async function drain(request: IncomingMessage): Promise<void> {
  let drained = 0;
  const over = new AbortController();
  request.removeAllListeners('data');
  request.on('data', (chunk: Buffer) => {
    drained += chunk.length;
    if (drained > drainBytesMax) over.abort();
  });
  request.resume();
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(drainMs)]);
  await Promise.race([once(request, 'end', { signal }), once(request, 'close', { signal })]).catch(
    () => undefined,
  );
  request.pause();
}

/** Did the client's connection end before its body did? */
export function isBrokenOff({ request }: Exchange): boolean {
  return request.destroyed && !request.complete;
}
