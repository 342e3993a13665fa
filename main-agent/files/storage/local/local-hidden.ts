/**
 * A hidden folder of this host (0700), within the staging folder: no path leads there, and only main writes there.
 *
 * Trust: what is read is text that a process before this one wrote, or that somebody changed by hand.
 */
import { randomBytes } from 'node:crypto';
import { constants, lstatSync, readFileSync, type Dirent, type PathLike } from 'node:fs';
import * as fs from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { Found, HiddenFolder, OpenBytes, Spot } from '../blob-storage.ts';
import { hasErrno, notFound } from '../file-error.ts';
import type { FolderHandle } from './folder-handle.ts';
import { accessFlags, LocalBytes, requireLocalBytes } from './local-bytes.ts';
import { LocalSpot, orUnsupported, requireLocalSpot } from './local-spot.ts';
import { toFound } from './stored.ts';
import { measureTree } from './tree-walk.ts';

/** Folders whose names are held in memory while what is in another one is removed. */
const foldersMovedAtOnce = 1000;

/** What a folder that is removed leaves for a moment, and longer after a kill. */
const droppedSuffix = '.dropped';

export class LocalHidden implements HiddenFolder {
  readonly #folder: FolderHandle;
  readonly #inner = new Map<string, Promise<LocalHidden>>();

  private constructor(folder: FolderHandle) {
    this.#folder = folder;
  }

  static async open(parent: FolderHandle, name: string): Promise<LocalHidden> {
    await parent.makeFolder(name, 0o700);
    return new LocalHidden(await (await parent.openFolder(name)).learn(parent));
  }

  at(name: string): Spot {
    return new LocalSpot(this.#folder, name);
  }

  async isBeside(spot: Spot): Promise<boolean> {
    return (await this.#folder.device()) === (await requireLocalSpot(spot).folder.device());
  }

  async *names(): AsyncGenerator<string> {
    const names = await this.#folder.openNames();
    try {
      for (let entry = await names.read(); entry !== null; entry = await names.read()) yield entry.name;
    } finally {
      await names.close();
    }
  }

  /** Status change, not content: uploads carry the client's own modification time. */
  async changed(name: string): Promise<{ readonly atMs: number; readonly size: number } | undefined> {
    const stats = await this.#folder.find(name);
    return stats === undefined ? undefined : { atMs: Number(stats.ctimeMs), size: Number(stats.size) };
  }

  async read(name: string, bytesMax: number): Promise<string | undefined> {
    const file = await new LocalSpot(this.#folder, name).open('read');
    if (file === undefined) return undefined;
    try {
      const { size } = file;
      if (size > bytesMax) return '';
      const buffer = Buffer.alloc(size);
      return buffer.toString('utf8', 0, await file.read([buffer], 0, size));
    } finally {
      await file.close();
    }
  }

  /** Synchronously: a start with a hundred thousand of them takes seconds and not minutes. */
  readMany(names: readonly string[], bytesMax: number): Promise<readonly (string | undefined)[]> {
    const flag = constants.O_RDONLY | constants.O_NOFOLLOW;
    return lookAtEach(names, (name) => {
      const text = readFileSync(this.#folder.at(name), { encoding: 'utf8', flag });
      return text.length > bytesMax ? '' : text;
    });
  }

  findMany(names: readonly string[]): Promise<readonly (Found | undefined)[]> {
    return lookAtEach(names, (name) => toFound(lstatSync(this.#folder.at(name), { bigint: true })));
  }

  write(name: string, text: string): Promise<void> {
    return this.#write(name, text, { isDurable: false });
  }

  async replace(name: string, text: string, { isDurable } = { isDurable: false }): Promise<void> {
    const path = this.#folder.at(`${name}-new`);
    try {
      await this.#write(`${name}-new`, text, { isDurable });
    } catch (error) {
      await fs.rm(path, { force: true });
      throw error;
    }
    await fs.rename(path, this.#folder.at(name));
  }

  async #write(name: string, text: string, { isDurable }: { readonly isDurable: boolean }): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
    const file = new LocalBytes(await this.#folder.openRegular(name, flags, 0o600));
    try {
      await file.write([Buffer.from(text)], 0);
      if (isDurable) await file.sync();
    } finally {
      await file.close();
    }
  }

  async openLog(name: string): Promise<OpenBytes> {
    const flags = accessFlags.append | constants.O_CREAT;
    return new LocalBytes(await this.#folder.openRegular(name, flags, 0o600));
  }

  async copy(name: string, original: OpenBytes): Promise<OpenBytes> {
    const flags = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
    await fs.copyFile(requireLocalBytes(original).path, this.#folder.at(name), flags);
    const copied = await new LocalSpot(this.#folder, name).open('write');
    if (copied === undefined) throw notFound('the copy is gone');
    return copied;
  }

  async keepCopy(name: string, original: OpenBytes, bytesMax: number): Promise<void> {
    // Whoever tidies up knows it for a half.
    const half = this.#folder.at(`${name}.json-new`);
    try {
      await this.#copyTo(half, requireLocalBytes(original), bytesMax);
      await fs.rename(half, this.#folder.at(name));
    } catch (error) {
      await fs.rm(half, { force: true });
      throw orUnsupported(error);
    }
  }

  /** Of shared blocks where the file system can, else only of what is copied in a moment. */
  async #copyTo(to: PathLike, { path, size }: LocalBytes, bytesMax: number): Promise<void> {
    try {
      await fs.copyFile(path, to, constants.COPYFILE_FICLONE_FORCE);
    } catch (error) {
      if (size > bytesMax) throw error;
      await fs.copyFile(path, to);
    }
  }

  async remove(name: string): Promise<void> {
    await unlinkIfThere(this.#folder.at(name));
  }

  /**
   * Folders in it are moved up beside it first, so that it does not matter how deep they lie, and a kill leaves nothing
   * but more of what was dropped.
   */
  async removeTree(dropped: string, signal: AbortSignal): Promise<void> {
    const waiting = [dropped];
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      signal.throwIfAborted();
      if ((await this.#folder.find(name))?.isDirectory() !== true) {
        await fs.rm(this.#folder.at(name), { force: true });
        continue;
      }
      const below = await this.#emptyOut(name, signal);
      if (below.length > 0) waiting.push(name, ...below);
      else await fs.rmdir(this.#folder.at(name));
    }
  }

  /** New names of folders that were in it; where there are none, nothing else is left either. */
  async #emptyOut(name: string, signal: AbortSignal): Promise<string[]> {
    const folder = await this.#folder.openFolder(name);
    const below: string[] = [];
    try {
      const names = await folder.openNames('latin1');
      try {
        for (let entry = await names.read(); entry !== null; entry = await names.read()) {
          signal.throwIfAborted();
          // The disk's own bytes: a name need not be UTF-8.
          const inside = folder.at(Buffer.from(entry.name, 'latin1'));
          if (!(await isFolder(folder, entry))) await fs.unlink(inside);
          else {
            const moved = `${randomBytes(16).toString('base64url')}${droppedSuffix}`;
            await fs.rename(inside, this.#folder.at(moved));
            if (below.push(moved) === foldersMovedAtOnce) break;
          }
        }
      } finally {
        await names.close();
      }
    } finally {
      await folder.close();
    }
    return below;
  }

  async measure(name: string, signal: AbortSignal): Promise<number> {
    const folder = await this.#folder.openFolder(name);
    try {
      return await measureTree(folder, '', signal);
    } finally {
      await folder.close();
    }
  }

  async inner(name: string, { isMade }: { readonly isMade: boolean }): Promise<LocalHidden | undefined> {
    const known = this.#inner.get(name);
    if (known !== undefined) return known;
    if (!isMade && (await this.#folder.find(name)) === undefined) return undefined;
    const opening = this.#inner.get(name) ?? LocalHidden.open(this.#folder, name);
    this.#inner.set(name, opening);
    opening.catch(() => this.#inner.delete(name));
    return opening;
  }

  async close(): Promise<void> {
    for (const inner of this.#inner.values()) await (await inner).close();
    await this.#folder.close();
  }
}

/** Undefined for what is gone or can't be looked at; others have their turn afterwards. */
async function lookAtEach<T>(
  names: readonly string[],
  look: (name: string) => T,
): Promise<(T | undefined)[]> {
  const found = names.map((name) => {
    try {
      return look(name);
    } catch {
      return undefined;
    }
  });
  await setImmediate();
  return found;
}

async function unlinkIfThere(path: PathLike): Promise<void> {
  try {
    await fs.unlink(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

async function isFolder(parent: FolderHandle, entry: Dirent): Promise<boolean> {
  if (entry.isDirectory()) return true;
  if (entry.isFile() || entry.isSymbolicLink()) return false;
  // A file system may not tell the type while listing.
  return (await parent.find(Buffer.from(entry.name, 'latin1')))?.isDirectory() === true;
}
