/**
 * Argon2 (RFC 9106) as it is written down: PHC strings (https://github.com/P-H-C/phc-string-format), base64 without
 * padding.
 */

/** Strangers don't write these, but a typo in a file must not ask for a terabyte. */
export const memoryMaxKiB = 1024 * 1024;
const passesMax = 16;
const parallelismMax = 16;
/** RFC 9106 §3.1 asks for 8 bytes of salt and 4 of tag at least, and the verifier takes no more than this. */
const saltBytesMin = 8;
const tagBytesMin = 12;

/** Memory in KiB, passes, lanes. */
export interface Argon2Cost {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

const argon2Kinds = ['argon2i', 'argon2d', 'argon2id'] as const;

interface Argon2Text {
  readonly kind: (typeof argon2Kinds)[number];
  readonly cost: Argon2Cost;
  readonly salt: Buffer;
  readonly tag: Buffer;
}

/** Version 1.3. Undefined for anything that could not be verified. */
export function parseArgon2(text: string): Argon2Text | undefined {
  const match =
    /^\$(argon2i|argon2d|argon2id)\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/.exec(
      text,
    );
  const [, name, memory, passes, parallelism, salt, tag] = match ?? [];
  const kind = argon2Kinds.find((one) => one === name);
  if (kind === undefined) return undefined;
  const found = {
    kind,
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt ?? '', 'base64'),
    tag: Buffer.from(tag ?? '', 'base64'),
  };
  return isUsableCost(found.cost) && found.salt.length >= saltBytesMin && found.tag.length >= tagBytesMin
    ? found
    : undefined;
}

export function isUsableCost({ memory, passes, parallelism }: Argon2Cost): boolean {
  return (
    memory <= memoryMaxKiB &&
    memory >= 8 * parallelism &&
    passes >= 1 &&
    passes <= passesMax &&
    parallelism >= 1 &&
    parallelism <= parallelismMax
  );
}

export function formatCost({ memory, passes, parallelism }: Argon2Cost): string {
  return `m=${memory},t=${passes},p=${parallelism}`;
}

export function encodeOctets(octets: Buffer): string {
  return octets.toString('base64').replaceAll('=', '');
}
