import { buildOutboundClient, type OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Secret } from '#shared/secret.ts';
import { adminProblemSchema } from '#main-agent/admin/http/problem.ts';
import { SallyportError } from '#shared/error.ts';

/** The CLI's side of the admin API: one call over the unix socket, problems as SallyportErrors again. */

/** A roll-out report reads every enrolment. */
const usualTimeoutMs = 30_000;

interface AdminClient {
  /** The answer's JSON; undefined when it had none. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: object;
  /** The ETag that was read, or `*`: what a change is for. */
  readonly ifMatch?: string;
  /** Where an answer takes longer than others; default 30 s. */
  readonly timeoutMs?: number;
  /** Where an answer is longer than others; default 8 MiB. */
  readonly answerBytesMax?: number;
}

/** Where main is reached, and as whom. */
export interface AdminAddress {
  readonly target: { readonly socket: string } | { readonly url: string; readonly ca: string | undefined };
  readonly token: Secret | undefined;
  /** The name a caller without a token goes by in the audit; stated, not proven. */
  readonly actor: string;
}

export function buildAdminClient({ target, token, actor }: AdminAddress): AdminClient {
  const client: OutboundClient =
    'socket' in target
      ? buildOutboundClient({ socketPath: target.socket })
      : buildOutboundClient(target.ca === undefined ? {} : { ca: target.ca });
  const base = 'socket' in target ? 'http://main-agent' : target.url;
  return {
    call: async (
      method,
      path,
      { query = {}, body, ifMatch, timeoutMs = usualTimeoutMs, answerBytesMax } = {},
    ) => {
      const url = new URL(path, base);
      for (const [name, value] of Object.entries(query)) {
        if (value !== undefined) url.searchParams.set(name, String(value));
      }
      const answer = await client
        .send({
          url,
          method,
          headers: {
            'sallyport-actor': actor,
            ...(token !== undefined && { authorization: `Bearer ${token.expose()}` }),
            ...(ifMatch !== undefined && { 'if-match': ifMatch }),
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
          timeoutMs,
          ...(answerBytesMax !== undefined && { answerBytesMax }),
        })
        .catch((cause: unknown) => {
          throw toUnreachable(cause);
        });
      const json: unknown = answer.body === '' ? undefined : JSON.parse(answer.body);
      if (answer.status < 400) return json;
      throw toError(json, answer.status);
    },
    close: () => client.close(),
  };
}

function toUnreachable(cause: unknown): SallyportError {
  const detail = cause instanceof SallyportError ? (cause.detail ?? cause.message) : String(cause);
  // As OpenSSL and Node name what is wrong with a certificate.
  return /CERT|LEAF_SIGNATURE/.test(detail)
    ? new SallyportError('link-down', 'Main-agent’s certificate is not trusted', {
        detail,
        hint: '--ca-file names the authority that signed it; --url must have the name in it',
        cause,
      })
    : new SallyportError('link-down', 'Main-agent does not answer', {
        detail,
        hint: 'is it running, may you open its socket, is --socket or --url right?',
        cause,
      });
}

function toError(json: unknown, status: number): SallyportError {
  const problem = adminProblemSchema.safeParse(json);
  if (!problem.success) {
    return new SallyportError('internal', 'Main-agent answered something else', {
      detail: `status ${status}`,
    });
  }
  const { code, detail: message, private: detail, hint } = problem.data;
  // What main finds wrong with the words of a call is no file of the machine the command runs on.
  return new SallyportError(code === 'config' ? 'bad-request' : code, message, {
    ...(detail !== undefined && { detail }),
    ...(hint !== undefined && { hint }),
  });
}
