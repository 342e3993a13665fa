import { describe, expect, it } from 'vitest';
import { buildNameOrder, filterEntries, foldersFirst, sortEntries } from '#dmz/web/files/entry-order.ts';
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
const sorted = (entries: readonly Entry[], sort: SortKey): string[] =>
  namesOf(sortEntries(entries, sort, byName));

describe('the order of a folder', () => {
  it('counts numbers by value and ignores case and accents', () => {
    expect(
      sorted([file('scan 10'), file('Scan 2'), file('éclair'), file('echo'), file('Eddy')], 'name'),
    ).toEqual(['echo', 'éclair', 'Eddy', 'Scan 2', 'scan 10']);
  });

  it('keeps folders in front, whichever way it goes', () => {
    const entries = [file('a'), folder('b'), file('c'), folder('d')];
    expect(sorted(entries, 'name')).toEqual(['b', 'd', 'a', 'c']);
    expect(sorted(entries, '-name')).toEqual(['d', 'b', 'c', 'a']);
  });

  it('goes by size among files and by name among folders', () => {
    const entries = [file('big', 9), file('small', 1), folder('z'), folder('y')];
    expect(sorted(entries, '-size')).toEqual(['y', 'z', 'big', 'small']);
  });

  it('goes by time, and by name where times are equal', () => {
    expect(sorted([file('b', 1, 5), file('a', 1, 5), file('c', 1, 9)], '-mtime')).toEqual(['c', 'a', 'b']);
  });

  it('tells names apart that differ only in case', () => {
    expect(sorted([file('a'), file('A')], 'name')).toEqual(sorted([file('A'), file('a')], 'name'));
  });

  it('leaves the server’s order alone in folders too big to sort, but for folders', () => {
    expect(namesOf(foldersFirst([file('2'), folder('9'), file('1'), folder('8')]))).toEqual([
      '9',
      '8',
      '2',
      '1',
    ]);
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
