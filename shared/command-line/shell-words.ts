/**
 * A command that people will paste into a shell, often as root: each word means itself there, whatever is in it (POSIX
 * Shell Command Language, 2.2.2 Single-Quotes).
 */
export function shellCommand(...words: readonly string[]): string {
  return words.map(quote).join(' ');
}

/** What no shell reads as more than itself, wherever in a word it stands. */
const plain = /^[A-Za-z0-9_@%+=:,./-]+$/;

function quote(word: string): string {
  return plain.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
