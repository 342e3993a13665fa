import type { RandomBytes } from '#shared/random-id.ts';

/** Crockford's base32: sorts as text in the order of its numbers. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * 48 bit of milliseconds, 80 random bit, 26 characters. Always greater than `after`, even when the clock went back:
 * "newest" must never be a matter of the clock alone.
 */
export function makeUlid(nowMs: number, random: RandomBytes, after?: string): string {
  const afterMs = after === undefined ? -1 : timeOf(after);
  let time = Math.max(nowMs, afterMs + 1);
  let head = '';
  for (let index = 0; index < 10; index += 1) {
    head = `${alphabet[time % 32]}${head}`;
    time = Math.floor(time / 32);
  }
  return head + Array.from(random(16), (octet) => alphabet[octet & 31]).join('');
}

/** The milliseconds inside. */
export function timeOf(ulid: string): number {
  let time = 0;
  for (let index = 0; index < 10; index += 1)
    time = time * 32 + Math.max(0, alphabet.indexOf(ulid.charAt(index)));
  return time;
}
