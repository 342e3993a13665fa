import { describe, expect, it } from 'vitest';
import { mutate } from '#scripts/mutants/operators.ts';

const changesOf = (body: string, head = 'async function f(a, b, c) {'): string[] =>
  mutate('some.ts', `${head} ${body} }`).mutants.map(({ original, changed }) => `${original} → ${changed}`);

describe('wrong changes of a source', () => {
  const cases: [string, string, string[]][] = [
    [
      'a condition is true and false, a bound one more and one less strict',
      'if (a >= 5) throw b;',
      ['a >= 5 → true', 'a >= 5 → false', 'a >= 5 → a > 5', '5 → 6'],
    ],
    [
      'an equality that is a whole condition only true and false',
      'if (a === b) c();',
      ['a === b → true', 'a === b → false', 'c(); → '],
    ],
    ['each side of a choice alone', 'return a && !b;', ['a && !b → a', 'a && !b → !b', '!b → b']],
    ['a bound of Math', 'return Math.min(a, b);', ['Math.min(a, b) → a', 'Math.min(a, b) → b']],
    ['a statement that does something', 'await a.b(); c = a;', ['await a.b(); → ', 'c = a; → ']],
    [
      'all for some, and what is filtered out',
      'return a.some(b) === a.filter(b);',
      ['a.some(b) === a.filter(b) → a.some(b) !== a.filter(b)', 'a.some(b) → a.every(b)', 'a.filter(b) → a'],
    ],
  ];
  for (const [name, body, expected] of cases)
    it(`are made of the code: ${name}`, () => {
      expect(changesOf(body)).toEqual(expected);
    });

  it('neither messages, nor log lines that are no alarm, nor what runs while a module loads', () => {
    expect(changesOf('log.warn({ a }, "x"); throw new Error(`a ${b}`);')).toEqual([
      'throw new Error(`a ${b}`); → ',
    ]);
    expect(changesOf('log.warn({ alarm: "x" });')).toHaveLength(1);
    expect(mutate('some.ts', 'const a = 5 > 3 ? 1 : 2;').mutants).toEqual([]);
  });

  it('all stand in one source, one switched on at a time', () => {
    const source =
      'const f = (a: number, b: number): number => { let c = 0; if (a > b && b > 1) c = a; return c; };';
    const mutated = mutate('some.ts', `${source} return f(7, 3);`.replace(' return f', '\nvoid f'));
    const built = mutated
      .build(100)
      .replaceAll(/: number/g, '')
      .replace('void f', 'return f');
    // oxlint-disable-next-line no-new-func typescript/no-implied-eval
    const run = new Function('__mutant', built) as (isOn: (id: number) => boolean) => number;
    expect(run(() => false)).toBe(7);
    const results = mutated.mutants.map(({ changed }, index) => [changed, run((id) => id === 100 + index)]);
    expect(results).toContainEqual(['false', 0]);
    expect(results).toContainEqual(['', 0]);
    expect(results).toContainEqual(['a > b', 7]);
    expect(new Set(results.map(([, result]) => result))).toEqual(new Set([0, 7]));
  });
});
