/**
 * Password hashes as they are written down: argon2id in PHC strings
 * (https://github.com/P-H-C/phc-string-format). One reader for the users' files and for the verifier, so that no file
 * is taken whose password could then not be checked.
 */

/** Strangers don't write these, but a typo in a file must not ask for a terabyte. */
export const memoryMaxKiB = 1024 * 1024;
const passesMax = 16;
const parallelismMax = 16;
/** RFC 9106 §3.1 asks for 8 bytes of salt and 4 of tag at least, and the verifier takes no more than this. */
const saltBytesMin = 8;
const tagBytesMin = 12;

export interface Phc {
  /** Memory in KiB, passes, lanes. */
  readonly cost: { readonly memory: number; readonly passes: number; readonly parallelism: number };
  readonly salt: Buffer;
  readonly tag: Buffer;
}

/** Undefined for anything that could not be verified. */
export function parsePhc(text: string): Phc | undefined {
  const match =
    /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/.exec(
      text,
    );
  const [, memory, passes, parallelism, salt, tag] = match ?? [];
  const phc = {
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt ?? '', 'base64'),
    tag: Buffer.from(tag ?? '', 'base64'),
  };
  const isUsable =
    match !== null &&
    phc.cost.memory <= memoryMaxKiB &&
    phc.cost.memory >= 8 * phc.cost.parallelism &&
    phc.cost.passes >= 1 &&
    phc.cost.passes <= passesMax &&
    phc.cost.parallelism >= 1 &&
    phc.cost.parallelism <= parallelismMax &&
    phc.salt.length >= saltBytesMin &&
    phc.tag.length >= tagBytesMin;
  return isUsable ? phc : undefined;
}
