/**
 * Where uploads grow before anybody sees them: one hidden folder (0700) per file system, at the storage's base, so that
 * making an upload visible is a rename and other programs that watch the users' folders never meet half a file. A user's
 * folder on a file system of its own has its staging in the mount's folder.
 *
 * Per upload, `<id>.part` holds the bytes and `<id>.json` whose it is. `<id>.done` is that record after the commit,
 * for a DMZ that did not hear the answer; `<id>.old` a longer file that a shorter one replaced, `<id>.was` whose and
 * where it was, so that an admin can put it back.
 *
 * Trust: only main writes here; records are still checked when read, since they outlive the process that wrote them.
 */
import { constants, type BigIntStats, type PathLike } from 'node:fs';
import * as fs from 'node:fs/promises';
import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { uploadMetadataCharactersMax } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import { hasErrno } from '../file-error.ts';
import {
  commitNotesMax,
  committedMs,
  copiedVersionBytesMax,
  keptVersionMs,
  stagingRecordBytesMax,
} from '../../limits.ts';
import { CommitNotes } from './commit-notes.ts';
import { readText } from '../local/file-bytes.ts';
import type { FolderHandle, RegularFile } from '../local/folder-handle.ts';
import type { Place, UploadRecord } from '../storage.ts';

/** No user may name it: the virtual tree hides it. */
export const stagingFolderName = '.sallyport-staging';

const components = z.array(z.string()).max(256);
export const uploadRecordSchema = z.object({
  id: z.string().regex(/^[a-z0-9]{1,16}$/),
  user: z.string(),
  session: z.string(),
  virtualPath: components,
  place: z.object({ root: components, path: components }),
  startedAtMs: z.number(),
  replaces: z.boolean(),
  exclusive: z.boolean(),
  append: z.boolean(),
  readable: z.boolean(),
  operation: z.number(),
  resumable: z
    .object({
      name: z.string(),
      lengthBytes: z.number(),
      mtimeMs: z.number().optional(),
      overwrite: z.boolean(),
      metadata: z.string().max(uploadMetadataCharactersMax).optional(),
    })
    .optional(),
  joins: z.string().optional(),
});
const recordSchema = uploadRecordSchema.extend({
  /** Of the folder the file is to be in. */
  folderId: z.string(),
  /** Of the staging file itself: after the commit this is the file's identity. */
  partId: z.string(),
  /** Let go of by its session; else a process that is gone had it open. */
  left: z.boolean().optional(),
  unlinked: z.boolean().optional(),
});

/** An upload's record as it stands on disk. */
export interface StagedRecord extends UploadRecord {
  readonly folderId: string;
  readonly partId: string;
  readonly left?: boolean | undefined;
}

export interface StagedUpload {
  readonly record: StagedRecord;
  readonly size: number;
  readonly touchedAtMs: number;
}

const versionSchema = z.object({
  id: z.string().regex(/^[a-z0-9]{1,16}$/),
  user: z.string(),
  virtualPath: components,
  bytes: z.number(),
  atMs: z.number(),
});

/** A file that a shorter one replaced. */
export type KeptVersion = z.output<typeof versionSchema>;

export interface CommitNote {
  readonly record: StagedRecord;
  readonly ageMs: number;
}

export interface StagingContent {
  readonly uploads: readonly StagedUpload[];
  readonly versions: readonly KeptVersion[];
}

export interface StagingOptions {
  readonly keepPartialMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

async function removeQuietly(path: PathLike): Promise<void> {
  try {
    await fs.unlink(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

export class StagingArea {
  readonly folder: FolderHandle;
  readonly #options: StagingOptions;
  readonly #commits: CommitNotes;
  #forgetting: Promise<void> = Promise.resolve();

  private constructor(folder: FolderHandle, options: StagingOptions) {
    this.folder = folder;
    this.#options = options;
    this.#commits = new CommitNotes(options.clock);
  }

  static async open(parent: FolderHandle, options: StagingOptions): Promise<StagingArea> {
    await parent.makeFolder(stagingFolderName, 0o700);
    return new StagingArea(await parent.openFolder(stagingFolderName), options);
  }

  partPath(id: string): PathLike {
    return this.folder.at(`${id}.part`);
  }

  openPart(id: string): Promise<RegularFile> {
    return this.folder.openRegular(`${id}.part`, constants.O_RDWR);
  }

  createPart(id: string, mode: number): Promise<RegularFile> {
    return this.folder.openRegular(
      `${id}.part`,
      constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
      mode,
    );
  }

  /** A copy of an open file, shared blocks where the file system can. */
  async copyToPart(id: string, openFile: string): Promise<RegularFile> {
    await fs.copyFile(openFile, this.partPath(id), constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    return this.openPart(id);
  }

  renamePart(fromId: string, toId: string): Promise<void> {
    return fs.rename(this.partPath(fromId), this.partPath(toId));
  }

  /** Not synced: a record matters to the next process, not after a power cut. */
  writeRecord(record: StagedRecord): Promise<void> {
    return fs.writeFile(this.folder.at(`${record.id}.json`), JSON.stringify(record), { mode: 0o600 });
  }

  /** Whole before or whole after, whenever the process ends. */
  async rewriteRecord(record: StagedRecord): Promise<void> {
    const path = this.folder.at(`${record.id}.json-new`);
    await fs.writeFile(path, JSON.stringify(record), { mode: 0o600 });
    await fs.rename(path, this.folder.at(`${record.id}.json`));
  }

  async markCommitted({ id, session }: StagedRecord): Promise<void> {
    await fs.rename(this.folder.at(`${id}.json`), this.folder.at(`${id}.done`));
    const gone = this.#commits.add(id, session);
    // Nobody waits for it: what stays for whatever reason goes with the sweep.
    if (gone.length > 0) this.#forgetting = this.#forgetting.then(() => this.#forgetCommits(gone));
  }

  async #forgetCommits(ids: readonly string[]): Promise<void> {
    try {
      for (const id of ids) await removeQuietly(this.folder.at(`${id}.done`));
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the note of a commit could not be removed');
    }
  }

  removePart(id: string): Promise<void> {
    return removeQuietly(this.partPath(id));
  }

  async remove(id: string): Promise<void> {
    await this.removePart(id);
    await removeQuietly(this.folder.at(`${id}.json`));
  }

  /** A second name for the file that is about to be replaced; false where the file system has no links. */
  async keepVersion(folder: FolderHandle, name: string, version: KeptVersion): Promise<boolean> {
    try {
      await fs.link(folder.at(name), this.folder.at(`${version.id}.old`));
      await fs.writeFile(this.folder.at(`${version.id}.was`), JSON.stringify(version), { mode: 0o600 });
      return true;
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the replaced file could not be kept');
      return false;
    }
  }

  /**
   * A copy of a file that is about to be cut where it is: of shared blocks where the file system can, else only of what
   * is copied in a moment. False: not made.
   */
  async copyVersion(openFile: string, version: KeptVersion): Promise<boolean> {
    const old = this.folder.at(`${version.id}.old`);
    try {
      await fs.copyFile(openFile, old, constants.COPYFILE_FICLONE_FORCE).catch(async (error: unknown) => {
        if (version.bytes > copiedVersionBytesMax) throw error;
        await fs.copyFile(openFile, old);
      });
      await fs.writeFile(this.folder.at(`${version.id}.was`), JSON.stringify(version), { mode: 0o600 });
      return true;
    } catch (error) {
      this.#options.log.warn({ err: error }, 'a file that gets shorter could not be kept');
      await removeQuietly(old);
      return false;
    }
  }

  async removeVersion(id: string): Promise<void> {
    await removeQuietly(this.folder.at(`${id}.old`));
    await removeQuietly(this.folder.at(`${id}.was`));
  }

  /** Notes of commits that there are, whichever process made them; more than `commitNotesMax` are not looked at. */
  async committed(): Promise<readonly CommitNote[]> {
    const notes: CommitNote[] = [];
    const names = await this.folder.openNames();
    try {
      for (let entry = await names.read(); entry !== null; entry = await names.read()) {
        if (!entry.name.endsWith('.done')) continue;
        if (notes.length === commitNotesMax) break;
        const record = await this.#readJson(entry.name, recordSchema);
        const stats = await this.folder.find(entry.name);
        if (record !== undefined && stats !== undefined)
          notes.push({ record, ageMs: this.#options.clock.now() - Number(stats.ctimeMs) });
      }
    } finally {
      await names.close();
    }
    return notes;
  }

  async moveCommitted(id: string, session: string, place: Place): Promise<void> {
    const record = await this.readCommitted(id);
    if (record?.session !== session) return;
    const path = this.folder.at(`${id}.done-new`);
    await fs.writeFile(path, JSON.stringify({ ...record, place }), { mode: 0o600 });
    await fs.rename(path, this.folder.at(`${id}.done`));
  }

  readCommitted(id: string): Promise<StagedRecord | undefined> {
    return this.#readJson(`${id}.done`, recordSchema);
  }

  readRecord(id: string): Promise<StagedRecord | undefined> {
    return this.#readJson(`${id}.json`, recordSchema);
  }

  async #readJson<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    let opened: RegularFile;
    try {
      opened = await this.folder.openRegular(name, constants.O_RDONLY);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
    const text = await readText(opened, stagingRecordBytesMax);
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      this.#options.log.warn({ err: error, record: name }, 'a staging record is damaged and was ignored');
      return undefined;
    }
  }

  /** Everything that waits here from before; removes what has expired or lost its other half. */
  async load(isOpen: (id: string) => boolean): Promise<StagingContent> {
    const uploads: StagedUpload[] = [];
    const versions: KeptVersion[] = [];
    const names = await this.folder.openNames();
    try {
      for (let entry = await names.read(); entry !== null; entry = await names.read()) {
        const [id = '', kind = ''] = entry.name.split('.');
        if (isOpen(id)) continue;
        const stats = await this.folder.find(entry.name);
        if (stats === undefined) continue;
        if (await this.#expire(entry.name, kind, stats)) continue;
        if (kind === 'was') {
          const version = await this.#readJson(entry.name, versionSchema);
          if (version !== undefined) versions.push(version);
        }
        if (kind !== 'part') continue;
        const record = await this.readRecord(id);
        if (record === undefined) continue;
        uploads.push({ record, size: Number(stats.size), touchedAtMs: Number(stats.ctimeMs) });
      }
    } finally {
      await names.close();
    }
    return { uploads, versions };
  }

  async #expire(name: string, kind: string, stats: BigIntStats): Promise<boolean> {
    const lives: Readonly<Record<string, number>> = {
      part: this.#options.keepPartialMs,
      json: this.#options.keepPartialMs,
      'json-new': this.#options.keepPartialMs,
      done: committedMs,
      'done-new': committedMs,
      old: keptVersionMs,
      was: keptVersionMs,
    };
    // Status change, not content: uploads carry the client's own modification time.
    const ageMs = this.#options.clock.now() - Number(stats.ctimeMs);
    if (ageMs <= (lives[kind] ?? Number.POSITIVE_INFINITY)) return false;
    await removeQuietly(this.folder.at(name));
    return true;
  }

  async close(): Promise<void> {
    await this.#forgetting;
    await this.folder.close();
  }
}
