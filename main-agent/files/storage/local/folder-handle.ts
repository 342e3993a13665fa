/**
 * The jail (S-08). A folder is held open and everything in it is reached through the kernel's name for that open
 * folder, `/proc/self/fd/<number>/<name>`, one component at a time and never through a symbolic link: what plain Node
 * has for `openat(…, O_NOFOLLOW)`. A folder that is swapped for a link after it was checked is still the folder that
 * was opened, so there is no gap between check and use.
 *
 * Trust: `name` is a single component that `requireComponents` let through (no `/`, no `..`).
 *
 * Invariant: no operation by path may be pending when a folder is closed; its number may be another folder's by then.
 * Holders therefore await all they began, also when one of several fails.
 */
import { constants, lstat, lstatSync, opendir, type BigIntStats, type Dir } from 'node:fs';
import * as fs from 'node:fs/promises';
import { promisify } from 'node:util';
import { hasErrno, isAFolder, notFound } from '../file-error.ts';
import { Descriptor } from './descriptor.ts';
import { fileId } from './stored.ts';

const openDirectory = promisify(opendir);

/**
 * File systems of this kernel (ext2 to 4, XFS, Btrfs, F2FS, tmpfs) keep in memory what is known of an open file, and the
 * names of what is open: asking for it waits for no disk and no other host.
 */
const quickTypes: readonly number[] = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994];

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** O_NONBLOCK: opening a pipe somebody put there must not wait for its other end. */
const leafFlags = constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Names fetched from the kernel at a time. */
const namesAtOnce = 1024;

/** A buffer where a name need not be UTF-8. */
export type FileName = string | Buffer;

export interface RegularFile {
  readonly file: Descriptor;
  readonly stats: BigIntStats;
}

export class FolderHandle {
  readonly #file: Descriptor;
  /** When it was asked first: which folder it is never changes. */
  #stats: BigIntStats | undefined;

  private constructor(file: Descriptor) {
    this.#file = file;
  }

  /** A path of the configuration: links in it are the admin's own. */
  static async openBase(path: string): Promise<FolderHandle> {
    const file = await Descriptor.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    return new FolderHandle(file).learn();
  }

  /**
   * For one that is held: whether its file system can be asked at once about what is open (D-127), for a call of two
   * microseconds costs thirty by way of the thread pool. `above`: one that knows, on the same file system as a rule.
   * Closes it where it fails.
   */
  async learn(above?: FolderHandle): Promise<this> {
    try {
      const device = await this.device();
      const isAsAbove = above !== undefined && device === (await above.device());
      this.#file.isQuick = isAsAbove ? above.isQuick : quickTypes.includes((await fs.statfs(this.path)).type);
      return this;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get isQuick(): boolean {
    return this.#file.isQuick;
  }

  /** Whether a name in it is a folder that is open, now. At once: to be asked where both are quick. */
  has(name: string, folder: FolderHandle): boolean {
    const stats = folder.#stats;
    try {
      const found = lstatSync(this.at(name), { bigint: true, throwIfNoEntry: false });
      return found !== undefined && found.ino === stats?.ino && found.dev === stats.dev;
    } catch {
      // Whoever opens it is told why.
      return false;
    }
  }

  /** The kernel's path of something in this folder, for operations that do not follow a link in the last component. */
  at(name: FileName): string | Buffer {
    const prefix = `${this.#file.path}/`;
    return typeof name === 'string' ? prefix + name : Buffer.concat([Buffer.from(prefix), name]);
  }

  /** Of its descriptor. */
  get number(): number {
    return this.#file.number;
  }

  get path(): string {
    return this.#file.path;
  }

  async openFolder(name: FileName): Promise<FolderHandle> {
    return new FolderHandle(await Descriptor.open(this.at(name), folderFlags));
  }

  /** One that is there already is as good. */
  async makeFolder(name: FileName, mode: number): Promise<void> {
    try {
      await fs.mkdir(this.at(name), { mode });
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
  }

  /** Another handle of this very folder. */
  async reopen(): Promise<FolderHandle> {
    return new FolderHandle(await Descriptor.open(this.path, constants.O_RDONLY | constants.O_DIRECTORY));
  }

  /** Opens a regular file; `is-a-folder` and `not-found` (links, pipes, devices) for everything else. */
  async openRegular(name: string, flags: number, mode?: number): Promise<RegularFile> {
    const file = await Descriptor.open(this.at(name), flags | leafFlags, mode);
    file.isQuick = this.isQuick;
    try {
      const stats = await file.stat();
      if (stats.isDirectory()) throw isAFolder();
      if (!stats.isFile()) throw notFound('a special file');
      return { file, stats };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** lstat; undefined when there is nothing. */
  find(name: FileName): Promise<BigIntStats | undefined> {
    return new Promise((resolve, reject) => {
      lstat(this.at(name), { bigint: true }, (error, stats) => {
        if (error === null) resolve(stats);
        else if (error.code === 'ENOENT') resolve(undefined);
        else reject(error);
      });
    });
  }

  stat(): Promise<BigIntStats> {
    return this.#file.stat();
  }

  async id(): Promise<string> {
    return fileId(await this.#known());
  }

  /** Of the file system it lies on. */
  async device(): Promise<bigint> {
    return (await this.#known()).dev;
  }

  async #known(): Promise<BigIntStats> {
    return (this.#stats ??= await this.stat());
  }

  /** Reads names; closed by the caller. `latin1` gives each byte as a character, for names that are not UTF-8. */
  openNames(encoding: 'utf8' | 'latin1' = 'utf8'): Promise<Dir> {
    return openDirectory(this.path, { bufferSize: namesAtOnce, encoding });
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Walks down from a folder that stays open; the last folder of the walk is the caller's to close. */
export async function openBeneath(
  start: FolderHandle,
  components: readonly string[],
  onMissing?: (folder: FolderHandle, name: string) => Promise<void>,
): Promise<FolderHandle> {
  let folder = start;
  try {
    for (const name of components) {
      const next = await openStep(folder, name, onMissing);
      if (folder !== start) await folder.close();
      folder = next;
    }
    return folder === start ? await start.reopen() : folder;
  } catch (error) {
    if (folder !== start) await folder.close();
    throw error;
  }
}

async function openStep(
  folder: FolderHandle,
  name: string,
  onMissing: ((folder: FolderHandle, name: string) => Promise<void>) | undefined,
): Promise<FolderHandle> {
  try {
    return await folder.openFolder(name);
  } catch (error) {
    if (onMissing === undefined || !hasErrno(error, 'ENOENT')) throw error;
    await onMissing(folder, name);
    return folder.openFolder(name);
  }
}
