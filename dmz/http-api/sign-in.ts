import { z } from 'zod';
import { count, protocol, seconds, type Shown } from './values.ts';

/** Signing in, and setting up a second factor. */

export const login = z.strictObject({ username: z.string(), password: z.string() });
export type Login = Shown<typeof login>;

export const challenge = z.strictObject({
  method: z.enum(['totp', 'email', 'sms']),
  hint: z.string().describe('Where the code was sent, masked; empty where none was.'),
  recovery: z.boolean().describe('A recovery code is accepted.'),
  sealed: z
    .exactOptional(z.literal(true))
    .describe('Asked of everybody: whether password and code were right is answered together, once.'),
  given: z.exactOptional(z.literal(true)).describe('Only a code that the administrator gave is accepted.'),
  remember_device: z
    .exactOptional(z.literal(true))
    .describe('This browser may be remembered: its next sign-ins ask for no code.'),
  attempts_left: count,
  expires_in: seconds.describe('Seconds until sign-in has to start again.'),
  sent_ago: z
    .exactOptional(seconds)
    .describe('Seconds since the code that lives was sent; absent for a sent code: none could be sent yet.'),
  resend_in: z
    .exactOptional(seconds)
    .describe('Seconds until another code may be sent; only for sent codes.'),
});
export type Challenge = Shown<typeof challenge>;

const user = z.strictObject({ username: z.string(), display_name: z.string() });
const signedIn = z.strictObject({ state: z.literal('signed-in'), user });
const setupRequired = z.strictObject({ state: z.literal('setup-required') });
const codeRequired = z.strictObject({ state: z.literal('code-required'), challenge });

export const loginAnswer = z.discriminatedUnion('state', [signedIn, codeRequired, setupRequired]);
export type LoginAnswer = Shown<typeof loginAnswer>;

/** Of a half session. */
export const pendingCode = codeRequired.extend({ username: z.string() });
export type PendingCode = Shown<typeof pendingCode>;

export const codeEntry = z.strictObject({
  code: z
    .string()
    .describe(
      'Of an authenticator app, sent, given by the administrator, or a recovery code; may be empty where `sealed`.',
    ),
  remember_device: z.exactOptional(z.boolean()),
});
export type CodeEntry = Shown<typeof codeEntry>;

export const codeAnswer = z.discriminatedUnion('state', [signedIn, setupRequired]);
export type CodeAnswer = Shown<typeof codeAnswer>;

export const linkedPassword = z.strictObject({
  token: z.string().max(64).describe('What stands after `#` in the mailed link.'),
  password: z.string().min(1).max(1024),
});
export type LinkedPassword = Shown<typeof linkedPassword>;

export const passwordSet = z.strictObject({ username: z.string() });
export type PasswordSet = Shown<typeof passwordSet>;

export const setupStart = z.strictObject({
  ticket: z
    .exactOptional(z.string().max(64))
    .describe('The one-time code of the administrator, where a set-up needs one.'),
});
export type SetupStart = Shown<typeof setupStart>;

export const setup = z.strictObject({
  secret: z.string().describe('Base32, to type it in by hand.'),
  otpauth_uri: z.string(),
  qr: z.string().describe('data:image/png;base64,…'),
  expires_in: seconds.describe('Seconds until it is void.'),
});
export type Setup = Shown<typeof setup>;

export const setupProgress = z.strictObject({
  state: z.enum(['none', 'confirmed']),
  prove_within: z.exactOptional(seconds).describe('With `confirmed`: seconds in which a code must come.'),
});
export type SetupProgress = Shown<typeof setupProgress>;

export const setupConfirmed = z.strictObject({ prove_within: seconds });
export type SetupConfirmed = Shown<typeof setupConfirmed>;

export const setupProof = z.strictObject({ code: z.string().max(64) });
export type SetupProof = Shown<typeof setupProof>;

export const enrolled = z.strictObject({
  recovery_codes: z.array(z.string()),
  required_on: z.array(protocol),
});
export type Enrolled = Shown<typeof enrolled>;
