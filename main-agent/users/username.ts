import { requireComponents } from '#shared/file-service/virtual-path.ts';

/**
 * What may be a user's or a group's name. It names a file of its own, a folder of theirs and a line in every log, so it
 * is plain ASCII without anything a shell, a path or a terminal reads as more than a name. It is stored in one spelling;
 * two that differ only in case can't both be given.
 */
const pattern = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/;

export function isUsername(text: string): boolean {
  if (!pattern.test(text)) return false;
  try {
    requireComponents([text]);
    return true;
  } catch {
    return false;
  }
}

export const usernameExpectation =
  'a name of at most 64 letters, digits and . _ @ + - that starts with a letter or digit and ends without a dot';

/**
 * The one form under which a name is looked for, however a person or a phone's keyboard typed it: full-width letters,
 * characters that are not seen, blanks around it and case make no other user (RFC 8265 §3.3, with NFKC for width).
 */
export function foldUsername(untrustedName: string): string {
  return untrustedName
    .normalize('NFKC')
    .replaceAll(/\p{Cf}/gu, '')
    .trim()
    .toLowerCase();
}
