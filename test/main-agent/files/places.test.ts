import { expect, test } from 'vitest';
import { isBelow, isSamePlace, movedPlace } from '#main-agent/files/storage/places.ts';

const place = (root: string, path: string) => ({
  root: root === '' ? [] : root.split('/'),
  path: path === '' ? [] : path.split('/'),
});

test('places are the same, or below each other, by where they are and not by the mount that shows them', () => {
  expect(isSamePlace(place('a', 'b/c'), place('a/b', 'c'))).toBe(true);
  expect(isSamePlace(place('a', 'b/c'), place('a/b/c', ''))).toBe(true);
  for (const other of ['b', 'b/d', 'x/c', 'b/c/d', ''])
    expect(isSamePlace(place('a', 'b/c'), place('a', other))).toBe(false);
  expect(isBelow(place('a/b', 'c/d'), place('a', 'b'))).toBe(true);
  expect(isBelow(place('a', 'b'), place('', ''))).toBe(true);
  for (const other of ['b/c', 'b/x', 'c', 'bb'])
    expect(isBelow(place('a', 'b/c'), place('a', other))).toBe(false);
});

test('what lies below a folder that moves is told anew as long as its own root shows it', () => {
  const moved = (root: string, path: string, from: string, to: string) =>
    movedPlace(place(root, path), place('', from), place('', to));
  expect(moved('a', 'b/f', 'a/b', 'a/c/d')).toEqual(place('a', 'c/d/f'));
  expect(moved('a', 'b/f', 'a/b', 'x')).toBeUndefined();
  expect(moved('a/b', 'f', 'a/b', 'a/c')).toBeUndefined();
  expect(moved('', 'a/b/f', 'a/b', 'x')).toEqual(place('', 'x/f'));
});
