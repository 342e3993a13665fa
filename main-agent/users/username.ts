import { requireComponents } from '#shared/file-service/virtual-path.ts';

/**
 * What may be a user's or a group's name. It names a file of its own, a folder of theirs and a line in every log, so it
 * is plain ASCII without anything a shell, a path or a terminal reads as more than a name. Case matters.
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
