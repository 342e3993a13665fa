import { createPublicKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, FlattenedSign, type JWK } from 'jose';
import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import { version } from '#shared/version.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { z } from 'zod';

/**
 * An account at a certificate authority (RFC 8555): signs requests with its key, keeps the nonces, reads the answers.
 * What is asked is `order.ts`'s matter.
 *
 * Trust: the authority is whoever the configuration names, seen through TLS. Its answers are bounded and checked, and
 * they may not send us to another server than the configured one.
 */
export interface AcmeAccount {
  /** Where orders are placed. */
  readonly newOrder: URL;
  /** Of the account's key (RFC 7638), base64url. */
  readonly thumbprint: string;
  /** A signed POST; without a payload it reads (POST-as-GET, §6.3). Rejects as `openAccount` does. */
  ask(url: URL, payload?: object): Promise<AcmeAnswer>;
  /** An address that an answer contains. Rejects `certificate-refused` when it is at another server. */
  requireUrl(text: string | undefined): URL;
}

export interface AcmeAnswer {
  readonly body: string;
  /** Of what was made. */
  readonly location: string | undefined;
  /** What the authority wants us to wait before asking again, milliseconds. */
  readonly retryAfterMs: number | undefined;
}

interface AccountOptions {
  readonly directory: URL;
  /** P-256, private. */
  readonly key: KeyObject;
  /** Whom the authority warns. */
  readonly email: string;
  readonly http: OutboundClient;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Chains are a few certificates of 2 KiB; all else is smaller. */
const answerBytesMax = 128 * 1024;
/** An authority may sign while we wait. */
const answerTimeMs = 30_000;
/** A nonce may be refused for no fault of ours (§6.5); who refuses ten fresh ones in a row is broken. */
const nonceTriesMax = 10;
const algorithm = 'ES256';

const directorySchema = z.object({ newNonce: z.string(), newAccount: z.string(), newOrder: z.string() });
const accountSchema = z.object({ status: z.string(), contact: z.array(z.string()).optional() });
export const problemSchema = z.object({
  type: z.string().default('about:blank'),
  detail: z.string().default(''),
});
type Problem = z.output<typeof problemSchema>;

/**
 * Opens the account of this key, and makes it when there is none: having configured the authority is agreeing to its
 * terms. Rejects `certificate-refused` (with `retryAfterMs` when the authority said so), `deadline` or `link-down`.
 */
export async function openAccount(options: AccountOptions): Promise<AcmeAccount> {
  const listed = await send(options, { url: options.directory, method: 'GET' });
  if (listed.status !== 200) throw refusedBy(listed, options.clock.now());
  const directory = parseAnswer(directorySchema, listed.body);
  const requireUrl = (text: string | undefined): URL => requireSameServer(text, options.directory);
  const jwk = await exportJWK(createPublicKey(options.key));
  const post = buildPost(options, requireUrl(directory.newNonce));

  const contact = [`mailto:${options.email}`];
  const opened = await post(
    requireUrl(directory.newAccount),
    { jwk },
    { termsOfServiceAgreed: true, contact },
  );
  const account = requireUrl(opened.location);
  const kid = account.href;
  const present = parseAnswer(accountSchema, opened.body);
  if (present.status !== 'valid') throw refuse(`the account is ${present.status}`);
  // Of an account that there was already the authority tells the old address.
  if (present.contact?.join() !== contact.join()) await post(account, { kid }, { contact });
  return {
    newOrder: requireUrl(directory.newOrder),
    thumbprint: await calculateJwkThumbprint(jwk),
    ask: (url, payload) => post(url, { kid }, payload),
    requireUrl,
  };
}

/** For what an authority did or said that does not end in a certificate. */
export function refuse(detail: string, retryAfterMs?: number): SallyportError {
  return new SallyportError('certificate-refused', 'The certificate authority issued no certificate', {
    detail: showInvisible(detail),
    ...(retryAfterMs !== undefined && { data: { retryAfterMs } }),
  });
}

/** Keys that we do not know are passed over (§7.1.1 and others allow them anywhere). */
export function parseAnswer<T extends z.ZodType>(schema: T, body: string): z.output<T> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw refuse('its answer is no JSON');
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw refuse(`its answer is not as RFC 8555 has it: ${z.prettifyError(parsed.error)}`);
}

type Sent = Awaited<ReturnType<OutboundClient['send']>>;
type Signer = { readonly jwk: JWK } | { readonly kid: string };

/** Signed requests, one after the other; each answer brings the next one's nonce. */
function buildPost(options: AccountOptions, newNonce: URL) {
  let nonce: string | undefined;

  async function takeNonce(): Promise<string> {
    const fresh = nonce ?? (await send(options, { url: newNonce, method: 'HEAD' })).headers['replay-nonce'];
    nonce = undefined;
    if (fresh === undefined) throw refuse('it gives no nonce');
    return fresh;
  }

  return async (url: URL, signer: Signer, payload?: object): Promise<AcmeAnswer> => {
    const content = Buffer.from(payload === undefined ? '' : JSON.stringify(payload));
    for (let tries = 1; ; tries += 1) {
      const signed = await new FlattenedSign(content)
        .setProtectedHeader({ alg: algorithm, nonce: await takeNonce(), url: url.href, ...signer })
        .sign(options.key);
      const answer = await send(options, { url, method: 'POST', body: JSON.stringify(signed) });
      nonce = answer.headers['replay-nonce'];
      if (answer.status < 300) {
        return {
          body: answer.body,
          location: answer.headers['location'],
          retryAfterMs: readRetryAfter(answer, options.clock.now()),
        };
      }
      if (readProblem(answer)?.type !== 'urn:ietf:params:acme:error:badNonce' || tries === nonceTriesMax)
        throw refusedBy(answer, options.clock.now());
    }
  };
}

function send(
  { http, signal }: AccountOptions,
  request: { readonly url: URL; readonly method: string; readonly body?: string },
): Promise<Sent> {
  return http.send({
    ...request,
    headers: {
      'User-Agent': `sallyport/${version}`,
      ...(request.body !== undefined && { 'Content-Type': 'application/jose+json' }),
    },
    timeoutMs: answerTimeMs,
    answerBytesMax,
    ...(signal !== undefined && { signal }),
  });
}

function requireSameServer(text: string | undefined, directory: URL): URL {
  const url = URL.parse(text ?? '');
  if (url === null) throw refuse(`it names no address: ${text ?? 'none'}`);
  if (url.origin === directory.origin) return url;
  throw refuse(`it sends us to ${url.host}, which is not the configured ${directory.host}`);
}

function readProblem({ headers, body }: Sent): Problem | undefined {
  if (headers['content-type']?.startsWith('application/problem+json') !== true) return undefined;
  return parseAnswer(problemSchema, body);
}

function refusedBy(answer: Sent, nowMs: number): SallyportError {
  const problem = readProblem(answer);
  const told = problem === undefined ? '' : `: ${describeProblem(problem)}`;
  return refuse(`it answers ${answer.status}${told}`, readRetryAfter(answer, nowMs));
}

/** More of a sentence nobody reads. */
const detailCharactersMax = 500;

export function describeProblem({ type, detail }: Problem): string {
  const word = type.replace('urn:ietf:params:acme:error:', '');
  return `${word} (${detail})`.slice(0, detailCharactersMax);
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function readRetryAfter({ headers }: Pick<Sent, 'headers'>, nowMs: number): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
