/**
 * Somebody's names inside our sentences. A name is data: the browser's translation leaves it alone, and its writing
 * direction does not turn the words around it. A catalogue takes a `Name` and no plain text, and so its sentence has
 * Unicode's isolates around the name; `components/said.tsx` draws those parts as what they are.
 */

declare const isName: unique symbol;
/** Made by `named` alone. */
export type Name = string & { readonly [isName]: true };

/** FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE: also where a sentence is only read out, they are right. */
const [begin, end] = ['\u2068', '\u2069'];
const isolates = /[\u2066-\u2069]/g;
const names = /\u2068([^\u2069]*)\u2069/;

/** Of a file, folder, person or device, or whatever else somebody typed. */
export function named(name: string): Name {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is where a name becomes one
  return `${begin}${name.replaceAll(isolates, '')}${end}` as Name;
}

/** Our words and the names in turn, beginning with words. */
export function splitSentence(text: string): readonly string[] {
  return text.split(names);
}
