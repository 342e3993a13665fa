import type { RandomBytes } from '#shared/random-id.ts';
import { bypassCodeLength, recoveryCodeLength } from './limits.ts';

/**
 * Codes that people type, in one canonical spelling: capital base32 in groups of four for recovery and bypass codes.
 * Case, blanks and dashes don't matter when they come back.
 */

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Without 0 O 1 I: a mail is read on one screen and typed on another. */
const unmistakable = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ';
const digits = '0123456789';

export type DeliveredCharset = 'digits' | 'alphanumeric';

export function makeRecoveryCode(random: RandomBytes): string {
  return makeFrom(base32, recoveryCodeLength, random);
}

export function makeBypassCode(random: RandomBytes): string {
  return makeFrom(base32, bypassCodeLength, random);
}

export function makeDeliveredCode(length: number, charset: DeliveredCharset, random: RandomBytes): string {
  return makeFrom(charset === 'digits' ? digits : unmistakable, length, random);
}

/** `ABCD-EFGH-…`, as shown. */
export function groupByFour(code: string): string {
  return code.replaceAll(/.{4}(?=.)/g, '$&-');
}

/** What was typed, without what people add. */
export function canonicalCode(typed: string): string {
  return typed.replaceAll(/[\s-]/g, '').toUpperCase();
}

export function isRecoveryShaped(canonical: string): boolean {
  return canonical.length === recoveryCodeLength && /^[A-Z2-7]+$/.test(canonical);
}

export function isBypassShaped(canonical: string): boolean {
  return canonical.length === bypassCodeLength && /^[A-Z2-7]+$/.test(canonical);
}

/** Uniform over the alphabet: octets that would favour its first letters are thrown away. */
function makeFrom(alphabet: string, length: number, random: RandomBytes): string {
  const fair = 256 - (256 % alphabet.length);
  let code = '';
  while (code.length < length) {
    for (const octet of random(length)) {
      if (octet < fair && code.length < length) code += alphabet[octet % alphabet.length];
    }
  }
  return code;
}
