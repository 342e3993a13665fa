import { isUtf8 } from 'node:buffer';
import type { KeyObject } from 'node:crypto';
import { compactVerify } from 'jose';
import { SallyportError } from '#shared/error.ts';
import {
  assertionBytesMax,
  assertionLifeSeconds,
  claimsSchema,
  defaultLeewayMs,
  headerSchema,
  type AssertionClaims,
} from './claims.ts';

/**
 * Reads a login assertion. Runs on main.
 *
 * Trust: the octets come from a DMZ that may be an attacker's. Everything is refused that `sign.ts` would not have
 * written, so that one assertion has exactly one spelling and no second parser can read it differently.
 * May not decide: whether anybody is admitted. It says "this node signed these claims just now"; comparing them with
 * the challenge record, the link and the evidence is the login's work, and so is `jti` seen before.
 */

export interface SigningKey {
  /** The node this key was pinned for. */
  readonly node: string;
  readonly publicKey: KeyObject;
  /** `retired`: rotated out. `revoked`: the node is no longer trusted. Both are refused; the log tells them apart. */
  readonly status: 'active' | 'retired' | 'revoked';
}

export interface AssertionExpectation {
  /** Main's own name. */
  readonly audience: string;
  /** Name under which the sender's link identity is pinned: only this node's key may have signed. */
  readonly node: string;
  readonly findKey: (kid: string) => SigningKey | undefined;
  readonly nowMs: number;
  readonly leewayMs?: number;
}

/** Resolves with the claims; rejects `refused`, with what was wrong in the private detail. */
export async function verifyAssertion(jws: string, expected: AssertionExpectation): Promise<AssertionClaims> {
  if (jws.length > assertionBytesMax) throw refuse(`longer than ${assertionBytesMax} bytes`);
  const parts = jws.split('.');
  const [headerPart, payloadPart, signaturePart] = parts;
  if (parts.length !== 3 || !headerPart || !payloadPart || !signaturePart) throw refuse('not three parts');
  const headerOctets = decodeOneSpelling(headerPart, 'header');
  const payloadOctets = decodeOneSpelling(payloadPart, 'payload');
  decodeOneSpelling(signaturePart, 'signature');

  const header = headerSchema.safeParse(parseOneSpelling(headerOctets, 'header'));
  if (!header.success) throw refuse(`header: ${describe(header.error)}`);

  const { kid } = header.data;
  const key = expected.findKey(kid);
  if (key === undefined) throw refuse(`unknown key ${JSON.stringify(kid)}`);
  if (key.node !== expected.node) throw refuse(`key of node ${key.node}, sent by ${expected.node}`);
  if (key.status !== 'active') throw refuse(`${key.status} key ${JSON.stringify(kid)}`);
  // jose would verify with whatever curve the key has; a pinned key of another kind is our own mistake: stop here.
  if (key.publicKey.asymmetricKeyType !== 'ed25519') throw refuse('pinned key is not Ed25519');

  try {
    await compactVerify(jws, key.publicKey, { algorithms: ['EdDSA'] });
  } catch (error) {
    throw refuse('signature', error);
  }

  const parsed = claimsSchema.safeParse(parseOneSpelling(payloadOctets, 'payload'));
  if (!parsed.success) throw refuse(`claims: ${describe(parsed.error)}`);
  const claims = parsed.data;
  if (claims.iss !== expected.node) throw refuse(`iss ${claims.iss}, sent by ${expected.node}`);
  if (claims.aud !== expected.audience) throw refuse(`aud ${claims.aud}, this is ${expected.audience}`);
  requireFresh(claims, expected.nowMs, expected.leewayMs ?? defaultLeewayMs);
  return claims;
}

function requireFresh(claims: AssertionClaims, nowMs: number, leewayMs: number): void {
  const life = claims.exp - claims.iat;
  if (life <= 0 || life > assertionLifeSeconds) throw refuse(`lives ${life} s`);
  const ageMs = nowMs - claims.iat * 1000;
  if (ageMs < -leewayMs) throw refuse(`from the future by ${-ageMs} ms; compare the clocks of both nodes`);
  if (nowMs >= claims.exp * 1000 + leewayMs) throw refuse(`expired; ${ageMs} ms old`);
}

/** base64url that encodes back to itself: no padding, no stray bits, no foreign characters. */
function decodeOneSpelling(part: string, what: string): Buffer {
  const octets = Buffer.from(part, 'base64url');
  if (octets.toString('base64url') !== part) throw refuse(`${what} is not canonical base64url`);
  return octets;
}

/** JSON that prints back to itself: no member twice, no white space, no other spelling of a number or a string. */
function parseOneSpelling(octets: Buffer, what: string): unknown {
  if (!isUtf8(octets)) throw refuse(`${what} is not UTF-8`);
  const json = octets.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refuse(`${what} is not JSON`, error);
  }
  if (JSON.stringify(value) !== json) throw refuse(`${what} is not in its one spelling`);
  return value;
}

function describe(error: { readonly issues: readonly { path: PropertyKey[]; message: string }[] }): string {
  return error.issues
    .map((issue) => `${issue.path.map(String).join('.')} ${issue.message}`.trim())
    .join('; ');
}

function refuse(why: string, cause?: unknown): SallyportError {
  return new SallyportError('refused', 'Sign-in refused', { detail: `assertion: ${why}`, cause });
}
