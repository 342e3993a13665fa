import { readFileSync } from 'node:fs';

/** CPU seconds of processes, ended children included. The kernel counts in ticks of 10 ms on every Linux we run on. */
const ticksPerSecond = 100;

export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      // The command name may hold spaces and parentheses: fields are counted from after its end.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      for (const index of [11, 12, 13, 14]) ticks += Number(fields[index]);
    } catch {
      // It ended; its time is in its parent's children.
    }
  }
  return ticks / ticksPerSecond;
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

export interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export async function measure(pids: () => readonly number[], run: () => Promise<void>): Promise<Sample> {
  const cpu = cpuSeconds(pids());
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  return { seconds, cpuSeconds: cpuSeconds(pids()) - cpu };
}
