import { readdirSync, readFileSync } from 'node:fs';

/** The kernel counts CPU time in ticks of 10 ms on every Linux we run on. */
const ticksPerSecond = 100;

/** What processes used up; of children that ended everything but the switches. */
export interface Usage {
  readonly cpuSeconds: number;
  /** Pages the kernel had to find while the process waited: a heap that is given back and fetched again shows here. */
  readonly minorFaults: number;
  readonly switches: number;
}

/** Processes by what they are called in a table, such as `node` and `main`. */
export type Processes = Readonly<Record<string, readonly number[]>>;

export interface Sample {
  readonly seconds: number;
  readonly all: Usage;
  readonly by: Readonly<Record<string, Usage>>;
}

const nothing: Usage = { cpuSeconds: 0, minorFaults: 0, switches: 0 };

function usageOf(pids: readonly number[]): Usage {
  let usage = nothing;
  for (const pid of pids) {
    try {
      const fields = readStat(`/proc/${pid}/stat`);
      const sum = (...places: readonly number[]): number =>
        places.reduce((total, place) => total + (fields[place] ?? 0), 0);
      usage = add(usage, {
        cpuSeconds: sum(11, 12, 13, 14) / ticksPerSecond,
        minorFaults: sum(7, 8),
        switches: switchesOf(pid),
      });
    } catch {
      // It ended; its time is in its parent's children.
    }
  }
  return usage;
}

/** The fields after the command's name, which may hold spaces and parentheses itself. */
function readStat(file: string): number[] {
  return readFileSync(file, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .map(Number);
}

function switchesOf(pid: number): number {
  let switches = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    for (const [, count] of status.matchAll(/ctxt_switches:\s+(\d+)/g)) switches += Number(count);
  }
  return switches;
}

function combine(a: Usage, b: Usage, sign: 1 | -1): Usage {
  return {
    cpuSeconds: a.cpuSeconds + sign * b.cpuSeconds,
    minorFaults: a.minorFaults + sign * b.minorFaults,
    switches: a.switches + sign * b.switches,
  };
}

const add = (a: Usage, b: Usage): Usage => combine(a, b, 1);

export function cpuSeconds(pids: readonly number[]): number {
  return usageOf(pids).cpuSeconds;
}

/** CPU seconds of a process's first thread, which in Node is the one that runs the program. */
export function threadSeconds(pid: number): number {
  const [cpu = 0, kernel = 0] = readStat(`/proc/${pid}/task/${pid}/stat`).slice(11, 13);
  return (cpu + kernel) / ticksPerSecond;
}

export function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

/** How long `run` takes and what the servers use meanwhile; clients are not counted. */
export async function measure(processes: () => Processes, run: () => Promise<unknown>): Promise<Sample> {
  const before = Object.entries(processes()).map(([name, pids]) => [name, usageOf(pids)] as const);
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  const after = processes();
  const by = Object.fromEntries(
    before.map(([name, usage]) => [name, combine(usageOf(after[name] ?? []), usage, -1)]),
  );
  return { seconds, all: Object.values(by).reduce(add, nothing), by };
}
