import { createHash, randomBytes } from 'node:crypto';

/** Randomness as a dependency, so that tests own it; `randomBytes` of node:crypto everywhere else. */
export type RandomBytes = (size: number) => Buffer;

/** 256 random bits, base64url (43 characters): session ids, challenge ids, lane tokens. */
export function randomId(): string {
  return randomBytes(32).toString('base64url');
}

/** A short public reference for people to read out: 40 random bits, base32 without look-alikes, 8 characters. */
export function randomReference(): string {
  const alphabet = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ';
  return Array.from(randomBytes(8), (byte) => alphabet[byte & 31]).join('');
}

/** How a session is named where its id must not stand (at rest, in events): SHA-256 of the id, base64url. */
export function sessionKey(sessionId: string): string {
  return createHash('sha256').update(sessionId).digest('base64url');
}
