/**
 * Files in a folder of main's host. The only place that knows POSIX: descriptors, links, staging and rename.
 *
 * Symbolic links and special files do not exist to callers: not listed, not found, never followed, though a recursive
 * delete removes them with the folder they lie in.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { isAFolder } from '../file-error.ts';
import { applyChange, folderMode } from '../local/attribute-change.ts';
import { Descriptor } from '../local/descriptor.ts';
import { FolderHandle } from '../local/folder-handle.ts';
import { Jail, lockKey } from '../local/jail.ts';
import type { Journal, OperationName } from './journal.ts';
import { KeyLock } from '#main-agent/turns/key-lock.ts';
import type { LocalBin } from './bin-book.ts';
import { LocalFile } from './read-file.ts';
import { LocalFolder } from '../local/local-folder.ts';
import { renameSpot } from './rename.ts';
import { LocalUploads } from './upload-book.ts';
import { isSamePlace } from '../places.ts';
import { requirePrecondition } from './precondition.ts';
import { stagingFolderName } from './staging-area.ts';
import type {
  BeginUpload,
  Binned,
  CommittedUpload,
  FinishedBefore,
  JoinUpload,
  KeptUpload,
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
import { requireId, requireShown } from '../local/stored.ts';
import { measureTree, removeEmptyFolder, removeTree, surveyTree } from '../local/tree-walk.ts';
import { requireNoTwin } from '../local/twin-names.ts';

export interface LocalStorageOptions {
  readonly name: string;
  /** Absolute path of the configuration. */
  readonly base: string;
  readonly keepPartialMs: number;
  readonly keepReplaced: boolean;
  /** A user's uploads begun until then are an earlier holder's of the name. */
  readonly formerUntilMs: (user: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class LocalStorage implements Storage {
  readonly name: string;
  readonly #jail: Jail;
  readonly #locks = new KeyLock();
  readonly #uploads: LocalUploads;

  private constructor(base: FolderHandle, options: LocalStorageOptions) {
    this.name = options.name;
    this.#jail = new Jail(base, options.clock);
    this.#uploads = new LocalUploads(this.#jail, this.#locks, options);
  }

  static async open(options: LocalStorageOptions): Promise<LocalStorage> {
    let base: FolderHandle;
    try {
      base = await FolderHandle.openBase(options.base);
    } catch (error) {
      throw new SallyportError('config', `Storage ${options.name}: ${options.base} can not be opened`, {
        hint: 'The folder must exist and belong to the user main-agent runs as.',
        cause: error,
      });
    }
    const storage = new LocalStorage(base, options);
    await storage.#uploads.open();
    return storage;
  }

  get bin(): LocalBin {
    return this.#uploads.bin;
  }

  get journal(): Journal {
    return this.#uploads.journal;
  }

  async stat(place: Place): Promise<Stored> {
    const stats =
      place.path.length === 0
        ? await this.#jail.inFolder(place, 'not-found', (folder) => folder.stat())
        : await this.#jail.withName(place, 'not-found', (folder, name) => folder.find(name));
    return requireShown(stats);
  }

  async openFolder(place: Place): Promise<StoredFolder> {
    return LocalFolder.open(await this.#jail.openFolder(place, 'not-found'), place.path.length === 0);
  }

  openFile(place: Place): Promise<StoredFile> {
    return this.#jail.withName(
      place,
      'not-found',
      async (folder, name) =>
        new LocalFile(await folder.openRegular(name, constants.O_RDONLY), this.#uploads.files),
    );
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

  finishedMoved(uploadId: string, session: string, to: Place): Promise<void> {
    return this.#uploads.finishedMoved(uploadId, session, to);
  }

  keptBytes(user: string): number {
    return this.#uploads.keptBytes(user) + this.bin.countedBytes(user);
  }

  async makeFolder(place: Place, mode: number | undefined, by: OperationName): Promise<void> {
    await this.#jail.withSpot(place, 'parent-missing', (spot) =>
      this.#locks.hold([lockKey(spot)], async () => {
        await requireNoTwin(spot.folder, spot.name);
        const isRepeated = this.journal.recall(by) !== undefined;
        await this.journal.note({ ...by, id: '', replaced: false });
        try {
          await fs.mkdir(spot.folder.at(spot.name), { mode: folderMode(mode) });
        } catch (error) {
          const isThere = isRepeated && (await spot.folder.find(spot.name))?.isDirectory() === true;
          if (!isThere) throw error;
        }
      }),
    );
  }

  removeFile(place: Place, { by, precondition, bin: order }: RemoveFileOptions): Promise<Removed> {
    return this.#jail.withSpot(place, 'not-found', (spot) =>
      this.#locks.hold([lockKey(spot)], async () => {
        const found = await spot.folder.find(spot.name);
        const intent = found === undefined ? this.journal.recall(by) : undefined;
        if (intent !== undefined) return { id: intent.id, bytes: 0, binned: this.bin.keptBy(by) };
        const stored = requireShown(found);
        if (stored.type === 'folder') throw isAFolder();
        requirePrecondition(precondition, stored.etag);
        await this.journal.note({ ...by, id: stored.id, replaced: false });
        const binned =
          order === undefined ? undefined : await this.bin.take({ place, spot, stored, order, by });
        if (binned === undefined) await fs.unlink(spot.folder.at(spot.name));
        return { id: stored.id, bytes: stored.size, binned };
      }),
    );
  }

  async removeFolder(place: Place, options: RemoveOptions): Promise<Binned | undefined> {
    const { recursive, by, bin: order } = options;
    const binned = await this.#jail.withName(place, 'not-found', async (folder, name) => {
      const found = await folder.find(name);
      if (found === undefined && this.journal.recall(by) !== undefined) return this.bin.keptBy(by);
      const stored = requireShown(found);
      if (stored.type === 'file') throw new SallyportError('not-a-folder', 'That is not a folder');
      await this.journal.note({ ...by, id: stored.id, replaced: false });
      if (!recursive) {
        await removeEmptyFolder(folder, name);
        return undefined;
      }
      const spot = { folder, name };
      const kept = order === undefined ? undefined : await this.bin.take({ place, spot, stored, order, by });
      if (kept === undefined) await removeTree(folder, name, options);
      return kept;
    });
    await this.#uploads.dropBelow(place);
    return binned;
  }

  async rename(from: Place, to: Place, options: RenameOptions): Promise<Renamed> {
    const { by, bin: order } = options;
    const renamed = await this.#jail.withSpot(from, 'not-found', (source) =>
      this.#jail.withSpot(to, 'parent-missing', (target) =>
        this.#locks.hold([lockKey(source), lockKey(target)], () =>
          renameSpot(source, target, options, this.journal, async (stored, replace) => {
            if (order !== undefined && stored.type === 'file')
              return this.bin.keeping({ place: to, spot: target, stored, order, by }, replace);
            await replace();
            return undefined;
          }),
        ),
      ),
    );
    if (!isSamePlace(from, to)) await this.#uploads.writers.follow(from, to);
    const binned = renamed.binned ?? this.bin.keptBy(by);
    if (renamed.type === 'folder' && !isSamePlace(from, to)) {
      await this.#uploads.follow(from, to);
      await this.#uploads.dropBelow(from);
      await this.#uploads.dropBelow(to);
    }
    return { ...renamed, binned };
  }

  async change(place: Place, change: AttributeChange, onlyId?: string): Promise<void> {
    await this.#jail.withName(place, 'not-found', async (folder, name) => {
      const file = await Descriptor.open(
        folder.at(name),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      try {
        requireId(requireShown(await file.stat()), onlyId);
        await applyChange(file, change);
      } finally {
        await file.close();
      }
    });
  }

  async usage(place: Place): Promise<StorageUsage> {
    return this.#jail.inFolder({ root: place.root, path: [] }, 'not-found', async (folder) => {
      const stats = await fs.statfs(folder.path);
      return {
        freeBytes: stats.bavail * stats.bsize,
        totalBytes: stats.blocks * stats.bsize,
        freeFiles: stats.ffree,
        totalFiles: stats.files,
      };
    });
  }

  async measure(root: readonly string[], signal: AbortSignal): Promise<number> {
    return this.#jail.inFolder({ root, path: [] }, 'not-found', (folder) =>
      measureTree(folder, stagingFolderName, signal),
    );
  }

  survey(options: SurveyOptions): Promise<void> {
    const { place } = options;
    if (place === undefined) return surveyTree(this.#jail.base, stagingFolderName, options);
    const ours = place.path.length === 0 ? stagingFolderName : undefined;
    return this.#jail.inFolder(place, 'not-found', (folder) => surveyTree(folder, ours, options));
  }

  sweep(): Promise<void> {
    return this.#uploads.sweep();
  }

  async close(): Promise<void> {
    await this.#uploads.close();
    await this.#jail.close();
  }
}
