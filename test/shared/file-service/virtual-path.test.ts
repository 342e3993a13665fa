import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  componentBytesMax,
  parseVirtualPath,
  pathBytesMax,
  pathComponentsMax,
  requireComponents,
  VirtualPath,
} from '#shared/file-service/virtual-path.ts';
import { isSallyportError } from '#shared/error.ts';

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return isSallyportError(error) ? error.code : 'something else';
  }
  return 'accepted';
}

describe('S-08: a virtual path', () => {
  it('is the root for every spelling of nothing', () => {
    for (const spelling of ['', '/', '.', './', '//', '/./', '..', '/..', 'a/..']) {
      expect(parseVirtualPath(spelling).isRoot, spelling).toBe(true);
    }
    expect(VirtualPath.root.toString()).toBe('/');
  });

  it('resolves dots lexically and never climbs out', () => {
    expect(parseVirtualPath('/a/./b/../c').components).toEqual(['a', 'c']);
    expect(parseVirtualPath('../../etc/passwd').components).toEqual(['etc', 'passwd']);
  });

  it('knows its name, parent and what lies within', () => {
    const path = parseVirtualPath('/a/b');
    expect([path.name, path.parent.toString(), VirtualPath.root.parent.isRoot]).toEqual(['b', '/a', true]);
    expect([path.isWithin(parseVirtualPath('/a')), path.isWithin(parseVirtualPath('/ab'))]).toEqual([
      true,
      false,
    ]);
    expect(path.child('c').toString()).toBe('/a/b/c');
  });

  it.each([
    ['', 'empty'],
    ['.', 'dot'],
    ['..', 'dot dot'],
    ['a/b', 'slash'],
    ['a\0b', 'NUL'],
    ['a\nb', 'line feed'],
    ['a\u007fb', 'DEL'],
    ['a\u0085b', 'C1'],
    ['a\u202eb', 'an override of direction'],
    ['a\u202ab', 'an embedding'],
    ['a\u2067b', 'an isolate'],
    ['a\ufffdb', 'lossy decoding'],
    ['a\ud800b', 'lone surrogate'],
    ['con', 'reserved by Windows'],
    ['NUL.txt', 'reserved by Windows with a suffix'],
    ['name.', 'trailing dot'],
    ['name ', 'trailing space'],
  ])('refuses the component %j (%s)', (component) => {
    expect(codeOf(() => requireComponents(['ok', component]))).toBe('bad-path');
  });

  it.each(['\u05e9\u05dc\u05d5\u05dd\u200f.txt', '\u200e\u0645\u0631\u062d\u0628\u0627\u200e.pdf'])(
    'serves names with the marks of right-to-left writing (%j)',
    (name) => {
      expect(parseVirtualPath(`/${name}`).components).toEqual([name]);
    },
  );

  it.each([
    ['aux.txt', 'Windows keeps it for a device'],
    ['report.', 'it ends in a dot or a space'],
    ['x ', 'it ends in a dot or a space'],
    ['a'.repeat(256), 'it is longer than 255 bytes'],
    ['a\u202eb', 'it has characters that turn the text around'],
    ['a\0b', 'it has control characters or no readable text'],
  ])('says why it does not serve %j', (name, why) => {
    expect(() => parseVirtualPath(`/${name}`)).toThrow(`That name is not served here: ${why}`);
  });

  it('measures components in bytes', () => {
    expect(codeOf(() => requireComponents(['a'.repeat(componentBytesMax - 1)]))).toBe('accepted');
    expect(codeOf(() => requireComponents(['a'.repeat(componentBytesMax)]))).toBe('accepted');
    expect(codeOf(() => requireComponents(['a'.repeat(componentBytesMax + 1)]))).toBe('bad-path');
    expect(codeOf(() => requireComponents(['ä'.repeat(componentBytesMax / 2 + 1)]))).toBe('bad-path');
  });

  it('bounds depth and length', () => {
    const deep = (count: number): string[] => Array.from({ length: count }, () => 'a');
    expect(codeOf(() => requireComponents(deep(pathComponentsMax)))).toBe('accepted');
    expect(codeOf(() => requireComponents(deep(pathComponentsMax + 1)))).toBe('bad-path');
    const long = (bytes: number): string[] => [
      ...Array.from({ length: 16 }, () => 'a'.repeat(250)),
      'a'.repeat(bytes - 16 * 251 - 1),
    ];
    expect(codeOf(() => requireComponents(long(pathBytesMax)))).toBe('accepted');
    expect(codeOf(() => requireComponents(long(pathBytesMax + 1)))).toBe('bad-path');
    expect(codeOf(() => parseVirtualPath('/'.repeat(pathBytesMax + 1)))).toBe('bad-path');
  });

  it('keeps every accepted component exactly as it was given', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 5 }), (components) => {
        if (codeOf(() => requireComponents(components)) !== 'accepted') return;
        const path = requireComponents(components);
        expect(path.components).toEqual(components);
        expect(parseVirtualPath(path.toString()).components).toEqual(components);
      }),
    );
  });
});
