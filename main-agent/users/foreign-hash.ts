import { isUsableCost, parseArgon2, type Argon2Cost } from './argon2-text.ts';

/**
 * Password hashes as other systems write them: what is needed to compute one again, and the tag it must come to. Which
 * are read is a matter of what they cost: main computes them for whoever tries a name.
 */

/** How a tag is computed from a password and a salt. */
type ForeignScheme =
  | { readonly kind: 'bcrypt' | 'sha256-crypt' | 'sha512-crypt'; readonly rounds: number }
  | {
      readonly kind: 'pbkdf2-sha1' | 'pbkdf2-sha256' | 'pbkdf2-sha512';
      readonly rounds: number;
      readonly tagBytes: number;
    }
  | {
      readonly kind: 'argon2i' | 'argon2d' | 'argon2id';
      readonly cost: Argon2Cost;
      readonly tagBytes: number;
    };

export interface SaltedScheme {
  readonly scheme: ForeignScheme;
  readonly salt: Buffer;
}

interface ForeignHash extends SaltedScheme {
  /** Of the crypts the text, in their own alphabet; else the octets. */
  readonly tag: Buffer;
}

/** Of bcrypt, as a power of two: 14 takes JavaScript two seconds, and 12 is the most that systems set. */
const bcryptRounds = { min: 4, max: 14 };
/** As SHA-crypt itself says, and a second and a half at the most; passlib writes 656,000. */
const shaCryptRounds = { min: 1_000, max: 1_000_000 };
const shaCryptRoundsDefault = 5_000;
/** Half a second of SHA-1 or SHA-256; OWASP asks for 1,300,000 and 600,000. */
const pbkdf2Rounds = { min: 1, max: 2_000_000 };
/** A whole digest: a longer tag is computed in as many rounds again, and tells nothing more. */
const pbkdf2TagBytes = { 'pbkdf2-sha1': 20, 'pbkdf2-sha256': 32, 'pbkdf2-sha512': 64 } as const;
const pbkdf2Kinds = ['pbkdf2-sha1', 'pbkdf2-sha256', 'pbkdf2-sha512'] as const;

const shaCryptTagCharacters = { 'sha256-crypt': 43, 'sha512-crypt': 86 } as const;

/** A hash, or in words for an admin why it is not taken; never its text. */
type ReadForeignHash = { readonly hash: ForeignHash } | { readonly problem: string };

export function readForeignHash(untrusted: string): ReadForeignHash {
  // As directories (LDAP, Dovecot) name what follows.
  const text = untrusted.trim().replace(/^\{(CRYPT|ARGON2(ID?)?|BLF-CRYPT|SHA(256|512)-CRYPT)\}/i, '');
  const hash = readBcrypt(text) ?? readShaCrypt(text) ?? readPbkdf2(text) ?? readArgon2(text);
  if (hash === undefined) return { problem: describeUnread(text) };
  const problem = findExcess(hash.scheme);
  return problem === undefined ? { hash } : { problem };
}

/** Written into users' files; the reverse of `parseScheme`. */
export function formatScheme(scheme: ForeignScheme): string {
  const { kind } = scheme;
  if ('cost' in scheme) {
    const { memory, passes, parallelism } = scheme.cost;
    return `${kind}$m=${memory},t=${passes},p=${parallelism},l=${scheme.tagBytes}`;
  }
  return `${kind}$r=${scheme.rounds}${'tagBytes' in scheme ? `,l=${scheme.tagBytes}` : ''}`;
}

/** Undefined for anything that could not be computed, or costs more than what is taken. */
export function parseScheme(kind: string, parameters: string): ForeignScheme | undefined {
  const scheme = readScheme(kind, parameters);
  return scheme === undefined || findExcess(scheme) !== undefined ? undefined : scheme;
}

function readScheme(kind: string, parameters: string): ForeignScheme | undefined {
  const argon2 = /^m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3}),l=(\d{1,3})$/.exec(parameters);
  const [, rounds, length] = /^r=(\d{1,8})(?:,l=(\d{1,3}))?$/.exec(parameters) ?? [];
  switch (kind) {
    case 'bcrypt':
    case 'sha256-crypt':
    case 'sha512-crypt':
      return rounds === undefined || length !== undefined ? undefined : { kind, rounds: Number(rounds) };
    case 'pbkdf2-sha1':
    case 'pbkdf2-sha256':
    case 'pbkdf2-sha512':
      if (rounds === undefined || length === undefined) return undefined;
      return { kind, rounds: Number(rounds), tagBytes: Number(length) };
    case 'argon2i':
    case 'argon2d':
    case 'argon2id': {
      if (argon2 === null) return undefined;
      const [memory = 0, passes = 0, parallelism = 0, tagBytes = 0] = argon2.slice(1).map(Number);
      return { kind, cost: { memory, passes, parallelism }, tagBytes };
    }
    default:
      return undefined;
  }
}

function readBcrypt(text: string): ForeignHash | undefined {
  const [, rounds, salt, tag] =
    /^\$2[aby]\$(\d{2})\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})$/.exec(text) ?? [];
  if (rounds === undefined || salt === undefined || tag === undefined) return undefined;
  return {
    scheme: { kind: 'bcrypt', rounds: Number(rounds) },
    salt: decodeBcrypt(salt),
    tag: Buffer.from(tag, 'latin1'),
  };
}

/** https://www.akkadia.org/drepper/SHA-crypt.txt; the salt ends at 16 characters whatever is written. */
function readShaCrypt(text: string): ForeignHash | undefined {
  const [, id, rounds, salt, tag] =
    /^\$([56])\$(?:rounds=(\d{1,9})\$)?([!-#%-9;-~]{1,16})\$([./A-Za-z0-9]{43,86})$/.exec(text) ?? [];
  if (id === undefined || salt === undefined || tag === undefined) return undefined;
  const kind = id === '5' ? 'sha256-crypt' : 'sha512-crypt';
  if (tag.length !== shaCryptTagCharacters[kind]) return undefined;
  return {
    scheme: { kind, rounds: rounds === undefined ? shaCryptRoundsDefault : Number(rounds) },
    salt: Buffer.from(salt, 'latin1'),
    tag: Buffer.from(tag, 'latin1'),
  };
}

/** As passlib and 389 write it, `$pbkdf2-sha256$29000$salt$tag`, and as Django does, `pbkdf2_sha256$29000$salt$tag`. */
function readPbkdf2(text: string): ForeignHash | undefined {
  const passlib =
    /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(\d{1,8})\$([./+A-Za-z0-9]{1,172})={0,2}\$([./+A-Za-z0-9]{20,172})={0,2}$/.exec(
      text,
    );
  const django =
    /^pbkdf2_(sha1|sha256|sha512)\$(\d{1,8})\$([!-#%-~]{1,128})\$([+/A-Za-z0-9]{20,172})={0,2}$/.exec(text);
  const [, name = 'sha1', rounds, salt, tag] = passlib ?? django ?? [];
  const kind = pbkdf2Kinds.find((one) => one === `pbkdf2-${name}`);
  if (kind === undefined || rounds === undefined || salt === undefined || tag === undefined) return undefined;
  const octets = (encoded: string): Buffer => Buffer.from(encoded.replaceAll('.', '+'), 'base64');
  const found = octets(tag);
  return {
    scheme: { kind, rounds: Number(rounds), tagBytes: found.length },
    salt: passlib === null ? Buffer.from(salt, 'latin1') : octets(salt),
    tag: found,
  };
}

function readArgon2(text: string): ForeignHash | undefined {
  // Django puts the name of its own hasher before it.
  const found = parseArgon2(text.replace(/^argon2\$/, '$'));
  if (found === undefined) return undefined;
  const { kind, cost, salt, tag } = found;
  return { scheme: { kind, cost, tagBytes: tag.length }, salt, tag };
}

/** Why main would not compute it. */
function findExcess(scheme: ForeignScheme): string | undefined {
  if ('cost' in scheme) {
    const isWithin = isUsableCost(scheme.cost) && scheme.tagBytes >= 12 && scheme.tagBytes <= 64;
    return isWithin ? undefined : `an ${scheme.kind} hash of an unusual size`;
  }
  const { kind, rounds } = scheme;
  const { min, max } =
    'tagBytes' in scheme ? pbkdf2Rounds : kind === 'bcrypt' ? bcryptRounds : shaCryptRounds;
  if (rounds < min || rounds > max)
    return `a ${kind} hash of ${rounds} rounds; ${min} to ${max} are taken over, more would hold up every login`;
  if (!('tagBytes' in scheme)) return undefined;
  const bytesMax = pbkdf2TagBytes[scheme.kind];
  return scheme.tagBytes >= 16 && scheme.tagBytes <= bytesMax
    ? undefined
    : `a ${kind} hash of ${scheme.tagBytes} bytes; 16 to ${bytesMax} are taken over`;
}

/** Names by which people know what they have; all else is told without a word of it, for it may be a password. */
const unread: readonly (readonly [RegExp, string])[] = [
  [/^\$g?y\$/, 'yescrypt'],
  [/^\$7\$|^\$scrypt\$|^scrypt[:$]/, 'scrypt'],
  [/^\$1\$|^\$apr1\$/, 'MD5-crypt'],
  [/^\$2x?\$/, 'a bcrypt of before 2011'],
  [/^\{S?SHA/i, 'a single round of SHA'],
  [/^\$argon2.*\$v=16\$|^\$argon2(id?|d)\$m=/, 'argon2 of before version 1.3'],
  [/^(?:[0-9a-f]{2}){16,64}$/i, 'a bare digest'],
  [/^[!*]/, 'a locked password'],
];

function describeUnread(text: string): string {
  const name = unread.find(([pattern]) => pattern.test(text))?.[1];
  return name === undefined
    ? 'the password hash is none of bcrypt, SHA-crypt ($5$, $6$), PBKDF2 and argon2'
    : `${name} is not taken over; leave the hash out and set a password`;
}

/** OpenBSD's base64: the usual order of bits in another alphabet. */
function decodeBcrypt(text: string): Buffer {
  const own = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  const usual = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const same = text.replaceAll(/./g, (one) => usual[own.indexOf(one)] ?? '');
  return Buffer.from(same, 'base64').subarray(0, 16);
}
