import { describe, expect, it } from 'vitest';
import { overscanRows, rowByKey, scrollTopToShow, windowOf } from '#dmz/web/files/list-window.ts';

const view = { viewportHeight: 400, rowHeight: 40 };

describe('the window on a long list', () => {
  it('begins with the rows that fit, and a few more', () => {
    expect(windowOf({ ...view, scrollTop: 0, count: 100_000 })).toEqual({ first: 0, end: 10 + overscanRows });
  });

  it('shows rows that are half in view', () => {
    const { first, end } = windowOf({ ...view, scrollTop: 4000 + 20, count: 100_000 });
    expect(first).toBe(100 - overscanRows);
    expect(end).toBe(111 + overscanRows);
  });

  it('ends with the last row', () => {
    expect(windowOf({ ...view, scrollTop: 100_000 * 40 - 400, count: 100_000 }).end).toBe(100_000);
  });

  it('never has more rows than the view and its margins, wherever it stands', () => {
    for (let scrollTop = -100; scrollTop < 50_000; scrollTop += 37) {
      const { first, end } = windowOf({ ...view, scrollTop, count: 1000 });
      expect(first).toBeGreaterThanOrEqual(0);
      expect(end).toBeGreaterThanOrEqual(first);
      expect(end - first).toBeLessThanOrEqual(11 + 2 * overscanRows);
    }
  });

  it('is empty for an empty list, and whole for a short one', () => {
    expect(windowOf({ ...view, scrollTop: 0, count: 0 })).toEqual({ first: 0, end: 0 });
    expect(windowOf({ ...view, scrollTop: 0, count: 3 })).toEqual({ first: 0, end: 3 });
  });

  it('survives a list that became shorter than the scroll position', () => {
    expect(windowOf({ ...view, scrollTop: 80_000, count: 5 })).toEqual({ first: 5, end: 5 });
  });
});

describe('bringing a row into view', () => {
  it('scrolls as little as possible', () => {
    expect(scrollTopToShow(5, { ...view, scrollTop: 0 })).toBe(0);
    expect(scrollTopToShow(10, { ...view, scrollTop: 0 })).toBe(40);
    expect(scrollTopToShow(2, { ...view, scrollTop: 200 })).toBe(80);
    expect(scrollTopToShow(5, { ...view, scrollTop: 200 })).toBe(200);
  });
});

describe('keys in a list', () => {
  const list = { count: 10, viewportHeight: 200, rowHeight: 40 };

  it('go a row, a page less one row, or to an end, and never beyond', () => {
    const go = (key: string) => [0, 5, 9].map((at) => rowByKey(key, at, list));
    expect(go('ArrowDown')).toEqual([1, 6, 9]);
    expect(go('ArrowUp')).toEqual([0, 4, 8]);
    expect(go('PageDown')).toEqual([4, 9, 9]);
    expect(go('PageUp')).toEqual([0, 1, 5]);
    expect(go('Home')).toEqual([0, 0, 0]);
    expect(go('End')).toEqual([9, 9, 9]);
    expect(go('x')).toEqual([undefined, undefined, undefined]);
  });

  it('go a row at least where less than two are to be seen', () => {
    expect(rowByKey('PageDown', 0, { ...list, viewportHeight: 40 })).toBe(1);
  });
});
