import { encodeOctets, formatCost, parseArgon2, type Argon2Cost } from './argon2-text.ts';
import { formatScheme, parseScheme, type SaltedScheme } from './foreign-hash.ts';

/**
 * Password hashes as users' files hold them: argon2id in PHC strings, over the password or, until its user signs in for
 * the first time, over the hash another system had of it (D-117). One reader for the files and for the verifier, so that
 * no file is taken whose password could then not be checked.
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$SALT$TAG
 *     $argon2id-over$bcrypt$r=10$FOREIGN-SALT$v=19$m=19456,t=2,p=1$SALT$TAG
 */

export interface Phc {
  /** What is computed of the password first. */
  readonly over: SaltedScheme | undefined;
  readonly cost: Argon2Cost;
  readonly salt: Buffer;
  readonly tag: Buffer;
}

/** Undefined for anything that could not be verified. */
export function parsePhc(text: string): Phc | undefined {
  const [, kind, parameters, foreignSalt, rest] =
    /^\$argon2id-over\$([a-z0-9-]{1,16})\$([a-z0-9=,]{1,64})\$([A-Za-z0-9+/]{2,172})(\$v=19\$.*)$/.exec(
      text,
    ) ?? [];
  const argon2 = parseArgon2(rest === undefined ? text : `$argon2id${rest}`);
  if (argon2?.kind !== 'argon2id') return undefined;
  const { cost, salt, tag } = argon2;
  if (kind === undefined || parameters === undefined) return { over: undefined, cost, salt, tag };
  const scheme = parseScheme(kind, parameters);
  if (scheme === undefined) return undefined;
  return { over: { scheme, salt: Buffer.from(foreignSalt ?? '', 'base64') }, cost, salt, tag };
}

export function formatPhc({ over, cost, salt, tag }: Phc): string {
  const head =
    over === undefined
      ? '$argon2id'
      : `$argon2id-over$${formatScheme(over.scheme)}$${encodeOctets(over.salt)}`;
  return `${head}$v=19$${formatCost(cost)}$${encodeOctets(salt)}$${encodeOctets(tag)}`;
}
