/**
 * `npm run simulate`: the whole of main and two nodes in one process, where time, disks, wires and death are the seed's.
 * Options: --seed N (1), --seeds N (1: so many, one after the other), --steps N (250), --trace (every line of it).
 * A line a seed; ends with 1 if anything was wrong, and says what, with the last lines of the trace and how to see it again.
 */
import './machine.ts';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '250' },
    trace: { type: 'boolean', default: false },
  },
});
// Only now: what is loaded has to find the world's timers, disks and dice.
const { simulate } = await import('./run.ts');
const [first, steps] = [Number(values.seed), Number(values.steps)];
const totals = new Map<string, number>();
const begunMs = performance.now();
let turns = 0;
for (let seed = first; seed < first + Number(values.seeds); seed += 1) {
  const onTold = values.trace ? { onTold: (line: string) => console.log(line) } : {};
  const verdict = await simulate({ seed, steps, ...onTold });
  turns += verdict.turns;
  for (const [what, count] of verdict.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  const isGood = verdict.violations.length === 0;
  console.log(`seed ${seed} | ${verdict.turns} turns | ${verdict.hash.slice(0, 16)} | ${isGood ? 'all held' : 'NOT ALL HELD'}`);
  if (isGood) continue;
  for (const line of verdict.told.slice(-40)) console.log(`    ${line}`);
  for (const violation of verdict.violations) console.log(`  ${violation}`);
  console.log(`  again: node test/simulation/main.ts --seed ${seed} --steps ${steps} --trace`);
  process.exitCode = 1;
}
const seconds = (performance.now() - begunMs) / 1000;
console.log(`${values.seeds} seeds, ${steps} steps each, ${turns} turns, ${seconds.toFixed(1)} s`);
for (const [what, count] of [...totals].toSorted(([one], [other]) => (one < other ? -1 : 1)))
  console.log(`  ${String(count).padStart(7)}  ${what}`);
