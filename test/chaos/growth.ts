import { setTimeout as delay } from 'node:timers/promises';
import type { Site } from '#scripts/demonstration/site.ts';
import { median } from '#test/bench/measure.ts';
import { inMib, readResident, type Resident } from './afterwards.ts';
import type { Ledger } from './ledger.ts';

const looks = 60;
/**
 * What the median of twenty looks may move by. A heap breathes by more than that from one look to the next, and a leak of
 * a kibibyte in each of a soak's transfers is more.
 */
const growthMax = 16 * 1024 * 1024;

/**
 * Watches memory for so long while everybody works. The first third is for code that is used for the first time and
 * pools that are filled; the last third may not need more than the one in the middle. Resolves with what was usual then.
 */
export async function requireNoGrowth(site: Site, ledger: Ledger, ms: number): Promise<Resident> {
  const seen: Resident[] = [];
  while (seen.length < looks) {
    await delay(ms / looks);
    seen.push(readResident(site));
  }
  const third = looks / 3;
  const usual = (name: keyof Resident, from: number): number =>
    median(seen.slice(from, from + third).map((resident) => resident[name]));
  for (const name of ['node', 'main'] as const) {
    const course = [0, third, 2 * third].map((from) => usual(name, from));
    const [, before = 0, after = 0] = course;
    const told = `${name} has ${course.map(inMib).join(', ')} MiB in each third of the time`;
    process.stdout.write(`${told}\n`);
    if (after > before + growthMax) ledger.violate(told);
  }
  return { node: usual('node', 2 * third), main: usual('main', 2 * third) };
}
