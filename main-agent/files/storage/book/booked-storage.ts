/**
 * A storage over any medium: each change is made under the locks of its names, noted before it is made, and answered from
 * the note when it was made by a process that was killed before it could answer.
 */
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type { BlobStorage } from '../blob-storage.ts';
import { isAFolder, notFound, taken } from '../file-error.ts';
import { isSamePlace, keyOfSpot } from '../places.ts';
import { requirePrecondition, requireShown } from '../requirements.ts';
import type {
  BeginUpload,
  Bin,
  Binned,
  CommittedUpload,
  FinishedBefore,
  FinishedResumable,
  FormerVersion,
  Idle,
  JoinUpload,
  KeptUpload,
  OperationJournal,
  OperationName,
  ResumableUpload,
  Place,
  RemoveFileOptions,
  RemoveOptions,
  Removed,
  Renamed,
  RenameOptions,
  Storage,
  StorageUsage,
  Stored,
  StoredFile,
  StoredFolder,
  SurveyOptions,
  Upload,
  UploadTarget,
} from '../storage.ts';
import { ReadFile } from './read-file.ts';
import { renameSpot } from './rename.ts';
import { UploadBook, type UploadBookOptions } from './upload-book.ts';

export interface BookedStorageOptions extends UploadBookOptions {
  readonly name: string;
}

export class BookedStorage implements Storage {
  readonly name: string;
  readonly #blobs: BlobStorage;
  readonly #locks = new KeyLock();
  readonly #uploads: UploadBook;

  private constructor(blobs: BlobStorage, options: BookedStorageOptions) {
    this.name = options.name;
    this.#blobs = blobs;
    this.#uploads = new UploadBook(blobs, this.#locks, options);
  }

  /** `blobs`: closed with this storage. */
  static async open(blobs: BlobStorage, options: BookedStorageOptions): Promise<BookedStorage> {
    const storage = new BookedStorage(blobs, options);
    await storage.#uploads.open();
    return storage;
  }

  get bin(): Bin {
    return this.#uploads.bin;
  }

  get journal(): OperationJournal {
    return this.#uploads.journal;
  }

  async stat(place: Place): Promise<Stored> {
    return requireShown(await this.#blobs.find(place));
  }

  openFolder(place: Place): Promise<StoredFolder> {
    return this.#blobs.openFolder(place);
  }

  openFile(place: Place): Promise<StoredFile> {
    return this.#blobs.at(place, 'not-found', async (spot) => {
      const bytes = await spot.open('read');
      if (bytes === undefined) throw notFound();
      return new ReadFile(bytes, this.#uploads.files);
    });
  }

  beginUpload(place: Place, begin: BeginUpload): Promise<Upload> {
    return this.#uploads.begin(place, begin);
  }

  openInPlace(place: Place, begin: BeginUpload): Promise<Upload> {
    return this.#uploads.writers.openInPlace(place, begin);
  }

  joinUpload(id: string, join: JoinUpload): Promise<Upload | undefined> {
    return this.#uploads.writers.join(id, join);
  }

  keptUpload(user: string, place: Place): Promise<KeptUpload | undefined> {
    return this.#uploads.kept(user, place);
  }

  dropKept(user: string, place: Place): Promise<void> {
    return this.#uploads.dropKept(user, place);
  }

  resumableUploads(user: string): readonly ResumableUpload[] {
    return this.#uploads.resumable(user);
  }

  discardKept(keptId: string): Promise<void> {
    return this.#uploads.discardKept(keptId);
  }

  moveUpload(id: string, to: UploadTarget, options: RenameOptions): Promise<{ readonly replaced: boolean }> {
    return this.#uploads.move(id, to, options);
  }

  unlinkUpload(id: string, by: OperationName): Promise<void> {
    return this.#uploads.unlink(id, by);
  }

  adoptUpload(id: string, session: string): Promise<Upload | undefined> {
    return this.#uploads.adopt(id, session);
  }

  openBefore(session: string): readonly string[] {
    return this.#uploads.openBefore(session);
  }

  findUpload(session: string, operation: number): string | undefined {
    return this.#uploads.findBegun(session, operation);
  }

  findCommitted(id: string, session: string): Promise<CommittedUpload | undefined> {
    return this.#uploads.findCommitted(id, session);
  }

  finishedBefore(session: string): Promise<readonly FinishedBefore[]> {
    return this.#uploads.finishedBefore(session);
  }

  finishedResumables(): Promise<readonly FinishedResumable[]> {
    return this.#uploads.finishedResumables();
  }

  finishedMoved(uploadId: string, session: string, to: Place): Promise<void> {
    return this.#uploads.finishedMoved(uploadId, session, to);
  }

  formerVersions(user: string): readonly FormerVersion[] {
    return this.#uploads.waiting.versionsOf(user).map(({ version }) => version);
  }

  restoreVersion(user: string, id: string, to: Place, by: OperationName): Promise<void> {
    const { waiting } = this.#uploads;
    return this.#blobs.at(to, 'parent-missing', async (target) =>
      this.#locks.hold([await keyOfSpot(target)], async () => {
        const entry = waiting.versionsOf(user).find(({ version }) => version.id === id);
        if (entry === undefined) throw notFound('not kept any more');
        await renameSpot(entry.area.version(id), target, { overwrite: false, by }, this.journal);
        waiting.takeVersion(user, id);
        await entry.area.removeVersion(id);
      }),
    );
  }

  keptBytes(user: string): number {
    return this.#uploads.keptBytes(user) + this.#uploads.bin.countedBytes(user);
  }

  async makeFolder(place: Place, mode: number | undefined, by: OperationName): Promise<void> {
    await this.#blobs.at(place, 'parent-missing', async (spot) =>
      this.#locks.hold([await keyOfSpot(spot)], async () => {
        await spot.requireNoTwin();
        const found = await spot.find();
        if (found !== undefined) {
          // Noted only where nothing was: what is there is this very request's, made by an earlier process.
          const isOwn =
            this.journal.recall(by) !== undefined && found !== 'unserved' && found.type === 'folder';
          if (isOwn) return;
          throw taken('there before the folder was made');
        }
        await this.journal.note({ ...by, id: '', replaced: false });
        await spot.makeFolder(mode);
      }),
    );
  }

  removeFile(
    place: Place,
    { by, precondition, bin: order, mustBeKept }: RemoveFileOptions,
  ): Promise<Removed> {
    const { bin } = this.#uploads;
    return this.#blobs.at(place, 'not-found', async (spot) =>
      this.#locks.hold([await keyOfSpot(spot)], async () => {
        const found = await spot.find();
        const intent = found === undefined ? this.journal.recall(by) : undefined;
        if (intent !== undefined) return { id: intent.id, bytes: 0, binned: bin.keptBy(by) };
        const stored = requireShown(found);
        if (stored.type === 'folder') throw isAFolder();
        requirePrecondition(precondition, stored.etag);
        await this.journal.note({ ...by, id: stored.id, replaced: false });
        const binned = order === undefined ? undefined : await bin.take({ place, spot, stored, order, by });
        if (binned === undefined && mustBeKept === true)
          throw new SallyportError('unsupported', 'There is no bin for that place');
        if (binned === undefined) await spot.removeFile();
        return { id: stored.id, bytes: stored.size, binned };
      }),
    );
  }

  async removeFolder(place: Place, options: RemoveOptions): Promise<Binned | undefined> {
    const { recursive, by, bin: order } = options;
    const { bin } = this.#uploads;
    const binned = await this.#blobs.at(place, 'not-found', async (spot) => {
      const found = await spot.find();
      if (found === undefined && this.journal.recall(by) !== undefined) return bin.keptBy(by);
      const stored = requireShown(found);
      if (stored.type === 'file') throw new SallyportError('not-a-folder', 'That is not a folder');
      await this.journal.note({ ...by, id: stored.id, replaced: false });
      if (!recursive) {
        await spot.removeEmptyFolder();
        return undefined;
      }
      const kept = order === undefined ? undefined : await bin.take({ place, spot, stored, order, by });
      if (kept === undefined) await spot.removeTree(options);
      return kept;
    });
    await this.#uploads.dropBelow(place);
    return binned;
  }

  removeIdle(place: Place, looked: Pick<Stored, 'id' | 'changedAtMs'>): Promise<Idle> {
    return this.#blobs.at(place, 'not-found', async (spot) =>
      this.#locks.hold([await keyOfSpot(spot)], async () => {
        const found = await spot.find();
        if (found === undefined || found === 'unserved' || found.id !== looked.id) return 'changed';
        if (found.changedAtMs !== looked.changedAtMs) return 'changed';
        if (this.#uploads.isInUse(place, found)) return 'in-use';
        if (found.type === 'file') await spot.removeFile();
        else await spot.removeEmptyFolder();
        return 'removed';
      }),
    );
  }

  async rename(from: Place, to: Place, options: RenameOptions): Promise<Renamed> {
    const { by, bin: order } = options;
    const { bin, writers, journal } = this.#uploads;
    const renamed = await this.#blobs.at(from, 'not-found', (source) =>
      this.#blobs.at(to, 'parent-missing', async (target) =>
        this.#locks.hold([await keyOfSpot(source), await keyOfSpot(target)], () =>
          renameSpot(source, target, options, journal, async (stored, replace) => {
            if (order !== undefined && stored.type === 'file')
              return bin.keeping({ place: to, spot: target, stored, order, by }, replace);
            await replace();
            return undefined;
          }),
        ),
      ),
    );
    if (!isSamePlace(from, to)) await writers.follow(from, to);
    const binned = renamed.binned ?? bin.keptBy(by);
    if (renamed.type === 'folder' && !isSamePlace(from, to)) {
      await this.#uploads.follow(from, to);
      await this.#uploads.dropBelow(from);
      await this.#uploads.dropBelow(to);
    }
    return { ...renamed, binned };
  }

  async change(place: Place, change: AttributeChange, onlyId?: string): Promise<void> {
    await this.#blobs.at(place, 'not-found', (spot) => spot.change(change, onlyId));
  }

  usage(place: Place): Promise<StorageUsage> {
    return this.#blobs.usage(place);
  }

  measure(root: readonly string[], signal: AbortSignal): Promise<number> {
    return this.#blobs.measure(root, signal);
  }

  survey(options: SurveyOptions): Promise<void> {
    return this.#blobs.survey(options);
  }

  sweep(): Promise<void> {
    return this.#uploads.sweep();
  }

  async close(): Promise<void> {
    await this.#uploads.close();
    await this.#blobs.close();
  }
}
