import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Secret } from '#shared/secret.ts';

/**
 * Binds a code to an assertion without putting it inside: the assertion carries SHA-256(salt ‖ code), the code and the
 * salt travel beside it. So the audit may keep the assertion for ever and nobody reads a code from it.
 */

const saltBytes = 16; // 128 bit: a 6-digit code behind a shorter salt could be found by trying

/** A fresh salt and the commitment to this code under it, both base64url. */
export function commitToCode(code: Secret): { salt: string; commitment: string } {
  const salt = randomBytes(saltBytes);
  return { salt: salt.toString('base64url'), commitment: digest(salt, code).toString('base64url') };
}

/** Whether `commitment` is SHA-256(salt ‖ code). False for any malformed input; never throws. */
export function isCommitmentTo(commitment: string, salt: string, code: Secret): boolean {
  const saltOctets = Buffer.from(salt, 'base64url');
  if (saltOctets.length !== saltBytes || saltOctets.toString('base64url') !== salt) return false;
  const given = Buffer.from(commitment, 'base64url');
  const expected = digest(saltOctets, code);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function digest(salt: Buffer, code: Secret): Buffer {
  return createHash('sha256').update(salt).update(code.expose(), 'utf8').digest();
}
