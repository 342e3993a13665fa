import { describe, expect, it } from 'vitest';
import { listFiles, readText } from './source-tree.ts';

describe('the state', () => {
  it('is written with the names of its columns', () => {
    const nameless = listFiles().flatMap((file) =>
      file.startsWith('main-agent/state/')
        ? [...readText(file).matchAll(/\bINTO\s+(\w+)\s+(?!\()\w+/g)].map(([found]) => `${file}: ${found}`)
        : [],
    );
    expect(
      nameless,
      'an INSERT without names puts values by place: a column that is added, or that another engine has in another ' +
        'order, would take the value of its neighbour',
    ).toEqual([]);
  });
});
