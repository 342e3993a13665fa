/**
 * JSON from somebody else. Two fields of one name in an object mean one thing to a program that takes the first and
 * another to one that takes the last (RFC 8259 §4), so such a text means nothing here.
 */

/** Throws a SyntaxError for what is no JSON, and for an object that has a field twice. */
export function parseStrictJson(untrustedText: string): unknown {
  const value: unknown = JSON.parse(untrustedText);
  requireFieldsOnce(untrustedText);
  return value;
}

/** Of a text that is JSON: braces, commas and strings are where the grammar puts them. */
function requireFieldsOnce(text: string): void {
  /** Of each value that is open: the names of an object, undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charAt(at)) {
      case '{':
        open.push(new Set());
        isName = true;
        break;
      case '[':
        open.push(undefined);
        isName = false;
        break;
      case '}':
      case ']':
        open.pop();
        isName = false;
        break;
      case ',':
        isName = open.at(-1) !== undefined;
        break;
      case '"': {
        const start = at;
        at = endOfString(text, start);
        const names = open.at(-1);
        if (!isName || names === undefined) break;
        const name = String(JSON.parse(text.slice(start, at + 1)));
        if (names.has(name)) throw new SyntaxError(`the field ${JSON.stringify(name)} stands twice`);
        names.add(name);
        isName = false;
        break;
      }
      default:
    }
  }
}

/** Where the string ends that begins there: a search, for most of a long text is in strings. */
function endOfString(text: string, start: number): number {
  let end = start;
  let backslashes: number;
  do {
    end = text.indexOf('"', end + 1);
    backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes += 1;
  } while (backslashes % 2 === 1);
  return end;
}
