import { SallyportError } from '#shared/error.ts';
import { Agent, request } from 'undici';

/**
 * The one place main makes HTTP requests from: SMS gateways, webhooks, and the CLI's calls to the admin socket.
 * Redirects are never followed: where a request goes is decided by configuration, not by who answers it. No proxy
 * is taken from the environment.
 *
 * Trust: answers come from services outside; only status, headers and a bounded body are read.
 */

/** From the first packet to the last byte of the answer. */
const timeoutDefaultMs = 10_000;
/** The admin API answers with a page of records. */
const answerBytesDefault = 8 * 1024 * 1024;
const connectionsPerHostMax = 8;

interface OutboundRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds; undefined = 10 s. */
  readonly timeoutMs?: number;
  /** Gives it up sooner. */
  readonly signal?: AbortSignal;
  /** Larger answers reject; undefined = 8 MiB. */
  readonly answerBytesMax?: number;
}

interface OutboundAnswer {
  readonly status: number;
  /** Names in lower case; of a repeated header the first. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface OutboundClient {
  /**
   * Any status is an answer, redirects included. Rejects `deadline` or `link-down`; neither names more of the
   * request than its host, as the rest may hold credentials (S-11).
   */
  send(request: OutboundRequest): Promise<OutboundAnswer>;
  close(): Promise<void>;
}

interface OutboundOptions {
  /** Every request goes to this unix socket, whatever host it names. */
  readonly socketPath?: string;
  /** PEM; what HTTPS servers are trusted by instead of the system's authorities. */
  readonly ca?: string;
}

export function buildOutboundClient(options: OutboundOptions = {}): OutboundClient {
  const agent = new Agent({
    connections: connectionsPerHostMax,
    ...(options.socketPath !== undefined && { connect: { socketPath: options.socketPath } }),
    ...(options.ca !== undefined && { connect: { ca: options.ca } }),
  });
  return {
    send: async (one) => {
      const timeout = AbortSignal.timeout(one.timeoutMs ?? timeoutDefaultMs);
      const signal = one.signal === undefined ? timeout : AbortSignal.any([timeout, one.signal]);
      try {
        const answer = await request(one.url, {
          dispatcher: agent,
          method: one.method,
          headers: one.headers ?? {},
          body: one.body ?? null,
          signal,
        });
        return {
          status: answer.statusCode,
          headers: flattenHeaders(answer.headers),
          body: await readBounded(answer.body, one.answerBytesMax ?? answerBytesDefault),
        };
      } catch (cause) {
        if (signal.aborted) {
          throw new SallyportError('deadline', 'The other side did not answer in time', {
            detail: one.url.host,
            cause,
          });
        }
        throw new SallyportError('link-down', 'The other side cannot be reached', {
          detail: `${options.socketPath ?? one.url.host}: ${describe(cause)}`,
          cause,
        });
      }
    },
    close: () => agent.close(),
  };
}

function flattenHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      const first = Array.isArray(value) ? value[0] : value;
      return first === undefined ? [] : [[name, first]];
    }),
  );
}

async function readBounded(body: AsyncIterable<Buffer>, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new Error(`the answer is larger than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}
