/**
 * Files of a local storage that are written in place: opened where they are, found again after a kill, and what was
 * appended to them decided before this process writes anything.
 */
import { constants } from 'node:fs';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { hasErrno, taken, toFileError } from '../file-error.ts';
import { vanishedTriesMax } from '../../limits.ts';
import { fileMode } from '../local/attribute-change.ts';
import type { Descriptor } from '../local/descriptor.ts';
import { type DirectHome, DirectUpload } from './in-place-upload.ts';
import { type RegularFile, reopenRegular } from '../local/folder-handle.ts';
import type { Jail, Spot } from '../local/jail.ts';
import type { KeptUploads } from './kept-uploads.ts';
import { landedBytes } from './landed-appends.ts';
import type { LocalBin } from './bin-book.ts';
import type { LocalUpload } from './staged-upload.ts';
import { isBelow, isSamePlace, movedPlace } from '../places.ts';
import type {
  BeginUpload,
  Binned,
  JoinUpload,
  Place,
  Upload,
  UploadRecord,
  UploadStart,
} from '../storage.ts';
import { fileId, requireFileOrNothing } from '../local/stored.ts';
import { requireNoTwin } from '../local/twin-names.ts';
import type { Append, Writer } from './writer-notes.ts';

/** What writers in place need of the storage they belong to. */
export interface WritersHome extends DirectHome {
  readonly jail: Jail;
  readonly waiting: KeptUploads;
  readonly bin: LocalBin;
  /** An upload that is open here. */
  opened(id: string): LocalUpload | undefined;
}

export class LocalWriters {
  readonly #home: WritersHome;

  constructor(home: WritersHome) {
    this.#home = home;
  }

  /** Before anything else is written: see `landed-appends.ts`. */
  async decideAppends(): Promise<void> {
    const { journal } = this.#home;
    const laterByFile = new Map<string, Append>();
    for (const { isOpen, ...append } of journal.appendsBefore.toReversed()) {
      const later = laterByFile.get(append.fileId);
      laterByFile.set(append.fileId, append);
      if (!isOpen) continue;
      const landed = await landedBytes(append, later, (id) => this.#openAppended(id));
      await journal.noteAppended(append.id, landed);
    }
  }

  async #openAppended(id: string): Promise<Descriptor | undefined> {
    const writer = this.#home.journal.recallWriter(id);
    if (writer !== undefined) return (await this.#openAgain(writer))?.file;
    return (await this.#home.waiting.get(id)?.area.openPart(id))?.file;
  }

  /** A file that an earlier process wrote in place, if its name still means that file. */
  async #openAgain({ record, fileId: wanted }: Writer): Promise<RegularFile | undefined> {
    const flags = inPlaceFlags({ record });
    const { place, joins } = record;
    const tries = [
      () => this.#openAt(place, flags),
      () => (joins === undefined ? undefined : this.#reopenJoined(joins, flags)),
    ];
    for (const open of tries) {
      const opened = await open();
      if (opened !== undefined && fileId(opened.stats) === wanted) return opened;
      await opened?.file.close();
    }
    return undefined;
  }

  async #openAt(place: Place, flags: number): Promise<RegularFile | undefined> {
    try {
      return await this.#home.jail.withName(place, 'not-found', (folder, name) =>
        folder.openRegular(name, flags),
      );
    } catch (error) {
      if (isSallyportError(toFileError(error))) return undefined;
      throw error;
    }
  }

  async #reopenJoined(id: string, flags: number): Promise<RegularFile | undefined> {
    const open = this.#home.opened(id);
    if (open !== undefined) return open.reopen(flags);
    const part = await this.#home.waiting.get(id)?.area.openPart(id);
    if (part === undefined) return undefined;
    try {
      return await reopenRegular(part.file, flags);
    } finally {
      await part.file.close();
    }
  }

  /** Something was renamed: files that are written in place go with it, for the next process too. */
  async follow(from: Place, to: Place): Promise<void> {
    for (const { record } of this.#home.journal.writers) {
      if (!isSamePlace(record.place, from) && !isBelow(record.place, from)) continue;
      const place = movedPlace(record.place, from, to);
      if (place === undefined) continue;
      const mountPath = record.virtualPath.slice(0, record.virtualPath.length - record.place.path.length);
      await this.#home.journal.noteMoved(record.id, { place, virtualPath: [...mountPath, ...place.path] });
    }
  }

  openInPlace(place: Place, begin: BeginUpload): Promise<Upload> {
    return againIfChanged(() => this.#openInPlace(place, begin));
  }

  #openInPlace(place: Place, begin: BeginUpload): Promise<Upload> {
    return this.#home.jail.withSpot(place, 'parent-missing', async (spot) => {
      const existing = requireFileOrNothing(await spot.folder.find(spot.name));
      const start = begin.choose(existing, undefined);
      if (begin.record.exclusive && existing !== undefined) throw taken('exclusive create');
      return existing === undefined ? this.create(spot, begin) : this.openPresent(spot, begin, start);
    });
  }

  /** A file that is there for everybody from now on. Rejects EEXIST where another one was quicker. */
  async create(spot: Spot, begin: BeginUpload): Promise<Upload> {
    await requireNoTwin(spot.folder, spot.name);
    const flags = inPlaceFlags(begin) | constants.O_CREAT | constants.O_EXCL;
    const opened = await spot.folder.openRegular(spot.name, flags, fileMode(begin.mode));
    const record = { ...begin.record, replaces: false };
    return DirectUpload.open(record, opened, this.#home, { truncate: false });
  }

  async join(id: string, { record, truncate }: JoinUpload): Promise<Upload | undefined> {
    const opened = await this.#home.opened(id)?.reopen(inPlaceFlags({ record }));
    if (opened === undefined) return undefined;
    return DirectUpload.open({ ...record, replaces: true, joins: id }, opened, this.#home, { truncate });
  }

  /** The file that has the name now: since it was looked at, another may have taken its place. */
  async openPresent(spot: Spot, begin: BeginUpload, { from }: UploadStart): Promise<Upload> {
    const opened = await spot.folder.openRegular(spot.name, inPlaceFlags(begin));
    const record = { ...begin.record, replaces: true };
    const truncate = from === 'empty';
    const binned = truncate ? await this.#keepCopy(spot, begin, opened) : undefined;
    return DirectUpload.open(record, opened, this.#home, { truncate, binned });
  }

  /** `opened` is closed when this rejects. */
  async #keepCopy(
    spot: Spot,
    { record, bin: order }: BeginUpload,
    { file, stats }: RegularFile,
  ): Promise<Binned | undefined> {
    // Of nothing there is nothing to be had back.
    if (order === undefined || stats.size === 0n) return undefined;
    const { place, session, operation } = record;
    const stored = { type: 'file', size: Number(stats.size), id: fileId(stats) } as const;
    try {
      return await this.#home.bin.keepCopy(
        { place, spot, stored, order, by: { session, operation } },
        file.path,
      );
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async adopt(id: string, session: string): Promise<Upload | undefined> {
    const writer = this.#home.journal.recallWriter(id);
    if (writer?.record.session !== session) return undefined;
    const appendedBytes = this.requireAppended(writer.record);
    const opened = await this.#openAgain(writer);
    if (opened === undefined) throw new SallyportError('changed', 'Another file has that name now');
    return DirectUpload.open(writer.record, opened, this.#home, { truncate: false, appendedBytes });
  }

  /** What was appended through a handle of an earlier process. */
  requireAppended({ id, append }: UploadRecord): number {
    if (!append) return 0;
    const { appendedBytes } = this.#home.journal.recallAppended(id);
    if (appendedBytes !== undefined) return appendedBytes;
    throw new SallyportError('changed', 'It can not be told how much of the last write arrived', {
      detail: 'the end of the file is not as the append that was interrupted would have left it',
    });
  }
}

/** A file removed or made between a look at its name and its opening: then that is decided about anew. */
export async function againIfChanged(open: () => Promise<Upload>): Promise<Upload> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await open();
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'EEXIST') || tries === vanishedTriesMax) throw error;
    }
  }
}

/** Appending is the kernel's: wherever the end is, of programs on this host too. */
function inPlaceFlags({ record }: Pick<BeginUpload, 'record'>): number {
  return constants.O_RDWR | (record.append ? constants.O_APPEND : 0);
}
