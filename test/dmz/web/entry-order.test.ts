import { describe, expect, it } from 'vitest';
import {
  buildEntryOrder,
  buildNameOrder,
  filterEntries,
  findByBeginning,
  sortEntries,
} from '#dmz/web/files/entry-order.ts';
import { sortedAtOnce } from '#dmz/web/limits.ts';
import { nextSort, type Entry, type SortKey } from '#dmz/web/files/entry.ts';

const file = (name: string, size = 1, mtimeMs = 0): Entry => ({
  parent: [],
  name,
  type: 'file',
  size,
  mtimeMs,
});
const folder = (name: string, mtimeMs = 0): Entry => ({ parent: [], name, type: 'folder', size: 0, mtimeMs });
const byName = buildNameOrder('en');
const namesOf = (entries: readonly Entry[]): string[] => entries.map((entry) => entry.name);
const sorted = async (entries: readonly Entry[], sort: SortKey): Promise<string[]> =>
  namesOf(await sortEntries(entries, buildEntryOrder(sort, byName)));

describe('the order of a folder', () => {
  it('counts numbers by value and ignores case and accents', async () => {
    expect(
      await sorted([file('scan 10'), file('Scan 2'), file('éclair'), file('echo'), file('Eddy')], 'name'),
    ).toEqual(['echo', 'éclair', 'Eddy', 'Scan 2', 'scan 10']);
  });

  it('keeps folders in front, whichever way it goes', async () => {
    const entries = [file('a'), folder('b'), file('c'), folder('d')];
    expect(await sorted(entries, 'name')).toEqual(['b', 'd', 'a', 'c']);
    expect(await sorted(entries, '-name')).toEqual(['d', 'b', 'c', 'a']);
  });

  it('goes by size among files and by name among folders', async () => {
    const entries = [file('big', 9), file('small', 1), folder('z'), folder('y')];
    expect(await sorted(entries, '-size')).toEqual(['y', 'z', 'big', 'small']);
  });

  it('goes by time, and by name where times are equal', async () => {
    expect(await sorted([file('b', 1, 5), file('a', 1, 5), file('c', 1, 9)], '-mtime')).toEqual([
      'c',
      'a',
      'b',
    ]);
  });

  it('tells names apart that differ only in case', async () => {
    expect(await sorted([file('a'), file('A')], 'name')).toEqual(
      await sorted([file('A'), file('a')], 'name'),
    );
  });

  it('is the same for any number of entries', async () => {
    for (const count of [sortedAtOnce - 1, sortedAtOnce, sortedAtOnce + 1, 3 * sortedAtOnce + 7]) {
      // As the server gives them: by code units, so 10 before 9 and capitals before small letters.
      const entries = Array.from({ length: count }, (_, index) =>
        index % 7 === 0 ? folder(`F${index}`) : file(`${index % 2 === 0 ? 'S' : 's'}can ${index}`),
      ).toSorted((a, b) => (a.name < b.name ? -1 : 1));
      const expected = entries.toSorted(buildEntryOrder('name', byName));
      expect(await sorted(entries, 'name')).toEqual(namesOf(expected));
    }
  });
});

describe('typing the beginning of a name', () => {
  const entries = ['Öl.txt', 'offer.pdf', 'orders.csv', 'zebra.txt'].map((name) => file(name));
  it('leads to the next one that begins so, past the end too, whatever its case and accents', () => {
    expect(findByBeginning(entries, 'or', 0)).toBe(2);
    expect(findByBeginning(entries, 'of', 3)).toBe(1);
    expect(findByBeginning(entries, 'OL', 1)).toBe(0);
    expect(findByBeginning(entries, 'x', 0)).toBe(-1);
    expect(findByBeginning([], 'x', 0)).toBe(-1);
  });

  it('stays where it is while that still fits, and goes on with the same letter again', () => {
    expect(findByBeginning(entries, 'of', 1)).toBe(1);
    expect(findByBeginning(entries, 'o', 1)).toBe(2);
    expect(findByBeginning(entries, 'oo', 2)).toBe(0);
  });
});

describe('the head of a column', () => {
  it('turns the order round when it is chosen again', () => {
    expect(nextSort('name', 'name')).toBe('-name');
    expect(nextSort('-name', 'name')).toBe('name');
  });

  it('begins with A for names, with the biggest and the newest else', () => {
    expect(nextSort('-size', 'name')).toBe('name');
    expect(nextSort('name', 'size')).toBe('-size');
    expect(nextSort('name', 'mtime')).toBe('-mtime');
  });
});

describe('the filter', () => {
  const entries = [file('Übersicht.xlsx'), file('offer.pdf'), file('OFFER (signed).pdf')];

  it('ignores case, accents and blanks around', () => {
    expect(namesOf(filterEntries(entries, ' uber '))).toEqual(['Übersicht.xlsx']);
    expect(namesOf(filterEntries(entries, 'offer'))).toEqual(['offer.pdf', 'OFFER (signed).pdf']);
  });

  it('takes what is typed as text, not as a pattern', () => {
    expect(namesOf(filterEntries(entries, '(signed)'))).toEqual(['OFFER (signed).pdf']);
    expect(filterEntries(entries, '.*')).toEqual([]);
  });

  it('shows everything when nothing is typed', () => {
    expect(filterEntries(entries, '  ')).toBe(entries);
  });
});
