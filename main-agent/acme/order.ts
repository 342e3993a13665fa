import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Clock } from '#shared/clock.ts';
import { Secret } from '#shared/secret.ts';
import { z } from 'zod';
import {
  describeProblem,
  parseAnswer,
  problemSchema,
  refuse,
  type AcmeAccount,
  type AcmeAnswer,
} from './account.ts';
import { buildCertificateRequest } from './certificate-request.ts';

/** One order at a certificate authority, from the names to the chain (RFC 8555 §7.4), proven by http-01 (§8.3). */
export interface OrderOptions {
  readonly account: AcmeAccount;
  /** Host names and IP addresses (RFC 8738). */
  readonly names: readonly string[];
  readonly challenges: ChallengeAnswers;
  readonly clock: Clock;
  /** Resolves after so many milliseconds; rejects when nobody waits for the order any more. */
  readonly wait: (ms: number) => Promise<unknown>;
}

/** Whoever answers `/.well-known/acme-challenge/<token>` on port 80 of the names. */
export interface ChallengeAnswers {
  /** Resolves when everybody who may be asked knows it. */
  show(token: string, keyAuthorization: string): Promise<void>;
  hide(token: string): void;
}

export interface IssuedCertificate {
  /** The chain, the server's own first. */
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: Secret;
}

/** Between two looks: what the authority says, within these, else slower each time. */
const lookAfterMsMin = 500;
const lookAfterMsMax = 30_000;
/** An authority that has not looked at a challenge, or not signed, in ten minutes will not; the next order is made later. */
const settledWithinMs = 10 * 60 * 1000;
/** Longer chains are not built; TLS sends them with each handshake. */
const chainMax = 8;

const challengeSchema = z.object({
  type: z.string(),
  url: z.string(),
  status: z.string(),
  token: z.string().optional(),
  error: problemSchema.optional(),
});
const authorizationSchema = z.object({
  status: z.string(),
  identifier: z.object({ value: z.string() }),
  challenges: z.array(challengeSchema).max(32),
});
const orderSchema = z.object({
  status: z.string(),
  authorizations: z.array(z.string()).max(100),
  finalize: z.string(),
  certificate: z.string().optional(),
  error: problemSchema.optional(),
});
/** §8.3: base64url, at least 128 bits. It becomes part of an address that the node compares with. */
const tokenPattern = /^[A-Za-z0-9_-]{22,256}$/;

/** A certificate for a new key. Rejects `certificate-refused`, `deadline` or `link-down`. */
export async function orderCertificate(options: OrderOptions): Promise<IssuedCertificate> {
  const { account, names } = options;
  const identifiers = names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }));
  const placed = await account.ask(account.newOrder, { identifiers });
  const orderUrl = account.requireUrl(placed.location);
  for (const url of parseAnswer(orderSchema, placed.body).authorizations)
    await authorize(options, account.requireUrl(url));

  const ready = await look(options, orderUrl, orderSchema, ({ status }) => status !== 'pending');
  if (ready.status !== 'ready') throw refuse(describeOrder(ready));
  // A key of its own each time: what was copied from an old certificate's is worth nothing.
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = buildCertificateRequest(names, privateKey).toString('base64url');
  await account.ask(account.requireUrl(ready.finalize), { csr });
  const isSettled = ({ status }: Order): boolean => status !== 'ready' && status !== 'processing';
  const done = await look(options, orderUrl, orderSchema, isSettled);
  if (done.status !== 'valid') throw refuse(describeOrder(done));
  const { body } = await account.ask(account.requireUrl(done.certificate));
  const keyPem = new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return { certificatePem: requireChain(body, names, keyPem), keyPem };
}

type Order = z.output<typeof orderSchema>;

async function authorize(options: OrderOptions, url: URL): Promise<void> {
  const { account, challenges } = options;
  const before = parseAnswer(authorizationSchema, (await account.ask(url)).body);
  // Proven a while ago, and the authority remembers.
  if (before.status === 'valid') return;
  const challenge = before.challenges.find(({ type }) => type === 'http-01');
  const name = before.identifier.value;
  if (challenge === undefined) throw refuse(`${name}: http-01 is not offered`);
  const token = challenge.token ?? '';
  if (!tokenPattern.test(token)) throw refuse(`${name}: its token is none: ${token}`);
  try {
    await challenges.show(token, `${token}.${account.thumbprint}`);
    await account.ask(account.requireUrl(challenge.url), {});
    const after = await look(options, url, authorizationSchema, ({ status }) => status !== 'pending');
    if (after.status === 'valid') return;
    const error = after.challenges.find((one) => one.type === 'http-01')?.error;
    throw refuse(`${name}: ${error === undefined ? after.status : describeProblem(error)}`);
  } finally {
    challenges.hide(token);
  }
}

/** Asks until it is settled. */
async function look<T extends z.ZodType>(
  { account, clock, wait }: OrderOptions,
  url: URL,
  schema: T,
  isSettled: (seen: z.output<T>) => boolean,
): Promise<z.output<T>> {
  const endMs = clock.monotonic() + settledWithinMs;
  for (let looks = 0; clock.monotonic() < endMs; looks += 1) {
    const answer = await account.ask(url);
    const seen = parseAnswer(schema, answer.body);
    if (isSettled(seen)) return seen;
    await wait(waitBefore(looks, answer));
  }
  throw refuse(`nothing was settled within ${settledWithinMs / 60_000} minutes`);
}

function waitBefore(looks: number, { retryAfterMs }: AcmeAnswer): number {
  const wanted = retryAfterMs ?? lookAfterMsMin * 2 ** looks;
  return Math.min(lookAfterMsMax, Math.max(lookAfterMsMin, wanted));
}

function describeOrder({ status, error }: Order): string {
  return `the order is ${status}${error === undefined ? '' : `: ${describeProblem(error)}`}`;
}

/** What would make every handshake fail is worse than the certificate there is. */
function requireChain(pem: string, names: readonly string[], keyPem: Secret): string {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  const [own] = blocks.map(parseCertificate);
  if (own === undefined || blocks.length > chainMax) throw refuse(`a chain of ${blocks.length} certificates`);
  if (!own.checkPrivateKey(createPrivateKey(keyPem.expose())))
    throw refuse('its certificate is for another key');
  const missing = names.filter(
    (name) => (isIP(name) === 0 ? own.checkHost(name) : own.checkIP(name)) === undefined,
  );
  if (missing.length > 0) throw refuse(`its certificate is not for ${missing.join(', ')}`);
  return `${blocks.join('\n')}\n`;
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw refuse('its certificate can not be read');
  }
}
