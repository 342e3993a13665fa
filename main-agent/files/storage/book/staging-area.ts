/**
 * Where uploads grow before anybody sees them: a hidden folder next to the users' own, so that making an upload visible
 * is one step and other programs that watch the users' folders never meet half a file.
 *
 * Per upload, `<id>.part` holds the bytes and `<id>.json` whose it is. `<id>.done` is that record after the commit,
 * for a DMZ that did not hear the answer; `<id>.old` a longer file that a shorter one replaced, `<id>.was` whose and
 * where it was, so that an admin can put it back.
 *
 * Trust: only main writes here; records are still checked when read, since they outlive the process that wrote them.
 */
import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { uploadMetadataCharactersMax } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import {
  commitNotesMax,
  committedMs,
  copiedVersionBytesMax,
  keptVersionMs,
  stagingRecordBytesMax,
} from '../../limits.ts';
import type { HiddenFolder, OpenBytes, Spot } from '../blob-storage.ts';
import { notFound, taken } from '../file-error.ts';
import type { Place, UploadRecord } from '../storage.ts';
import { CommitNotes } from './commit-notes.ts';

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
  isCopy: z.boolean().optional(),
});
const recordSchema = uploadRecordSchema.extend({
  /** Of the folder the file is to be in. */
  folderId: z.string(),
  /** Of the part itself: after the commit this is the file's identity. */
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

interface StagedUpload {
  readonly record: StagedRecord;
  readonly size: number;
  readonly touchedAtMs: number;
}

const versionSchema = z.object({
  id: z.string().regex(/^[a-z0-9]{1,16}$/),
  user: z.string(),
  /** Whose upload replaced it; absent in a note from before it was noted. */
  session: z.string().optional(),
  virtualPath: components,
  bytes: z.number(),
  atMs: z.number(),
});

/** A file that a shorter one replaced. */
export type KeptVersion = z.output<typeof versionSchema>;

interface CommitNote {
  readonly record: StagedRecord;
  readonly ageMs: number;
}

interface StagingContent {
  readonly uploads: readonly StagedUpload[];
  readonly versions: readonly KeptVersion[];
  /** Committed, taken up under another id, or somebody removed the bytes. */
  readonly withoutPart: readonly StagedRecord[];
}

/** A name in the folder, and when and what it was changed to last. */
interface StagedName {
  readonly name: string;
  readonly id: string;
  readonly kind: string;
  readonly changed: { readonly atMs: number; readonly size: number };
}

interface StagingOptions {
  readonly keepPartialMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class StagingArea {
  readonly folder: HiddenFolder;
  readonly #options: StagingOptions;
  readonly #commits: CommitNotes;
  #forgetting: Promise<void> = Promise.resolve();

  constructor(folder: HiddenFolder, options: StagingOptions) {
    this.folder = folder;
    this.#options = options;
    this.#commits = new CommitNotes(options.clock);
  }

  part(id: string): Spot {
    return this.folder.at(`${id}.part`);
  }

  async openPart(id: string): Promise<OpenBytes> {
    const part = await this.part(id).open('write');
    if (part === undefined) throw notFound('the part is gone');
    return part;
  }

  async createPart(id: string, mode: number | undefined): Promise<OpenBytes> {
    const part = await this.part(id).create('write', mode);
    if (part === undefined) throw taken('a part of that id is there');
    return part;
  }

  copyToPart(id: string, original: OpenBytes): Promise<OpenBytes> {
    return this.folder.copy(`${id}.part`, original);
  }

  renamePart(fromId: string, toId: string): Promise<void> {
    return this.part(fromId).moveTo(this.part(toId), { isExclusive: false });
  }

  /** Not synced: a record matters to the next process, not after a power cut. */
  writeRecord(record: StagedRecord): Promise<void> {
    return this.folder.write(`${record.id}.json`, JSON.stringify(record));
  }

  /** Whole before or whole after, whenever the process ends. */
  rewriteRecord(record: StagedRecord): Promise<void> {
    return this.folder.replace(`${record.id}.json`, JSON.stringify(record));
  }

  async markCommitted({ id, session }: StagedRecord): Promise<void> {
    await this.folder.at(`${id}.json`).moveTo(this.folder.at(`${id}.done`), { isExclusive: false });
    const gone = this.#commits.add(id, session);
    // Nobody waits for it: what stays for whatever reason goes with the sweep.
    if (gone.length > 0) this.#forgetting = this.#forgetting.then(() => this.#forgetCommits(gone));
  }

  async #forgetCommits(ids: readonly string[]): Promise<void> {
    try {
      for (const id of ids) await this.folder.remove(`${id}.done`);
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the note of a commit could not be removed');
    }
  }

  removePart(id: string): Promise<void> {
    return this.folder.remove(`${id}.part`);
  }

  removeRecord(id: string): Promise<void> {
    return this.folder.remove(`${id}.json`);
  }

  /** The record first: one without a part is one whose part got its name. */
  async remove(id: string): Promise<void> {
    await this.removeRecord(id);
    await this.removePart(id);
  }

  /** A second name for the file that is about to be replaced; false where the medium has none. */
  async keepVersion(spot: Spot, version: KeptVersion): Promise<boolean> {
    try {
      await spot.linkTo(this.folder.at(`${version.id}.old`));
      await this.folder.write(`${version.id}.was`, JSON.stringify(version));
      return true;
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the replaced file could not be kept');
      return false;
    }
  }

  /** A copy of a file that is about to be cut where it is. False: not made. */
  async copyVersion(file: OpenBytes, version: KeptVersion): Promise<boolean> {
    const old = `${version.id}.old`;
    try {
      await this.folder.keepCopy(old, file, copiedVersionBytesMax);
      await this.folder.write(`${version.id}.was`, JSON.stringify(version));
      return true;
    } catch (error) {
      this.#options.log.warn({ err: error }, 'a file that gets shorter could not be kept');
      await this.folder.remove(old);
      return false;
    }
  }

  version(id: string): Spot {
    return this.folder.at(`${id}.old`);
  }

  async removeVersion(id: string): Promise<void> {
    await this.folder.remove(`${id}.old`);
    await this.folder.remove(`${id}.was`);
  }

  /** Notes of commits that there are, whichever process made them; more than `commitNotesMax` are not looked at. */
  async committed(): Promise<readonly CommitNote[]> {
    const notes: CommitNote[] = [];
    for await (const name of this.folder.names()) {
      if (!name.endsWith('.done')) continue;
      if (notes.length === commitNotesMax) break;
      const record = await this.#readJson(name, recordSchema);
      const changed = await this.folder.changed(name);
      if (record !== undefined && changed !== undefined)
        notes.push({ record, ageMs: this.#options.clock.now() - changed.atMs });
    }
    return notes;
  }

  async moveCommitted(id: string, session: string, place: Place): Promise<void> {
    const record = await this.readCommitted(id);
    if (record?.session !== session) return;
    await this.folder.replace(`${id}.done`, JSON.stringify({ ...record, place }));
  }

  readCommitted(id: string): Promise<StagedRecord | undefined> {
    return this.#readJson(`${id}.done`, recordSchema);
  }

  readRecord(id: string): Promise<StagedRecord | undefined> {
    return this.#readJson(`${id}.json`, recordSchema);
  }

  async #readJson<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const text = await this.folder.read(name, stagingRecordBytesMax);
    if (text === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      this.#options.log.warn({ err: error, record: name }, 'a staging record is damaged and was ignored');
      return undefined;
    }
  }

  /**
   * Everything that waits here from before, when a process begins. What the one before it was killed over and is nobody's
   * is removed: halves of notes, and bytes without a record.
   */
  async load(isOpen: (id: string) => boolean): Promise<StagingContent> {
    const uploads: StagedUpload[] = [];
    const versions: KeptVersion[] = [];
    const records = new Set<string>();
    for await (const { name, id, kind, changed } of this.#unexpired(isOpen)) {
      // Half of a note that was to be replaced: the old one stands.
      if (name.endsWith('-new')) await this.folder.remove(name);
      else if (kind === 'json') records.add(id);
      else if (kind === 'was') {
        const version = await this.#readJson(name, versionSchema);
        if (version !== undefined) versions.push(version);
      } else if (kind === 'part') {
        const record = await this.readRecord(id);
        if (record !== undefined) uploads.push({ record, size: changed.size, touchedAtMs: changed.atMs });
        else if (!(await this.#hasWholeRecord(id))) await this.remove(id);
      }
    }
    for (const { record } of uploads) records.delete(record.id);
    return { uploads, versions, withoutPart: await this.#readWithoutPart(records) };
  }

  async #readWithoutPart(ids: ReadonlySet<string>): Promise<readonly StagedRecord[]> {
    const records: StagedRecord[] = [];
    for (const id of ids) {
      if ((await this.folder.changed(`${id}.part`)) !== undefined) continue;
      const record = await this.readRecord(id);
      if (record === undefined) await this.removeRecord(id);
      else records.push(record);
    }
    return records;
  }

  /** A record that a process could write to its end, though this one can't read it: an earlier version of main. */
  async #hasWholeRecord(id: string): Promise<boolean> {
    try {
      return JSON.parse((await this.folder.read(`${id}.json`, stagingRecordBytesMax)) ?? '') !== undefined;
    } catch {
      return false;
    }
  }

  /** Removes what has expired. */
  async sweep(isOpen: (id: string) => boolean): Promise<void> {
    const left = this.#unexpired(isOpen);
    while ((await left.next()).done !== true);
  }

  async *#unexpired(isOpen: (id: string) => boolean): AsyncGenerator<StagedName> {
    for await (const name of this.folder.names()) {
      const [id = '', kind = ''] = name.split('.');
      if (isOpen(id)) continue;
      const changed = await this.folder.changed(name);
      if (changed === undefined || (await this.#expire(name, kind, changed.atMs))) continue;
      yield { name, id, kind, changed };
    }
  }

  async #expire(name: string, kind: string, changedAtMs: number): Promise<boolean> {
    const lives: Readonly<Record<string, number>> = {
      part: this.#options.keepPartialMs,
      json: this.#options.keepPartialMs,
      'json-new': this.#options.keepPartialMs,
      done: committedMs,
      'done-new': committedMs,
      old: keptVersionMs,
      was: keptVersionMs,
    };
    const ageMs = this.#options.clock.now() - changedAtMs;
    if (ageMs <= (lives[kind] ?? Number.POSITIVE_INFINITY)) return false;
    await this.folder.remove(name);
    return true;
  }

  /** When nothing of it is at work any more. */
  settled(): Promise<void> {
    return this.#forgetting;
  }
}
