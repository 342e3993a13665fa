import { describe, expect, it } from 'vitest';
import { runStorm } from '#test/chaos/storm.ts';

/** Two short ones of `npm run chaos`, whose output of ten longer ones is in test/chaos/results.txt. */

describe('while main is killed and its links are cut', () => {
  it.for([1, 2])('nobody loses anything, and nobody is told an error: seed %i', async (seed) => {
    const { kills, cuts, violations } = await runStorm({ seed, seconds: 20, clients: 10 });
    expect(violations).toEqual([]);
    expect(kills).toBeGreaterThan(0);
    expect(cuts).toBeGreaterThan(0);
  });
});
