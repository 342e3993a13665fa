import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { targets } from './targets.ts';

/** Of each parser, on a clock; `npm run fuzz` has it longer. */
const secondsEach = 30;
/** So many run beside each other: a case that waits for a socket leaves the processor to the others. */
const processes = 6;
/** The slowest makes dozens a second where it has the machine for itself. */
const casesMin = 100;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The names of each process, dealt out in turn, so that quick and slow ones mix. */
const shares = Array.from({ length: processes }, (_, share) =>
  Object.keys(targets).filter((_name, index) => index % processes === share),
);

async function run(names: readonly string[], seed: number): Promise<{ output: string; code: unknown }> {
  const json = join(folder, `${seed}-${names.join('-').slice(0, 60)}.json`);
  const child = spawn(
    'nice',
    ['-n', '10', process.execPath, 'test/fuzz/main.ts', '--seconds', String(secondsEach)].concat(
      ['--seed', String(seed), '--json', json],
      names.flatMap((name) => ['--target', name]),
    ),
    // A case that never ends is a fault, too: its process is ended.
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: secondsEach * 1000 * 10, killSignal: 'SIGKILL' },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => (output += piece.toString()));
  const [code] = await once(child, 'close');
  for (const line of readFileSync(json, 'utf8').trim().split('\n')) results.push(JSON.parse(line) as never);
  return { output, code };
}

const results: { target: string; cases: number; mutated: number }[] = [];

it(
  'every parser takes or refuses what is nearly right, in its own words, and keeps nothing',
  async () => {
    const seed = 1 + Math.floor(Math.random() * 1_000_000);
    const all = await Promise.all(shares.map((names) => run(names, seed)));
    expect(all.filter(({ code }) => code !== 0).map(({ output }) => output)).toEqual([]);
    expect(results.map(({ target }) => target).toSorted()).toEqual(Object.keys(targets).toSorted());
    for (const { target, cases, mutated } of results) {
      expect(cases, target).toBeGreaterThan(casesMin);
      expect(mutated * 2, target).toBeGreaterThan(cases);
    }
  },
  secondsEach * 1000 * 20,
);
