import { describe, expect, it } from 'vitest';
import { FailureScores } from '#dmz/guard/failure-scores.ts';
import { KnownSources } from '#dmz/guard/known-sources.ts';
import { LoginPace } from '#dmz/guard/login-pace.ts';

describe('failures of a source', () => {
  it('start again after the one that was too many', () => {
    const scores = new FailureScores({ max: 3, windowMs: 1000, sourcesMax: 10 });
    const add = () => scores.add('a', 'alice', 0);
    expect([add(), add(), add(), add(), add(), add()]).toEqual([false, false, true, false, false, true]);
  });

  it('of one user are taken back alone, however long the names are', () => {
    const scores = new FailureScores({ max: 3, windowMs: 1000, sourcesMax: 10 });
    const long = 'x'.repeat(100);
    scores.add('a', long, 0);
    scores.add('a', 'bob', 0);
    scores.clear('a', long);
    expect(scores.add('a', long, 0)).toBe(false);
    expect(scores.add('a', long, 0)).toBe(true);
  });
});

describe('known sources', () => {
  const limits = { knownSourcesMax: 10, knownSourcesPerUserMax: 2, knownForMs: 1000 };

  it('are known for their time, and one that never was is not', () => {
    const known = new KnownSources(limits);
    known.add('a', 'alice', 0);
    expect([known.has('a', 999), known.has('a', 1000), known.has('b', 0)]).toEqual([true, false, false]);
  });

  it('of one user are the latest two, and one that comes again counts once and as the latest', () => {
    const known = new KnownSources(limits);
    for (const source of ['a', 'a', 'b', 'a', 'c']) known.add(source, 'alice', 0);
    expect(['a', 'b', 'c'].filter((source) => known.has(source, 0))).toEqual(['a', 'c']);
  });
});

describe('the pace of one key', () => {
  it('saves up no more than its burst, and says how long to wait to the millisecond', () => {
    const pace = new LoginPace({ burst: 2, everyMs: 1000, keysMax: 10 });
    expect([pace.take('a', 0), pace.take('a', 60_000), pace.take('a', 60_000)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(pace.take('a', 60_000)).toBe(1000);
    expect(pace.take('a', 60_250)).toBe(750);
    expect(pace.take('a', 61_000)).toBeUndefined();
  });
});
