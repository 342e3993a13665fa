import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { buildRandom } from '#test/harness/random.ts';
import { mutate } from './mutate.ts';

/** Something valid, from which the cases are made. */
export interface Sample {
  /** The types of message in it. */
  readonly kinds: readonly string[];
  readonly bytes: Buffer;
  /** What only the peer's own keys can do, after the change: a hostile peer has them. */
  readonly seal?: (changed: Buffer) => Buffer | Promise<Buffer>;
}

export interface Outcome {
  /** Types of what was taken, as the parser names them. */
  readonly taken: readonly string[];
  /** In its one documented way. */
  readonly isRefused: boolean;
}

export interface Target {
  readonly name: string;
  /** All types there are: each must have been taken and refused. */
  readonly kinds: readonly string[];
  readonly corpus: readonly Sample[];
  /** Rejects when the parser fails in any other way than it says, or changes something for what it refuses. */
  run(input: Buffer, sample: Sample): Outcome | Promise<Outcome>;
  close?(): Promise<void> | void;
}

/** Builds what it needs. */
export type TargetBuilder = () => Target | Promise<Target>;

export interface Fault {
  readonly case: number;
  readonly kinds: readonly string[];
  readonly input: string;
  readonly why: string;
}

export interface Result {
  readonly target: string;
  readonly seed: number;
  readonly cases: number;
  /** Of them, changes of something valid. */
  readonly mutated: number;
  readonly taken: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  /** CPU of the slowest case, milliseconds. */
  readonly slowestMs: number;
  /** What the process holds more than before, MiB. */
  readonly grownMiB: number;
  readonly faults: readonly Fault[];
}

export interface RunOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Only this one. */
  readonly onlyCase?: number;
  /** Told before each case, for who has to say which one it was. */
  readonly onCase?: (number: number, input: Buffer) => void;
}

/** A case takes far less; the slowest honest one, a kilobyte of YAML with errors, some milliseconds. CPU, so that a busy machine does not count. */
const caseCpuMsMax = 1_000;
/** What is still held after a collection: parsers keep nothing, code that became hot and its feedback take some. */
const grownMiBMax = 128;
const faultsMax = 3;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const mebibyte = 1024 * 1024;

export async function runTarget(target: Target, options: RunOptions): Promise<Result> {
  const { seconds, seed, onlyCase, onCase } = options;
  const { corpus, kinds } = target;
  const others = corpus.map(({ bytes }) => bytes);
  // By type, so that one with few samples is not rarer than others.
  const byKind = kinds.map((kind) => corpus.filter((sample) => sample.kinds.includes(kind)));
  const taken = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  const refused = { ...taken };
  const faults: Fault[] = [];
  const heldBefore = measureHeld();
  let [cases, mutated, slowestMs] = [0, 0, 0];
  const endMs = performance.now() + seconds * 1000;
  for (let number = onlyCase ?? 0; performance.now() < endMs && faults.length < faultsMax; number += 1) {
    // Each case has a beginning of its own, so that its number brings it back.
    const random = buildRandom(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(number + 1, 0x85eb_ca6b));
    const ofKind = byKind[random(byKind.length)] ?? [];
    const sample = ofKind[random(Math.max(1, ofKind.length))];
    if (sample === undefined) throw new Error(`${target.name} has a type without a sample`);
    const how = random(16);
    const isMutated = how > 2;
    const changed = isMutated
      ? mutate(sample.bytes, random, others)
      : how === 0
        ? Buffer.from(Array.from({ length: random(200) }, () => random(256)))
        : sample.bytes;
    const input = (await sample.seal?.(changed)) ?? changed;
    onCase?.(number, input);
    const before = process.threadCpuUsage();
    try {
      const outcome = await target.run(Buffer.from(input), sample);
      const { user, system } = process.threadCpuUsage(before);
      slowestMs = Math.max(slowestMs, (user + system) / 1000);
      if (user + system > caseCpuMsMax * 1000) throw new Error(`took ${(user + system) / 1000} ms of CPU`);
      for (const kind of outcome.taken) taken[kind] = (taken[kind] ?? 0) + 1;
      if (outcome.isRefused) for (const kind of sample.kinds) refused[kind] = (refused[kind] ?? 0) + 1;
      if (how > 0 && how <= 2 && outcome.isRefused) throw new Error('refused what is valid');
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      faults.push({ case: number, kinds: sample.kinds, input: input.toString('base64').slice(0, 4096), why });
    }
    cases += 1;
    if (isMutated) mutated += 1;
    if (cases % 512 === 0) {
      // What is asynchronous in between has its turn, and what it throws has a number.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (onlyCase !== undefined) break;
  }
  const grownMiB = Math.max(0, Math.round((measureHeld() - heldBefore) / mebibyte));
  await target.close?.();
  return { target: target.name, seed, cases, mutated, taken, refused, slowestMs, grownMiB, faults };
}

/** Bytes that a collection leaves. */
function measureHeld(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What of a whole run is not as it should be; empty: nothing. */
export function judge(result: Result, kinds: readonly string[]): string[] {
  const { target, cases, mutated, taken, refused, grownMiB, faults } = result;
  const missing = (of: Readonly<Record<string, number>>) => kinds.filter((kind) => (of[kind] ?? 0) === 0);
  const say = (what: string, list: readonly string[]) =>
    list.length === 0 ? [] : [`${target}: never ${what}: ${list.join(', ')}`];
  return [
    ...faults.map(
      (fault) =>
        `${target}: case ${fault.case} of seed ${result.seed} (${fault.kinds.join(', ')}): ${fault.why}\n  input (base64): ${fault.input}`,
    ),
    ...(cases === 0 || mutated * 2 < cases
      ? [`${target}: ${mutated} of ${cases} cases were changes of valid input`]
      : []),
    ...say('taken', missing(taken)),
    ...say('refused', missing(refused)),
    ...(grownMiB > grownMiBMax ? [`${target}: the process grew by ${grownMiB} MiB`] : []),
  ];
}
