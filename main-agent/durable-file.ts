import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import { SallyportError } from '#shared/error.ts';

/**
 * Small files that are there whole or not at all, also after power loss: written beside their place, synced, renamed,
 * and the folder synced. The temporary name starts with a dot and has no `.yaml`, so that no reader takes it for one.
 */

interface WriteOptions {
  /** Permission bits of a new file. */
  readonly mode: number;
  /** Rejects `exists` instead of replacing. */
  readonly exclusive?: boolean;
  /** Called when all is on the disk and only the rename is left; throwing leaves the old file. */
  readonly beforeRename?: () => Promise<void>;
}

export async function writeDurably(file: string, text: string, options: WriteOptions): Promise<void> {
  const folder = path.dirname(file);
  const temporary = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const handle = await open(temporary, 'wx', options.mode);
    try {
      await handle.writeFile(text, 'utf8');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await options.beforeRename?.();
    if (options.exclusive === true) await linkNew(temporary, file);
    else await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

/** False: there was none. */
export async function removeDurably(file: string): Promise<boolean> {
  try {
    await unlink(file);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
  await syncFolder(path.dirname(file));
  return true;
}

export async function ensureFolder(folder: string, mode: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode });
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Unlike rename, link never replaces: of two writers of a new file exactly one wins. */
async function linkNew(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new SallyportError('exists', 'There is one of that name already', { detail: file, cause: error });
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
