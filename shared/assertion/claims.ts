import { z } from 'zod';

/**
 * What a login assertion says: the one shape that `sign.ts` writes and `verify.ts` reads.
 *
 * An assertion is the DMZ's signed word about one login conversation. It admits nobody by itself: main compares every
 * claim with its own challenge record and checks the evidence that travels beside it (S-01).
 */

/** JWS `typ`; names the one use of these signatures, so that no other JWT of the same key can be taken for one. */
export const assertionType = 'sallyport-login+jwt';

/** From `iat` to `exp`. Main remembers each `jti` at least this long plus the leeway. */
export const assertionLifeSeconds = 30;

/** How far the two clocks may differ unless the caller says otherwise. */
export const defaultLeewayMs = 5_000;

/** Real ones are under 2 KiB; the bound is what main reads of a stranger's choice (user name, agent) before a signature counts. */
export const assertionBytesMax = 4_096;

const id = z.string().regex(/^[A-Za-z0-9_-]{43}$/); // 256 bit, base64url
const seconds = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

/** Unknown header members are refused with the rest: `crit`, `b64`, `jwk`, `x5c` and whatever comes next. */
export const headerSchema = z.strictObject({
  typ: z.literal(assertionType),
  alg: z.literal('EdDSA'),
  kid: z.string().min(1).max(128),
});

export const claimsSchema = z.strictObject({
  /** Node that ran the conversation. */
  iss: z.string().min(1).max(64),
  /** Main's name. */
  aud: z.string().min(1).max(64),
  /** User. */
  sub: z.string().min(1).max(255),
  jti: id,
  iat: seconds,
  exp: seconds,
  challenge: id,
  nonce: id,
  purpose: z.enum(['login', 'enrol', 'recovery-codes', 'password', 'ssh-key']),
  /** First factor, then what stood for the second: `["pwd"]`, `["key","otp"]`. */
  amr: z
    .array(z.enum(['pwd', 'key', 'otp']))
    .min(1)
    .max(3),
  method: z.enum([
    'totp',
    'email',
    'sms',
    'recovery',
    'bypass',
    'none',
    'lease',
    'device',
    'trusted-network',
    // Of a login whose node may not know what was asked for.
    'sealed',
  ]),
  /** `commitToCode` of the code beside the assertion; absent where none was asked. */
  code_commit: id.optional(),
  /** `commitToChange` of the change that purposes other than `login` and `enrol` ask for; absent in those two. */
  change: id.optional(),
  protocol: z.enum(['https', 'sftp']),
  client_ip: z.string().min(1).max(45),
  client_port: z.number().int().min(0).max(65_535),
  listener: z.string().min(1).max(64),
  agent: z.string().max(255),
  /** TLS exporter value of the link it is sent on (label EXPORTER-sallyport-link-v1), base64url. */
  link: z.string().regex(/^[A-Za-z0-9_-]{22,128}$/),
});

export type AssertionClaims = z.output<typeof claimsSchema>;
