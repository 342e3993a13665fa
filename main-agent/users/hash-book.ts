import { createHash } from 'node:crypto';
import { BoundedMap } from '#shared/bounded-map.ts';
import { SallyportError } from '#shared/error.ts';
import { filesMax } from './limits.ts';
import { parsePhc } from './phc.ts';

/**
 * Password hashes and their names. Main's process knows a hash by its name alone, in `EffectiveUser.passwordHash`, in
 * the texts of user files and in what it writes into them; the hash itself is in the vault's process, in the one book
 * there is of them (D-160).
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$SALT$TAG                    $vault$argon2id$v=19$m=19456,t=2,p=1$DIGEST
 *     $argon2id-over$bcrypt$r=10$SALT$v=19$m=19456,…$SALT$TAG    $vault$argon2id-over$bcrypt$r=10$s16$v=19$m=19456,…$DIGEST
 *
 * The digest is SHA-256 of the whole hash, so equal hashes have one name for ever, and sessions that stand on a password
 * outlive each process. It needs no key: who has a digest would have to guess 16 random octets of salt first. What the
 * hash costs is in its name because a login's time shows it anyway, and main counts costs (S-07).
 */

const usable = /^\$vault\$(argon2id[a-z0-9$=,-]*)\$[\w-]{43}$/;
const named = /\$vault\$[a-z0-9$=,-]+\$([\w-]{43})(?![\w-])/g;
/** Stands for what was written where a hash should be, and can't be verified. */
const unusable = 'unusable';

/** Asked for where there is no hash, so that looking takes as long (S-07). */
export const nameOfNoHash = `$vault$argon2id$v=19$m=19456,t=2,p=1$${'-'.repeat(43)}`;

/** Both folders of user files, and what was made and is not written yet. */
const hashesMax = 3 * filesMax;

/** Whether it names a hash that can be verified. */
export function isHashName(text: string): boolean {
  return usable.test(text);
}

/** Scheme and parameters, all of a hash but its salts and its tag; undefined: it is no name. */
export function costOfNamed(name: string): string | undefined {
  return usable.exec(name)?.[1];
}

/** Over which other system's hash it is; undefined: over the password itself. */
export function schemeUnder(name: string): string | undefined {
  return /^argon2id-over\$([a-z0-9-]+)/.exec(costOfNamed(name) ?? '')?.[1];
}

/** The part of a name that tells one hash from every other. */
export function digestOfNamed(name: string): string {
  return name.slice(name.lastIndexOf('$') + 1);
}

/** Of hashes and of what is none alike. */
export function namesIn(text: string): readonly string[] {
  return text.match(named) ?? [];
}

/** Of a name where no hash is meant to be. */
export function nameElsewhere(): SallyportError {
  return new SallyportError('config', 'That is the name of a password hash', {
    detail: '`$vault$…` stands only for the hash that a file has',
    hint: 'leave it out; a password is set with: sallyport users passwd <user>',
  });
}

/** The text without these names, or without any. */
export function stripNames(text: string, names?: ReadonlySet<string>): string {
  return text.replaceAll(named, (name) => (names === undefined || names.has(name) ? '' : name));
}

export class HashBook {
  /** By digest, the longest known first. */
  readonly #hashes = new BoundedMap<string>(hashesMax);

  /** Resolves with its name; it can be found from now on. */
  note(hash: string): string {
    const digest = createHash('sha256').update(hash).digest('base64url');
    if (!this.#hashes.has(digest)) this.#hashes.set(digest, hash);
    return `$vault$${describeCost(hash)}$${digest}`;
  }

  find(name: string): string | undefined {
    return this.#hashes.get(digestOfNamed(name));
  }

  /** The text with its hashes for their names; undefined: one of them is not in the book. */
  fillIn(text: string): string | undefined {
    let isWhole = true;
    const filled = text.replaceAll(named, (name, digest: string) => {
      const hash = this.#hashes.get(digest);
      isWhole &&= hash !== undefined;
      return hash ?? name;
    });
    return isWhole ? filled : undefined;
  }
}

function describeCost(hash: string): string {
  if (parsePhc(hash) === undefined) return unusable;
  const parts = hash.split('$').slice(1, -2);
  // Of the other system's salt the length, for it is hashed in each round.
  if (parts[0] === 'argon2id-over') parts[3] = `s${Buffer.from(parts[3] ?? '', 'base64').length}`;
  return parts.join('$');
}
