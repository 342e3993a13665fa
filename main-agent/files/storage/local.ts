/**
 * Files in a folder of main's host. The only place that knows POSIX: descriptors, links, staging and rename.
 *
 * Symbolic links and special files do not exist to callers: not listed, not found, never followed, though a recursive
 * delete removes them with the folder they lie in.
 */
import { constants, type BigIntStats } from 'node:fs';
import * as fs from 'node:fs/promises';
import type { AttributeChange, Precondition } from '#shared/file-service/attributes.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { isAFolder, notFound, taken } from '../file-error.ts';
import { applyChange, folderMode } from './attribute-change.ts';
import { moveExclusive } from './exclusive-move.ts';
import { FolderHandle } from './folder-handle.ts';
import { Jail, lockKey, type Spot } from './jail.ts';
import type { Intent, Journal, OperationName } from './journal.ts';
import { KeyLock } from './key-lock.ts';
import { LocalFile } from './local-file.ts';
import { LocalFolder } from './local-folder.ts';
import { LocalUploads } from './local-uploads.ts';
import { requirePrecondition } from './precondition.ts';
import { stagingFolderName } from './staging.ts';
import type {
  BeginUpload,
  CommittedUpload,
  KeptUpload,
  Place,
  RemoveOptions,
  Renamed,
  RenameOptions,
  Storage,
  StorageUsage,
  Stored,
  StoredFile,
  StoredFolder,
  Upload,
} from './storage.ts';
import { toStored } from './stored.ts';
import { measureTree, removeTree } from './tree-walk.ts';
import { requireNoTwin } from './twin-names.ts';

export interface LocalStorageOptions {
  readonly name: string;
  /** Absolute path of the configuration. */
  readonly base: string;
  readonly keepPartialMs: number;
  readonly keepReplaced: boolean;
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
    this.#jail = new Jail(base);
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

  get journal(): Journal {
    return this.#uploads.journal;
  }

  async stat(place: Place): Promise<Stored> {
    const stats =
      place.path.length === 0
        ? await this.#jail.inFolder(place, 'not-found', (folder) => folder.stat())
        : await this.#jail.withSpot(place, 'not-found', ({ folder, name }) => folder.find(name));
    return requireShown(stats);
  }

  async openFolder(place: Place): Promise<StoredFolder> {
    return LocalFolder.open(await this.#jail.openFolder(place, 'not-found'));
  }

  openFile(place: Place): Promise<StoredFile> {
    return this.#jail.withSpot(
      place,
      'not-found',
      async ({ folder, name }) => new LocalFile(await folder.openRegular(name, constants.O_RDONLY)),
    );
  }

  beginUpload(place: Place, begin: BeginUpload): Promise<Upload> {
    return this.#uploads.begin(place, begin);
  }

  openInPlace(place: Place, begin: BeginUpload): Promise<Upload> {
    return this.#uploads.openInPlace(place, begin);
  }

  keptUploads(user: string, folderId: string): readonly KeptUpload[] {
    return this.#uploads.kept(user, folderId);
  }

  discardKept(keptId: string): Promise<void> {
    return this.#uploads.discardKept(keptId);
  }

  adoptUpload(id: string, session: string): Promise<Upload | undefined> {
    return this.#uploads.adopt(id, session);
  }

  findUpload(session: string, operation: number): string | undefined {
    return this.#uploads.findBegun(session, operation);
  }

  findCommitted(id: string, session: string): Promise<CommittedUpload | undefined> {
    return this.#uploads.findCommitted(id, session);
  }

  keptBytes(user: string): number {
    return this.#uploads.keptBytes(user);
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

  removeFile(place: Place, precondition: Precondition | undefined, by: OperationName): Promise<number> {
    return this.#jail.withSpot(place, 'not-found', (spot) =>
      this.#locks.hold([lockKey(spot)], async () => {
        const found = await spot.folder.find(spot.name);
        if (found === undefined && this.journal.recall(by) !== undefined) return 0;
        const stored = requireShown(found);
        if (stored.type === 'folder') throw isAFolder();
        requirePrecondition(precondition, stored.etag);
        await this.journal.note({ ...by, id: stored.id, replaced: false });
        await fs.unlink(spot.folder.at(spot.name));
        return stored.size;
      }),
    );
  }

  async removeFolder(place: Place, options: RemoveOptions): Promise<void> {
    await this.#jail.withSpot(place, 'not-found', async ({ folder, name }) => {
      const found = await folder.find(name);
      if (found === undefined && this.journal.recall(options.by) !== undefined) return;
      const stored = requireShown(found);
      if (stored.type === 'file') throw new SallyportError('not-a-folder', 'That is not a folder');
      await this.journal.note({ ...options.by, id: stored.id, replaced: false });
      if (options.recursive) await removeTree(folder, name, options);
      else await fs.rmdir(folder.at(name));
    });
  }

  rename(from: Place, to: Place, options: RenameOptions): Promise<Renamed> {
    return this.#jail.withSpot(from, 'not-found', (source) =>
      this.#jail.withSpot(to, 'parent-missing', (target) =>
        this.#locks.hold([lockKey(source), lockKey(target)], () =>
          renameSpot(source, target, options, this.journal),
        ),
      ),
    );
  }

  async change(place: Place, change: AttributeChange): Promise<void> {
    if (place.path.length === 0) throw isAFolder();
    await this.#jail.withSpot(place, 'not-found', async ({ folder, name }) => {
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      const file = await fs.open(folder.at(name), flags);
      try {
        requireShown(await file.stat({ bigint: true }));
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

  sweep(): Promise<void> {
    return this.#uploads.sweep();
  }

  async close(): Promise<void> {
    await this.#uploads.close();
    await this.#jail.base.close();
  }
}

function requireShown(stats: BigIntStats | undefined): Stored {
  const stored = stats === undefined ? undefined : toStored(stats);
  if (stored === undefined) throw notFound();
  return stored;
}

async function renameSpot(
  source: Spot,
  target: Spot,
  { overwrite, by }: RenameOptions,
  journal: Journal,
): Promise<Renamed> {
  const from = source.folder.at(source.name);
  const to = target.folder.at(target.name);
  const found = await source.folder.find(source.name);
  const there = await target.folder.find(target.name);
  const done = found === undefined ? recallRename(journal.recall(by), there) : undefined;
  if (done !== undefined) return done;
  const moved = requireShown(found);
  const sameFolder = source.folderId === target.folderId;
  if (sameFolder && source.name === target.name) {
    return { replaced: false, replacedBytes: 0, type: moved.type };
  }
  const note = (replaced: boolean): Promise<void> => journal.note({ ...by, id: moved.id, replaced });
  if (there === undefined) {
    await requireNoTwin(target.folder, target.name, sameFolder ? source.name : undefined);
    await note(false);
    if (moved.type === 'file') await moveExclusive(from, to);
    else await fs.rename(from, to);
    return { replaced: false, replacedBytes: 0, type: moved.type };
  }
  const replaced = toStored(there);
  if (!overwrite || replaced === undefined) throw taken('rename target exists');
  if (replaced.type === 'folder' && moved.type === 'file') throw isAFolder();
  await note(true);
  await fs.rename(from, to);
  return { replaced: true, replacedBytes: replaced.type === 'file' ? replaced.size : 0, type: moved.type };
}

/** The outcome of a rename that an earlier process made: what it moved has the new name. */
function recallRename(intent: Intent | undefined, there: BigIntStats | undefined): Renamed | undefined {
  const stored = there === undefined ? undefined : toStored(there);
  if (intent === undefined || stored?.id !== intent.id) return undefined;
  return { replaced: intent.replaced, replacedBytes: 0, type: stored.type };
}
