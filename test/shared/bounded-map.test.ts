import { describe, expect, it } from 'vitest';
import { BoundedMap } from '#shared/bounded-map.ts';

describe('a bounded map', () => {
  it('S-09: keeps as many as it may; the one that was set longest ago makes room', () => {
    const map = new BoundedMap<number>(2);
    map.set('a', 1).set('b', 2);
    expect([...map]).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
    map.set('c', 3);
    expect([...map.keys()]).toEqual(['b', 'c']);
  });

  it('takes what is set again for the newest, and what is only looked at not', () => {
    const map = new BoundedMap<number>(2);
    map.set('a', 1).set('b', 2).set('a', 3);
    expect(map.get('b')).toBe(2);
    map.set('c', 4);
    expect([...map]).toEqual([
      ['a', 3],
      ['c', 4],
    ]);
  });

  it('tells what made room, and neither what was set anew nor what was deleted', () => {
    const dropped: number[] = [];
    const map = new BoundedMap<number>(1, (value) => void dropped.push(value));
    map.set('a', 1).set('a', 2);
    map.delete('a');
    map.set('b', 3).set('c', 4);
    expect(dropped).toEqual([3]);
  });
});
