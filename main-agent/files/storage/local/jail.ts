/**
 * From a place to an open folder, step by step beneath the storage's base (S-08). What is done to a name is done in the
 * folder that was opened, whatever its path has become meanwhile.
 */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { OnMissing } from '../blob-storage.ts';
import { hasErrno, isAFolder } from '../file-error.ts';
import { type FolderHandle, openBeneath } from './folder-handle.ts';
import { HeldFolders, type HeldRoom } from './held-folders.ts';
import { RootCache } from './root-cache.ts';
import type { Place } from '../storage.ts';

/** Folders below mounts' that are held at the same time; further ones are opened each time. */
const heldFoldersMax = 2048;

export class Jail {
  readonly base: FolderHandle;
  readonly #roots: RootCache;
  readonly #room: HeldRoom = { left: heldFoldersMax };

  constructor(base: FolderHandle, clock: Clock) {
    this.base = base;
    this.#roots = new RootCache(
      (root) => this.#openRoot(root),
      () => clock.monotonic(),
    );
  }

  /** Holds the folder of a place open while something is done to a name in it. */
  async withName<T>(
    place: Place,
    onMissing: OnMissing,
    act: (folder: FolderHandle, name: string) => Promise<T>,
  ): Promise<T> {
    const name = place.path.at(-1);
    if (name === undefined) throw isAFolder();
    const parent = { root: place.root, path: place.path.slice(0, -1) };
    return this.inFolder(parent, onMissing, (folder) => act(folder, name));
  }

  /** The caller closes it. */
  openFolder(place: Place, onMissing: OnMissing): Promise<FolderHandle> {
    return this.#roots.use(place.root, ({ top }) =>
      orMissing(onMissing, async () => (await openBeneath(top, place.path)).learn(top)),
    );
  }

  /** Holds a folder open while something is done in it. */
  inFolder<T>(place: Place, onMissing: OnMissing, act: (folder: FolderHandle) => Promise<T>): Promise<T> {
    return this.#roots.use(place.root, async (held) => {
      const { folder, isHeld } = await orMissing(onMissing, () => held.enter(place.path));
      try {
        return await act(folder);
      } finally {
        if (!isHeld) await folder.close();
      }
    });
  }

  /** The folder a mount shows; made when it is not there yet: homes come into being at first use. */
  async #openRoot(root: readonly string[]): Promise<HeldFolders> {
    const top = await openBeneath(this.base, root, (parent, name) => parent.makeFolder(name, 0o750));
    await top.learn(this.base);
    return new HeldFolders(top, this.#room);
  }

  async close(): Promise<void> {
    await this.#roots.close();
    await this.base.close();
  }
}

async function orMissing<T>(onMissing: OnMissing, walk: () => Promise<T>): Promise<T> {
  try {
    return await walk();
  } catch (error) {
    throw walkError(error, onMissing);
  }
}

function walkError(error: unknown, onMissing: OnMissing): unknown {
  if (onMissing === 'not-found' || !hasErrno(error, 'ENOENT', 'ENOTDIR')) return error;
  return new SallyportError('parent-missing', 'The folder it should be in does not exist', { cause: error });
}
