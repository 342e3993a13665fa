import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { parseWhole } from '#shared/config/yaml-text.ts';
import { type HashBook, stripNames } from './hash-book.ts';
import { userFileBytesMax } from './limits.ts';

/**
 * A user file as main's process may see it: the same text, with the name of each password hash in the place of the hash
 * (D-160). Whatever looks like one is taken for one, wherever it stands: in a comment, in a file that is broken, in a
 * group. What is written so that looking does not show it is not handed on at all.
 *
 * Trust: files of admins, half-written and hostile ones included.
 */

export type ShownText = {
  /** SHA-256 of the octets as they lie on the disk, base64url: the etag of writes. */
  readonly hash: string;
} & (
  | { readonly text: string }
  | {
      readonly text?: undefined;
      /** Why the text is not shown, for an admin. */
      readonly problem: string;
      readonly hint: string;
      /** A top-level `status: disabled` can be read. */
      readonly saysDisabled: boolean;
    }
);

export function hashOctets(octets: Buffer): string {
  return createHash('sha256').update(octets).digest('base64url');
}

/** A line of its own at the top level, as nearly broken as may be. */
export function readsDisabled(text: string): boolean {
  return /^status[ \t]*:[ \t]*["']?disabled["']?[ \t]*(#.*)?$/m.test(text);
}

/** Up to where a hash or a word goes on in YAML; a comma only inside. */
const rest = String.raw`(?:[^\s"'\x60{}[\],]|,(?=[^\s"'{}[\]]))`;

/** Hashes as any system writes them, cut short or not; our own names, which nobody writes into a file, are taken too. */
const hashes = new RegExp(
  [
    String.raw`\$(?:vault|argon2)${rest}*`,
    String.raw`\$(?:2[abxy]?|1|5|6|7|g?y|apr1|scrypt|pbkdf2[-a-z0-9]*|sha1|md5)\$${rest}{16,}`,
    String.raw`\b(?:pbkdf2_sha\d+|bcrypt(?:_sha256)?|scrypt)\$${rest}{16,}`,
    String.raw`\{(?:S?SHA\d*|S?MD5|X-PBKDF2)\}${rest}{16,}`,
  ].join('|'),
  'g',
);

/** Value and comment are apart as YAML wants it. */
const plainPassword =
  /^password: +(?:null|~|(["']?)\$vault\$argon2id[a-z0-9$=,-]*\$[\w-]{43}\1)[ \t]*(?:#.*)?$/gm;
/** The word outside of a comment. */
const passwordWord = /^[^#\n]*password/gm;
const passwordLine = /^([ \t{]*["']?password["']?[ \t]*:[ \t]+)(.*?)([ \t]+#.*)?$/gm;

/** Another text for each hash in it. */
export function replaceHashes(text: string, replace: (hash: string) => string): string {
  return text.replaceAll(hashes, replace);
}

type NameHash = (hash: string) => string;

export function showText(octets: Buffer, book: HashBook): ShownText {
  const hash = hashOctets(octets);
  const hide = (problem: string, hint: string): ShownText => ({
    hash,
    problem,
    hint,
    saysDisabled: readsDisabled(octets.toString('latin1')),
  });
  if (octets.length > userFileBytesMax)
    return hide(`larger than ${userFileBytesMax} bytes`, 'split it, or name another folder');
  if (!isUtf8(octets)) return hide('not UTF-8', 'save it as UTF-8');
  const given = new Set<string>();
  const name: NameHash = (one) => {
    const named = book.note(one);
    given.add(named);
    return named;
  };
  const text = replaceHashes(octets.toString('utf8'), name);
  const shown = isObvious(text) ? text : lookInto(text, name, given);
  if (shown !== undefined) return { hash, text: shown };
  return hide(
    'password: written in a way that does not show what it is',
    'write the hash on one line and without escapes; or write `password: null`, then: sallyport users passwd <user>',
  );
}

/** All values stand in the text as they are, and the password is a hash's name or none. */
function isObvious(text: string): boolean {
  return !text.includes('\\') && countOf(text, passwordWord) === countOf(text, plainPassword);
}

function countOf(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/**
 * Undefined: it may hold what can't be hidden, or a name that is not of those `given` here but was written with escapes,
 * and would be somebody's hash. Ten times as slow, and few files are written so.
 */
function lookInto(text: string, name: NameHash, given: ReadonlySet<string>): string | undefined {
  // Whatever was written there in a simple way, a bare password too.
  const covered = text.replaceAll(passwordLine, (line, key: string, value: string, comment = '') =>
    isCoverable(value) ? `${key}${name(value)}${String(comment)}` : line,
  );
  const { value, problems } = parseWhole(covered, '');
  if (problems.length > 0 || value === undefined) return isBrokenTextOpen(covered) ? covered : undefined;
  return isOpen(value, true, given) ? covered : undefined;
}

/** One word without quotes, or one quoted one without escapes, and no indicator of YAML's. */
function isCoverable(value: string): boolean {
  if (/^(?:null|~)?$/.test(value) || value.includes('$vault$')) return false;
  return /^(?:[^\s"'|>&*!{}[\]\\,#%@`-][^"'{}[\]\\#]*|"[^"\\]*"|'[^']*')$/.test(value);
}

/** Where the text can't be read as YAML nobody knows what its escapes and its folded lines come to. */
function isBrokenTextOpen(text: string): boolean {
  return !text.includes('\\') && !/password["']?[ \t]*:[ \t]*(?:[|>&*!].*)?(?:\n|$)/.test(text);
}

function isOpen(value: unknown, isTop: boolean, given: ReadonlySet<string>): boolean {
  if (typeof value === 'string') return stripNames(value, given).search(hashes) === -1;
  if (Array.isArray(value)) return value.every((one) => isOpen(one, false, given));
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, child]: [string, unknown]) =>
    isTop && key === 'password'
      ? isPasswordOpen(child, given)
      : isOpen(key, false, given) && isOpen(child, false, given),
  );
}

function isPasswordOpen(value: unknown, given: ReadonlySet<string>): boolean {
  return (value ?? '') === '' || (typeof value === 'string' && given.has(value));
}
