import { describe, expect, it } from 'vitest';
import type { Entry } from '#dmz/web/files/entry.ts';
import { Rights } from '#dmz/web/files/rights.ts';

describe('what a person may do', () => {
  const rights = new Rights([
    { path: '/', allow: ['list', 'read'] },
    { path: '/in/box', allow: ['write', 'share'] },
  ]);

  it('is what the nearest grant above the folder says, and nothing of the ones further up', () => {
    expect(rights.may([], 'list', 'read')).toBe(true);
    expect(rights.may(['a', 'b'], 'read')).toBe(true);
    expect(rights.may(['a', 'b'], 'read', 'write')).toBe(false);
    expect(rights.may(['in'], 'read')).toBe(true);
    expect(rights.may(['in', 'box'], 'write')).toBe(true);
    expect(rights.may(['in', 'box', 'deep'], 'read')).toBe(false);
    expect(rights.may(['in', 'boxes'], 'write')).toBe(false);
  });

  it('is nothing where nothing was granted', () => {
    expect(new Rights([{ path: '/inbox', allow: ['list'] }]).may([], 'list')).toBe(false);
    expect(new Rights([]).may(['a'])).toBe(false);
  });

  const file: Entry = { parent: [], name: 'a.txt', type: 'file', size: 1, mtimeMs: 0 };
  const folder = (name: string, parent: readonly string[] = []): Entry => ({
    parent,
    name,
    type: 'folder',
    size: 0,
    mtimeMs: 0,
  });

  it('with several things is what may be done with each of them', () => {
    const everything = new Rights([
      { path: '/', allow: ['list', 'read', 'write', 'overwrite', 'delete', 'rename', 'mkdir'] },
      { path: '/in/box', allow: ['write'] },
    ]);
    const full = { download: true, relocate: true, copy: true, remove: true };
    expect(everything.over([file])).toEqual(full);
    expect(everything.over([file, folder('b')])).toEqual({ ...full, copy: false });
    expect(everything.over([folder('box', ['in'])])).toEqual({
      download: false,
      relocate: false,
      copy: false,
      remove: false,
    });
  });

  it('leaves places that were given, and those that lead to them, where they are', () => {
    const all = new Rights([
      { path: '/', allow: ['delete', 'rename'] },
      { path: '/in/box', allow: ['delete', 'rename'] },
    ]);
    const moves = (path: readonly string[], name: string): boolean => all.over([folder(name, path)]).relocate;
    expect([moves([], 'in'), moves(['in'], 'box'), moves(['in', 'box'], 'deep'), moves([], 'other')]).toEqual(
      [false, false, true, true],
    );
  });

  it('includes copying only when there is a place to copy to', () => {
    expect(new Rights([{ path: '/', allow: ['read'] }]).over([file]).copy).toBe(false);
    expect(rights.over([file]).copy).toBe(true);
  });
});
