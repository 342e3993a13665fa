/**
 * `npm run simulate`: the whole of main and three workers of two nodes in one process, where time, disks, wires and death
 * are the seed's. Options: --seed N (1), --seeds N (1: so many, one after the other), --steps N (250), --trace (what
 * people and weather do), --turns (with --trace: every turn of every process).
 * A line a seed, and how often what was met; ends with 1 if anything was wrong, and says what, with the last lines of the
 * trace and how to see it again. Of 200 seeds and more everything must have been met.
 */
import { parseArgs } from 'node:util';
import { standInForMachine } from './machine.ts';
import { everything, findMissed } from './reached.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '250' },
    trace: { type: 'boolean', default: false },
    turns: { type: 'boolean', default: false },
  },
});
// Only now: what is loaded has to find the world's timers, disks and dice.
standInForMachine();
const { simulate } = await import('./run.ts');
const [first, seeds, steps] = [Number(values.seed), Number(values.seeds), Number(values.steps)];
const totals = new Map<string, number>();
const begunMs = performance.now();
const write = (line: string): void => void process.stdout.write(`${line}\n`);
let turns = 0;
for (let seed = first; seed < first + seeds; seed += 1) {
  const told = values.trace ? { onTold: write, isEveryTurnTold: values.turns } : {};
  const verdict = await simulate({ seed, steps, ...told });
  turns += verdict.turns;
  for (const [what, count] of verdict.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  const isGood = verdict.violations.length === 0;
  const outcome = isGood ? 'all held' : 'NOT ALL HELD';
  write(`seed ${seed} | ${verdict.turns} turns | trace ${verdict.hash.slice(0, 16)} | ${outcome}`);
  if (isGood) continue;
  for (const line of verdict.told.slice(-40)) write(`    ${line}`);
  for (const violation of verdict.violations) write(`  ${violation}`);
  write(`  again: node test/simulation/main.ts --seed ${seed} --steps ${steps} --trace`);
  process.exitCode = 1;
}
const seconds = (performance.now() - begunMs) / 1000;
write(`${seeds} seeds, ${steps} steps each, ${turns} turns, ${seconds.toFixed(0)} s`);
for (const [what, count] of [...totals].toSorted(([one], [other]) => (one < other ? -1 : 1)))
  write(`${String(count).padStart(8)}  ${what}`);
if (seeds >= 200) {
  const missed = findMissed(totals, everything, 3);
  if (missed.length > 0) process.exitCode = 1;
  write(missed.length === 0 ? 'everything was met' : `NOT MET: ${missed.join(', ')}`);
}
