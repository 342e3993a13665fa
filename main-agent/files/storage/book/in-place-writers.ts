/**
 * Files that are written in place: opened where they are, found again after a kill, and what was appended to them decided
 * before this process writes anything.
 */
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { vanishedTriesMax } from '../../limits.ts';
import type { Access, BlobStorage, OpenBytes, Spot } from '../blob-storage.ts';
import { notFound, taken, toFileError } from '../file-error.ts';
import { isBelow, isSamePlace, movedPlace } from '../places.ts';
import { requireFileOrNothing } from '../requirements.ts';
import type {
  BeginUpload,
  Binned,
  JoinUpload,
  Place,
  Upload,
  UploadRecord,
  UploadStart,
} from '../storage.ts';
import type { BinBook } from './bin-book.ts';
import { type InPlaceHome, InPlaceUpload } from './in-place-upload.ts';
import type { KeptUploads } from './kept-uploads.ts';
import { landedBytes } from './landed-appends.ts';
import type { StagedUpload } from './staged-upload.ts';
import type { Append, Writer } from './writer-notes.ts';

/** What writers in place need of the storage they belong to. */
interface WritersHome extends InPlaceHome {
  readonly blobs: BlobStorage;
  readonly waiting: KeptUploads;
  readonly bin: BinBook;
  /** An upload that is open here. */
  opened(id: string): StagedUpload | undefined;
}

export class InPlaceWriters {
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

  async #openAppended(id: string): Promise<OpenBytes | undefined> {
    const writer = this.#home.journal.recallWriter(id);
    return writer === undefined ? this.#home.waiting.get(id)?.area.openPart(id) : this.#openAgain(writer);
  }

  /** A file that an earlier process wrote in place, if its name still means that file. */
  async #openAgain({ record, fileId }: Writer): Promise<OpenBytes | undefined> {
    const access = accessOf(record);
    const { place, joins } = record;
    const tries = [
      () => this.#openAt(place, access),
      () => (joins === undefined ? undefined : this.#reopenJoined(joins, access)),
    ];
    for (const open of tries) {
      const opened = await open();
      if (opened?.id === fileId) return opened;
      await opened?.close();
    }
    return undefined;
  }

  async #openAt(place: Place, access: Access): Promise<OpenBytes | undefined> {
    try {
      return await this.#home.blobs.at(place, 'not-found', (spot) => spot.open(access));
    } catch (error) {
      if (isSallyportError(toFileError(error))) return undefined;
      throw error;
    }
  }

  async #reopenJoined(id: string, access: Access): Promise<OpenBytes | undefined> {
    const open = this.#home.opened(id);
    if (open !== undefined) return open.reopen(access);
    const part = await this.#home.waiting.get(id)?.area.openPart(id);
    if (part === undefined) return undefined;
    try {
      return await part.openAgain(access);
    } finally {
      await part.close();
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

  #openInPlace(place: Place, begin: BeginUpload): Promise<Upload | undefined> {
    return this.#home.blobs.at(place, 'parent-missing', async (spot) => {
      const existing = requireFileOrNothing(await spot.find());
      const start = begin.choose(existing, undefined);
      if (begin.record.exclusive && existing !== undefined) throw taken('exclusive create');
      return existing === undefined ? this.create(spot, begin) : this.openPresent(spot, begin, start);
    });
  }

  /** A file that is there for everybody from now on. Undefined: another one was quicker. */
  async create(spot: Spot, begin: BeginUpload): Promise<Upload | undefined> {
    await spot.requireNoTwin();
    const opened = await spot.create(accessOf(begin.record), begin.mode);
    if (opened === undefined) return undefined;
    const record = { ...begin.record, replaces: false };
    return InPlaceUpload.open(record, opened, this.#home, { truncate: false });
  }

  async join(id: string, { record, truncate }: JoinUpload): Promise<Upload | undefined> {
    const opened = await this.#home.opened(id)?.reopen(accessOf(record));
    if (opened === undefined) return undefined;
    return InPlaceUpload.open({ ...record, replaces: true, joins: id }, opened, this.#home, { truncate });
  }

  /** The file that has the name now: since it was looked at, another may have taken its place. Undefined: none has it. */
  async openPresent(spot: Spot, begin: BeginUpload, { from }: UploadStart): Promise<Upload | undefined> {
    const opened = await spot.open(accessOf(begin.record));
    if (opened === undefined) return undefined;
    const record = { ...begin.record, replaces: true };
    const truncate = from === 'empty';
    const binned = truncate ? await this.#keepCopy(spot, begin, opened) : undefined;
    return InPlaceUpload.open(record, opened, this.#home, { truncate, binned });
  }

  /** `opened` is closed when this rejects. */
  async #keepCopy(
    spot: Spot,
    { record, bin: order }: BeginUpload,
    opened: OpenBytes,
  ): Promise<Binned | undefined> {
    const { size, id } = opened;
    // Of nothing there is nothing to be had back.
    if (order === undefined || size === 0) return undefined;
    const { place, session, operation } = record;
    const stored = { type: 'file', size, id, changedAtMs: opened.attributes.changedAtMs } as const;
    try {
      return await this.#home.bin.keepCopy(
        { place, spot, stored, order, by: { session, operation } },
        opened,
      );
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  async adopt(id: string, session: string): Promise<Upload | undefined> {
    const writer = this.#home.journal.recallWriter(id);
    if (writer?.record.session !== session) return undefined;
    const appendedBytes = this.requireAppended(writer.record);
    const opened = await this.#openAgain(writer);
    if (opened === undefined) throw new SallyportError('changed', 'Another file has that name now');
    return InPlaceUpload.open(writer.record, opened, this.#home, { truncate: false, appendedBytes });
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

/**
 * A file removed or made between a look at its name and its opening: then `open` finds nothing to open, and that is
 * decided about anew.
 */
export async function againIfChanged(open: () => Promise<Upload | undefined>): Promise<Upload> {
  for (let tries = 0; tries < vanishedTriesMax; tries += 1) {
    const upload = await open();
    if (upload !== undefined) return upload;
  }
  throw notFound('it comes and goes');
}

function accessOf({ append }: Pick<UploadRecord, 'append'>): Access {
  return append ? 'append' : 'write';
}
