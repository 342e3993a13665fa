/**
 * Text a stranger chose, made safe to look at: what a terminal, an editor or a log viewer would obey instead of show
 * (control characters, line and paragraph separators, bidirectional and other format characters, lone surrogates)
 * is written as `\uXXXX`. Inside JSON the result is the same JSON, so it serves log lines as well.
 */

const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export function showInvisible(text: string): string {
  return text.replace(invisible, escapeUnits);
}

/** For one JSON text that ends in a line feed of its own. */
export function showInvisibleInLine(line: string): string {
  return line.endsWith('\n') ? `${showInvisible(line.slice(0, -1))}\n` : showInvisible(line);
}

/** Characters beyond the basic plane are two units and two escapes, as JSON has it. */
function escapeUnits(character: string): string {
  let escaped = '';
  for (let unit = 0; unit < character.length; unit += 1)
    escaped += `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`;
  return escaped;
}

/** More of a program's name for itself nobody reads. */
const agentCharactersMax = 255;

/** What a client calls itself, for people to read: no character that a terminal, a log or a mail would act on. */
export function plainAgent(untrusted: string): string {
  return cutPlain(untrusted, agentCharactersMax, '?');
}

/** At most `max` units of UTF-16, none of them to be obeyed. Cut first: half of a character is no text. */
export function cutPlain(untrusted: string, max: number, instead = ' '): string {
  return untrusted.slice(0, max).replaceAll(/\p{C}/gu, instead);
}
