import { existsSync } from 'node:fs';
import { chown, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '#main-agent/durable-file.ts';
import { SallyportError } from '#shared/error.ts';
import type { Owner, Place } from './contents.ts';
import type { SystemUser } from './system-users.ts';

/**
 * Files and folders beside where they belong, and how they get there (D-120). Main does not start without its
 * configuration, so that is taken away first and put in place last: whatever a power cut leaves in between is no main,
 * and `isCutOff` tells it from one.
 */

export type Owners = Readonly<Record<Owner, SystemUser | undefined>>;

const mark = '.restoring';
/** What SQLite has beside a database while it is open. */
export const databaseEnds = ['', '-wal', '-shm'];

/** An earlier restore was killed while it put files in place. */
export function isCutOff(configFile: string): boolean {
  return !existsSync(configFile) && existsSync(`${configFile}${mark}`);
}

export class Staging {
  readonly #configFile: string;
  readonly #folders: readonly Place[];
  readonly #owners: Owners;
  readonly #stampOf: string;
  /** By where it belongs: a file, or a folder as a whole. */
  readonly #staged = new Map<string, string>();

  constructor(configFile: string, folders: readonly Place[], owners: Owners, nowMs: number) {
    this.#configFile = configFile;
    this.#folders = folders;
    this.#owners = owners;
    this.#stampOf = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '');
  }

  nameOf(file: string): string {
    const unit = this.#unitOf(file);
    return `${unit}${mark}${file.slice(unit.length)}`;
  }

  async write({ path: file, owner }: Place, content: AsyncIterable<Buffer>): Promise<void> {
    const unit = this.#unitOf(file);
    if (!this.#staged.has(unit)) {
      await this.#makeFolder(path.dirname(unit), owner);
      this.#staged.set(unit, `${unit}${mark}`);
      // Of a restore that was killed, and a log that SQLite would read into another database.
      await removeStaged(`${unit}${mark}`);
    }
    const staged = this.nameOf(file);
    await this.#makeFolder(path.dirname(staged), owner);
    const handle = await open(staged, 'wx', 0o600);
    try {
      const user = this.#owners[owner];
      if (user !== undefined) await handle.chown(user.uid, user.gid);
      for await (const piece of content) await handle.writeFile(piece);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(path.dirname(staged));
  }

  /**
   * Also moves `others` away. Resolves with the new names of what was there. When it rejects, everything is as it was,
   * or, where that failed too, `isCutOff`.
   */
  async putInPlace(others: readonly string[]): Promise<readonly string[]> {
    const moved: string[] = [];
    const done: (readonly [from: string, to: string])[] = [];
    const move = async (from: string, to: string): Promise<void> => {
      await rename(from, to);
      done.push([from, to]);
      await syncFolder(path.dirname(to));
    };
    const units = [...this.#staged.keys()].filter((unit) => unit !== this.#configFile);
    try {
      for (const there of new Set([this.#configFile, ...others, ...units])) {
        if (!existsSync(there)) continue;
        const aside = this.#freeNameFor(there);
        await move(there, aside);
        moved.push(aside);
      }
      for (const unit of [...units, this.#configFile]) await move(`${unit}${mark}`, unit);
    } catch (error) {
      await this.#takeBack(done);
      throw error;
    }
    this.#staged.clear();
    return moved;
  }

  /** What has not come to its place. */
  async discard(): Promise<void> {
    for (const staged of this.#staged.values()) await removeStaged(staged);
  }

  #freeNameFor(there: string): string {
    const aside = `${there}.before-restore-${this.#stampOf}`;
    for (let number = 1; ; number += 1) {
      const name = number === 1 ? aside : `${aside}-${number}`;
      if (!existsSync(name)) return name;
    }
  }

  async #takeBack(done: readonly (readonly [from: string, to: string])[]): Promise<void> {
    try {
      for (const [from, to] of done.toReversed()) {
        await rename(to, from);
        await syncFolder(path.dirname(from));
      }
    } catch (error) {
      // The configuration stays where `isCutOff` finds it.
      this.#staged.clear();
      throw new SallyportError('io-error', 'The restore was cut off', {
        detail: 'what it had put in place already could not be taken back',
        hint: 'main does not start like this; begin the restore again',
        cause: error,
      });
    }
  }

  #unitOf(file: string): string {
    return this.#folders.find(({ path: folder }) => file.startsWith(folder + path.sep))?.path ?? file;
  }

  async #makeFolder(folder: string, owner: Owner): Promise<void> {
    const first = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    const user = this.#owners[owner];
    for (let made = folder; made.length >= first.length; made = path.dirname(made)) {
      if (user !== undefined) await chown(made, user.uid, user.gid);
      // A folder that a power cut takes away would take a state.db with it that is in place.
      await syncFolder(path.dirname(made));
    }
  }
}

/** Rejects `no-space` where files of these sizes do not fit beside what is there. */
export async function requireRoom(sizes: ReadonlyMap<string, number>): Promise<void> {
  const needed = new Map<number, { folder: string; bytes: number }>();
  for (const [file, bytes] of sizes) {
    let folder = path.dirname(file);
    while (!existsSync(folder)) folder = path.dirname(folder);
    const { dev } = await stat(folder);
    needed.set(dev, { folder, bytes: (needed.get(dev)?.bytes ?? 0) + bytes });
  }
  for (const { folder, bytes } of needed.values()) {
    const { bavail, bsize } = await statfs(folder);
    if (bytes <= bavail * bsize) continue;
    throw new SallyportError('no-space', 'The backup does not fit here', {
      detail: `${bytes} bytes for ${folder}, which has room for ${bavail * bsize}`,
    });
  }
}

async function removeStaged(staged: string): Promise<void> {
  for (const end of databaseEnds) await rm(`${staged}${end}`, { recursive: true, force: true });
}
