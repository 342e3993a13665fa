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
import { constants, type Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { z } from 'zod';
import type { Log } from '#shared/log.ts';
import { hasErrno } from '../file-error.ts';
import { stagingRecordBytesMax } from '../limits.ts';
import { readText, writeBytes } from './file-bytes.ts';
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

const folderName = 'bin';
const droppedSuffix = '.dropped';

export interface BinContent {
  readonly notes: readonly BinNote[];
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
    try {
      await fs.mkdir(staging.at(folderName), { mode: 0o700 });
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) throw error;
    }
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
    const notes: BinNote[] = [];
    const dropped: string[] = [];
    const names = await this.folder.openNames();
    try {
      for (let entry = await names.read(); entry !== null; entry = await names.read()) {
        const { name } = entry;
        const [id = '', kind] = name.split('.');
        if (kind === 'dropped') dropped.push(name);
        else if (kind === 'json-new') await fs.rm(this.folder.at(name), { force: true });
        else if (kind === 'json') {
          if ((await this.folder.find(id)) === undefined) await this.removeNote(id);
          else await this.#readInto(notes, name);
        }
      }
    } finally {
      await names.close();
    }
    return { notes, dropped };
  }

  async #readInto(notes: BinNote[], name: string): Promise<void> {
    try {
      const opened = await this.folder.openRegular(name, constants.O_RDONLY);
      notes.push(noteSchema.parse(JSON.parse(await readText(opened, stagingRecordBytesMax))));
    } catch (error) {
      this.#log.warn(
        { err: error, note: name },
        'a note of the bin is damaged; what it is about stays there',
      );
    }
  }
}
