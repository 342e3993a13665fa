/**
 * A folder of main's host. The only room that knows POSIX: descriptors, links, devices.
 *
 * Symbolic links and special files do not exist to callers: not listed, not found, never followed, though a recursive
 * delete removes them with the folder they lie in.
 */
import * as fs from 'node:fs/promises';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { BlobStorage, Found, HiddenFolder, OnMissing, OpenBytes, Spot } from '../blob-storage.ts';
import { stagingFolderName } from '../places.ts';
import type { Place, StorageUsage, StoredFolder, SurveyOptions } from '../storage.ts';
import { FolderHandle } from './folder-handle.ts';
import { Jail } from './jail.ts';
import { requireLocalBytes } from './local-bytes.ts';
import { LocalFolder } from './local-folder.ts';
import { Looks } from './looks.ts';
import { LocalSpot, requireLocalSpot } from './local-spot.ts';
import { StagingFolders } from './staging-folders.ts';
import { toFound } from './stored.ts';
import { measureTree, surveyTree } from './tree-walk.ts';

export interface LocalStorageOptions {
  readonly name: string;
  /** Absolute path of the configuration. */
  readonly base: string;
  readonly clock: Clock;
  readonly log: Log;
}

export class LocalStorage implements BlobStorage {
  readonly #jail: Jail;
  readonly #stagings: StagingFolders;
  readonly #looks = new Looks();

  private constructor(base: FolderHandle, { clock, log }: LocalStorageOptions) {
    this.#jail = new Jail(base, clock);
    this.#stagings = new StagingFolders(this.#jail, log);
  }

  /** Rejects `config` where the folder can not be opened. */
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
    await storage.#stagings.openKnown();
    return storage;
  }

  async find(place: Place): Promise<Found | undefined> {
    return toFound(
      place.path.length === 0
        ? await this.#jail.inFolder(place, 'not-found', (folder) => folder.stat())
        : await this.#jail.withName(place, 'not-found', (folder, name) => folder.find(name)),
    );
  }

  async openFolder(place: Place): Promise<StoredFolder> {
    const folder = await this.#jail.openFolder(place, 'not-found');
    return LocalFolder.open(folder, this.#looks, place.path.length === 0);
  }

  at<T>(place: Place, onMissing: OnMissing, act: (spot: Spot) => Promise<T>): Promise<T> {
    return this.#jail.withName(place, onMissing, (folder, name) => act(new LocalSpot(folder, name)));
  }

  stagingFor(place: Place, spot: Spot): Promise<HiddenFolder> {
    return this.#stagings.of(place, requireLocalSpot(spot).folder);
  }

  stagingNear(file: OpenBytes): Promise<HiddenFolder> {
    return this.#stagings.near(requireLocalBytes(file).device);
  }

  stagings(): Promise<readonly HiddenFolder[]> {
    return this.#stagings.all();
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

  measure(root: readonly string[], signal: AbortSignal): Promise<number> {
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

  async close(): Promise<void> {
    await this.#looks.close();
    await this.#stagings.close();
    await this.#jail.close();
  }
}
