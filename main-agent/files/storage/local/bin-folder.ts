/**
 * The bin on one file system: a folder in the staging folder, which no path leads to. Per entry, `<id>` is the file or
 * folder itself, renamed there, and `<id>.json` whose it was and where. `<id>.dropped` is on its way off the disk.
 *
 * The note is written before anything is moved and removed after everything was: a note without its entry says nothing,
 * and an entry never lacks a note that could be read.
 *
 * Trust: only main writes here; notes are still checked when read, since they outlive the process that wrote them.
 */
import { randomBytes } from 'node:crypto';
import { constants, lstatSync, readFileSync, type BigIntStats, type Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { Log } from '#shared/log.ts';
import { writeBytes } from './file-bytes.ts';
import type { FolderHandle } from './folder-handle.ts';

const components = z.array(z.string()).max(256);
const place = z.object({ root: components, path: components });
const noteSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
  user: z.string(),
  virtualPath: components,
  place,
  type: z.enum(['file', 'folder']),
  bytes: z.number().optional(),
  atMs: z.number(),
  expiresAtMs: z.number(),
  reason: z.enum(['deleted', 'replaced']),
  isCounted: z.boolean(),
  /** Of whom, and as what, the operation was that put it here. */
  session: z.string(),
  operation: z.number(),
  /** Where it is being put back to. */
  restoringTo: place.optional(),
});

export type BinNote = z.output<typeof noteSchema>;

/** 128 bit, base64url. */
export function randomName(): string {
  return randomBytes(16).toString('base64url');
}

async function isFolder(parent: FolderHandle, entry: Dirent): Promise<boolean> {
  if (entry.isDirectory()) return true;
  if (entry.isFile() || entry.isSymbolicLink()) return false;
  // A file system may not tell the type while listing.
  return (await parent.find(Buffer.from(entry.name, 'latin1')))?.isDirectory() === true;
}

/** Folders whose names are held in memory while what is in another one is removed. */
const foldersMovedAtOnce = 1000;

/** Notes read without a pause when main starts: some ten milliseconds. */
const notesInOneGo = 500;

const folderName = 'bin';
const droppedSuffix = '.dropped';

/** A note, and what lies there. */
export interface LoadedNote {
  readonly note: BinNote;
  readonly stats: BigIntStats;
}

export interface BinContent {
  readonly notes: readonly LoadedNote[];
  /** Names of what was dropped and is still there. */
  readonly dropped: readonly string[];
}

export class BinFolder {
  readonly folder: FolderHandle;
  readonly #log: Log;

  private constructor(folder: FolderHandle, log: Log) {
    this.folder = folder;
    this.#log = log;
  }

  static async isThere(staging: FolderHandle): Promise<boolean> {
    return (await staging.find(folderName)) !== undefined;
  }

  /** `staging`: stays the caller's. */
  static async open(staging: FolderHandle, log: Log): Promise<BinFolder> {
    await staging.makeFolder(folderName, 0o700);
    return new BinFolder(await staging.openFolder(folderName), log);
  }

  /** Durable when it resolves: what is moved here next must not lie here namelessly after a power cut. */
  async writeNote(note: BinNote): Promise<void> {
    const path = this.folder.at(`${note.id}.json-new`);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
    const { file } = await this.folder.openRegular(`${note.id}.json-new`, flags, 0o600);
    try {
      await writeBytes(file, [Buffer.from(JSON.stringify(note))], 0);
      await file.sync();
    } catch (error) {
      await fs.rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await fs.rename(path, this.folder.at(`${note.id}.json`));
  }

  async removeNote(id: string): Promise<void> {
    await fs.rm(this.folder.at(`${id}.json`), { force: true });
  }

  /** Its new name. */
  async markDropped(id: string): Promise<string> {
    const name = `${id}${droppedSuffix}`;
    await fs.rename(this.folder.at(id), this.folder.at(name));
    return name;
  }

  /**
   * Takes something that was dropped off the disk. Folders in it are moved up beside it first, so that it does not matter
   * how deep they lie, and a kill leaves nothing but more of what was dropped.
   */
  async remove(dropped: string, signal: AbortSignal): Promise<void> {
    const waiting = [dropped];
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      signal.throwIfAborted();
      if ((await this.folder.find(name))?.isDirectory() !== true) {
        await fs.rm(this.folder.at(name), { force: true });
        continue;
      }
      const below = await this.#emptyOut(name, signal);
      if (below.length > 0) waiting.push(name, ...below);
      else await fs.rmdir(this.folder.at(name));
    }
  }

  /** New names of folders that were in it; where there are none, nothing else is left either. */
  async #emptyOut(name: string, signal: AbortSignal): Promise<string[]> {
    const folder = await this.folder.openFolder(name);
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
            const moved = `${randomName()}${droppedSuffix}`;
            await fs.rename(inside, this.folder.at(moved));
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

  /** What waits here from before; removes halves that a kill left. */
  async load(): Promise<BinContent> {
    const present = new Set<string>();
    const names = await this.folder.openNames();
    try {
      for (let entry = await names.read(); entry !== null; entry = await names.read())
        present.add(entry.name);
    } finally {
      await names.close();
    }
    const notes: LoadedNote[] = [];
    const dropped: string[] = [];
    for (const name of present) {
      const [id = '', kind] = name.split('.');
      if (kind === 'dropped') dropped.push(name);
      else if (kind === 'json-new') await fs.rm(this.folder.at(name), { force: true });
      else if (kind === 'json' && !present.has(id)) await this.removeNote(id);
      else if (kind === 'json') {
        const loaded = this.#read(id);
        if (loaded !== undefined) notes.push(loaded);
        if (notes.length % notesInOneGo === 0) await setImmediate();
      }
    }
    return { notes, dropped };
  }

  /** Synchronously: a start with a hundred thousand of them takes seconds and not minutes. */
  #read(id: string): LoadedNote | undefined {
    const name = `${id}.json`;
    try {
      const flag = constants.O_RDONLY | constants.O_NOFOLLOW;
      const note = noteSchema.parse(
        JSON.parse(readFileSync(this.folder.at(name), { encoding: 'utf8', flag })),
      );
      return { note, stats: lstatSync(this.folder.at(id), { bigint: true }) };
    } catch (error) {
      this.#log.warn(
        { err: error, note: name },
        'a note of the bin is damaged; what it is about stays there',
      );
      return undefined;
    }
  }
}
