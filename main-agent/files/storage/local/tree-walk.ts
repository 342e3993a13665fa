/**
 * Whole trees, by handles and without recursion: removing one, adding up its bytes, looking for what is not served. Links are never followed; a
 * link that takes a folder's place while we are on the way is met as a link.
 */
import type { Dir, Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { SallyportError } from '#shared/error.ts';
import { hasErrno } from '../file-error.ts';
import { measuredEntriesMax, removedEntriesMax, surveyPieceEntries, walkDepthMax } from '../../limits.ts';
import type { FileName, FolderHandle } from './folder-handle.ts';
import type { RemoveOptions, SurveyOptions } from '../storage.ts';
import { showName } from '../unserved.ts';
import { whyUnserved } from './stored.ts';

/** Reading a folder while its entries go can skip some on a few file systems: look again, but not for ever. */
const rescansMax = 8;

interface Level {
  readonly folder: FolderHandle;
  readonly name: FileName;
  names: Dir;
  rescans: number;
  /** It is in no listing, and so is nothing in it. */
  readonly isUnserved: boolean;
}

async function openLevel(
  parent: FolderHandle,
  name: FileName,
  depth: number,
  isUnserved = false,
): Promise<Level> {
  if (depth >= walkDepthMax) {
    throw new SallyportError('too-many', 'The folders are nested too deeply', { detail: `${walkDepthMax}` });
  }
  const folder = await parent.openFolder(name);
  try {
    return { folder, name, names: await folder.openNames('latin1'), rescans: 0, isUnserved };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/** The walk meets names as the disk has them, also such as no client could send. */
function nameOf(entry: Dirent): Buffer {
  return Buffer.from(entry.name, 'latin1');
}

async function closeLevel(level: Level): Promise<void> {
  await level.names.close();
  await level.folder.close();
}

function isFolderGone(error: unknown): boolean {
  return hasErrno(error, 'ENOTDIR', 'ELOOP', 'ENOENT');
}

/** Rejects `not-empty` for a folder that is not. */
export async function removeEmptyFolder(parent: FolderHandle, name: string): Promise<void> {
  try {
    await fs.rmdir(parent.at(name));
  } catch (error) {
    throw await explainNotEmpty(parent, name, error);
  }
}

/** What to tell of a folder that had to be empty: where all that it holds is in no listing, its user would look in vain. */
export async function explainNotEmpty(parent: FolderHandle, name: string, error: unknown): Promise<unknown> {
  const unserved = hasErrno(error, 'ENOTEMPTY') ? await countIfAllUnserved(parent, name) : 0;
  if (unserved === 0) return error;
  const entries = unserved === 1 ? '1 entry' : `${unserved} entries`;
  return new SallyportError(
    'not-empty',
    `The folder is not empty: it holds ${entries} that this server does not show`,
    { data: { unserved }, cause: error },
  );
}

/** 0: something in it is served, or nothing is in it any more. */
async function countIfAllUnserved(parent: FolderHandle, name: string): Promise<number> {
  const level = await openLevel(parent, name, 0);
  let unserved = 0;
  try {
    for (let entry = await level.names.read(); entry !== null; entry = await level.names.read()) {
      if (whyUnserved(entry, nameOf(entry)) === undefined) return 0;
      unserved += 1;
    }
  } finally {
    await closeLevel(level);
  }
  return unserved;
}

/** Removes `name` in `parent` with all that is below it. */
export async function removeTree(parent: FolderHandle, name: string, options: RemoveOptions): Promise<void> {
  const levels: Level[] = [await openLevel(parent, name, 0)];
  let removed = 0;
  try {
    for (let top = levels.at(-1); top !== undefined; top = levels.at(-1)) {
      options.signal.throwIfAborted();
      const entry = await top.names.read();
      if (entry === null) {
        if (await removeEmptied(levels.at(-2)?.folder ?? parent, top)) levels.pop();
        continue;
      }
      removed += 1;
      if (removed > removedEntriesMax) {
        throw new SallyportError('too-many', 'The folder has too much in it to delete it in one go', {
          detail: `${removedEntriesMax} entries`,
        });
      }
      const isUnserved = !top.isUnserved && whyUnserved(entry, nameOf(entry)) !== undefined;
      const below = await enter(top, entry, levels.length, top.isUnserved || isUnserved);
      if (below !== undefined) levels.push(below);
      else await removeOne(top.folder, nameOf(entry), options);
      if (isUnserved) options.onRemovedUnserved();
    }
  } finally {
    for (const level of levels) await closeLevel(level);
  }
}

async function enter(
  top: Level,
  entry: Dirent,
  depth: number,
  isUnserved = false,
): Promise<Level | undefined> {
  // A file system may not tell the type while listing: then opening it as a folder tells.
  if (!entry.isDirectory() && (entry.isFile() || entry.isSymbolicLink())) return undefined;
  try {
    return await openLevel(top.folder, nameOf(entry), depth, isUnserved);
  } catch (error) {
    if (isFolderGone(error)) return undefined;
    throw error;
  }
}

async function removeOne(folder: FolderHandle, name: FileName, options: RemoveOptions): Promise<void> {
  const stats = await folder.find(name);
  if (stats === undefined) return;
  try {
    await fs.unlink(folder.at(name));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return;
    throw error;
  }
  if (stats.isFile()) options.onRemovedFile(Number(stats.size));
}

/** True: the folder is gone and closed. False: something is still in it and it is read once more. */
async function removeEmptied(parent: FolderHandle, level: Level): Promise<boolean> {
  try {
    await fs.rmdir(parent.at(level.name));
  } catch (error) {
    if (hasErrno(error, 'ENOTEMPTY') && level.rescans < rescansMax) {
      level.rescans += 1;
      const names = await level.folder.openNames('latin1');
      await level.names.close();
      level.names = names;
      return false;
    }
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
  await closeLevel(level);
  return true;
}

/** The folder is the caller's, its names are the walk's to close. */
async function openRoot(root: FolderHandle): Promise<Level> {
  return {
    folder: root,
    name: '',
    names: await root.openNames('latin1'),
    rescans: 0,
    isUnserved: false,
  };
}

/** Bytes of all regular files below a folder; counts a hard-linked file at each of its names. */
export async function measureTree(root: FolderHandle, skip: string, signal: AbortSignal): Promise<number> {
  const levels: Level[] = [await openRoot(root)];
  let bytes = 0;
  let counted = 0;
  try {
    for (let top = levels.at(-1); top !== undefined; top = levels.at(-1)) {
      signal.throwIfAborted();
      const entry = await top.names.read();
      counted += 1;
      if (entry === null || counted > measuredEntriesMax) {
        levels.pop();
        if (top.folder === root) await top.names.close();
        else await closeLevel(top);
        continue;
      }
      if (entry.name === skip) continue;
      const below = levels.length < walkDepthMax ? await enter(top, entry, levels.length) : undefined;
      if (below !== undefined) levels.push(below);
      else if (!entry.isSymbolicLink()) {
        const stats = await top.folder.find(nameOf(entry));
        if (stats?.isFile() === true) bytes += Number(stats.size);
      }
    }
  } finally {
    for (const level of levels) {
      if (level.folder === root) await level.names.close();
      else await closeLevel(level);
    }
  }
  return bytes;
}

/**
 * Reads all names below a folder. What is in a folder that is not served itself is not looked at: that is one
 * entry. `ours`: the staging folder, where it may be at the top, and where another file system begins.
 */
export async function surveyTree(
  root: FolderHandle,
  ours: string | undefined,
  options: SurveyOptions,
): Promise<void> {
  const levels: Level[] = [await openRoot(root)];
  const path: string[] = [];
  const without = new Set(options.without?.map((components) => components.map(showName).join('/')));
  let looked = 0;
  try {
    for (let top = levels.at(-1); top !== undefined; top = levels.at(-1)) {
      options.signal.throwIfAborted();
      const entry = await top.names.read();
      if (entry === null) {
        levels.pop();
        path.pop();
        if (top.folder === root) await top.names.close();
        else await closeLevel(top);
        continue;
      }
      if (entry.name === ours && (await isFileSystemRoot(levels))) continue;
      looked += 1;
      if (looked === surveyPieceEntries) {
        await options.onLooked(looked);
        looked = 0;
      }
      const kind = whyUnserved(entry, nameOf(entry));
      if (kind !== undefined) {
        options.onUnserved([...path, showName(nameOf(entry))], kind);
        continue;
      }
      // Files are not looked at: their type was told with their name.
      if (entry.isFile()) continue;
      const name = showName(nameOf(entry));
      if (without.size > 0 && without.has([...path, name].join('/'))) continue;
      const below = levels.length < walkDepthMax ? await enterIfReadable(levels, entry) : 'closed';
      if (below === 'closed') options.onUnlooked([...path, name]);
      else if (below !== undefined) {
        levels.push(below);
        path.push(name);
      }
    }
    await options.onLooked(looked);
  } finally {
    for (const level of levels) {
      if (level.folder === root) await level.names.close();
      else await closeLevel(level);
    }
  }
}

async function isFileSystemRoot(levels: readonly Level[]): Promise<boolean> {
  const [below, top] = [levels.at(-2), levels.at(-1)];
  if (below === undefined || top === undefined) return true;
  return (await below.folder.device()) !== (await top.folder.device());
}

async function enterIfReadable(
  levels: readonly Level[],
  entry: Dirent,
): Promise<Level | 'closed' | undefined> {
  const top = levels.at(-1);
  if (top === undefined) return undefined;
  try {
    return await enter(top, entry, levels.length);
  } catch (error) {
    if (hasErrno(error, 'EACCES', 'EPERM')) return 'closed';
    throw error;
  }
}
