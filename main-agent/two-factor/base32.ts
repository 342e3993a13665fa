/**
 * Base32 without padding (RFC 4648 §6), as authenticator apps read and people type it. Not `@scure/base`: it refuses a
 * secret whose last bits are not zero, such as tools make that draw 26 letters.
 */

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

export function encodeBase32(octets: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const octet of octets) {
    value = ((value << 8) | octet) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >>> bits) & 31];
    }
  }
  if (bits > 0) text += alphabet[(value << (5 - bits)) & 31];
  return text;
}

/** Undefined when it is not base32; case, blanks, dashes and padding don't matter. */
export function decodeBase32(text: string): Buffer | undefined {
  const clean = text.replaceAll(/[\s-]/g, '').replace(/=+$/, '').toUpperCase();
  const octets: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of clean) {
    const index = alphabet.indexOf(letter);
    if (index < 0) return undefined;
    value = ((value << 5) | index) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      octets.push((value >>> bits) & 0xff);
    }
  }
  return Buffer.from(octets);
}
