import { describe, expect, it } from 'vitest';
import { LineBudget } from '#shared/log-lines.ts';

describe('lines of our log that a node causes', () => {
  const line = (node: string, more: object = {}): readonly unknown[] => [{ node, ...more }, 'link: closed'];

  it('S-09: are written twenty at once of each kind, then one in three seconds, which says how many were not', () => {
    const budget = new LineBudget();
    const written = Array.from({ length: 100 }, () => budget.admit(line('dmz1'), 0)).filter(Boolean);
    expect(written).toHaveLength(20);
    expect(budget.admit(line('dmz1'), 2_999)).toBeUndefined();
    expect(budget.admit(line('dmz1', { reason: 'r' }), 3_001)).toEqual([
      { node: 'dmz1', reason: 'r', unwritten: 81 },
      'link: closed',
    ]);
    expect(budget.admit(line('dmz1'), 7_000)).toEqual(line('dmz1'));
  });

  it('do not cost those of another node, of another kind, or of ourselves', () => {
    const budget = new LineBudget();
    for (let count = 0; count < 100; count += 1) budget.admit(line('dmz1'), 0);
    expect(budget.admit(line('dmz2'), 0)).toEqual(line('dmz2'));
    const other = [{ node: 'dmz1' }, 'node revoked'];
    expect(budget.admit(other, 0)).toEqual(other);
    for (let count = 0; count < 100; count += 1) {
      expect(budget.admit(['started'], 0)).toEqual(['started']);
      expect(budget.admit([{ user: 'alice' }, 'factor locked'], 0)).toBeDefined();
    }
  });
});
