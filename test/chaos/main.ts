/**
 * `npm run chaos`: the whole product under twenty clients while main is killed every few seconds and its links are cut.
 * `npm run soak`: the same for ten minutes with nothing killed and nothing cut (--calm), where nothing may grow.
 * Options: --seed N (of the clock), --seeds N (1: so many, one after the other), --seconds N (60), --clients N (20),
 * --keep (the folder with logs, audit and files).
 * A line a seed; ends with 1 if anything was wrong, and says what and with which seed.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { inMib } from './afterwards.ts';
import { type Outcome, runStorm, type Storm } from './storm.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '20' },
    calm: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed ?? randomInt(1_000_000));
for (let seed = first; seed < first + Number(values.seeds); seed += 1) {
  const storm = {
    seed,
    seconds: Number(values.seconds),
    clients: Number(values.clients),
    isCalm: values.calm,
    keep: values.keep,
  };
  tell(storm, await runStorm(storm));
}

function tell({ seed, seconds, clients, isCalm }: Storm, outcome: Outcome): void {
  const { counts, kills, cuts, bytes, longestAnswerMs, resident, violations } = outcome;
  const work = [...counts].map(([what, count]) => `${count} ${what}`).toSorted();
  const line = [
    `seed ${seed}`,
    `${kills} kills`,
    `${cuts} cuts`,
    `${inMib(bytes)} MiB`,
    `longest answer ${(longestAnswerMs / 1000).toFixed(1)} s`,
    `node ${inMib(resident.node)} MiB, main ${inMib(resident.main)} MiB`,
    work.join(', '),
    violations.length === 0 ? 'all held' : 'NOT ALL HELD',
  ].join(' | ');
  process.stdout.write(`${line}\n${violations.map((violation) => `  ${violation}\n`).join('')}`);
  if (violations.length === 0) return;
  const again = isCalm ? 'soak' : 'chaos';
  process.stdout.write(
    `  again: npm run ${again} -- --seed ${seed} --seconds ${seconds} --clients ${clients}\n`,
  );
  process.exitCode = 1;
}
