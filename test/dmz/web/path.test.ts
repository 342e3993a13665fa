import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkName,
  suggestName,
  nextFreeName,
  parsePagePath,
  stemLength,
  toApiPath,
  toFolderApiPath,
  toPagePath,
} from '#dmz/web/files/path.ts';
import { parsePlace, toAddress } from '#dmz/web/state/place.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';

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
    ['con', 'device'],
    ['LPT1.txt', 'device'],
    ['console.log', undefined],
    ['a\nb', 'invisible'],
    ['a\u202egpj.exe', 'invisible'],
    ['a\ud800', 'invisible'],
    ['\u200fشركة\u200e.pdf', undefined],
  ])('%s: %s', (name, objection) => {
    expect(checkName(name)).toBe(objection);
  });

  const odd = [
    '.',
    '..',
    '...',
    ' ',
    'a. . ',
    'nul',
    'aux.tar.gz',
    'a/b',
    '/',
    'a\u0000b',
    '\ufffd',
    'a\u2067',
    '\udc00x',
    'x'.repeat(300),
    `${'請'.repeat(100)}.txt`,
    `${'é'.repeat(200)}. .pdf`,
    `a.${'y'.repeat(300)}`,
    `${' '.repeat(300)}a`,
    '. '.repeat(200),
    `con${'x'.repeat(300)}.`,
    `.${'z'.repeat(255)}`,
  ];

  it('are judged as the server judges them', () => {
    const isServed = (name: string): boolean => {
      try {
        requireComponents([name]);
        return true;
      } catch {
        return false;
      }
    };
    // All blanks: the server would take no-break spaces, and nobody could see the name.
    for (const name of [
      ...odd,
      'offer.pdf',
      'ü'.repeat(127),
      'ü'.repeat(128),
      'com¹',
      'com10',
      '請求書',
      'a:b',
    ])
      expect([name, checkName(name) === undefined]).toEqual([name, isServed(name)]);
  });

  it('that can not be used have a near one that can', () => {
    for (const name of odd) expect([name, checkName(suggestName(name))]).toEqual([name, undefined]);
    expect(suggestName('offer.pdf')).toBe('offer.pdf');
    expect(suggestName('aux.tar.gz')).toBe('_aux.tar.gz');
    expect(suggestName('line\nbreak.txt')).toBe('line_break.txt');
    expect(suggestName('ends. ')).toBe('ends');
    expect(suggestName(`${'請'.repeat(100)}.txt`)).toBe(`${'請'.repeat(83)}.txt`);
    expect(suggestName('..')).toBe('_');
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
