import { readdir, readlink } from 'node:fs/promises';
import { vi } from 'vitest';

/** Intervals that nobody has cleared, whether they hold the process or not. */
const intervals = new Set<unknown>();

/** From here on, until the globals are unstubbed. */
export function watchIntervals(): void {
  const { setInterval: setReal, clearInterval: clearReal } = globalThis;
  vi.stubGlobal('setInterval', (...args: Parameters<typeof setInterval>) => {
    const timer = setReal(...args);
    intervals.add(timer);
    return timer;
  });
  vi.stubGlobal('clearInterval', (timer: NodeJS.Timeout | undefined) => {
    intervals.delete(timer);
    clearReal(timer);
  });
}

/** What this process has open: listeners, threads, intervals, and files below the folder. */
export async function listOpenThings(folder: string): Promise<readonly string[]> {
  const fds = await readdir('/proc/self/fd');
  const targets = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return [
    ...targets.filter((target) => target.startsWith(folder)),
    ...process.getActiveResourcesInfo().filter((kind) => /Server|Worker|MessagePort/.test(kind)),
    ...Array.from(intervals, () => 'interval'),
  ].toSorted();
}
