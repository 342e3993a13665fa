/**
 * Whole trees, by handles and without recursion: removing one, and adding up its bytes. Links are never followed; a
 * link that takes a folder's place while we are on the way is met as a link.
 */
import type { Dir, Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { SallyportError } from '#shared/error.ts';
import { hasErrno } from '../file-error.ts';
import { measuredEntriesMax, removedEntriesMax, walkDepthMax } from '../limits.ts';
import type { FileName, FolderHandle } from './folder-handle.ts';
import type { RemoveOptions } from './storage.ts';

/** Reading a folder while its entries go can skip some on a few file systems: look again, but not for ever. */
const rescansMax = 8;

interface Level {
  readonly folder: FolderHandle;
  readonly name: FileName;
  names: Dir;
  rescans: number;
}

async function openLevel(parent: FolderHandle, name: FileName, depth: number): Promise<Level> {
  if (depth >= walkDepthMax) {
    throw new SallyportError('too-many', 'The folders are nested too deeply', { detail: `${walkDepthMax}` });
  }
  const folder = await parent.openFolder(name);
  try {
    return { folder, name, names: await folder.openNames('latin1'), rescans: 0 };
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
      const below = await enter(top, entry, levels.length);
      if (below !== undefined) levels.push(below);
      else await removeOne(top.folder, nameOf(entry), options);
    }
  } finally {
    for (const level of levels) await closeLevel(level);
  }
}

async function enter(top: Level, entry: Dirent, depth: number): Promise<Level | undefined> {
  // A file system may not tell the type while listing: then opening it as a folder tells.
  if (!entry.isDirectory() && (entry.isFile() || entry.isSymbolicLink())) return undefined;
  try {
    return await openLevel(top.folder, nameOf(entry), depth);
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

/** Bytes of all regular files below a folder; counts a hard-linked file at each of its names. */
export async function measureTree(root: FolderHandle, skip: string, signal: AbortSignal): Promise<number> {
  const levels: Level[] = [{ folder: root, name: '', names: await root.openNames('latin1'), rescans: 0 }];
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
