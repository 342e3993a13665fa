import { columnOf, isDescending, type Entry, type SortKey } from '#dmz/web/files/entry.ts';
import { sortedAtOnce } from '#dmz/web/limits.ts';

/** In which order a folder is shown: folders first, then as the reader asked. */

/** Alphabetical as people of that language expect it, with numbers by value: `scan 2` before `scan 10`. */
export function buildNameOrder(locale: string): (a: string, b: string) => number {
  return new Intl.Collator(locale, { numeric: true, sensitivity: 'base' }).compare;
}

type EntryOrder = (a: Entry, b: Entry) => number;

export function buildEntryOrder(sort: SortKey, compareNames: (a: string, b: string) => number): EntryOrder {
  const column = columnOf(sort);
  const direction = isDescending(sort) ? -1 : 1;
  const byName = (a: Entry, b: Entry): number =>
    compareNames(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return (a, b) => {
    if (a.type !== b.type) return a.type === 'folder' ? -1 : 1;
    if (column === 'size' && a.type === 'file' && a.size !== b.size) return direction * (a.size - b.size);
    if (column === 'mtime' && a.mtimeMs !== b.mtimeMs) return direction * (a.mtimeMs - b.mtimeMs);
    return column === 'name' ? direction * byName(a, b) : byName(a, b);
  };
}

/** A merge sort in slices: the page stays alive while a hundred thousand names are compared. */
export async function sortEntries(entries: readonly Entry[], order: EntryOrder): Promise<Entry[]> {
  if (entries.length <= sortedAtOnce) return entries.toSorted(order);
  let runs: Entry[][] = [];
  for (let start = 0; start < entries.length; start += sortedAtOnce) {
    runs.push(entries.slice(start, start + sortedAtOnce).sort(order));
    await breathe();
  }
  while (runs.length > 1) {
    const merged: Entry[][] = [];
    for (let index = 0; index < runs.length; index += 2)
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], order));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge(left: Entry[], right: Entry[], order: EntryOrder): Promise<Entry[]> {
  const merged: Entry[] = [];
  let atLeft = 0;
  let atRight = 0;
  let one = left[0];
  let other = right[0];
  while (one !== undefined && other !== undefined) {
    if (order(one, other) <= 0) {
      merged.push(one);
      one = left[(atLeft += 1)];
    } else {
      merged.push(other);
      other = right[(atRight += 1)];
    }
    if (merged.length % sortedAtOnce === 0) await breathe();
  }
  return merged.concat(left.slice(atLeft), right.slice(atRight));
}

function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Case and accents don't matter when somebody types to find. */
function foldForFilter(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

export function filterEntries(entries: readonly Entry[], typed: string): readonly Entry[] {
  const needle = foldForFilter(typed.trim());
  return needle === '' ? entries : entries.filter((entry) => foldForFilter(entry.name).includes(needle));
}

/**
 * Where typing `text` leads to from the row `from`, or -1. A longer text may stay where it is; one letter, again and
 * again, goes from one name to the next.
 */
export function findByBeginning(entries: readonly Entry[], text: string, from: number): number {
  const repeated = /^(.)\1*$/u.exec(text)?.[1];
  const folded = foldForFilter(repeated ?? text);
  const start = repeated === undefined ? from : from + 1;
  for (let step = 0; step < entries.length; step += 1) {
    const index = (start + step) % entries.length;
    if (foldForFilter(entries[index]?.name ?? '').startsWith(folded)) return index;
  }
  return -1;
}
