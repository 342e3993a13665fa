import { beforeAll, describe, expect, test } from 'vitest';
import type { Options, Verdict } from './run.ts';
import { lies } from './lies.ts';
import { standInForMachine } from './machine.ts';
import { findMissed } from './reached.ts';

let simulate: (options: Options) => Promise<Verdict>;
// What it loads has to find the world's timers, disks and dice.
beforeAll(async () => {
  standInForMachine();
  ({ simulate } = await import('./run.ts'));
});

const steps = 250;
/** A part that lies is found by one of these. */
const seedsOfLies = 25;

test('S-01, S-03, S-04, S-05, S-09, S-11, S-13, S-14, S-16 hold in five seeds of crashes, cut wires, bad disks and wrong clocks', async () => {
  const counts = new Map<string, number>();
  for (let seed = 1; seed <= 5; seed += 1) {
    const verdict = await simulate({ seed, steps });
    const again = `node test/simulation/main.ts --seed ${seed} --steps ${steps} --trace`;
    expect(verdict.violations, `${again}\n${verdict.told.slice(-40).join('\n')}`).toEqual([]);
    for (const [what, count] of verdict.counts) counts.set(what, (counts.get(what) ?? 0) + count);
  }
  const often = [
    'main was killed',
    'a wire was cut',
    'a clock jumped: main',
    'admitted: totp',
    'admitted: none, to set up',
    'accepted: email',
    'one code raced',
    'a code was replayed',
    'upload: done',
    'download: done',
    'written by a stream',
    'a session was killed',
    'time passed',
  ];
  expect(findMissed(counts, often, 1)).toEqual([]);
});

test('one seed is one run: the same turns in the same order', async () => {
  const run = (seed: number) => simulate({ seed, steps: 60 });
  const { hash } = await run(7);
  expect((await run(7)).hash).toBe(hash);
  expect((await run(8)).hash).not.toBe(hash);
});

describe('the simulation notices', () => {
  test.each(Object.entries(lies))('%s', async (_name, lie) => {
    const found: string[] = [];
    for (let seed = 1; seed <= seedsOfLies && found.length === 0; seed += 1)
      found.push(...(await simulate({ seed, steps, lies: lie })).violations);
    expect(found).not.toEqual([]);
  });
});
