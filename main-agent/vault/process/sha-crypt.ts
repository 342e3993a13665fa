import { hash } from 'node:crypto';

/**
 * SHA-crypt (https://www.akkadia.org/drepper/SHA-crypt.txt): `$5$` with SHA-256, `$6$` with SHA-512, as /etc/shadow has
 * had them. Node has no crypt(3). Only old hashes are computed; nobody is given a new one.
 */

const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** The text after the last `$`. The salt has at most 16 octets. */
export function shaCrypt(
  digest: 'sha256' | 'sha512',
  { password, salt, rounds }: { readonly password: Buffer; readonly salt: Buffer; readonly rounds: number },
): string {
  const compute = (...parts: readonly Buffer[]): Buffer => hash(digest, Buffer.concat(parts), 'buffer');
  const b = compute(password, salt, password);
  const bits: Buffer[] = [];
  for (let length = password.length; length > 0; length >>= 1) bits.push(length & 1 ? b : password);
  let a = compute(password, salt, fill(b, password.length), ...bits);
  const p = fill(compute(...times(password, password.length)), password.length);
  const s = fill(compute(...times(salt, 16 + (a[0] ?? 0))), salt.length);
  for (let round = 0; round < rounds; round += 1) {
    const isOdd = (round & 1) === 1;
    const parts = [isOdd ? p : a];
    if (round % 3 !== 0) parts.push(s);
    if (round % 7 !== 0) parts.push(p);
    parts.push(isOdd ? a : p);
    a = compute(...parts);
  }
  return digest === 'sha256' ? encodeSha256(a) : encodeSha512(a);
}

/** The octets again and again, to that length. */
function fill(octets: Buffer, length: number): Buffer {
  return Buffer.alloc(length, octets);
}

function times(octets: Buffer, count: number): readonly Buffer[] {
  return Array.from({ length: count }, () => octets);
}

/** Three octets are four characters, the lowest bits first; which three, each hash orders in its own way. */
function encodeSha256(octets: Buffer): string {
  let text = '';
  let [x, y, z] = [0, 10, 20];
  for (let group = 0; group < 10; group += 1) {
    text += encode([octets[x], octets[y], octets[z]], 4);
    [x, y, z] = [z + 1, x + 1, y + 1];
  }
  return text + encode([0, octets[31], octets[30]], 3);
}

function encodeSha512(octets: Buffer): string {
  let text = '';
  let [x, y, z] = [0, 21, 42];
  for (let group = 0; group < 21; group += 1) {
    text += encode([octets[x], octets[y], octets[z]], 4);
    [x, y, z] = [y + 1, z + 1, x + 1];
  }
  return text + encode([0, 0, octets[63]], 2);
}

function encode(
  [high = 0, middle = 0, low = 0]: readonly (number | undefined)[],
  characters: number,
): string {
  const value = (high << 16) | (middle << 8) | low;
  return Array.from({ length: characters }, (_, n) => alphabet[(value >> (6 * n)) & 63]).join('');
}
