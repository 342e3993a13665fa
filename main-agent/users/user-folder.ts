import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  watch,
  type FSWatcher,
  type Stats,
} from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from '#main-agent/durable-file.ts';
import {
  filesMax,
  pollMs,
  pollUnwatchedMs,
  readsAtOnce,
  settleMaxMs,
  settleMs,
  userFileBytesMax,
} from './limits.ts';
import { groupsFolder } from './user-file.ts';

/** The users folder as the file system has it: what lies there, and when it changes. */

/** Relative names of all that lies in the folder and in `groups/`. Rejects if the folder itself can't be read. */
export async function listFolder(directory: string): Promise<string[]> {
  const own = (await readdir(directory, { withFileTypes: true })).filter((entry) => !entry.isDirectory());
  const groups = await listIfThere(path.join(directory, groupsFolder));
  const names = [...own.map((entry) => entry.name), ...groups.map((name) => path.join(groupsFolder, name))];
  if (names.length > filesMax) throw new Error(`${directory} holds more than ${filesMax} files`);
  return names;
}

/** Of all that lies in it; none where it is not there. */
export async function listIfThere(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Text that changes whenever the file's content may have; undefined: it is not there. */
export async function stampFile(file: string): Promise<string | undefined> {
  try {
    return stampOf(await lstat(file));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

interface FoundFile {
  /** As `stampFile` has it. */
  readonly stamp: string;
  readonly octets: Buffer;
}

/** Undefined: it is not there. */
export async function readIfThere(
  file: string,
  bytesMax: number = userFileBytesMax,
): Promise<FoundFile | undefined> {
  try {
    requirePlainFile(await lstat(file), bytesMax);
    const handle = await open(file, plainFile);
    try {
      const stats = await handle.stat();
      requirePlainFile(stats, bytesMax);
      return { stamp: stampOf(stats), octets: await handle.readFile() };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Without a trip through the thread pool: three times as fast for the thousands that are read at a start. */
export function readNow(file: string): FoundFile | undefined {
  let descriptor: number | undefined;
  try {
    requirePlainFile(lstatSync(file));
    descriptor = openSync(file, plainFile);
    const stats = fstatSync(descriptor);
    requirePlainFile(stats);
    return { stamp: stampOf(stats), octets: readFileSync(descriptor) };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** A link is not followed, and a pipe without a writer does not keep us waiting. */
const plainFile = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Whoever may write in the users folder must not make main read another file of the host, and quote it in the log, nor
 * wait for a pipe, nor fill the memory.
 */
function requirePlainFile(stats: Stats, bytesMax: number = userFileBytesMax): void {
  if (stats.isSymbolicLink()) throw new Error('it is a symbolic link; put the file itself here');
  if (!stats.isFile()) throw new Error('it is no file but a pipe, a socket or a device');
  if (stats.size > bytesMax) throw new Error(`it has more than ${bytesMax} bytes`);
}

function stampOf({ mtimeMs, ctimeMs, size, ino }: Stats): string {
  return `${mtimeMs}:${ctimeMs}:${size}:${ino}`;
}

/** `work` for each item, a bounded number at once, results in order. */
export async function mapBounded<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const run = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results[index] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(readsAtOnce, items.length) }, run));
  return results;
}

/**
 * Tells, after things have settled, that something in the folder may have changed. Returns the end of watching.
 * Where the kernel can't watch, and now and then everywhere, it just tells.
 */
export function watchFolder(directory: string, onChange: () => void): () => void {
  const watchers = new Map<string, FSWatcher>();
  let settle: NodeJS.Timeout | undefined;
  let firstAt: number | undefined;

  const fire = (): void => {
    settle = undefined;
    firstAt = undefined;
    ensureWatched();
    onChange();
  };
  const touched = (): void => {
    firstAt ??= performance.now();
    const waited = performance.now() - firstAt;
    clearTimeout(settle);
    settle = setTimeout(fire, Math.max(0, Math.min(settleMs, settleMaxMs - waited)));
  };
  const ensureWatched = (): void => {
    for (const folder of [directory, path.join(directory, groupsFolder)]) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, touched);
        watcher.on('error', () => {
          watcher.close();
          watchers.delete(folder);
        });
        watchers.set(folder, watcher);
      } catch {
        // Not there (groups/ may come later) or not watchable; polling finds changes.
      }
    }
  };
  ensureWatched();
  const poll = setInterval(fire, watchers.has(directory) ? pollMs : pollUnwatchedMs).unref();

  return () => {
    clearTimeout(settle);
    clearInterval(poll);
    for (const watcher of watchers.values()) watcher.close();
  };
}
