import { columnOf, isDescending, type Entry, type SortKey } from '#dmz/web/files/entry.ts';

/** In which order a folder is shown: folders first, then as the reader asked. */

/** Alphabetical as people of that language expect it, with numbers by value: `scan 2` before `scan 10`. */
export function buildNameOrder(locale: string): (a: string, b: string) => number {
  return new Intl.Collator(locale, { numeric: true, sensitivity: 'base' }).compare;
}

export function sortEntries(
  entries: readonly Entry[],
  sort: SortKey,
  compareNames: (a: string, b: string) => number,
): Entry[] {
  const column = columnOf(sort);
  const direction = isDescending(sort) ? -1 : 1;
  const byName = (a: Entry, b: Entry): number =>
    compareNames(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return entries.toSorted((a, b) => {
    if (a.type !== b.type) return a.type === 'folder' ? -1 : 1;
    if (column === 'size' && a.type === 'file' && a.size !== b.size) return direction * (a.size - b.size);
    if (column === 'mtime' && a.mtimeMs !== b.mtimeMs) return direction * (a.mtimeMs - b.mtimeMs);
    return column === 'name' ? direction * byName(a, b) : byName(a, b);
  });
}

/** For folders too big to sort here: the server's order stands, only folders move to the front. */
export function foldersFirst(entries: readonly Entry[]): Entry[] {
  const folders: Entry[] = [];
  const files: Entry[] = [];
  for (const entry of entries) (entry.type === 'folder' ? folders : files).push(entry);
  return folders.concat(files);
}

/** Case and accents don't matter when somebody types to find. */
export function foldForFilter(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

export function filterEntries(entries: readonly Entry[], typed: string): readonly Entry[] {
  const needle = foldForFilter(typed.trim());
  return needle === '' ? entries : entries.filter((entry) => foldForFilter(entry.name).includes(needle));
}
