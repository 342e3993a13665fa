/**
 * Entries that lie on a storage and that nobody is served: other programs put them there. Links and special files are
 * never shown, and a name that no path can hold could not be opened. They are counted where a folder is read anyway, so
 * that whoever looks at it, deletes it or packs it can be told.
 */
import { isUtf8 } from 'node:buffer';
import { showInvisible } from '#shared/visible-text.ts';
import { unservedNamesMax } from '../limits.ts';

/** An entry of a storage that nobody is served, or (`unlooked`) a folder that could not be looked into. */
export interface UnservedPlace {
  /** Below the storage's base, safe to look at. */
  readonly path: string;
  /** Its name is none that clients could use; or what it is. */
  readonly kind: 'name' | 'link' | 'special' | 'unlooked';
}

export type UnservedKind = Exclude<UnservedPlace['kind'], 'unlooked'>;

/** How many there are in a folder, and the first of their names, safe to look at. */
export interface UnservedEntries {
  readonly count: number;
  readonly names: readonly string[];
}

/** A name for people to read: what can't be seen, and what is not UTF-8, is written as an escape. */
export function showName(name: string | Buffer): string {
  const text = typeof name === 'string' || isUtf8(name) ? name.toString() : showBytes(name);
  return showInvisible(text).replace(/ +$/, (blanks) => '\\u0020'.repeat(blanks.length));
}

function showBytes(name: Buffer): string {
  return Array.from(name, (byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`,
  ).join('');
}

/** A name of 255 bytes, all of them escaped. A longer path is cut: it is for people to find the place. */
const shownCharactersMax = 2048;

/** Collects them while a folder is read. */
export class UnservedCount {
  #count = 0;
  readonly #names: string[] = [];

  add(name: string | Buffer): void {
    this.#count += 1;
    if (this.#names.length < unservedNamesMax) this.#names.push(showName(name).slice(0, shownCharactersMax));
  }

  /** Undefined: there are none. */
  get found(): UnservedEntries | undefined {
    return this.#count === 0 ? undefined : { count: this.#count, names: [...this.#names] };
  }
}
