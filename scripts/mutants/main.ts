import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { importsOf, listSources, readText } from '#test/repo/source-tree.ts';
import { mutate, type Mutant } from './operators.ts';
import { noteStep, readSteps, type Plan } from './progress.ts';
import { describeResults, readReviewed, type Result } from './report.ts';

/**
 * `npm run mutants`: are the rules of the login, the vault, the link and the guard held by a unit test each? See the
 * README beside this file.
 */

/** The rooms of a login, of what a session may do after it, and of who helps when it does not work. */
const loginTests = ['login', 'sessions', 'account', 'help-desk', 'passwords'].map(
  (room) => `test/main-agent/${room}/`,
);

/** Rooms of code, and whose tests are asked first: all of them, and about every mutant. */
const scope: readonly { readonly code: string; readonly tests: readonly string[] }[] = [
  { code: 'main-agent/login/', tests: loginTests },
  { code: 'main-agent/sessions/', tests: loginTests },
  { code: 'main-agent/account/', tests: loginTests },
  { code: 'main-agent/help-desk/', tests: loginTests },
  { code: 'main-agent/passwords/', tests: loginTests },
  { code: 'main-agent/build-login.ts', tests: loginTests },
  { code: 'main-agent/vault/', tests: ['test/main-agent/vault/', ...loginTests] },
  { code: 'main-agent/link/', tests: ['test/main-agent/link/', 'test/dmz/link/'] },
  { code: 'dmz/guard/', tests: ['test/dmz/guard/'] },
  { code: 'shared/networks.ts', tests: ['test/shared/networks.test.ts', 'test/dmz/guard/'] },
  { code: 'dmz/login/', tests: ['test/dmz/login/'] },
  { code: 'dmz/sftp/authentication/', tests: ['test/dmz/sftp/authentication/'] },
  { code: 'dmz/sftp/authenticate.ts', tests: ['test/dmz/sftp/authentication/'] },
  { code: 'shared/assertion/', tests: ['test/shared/assertion/'] },
  { code: 'shared/link/', tests: ['test/shared/link/', 'test/dmz/link/'] },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** This many of each hundred mutants, drawn by `--seed`. */
    sample: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    /** Only what the last run of the same folders left alive. */
    survivors: { type: 'boolean', default: false },
    /** Without the tests of other rooms: a quick look while tests are written. */
    near: { type: 'boolean', default: false },
    /** A test that lasts longer is about processes or real time, and costs more than it would find. */
    slowest: { type: 'string', default: '2500' },
    /** Where the results of runs are kept. */
    folder: { type: 'string', default: '.mutants' },
  },
});

const folder = `${process.cwd()}/${values.folder}`;
process.env['MUTANTS_FOLDER'] = folder;
const slowestMs = Number(values.slowest);
mkdirSync(folder, { recursive: true });
const wanted = positionals.length > 0 ? positionals : scope.map(({ code }) => code);
const resultsPath = `${folder}/results.json`;
const before = existsSync(resultsPath) ? (JSON.parse(readFileSync(resultsPath, 'utf8')) as Result[]) : [];

const files = listSources('dmz', 'main-agent', 'shared').filter((file) =>
  wanted.some((one) => file.startsWith(one)),
);
const mutants: Mutant[] = [];
const first: Record<string, number> = {};
for (const file of files) {
  first[file] = mutants.length;
  mutants.push(...mutate(file, readText(file)).mutants);
}
const keys = keysOf(mutants);
const killedBefore = new Map(before.filter((one) => one.killedBy !== undefined).map((one) => [one.key, one]));
const random = drawFrom(Number(values.seed));
const chosen = [...mutants.keys()].filter(() => random() * 100 < Number(values.sample));
const planned = chosen.filter((id) => !values.survivors || !killedBefore.has(keys[id] ?? ''));
let tests = testsOf(files).filter(({ isNear }) => isNear || !values.near);
process.stderr.write(`${planned.length} of ${mutants.length} mutants, ${tests.length} test files\n`);
rmSync(`${folder}/steps.jsonl`, { force: true });

// A worker that hangs or dies took its mutant with it; a spoiled file is begun anew. Each is bounded.
let runs = 0;
const begun = new Map<string, number>();
while (tests.length > 0 && runs < 300) {
  runs += 1;
  const file = tests[0]?.file ?? '';
  begun.set(file, (begun.get(file) ?? 0) + 1);
  const plan: Plan = { files: first, tests, mutants: planned, slowestMs };
  writeFileSync(`${folder}/plan.json`, JSON.stringify(plan));
  const isOver = await runTests();
  const steps = readSteps(folder);
  const last = steps.at(-1);
  const isWhole = isOver && last?.kind !== 'try';
  if (last?.kind === 'try') noteStep({ kind: 'killed', mutant: last.mutant, test: last.test, why: 'hung' });
  const done = new Set(steps.flatMap((step) => (step.kind === 'done' ? [step.file] : [])));
  for (const step of steps.slice(-1))
    if (step.kind === 'spoiled') begun.set(step.file, (begun.get(step.file) ?? 0) + 1);
  const left = tests.filter((one) => !done.has(one.file) && (begun.get(one.file) ?? 0) <= 8);
  for (const one of tests)
    if (!done.has(one.file) && !left.includes(one))
      process.stderr.write(`given up: ${one.file} (begun too often)\n`);
  if (isWhole && left.length === tests.length && !steps.some((step) => step.kind === 'spoiled')) {
    process.stderr.write('nothing ran\n');
    break;
  }
  tests = left;
}

const steps = readSteps(folder);
const reached = new Set(steps.flatMap((step) => (step.kind === 'reached' ? step.mutants : [])));
const killed = new Map(
  steps.flatMap((step) => (step.kind === 'killed' ? [[step.mutant, step] as const] : [])),
);
const results = chosen.map((id): Result => {
  const key = keys[id] ?? '';
  const kill = killed.get(id);
  const known = values.survivors ? killedBefore.get(key) : undefined;
  return {
    key,
    ...(mutants[id] as Mutant),
    isReached: reached.has(id) || known !== undefined,
    killedBy: kill?.test ?? known?.killedBy,
    why: kill?.why ?? known?.why,
  };
});
const others = before.filter((one) => !files.includes(one.file));
writeFileSync(resultsPath, JSON.stringify([...others, ...results], undefined, 1));
process.stdout.write(
  describeResults(
    results,
    scope.map(({ code }) => code),
    readReviewed(),
  ),
);
for (const { file, original, changed } of readReviewed())
  if (
    files.includes(file) &&
    !mutants.some((one) => one.file === file && one.original === original && one.changed === changed)
  )
    process.stderr.write(`reviewed, but not made any more: ${file}: ${original} → ${changed}\n`);
for (const step of steps)
  if (step.kind === 'unfit') process.stderr.write(`left out: ${step.test} (${step.why})\n`);

/** Resolves with whether the run came to its end. */
async function runTests(): Promise<boolean> {
  const child = spawn('vitest', ['run', '--config', 'scripts/mutants/vitest.config.ts'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: process.env,
    // A group of its own: a worker in an endless loop outlives the one that started it.
    detached: true,
  });
  const kill = (): void => {
    try {
      process.kill(-(child.pid ?? NaN), 'SIGKILL');
    } catch {
      // Nobody is left.
    }
  };
  const ended = Promise.withResolvers<void>();
  child.once('exit', () => ended.resolve());
  const stop = (): void => {
    kill();
    process.exit(1);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  let isWhole = true;
  let size = -1;
  let quietMs = 0;
  const everyMs = 1_000;
  const timer = setInterval(() => {
    const now = existsSync(`${folder}/steps.jsonl`) ? statSync(`${folder}/steps.jsonl`).size : 0;
    quietMs = now === size ? quietMs + everyMs : 0;
    size = now;
    // The runner's own bound of one test with a mutant, and time to start.
    if (quietMs < 20_000 + 10 * slowestMs) return;
    isWhole = false;
    kill();
  }, everyMs);
  await ended.promise;
  clearInterval(timer);
  kill();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  return isWhole && child.signalCode === null;
}

/** The unit tests that import one of these, by however many steps; those of their own room first. */
function testsOf(targets: readonly string[]): Plan['tests'] {
  const importers = new Map<string, string[]>();
  const all = listSources(
    'dmz',
    'main-agent',
    'shared',
    'test/shared',
    'test/dmz',
    'test/main-agent',
    'test/harness',
  );
  for (const one of all.flatMap(importsOf))
    if (!one.isPackage) importers.set(one.target, [...(importers.get(one.target) ?? []), one.from]);
  const found = new Set<string>();
  const pending = [...targets];
  for (let file = pending.pop(); file !== undefined; file = pending.pop())
    for (const from of importers.get(file) ?? [])
      if (!found.has(from)) {
        found.add(from);
        pending.push(from);
      }
  const rooms = scope
    .filter(({ code }) => targets.some((file) => file.startsWith(code)))
    .flatMap(({ tests: near }) => near);
  // A room's own tests come first: they are quick, and leave little to those that reach it from afar.
  const rankOf = (file: string): number => {
    const rank = rooms.findIndex((room) => file.startsWith(room));
    return rank === -1 ? rooms.length : rank;
  };
  return (
    [...found]
      .filter((file) => /^test\/(shared|dmz|main-agent)\/.*\.test\.ts$/.test(file))
      // Of a room the short ones first: they are about one thing, and leave little to the long ones.
      .toSorted((a, b) => rankOf(a) - rankOf(b) || statSync(a).size - statSync(b).size)
      .map((file) => ({ file, isNear: rankOf(file) < rooms.length }))
  );
}

/** Lines move; what is changed into what, and the how many-eth in its file that is, stays. */
function keysOf(all: readonly Mutant[]): string[] {
  const seen = new Map<string, number>();
  return all.map(({ file, original, changed }) => {
    const key = `${file}: ${original} → ${changed}`;
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return count === 1 ? key : `${key} (${count})`;
  });
}

/** Mulberry32: the same draw for the same seed. */
function drawFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
