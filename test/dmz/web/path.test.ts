import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkName,
  nextFreeName,
  parsePagePath,
  stemLength,
  toApiPath,
  toFolderApiPath,
  toPagePath,
} from '#dmz/web/files/path.ts';
import { parsePlace, toAddress } from '#dmz/web/state/place.ts';

describe('addresses', () => {
  it('escape every name on its own', () => {
    expect(toApiPath(['a b', '50%', '?#', 'ü'])).toBe('/api/files/a%20b/50%25/%3F%23/%C3%BC');
    expect(toFolderApiPath(['a'])).toBe('/api/files/a/');
    expect(toFolderApiPath([])).toBe('/api/files/');
  });

  it('lead back to the same folder', () => {
    const name = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => !text.includes('/'));
    fc.assert(
      fc.property(fc.array(name), (path) => {
        expect(parsePagePath(toPagePath(path).slice('/files/'.length))).toEqual(path);
      }),
    );
  });

  it('that are broken lead to the root', () => {
    expect(parsePagePath('a/%E0%A4%A')).toEqual([]);
  });

  it('know the pages, and take everything else for the files', () => {
    expect(parsePlace('/')).toEqual({ name: 'files', folder: [] });
    expect(parsePlace('/options')).toEqual({ name: 'options' });
    expect(parsePlace('/setup')).toEqual({ name: 'setup' });
    expect(parsePlace('/files/a/b%20c')).toEqual({ name: 'files', folder: ['a', 'b c'] });
    expect(parsePlace('/anything')).toEqual({ name: 'files', folder: [] });
    expect(toAddress({ name: 'files', folder: ['a'] })).toBe('/files/a');
    expect(toAddress({ name: 'options' })).toBe('/options');
  });
});

describe('typed names', () => {
  it.each([
    ['offer.pdf', undefined],
    ['  ', 'empty'],
    ['a/b', 'slash'],
    ['..', 'reserved'],
    ['ends.', 'reserved'],
    ['ends ', 'reserved'],
    ['a'.repeat(255), undefined],
    ['a'.repeat(256), 'too-long'],
    ['ü'.repeat(127), undefined],
    ['ü'.repeat(128), 'too-long'],
  ])('%s: %s', (name, objection) => {
    expect(checkName(name)).toBe(objection);
  });

  it('are selected up to the ending', () => {
    expect(stemLength('offer.pdf')).toBe(5);
    expect(stemLength('.profile')).toBe(8);
    expect(stemLength('README')).toBe(6);
  });

  it('get the next free number when both are kept', () => {
    const taken = new Set(['offer.pdf', 'offer (2).pdf']);
    expect(nextFreeName('offer.pdf', (name) => taken.has(name))).toBe('offer (3).pdf');
    expect(nextFreeName('README', () => false)).toBe('README (2)');
  });
});
