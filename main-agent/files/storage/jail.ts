/**
 * From a place to an open folder, step by step beneath the storage's base (S-08). What is done to a name is done in the
 * folder that was opened, whatever its path has become meanwhile.
 */
import * as fs from 'node:fs/promises';
import { SallyportError } from '#shared/error.ts';
import { hasErrno, isAFolder } from '../file-error.ts';
import { type FolderHandle, openBeneath } from './folder-handle.ts';
import type { Place } from './storage.ts';
import { normalName } from './twin-names.ts';

/** What a missing folder on the way means: nothing there, or nowhere to put something. */
export type OnMissing = 'not-found' | 'parent-missing';

/** A name in a folder that is held open. */
export interface Spot {
  readonly folder: FolderHandle;
  readonly folderId: string;
  readonly name: string;
}

export class Jail {
  readonly base: FolderHandle;

  constructor(base: FolderHandle) {
    this.base = base;
  }

  /** Holds the folder of a place open while something is done to a name in it. */
  async withSpot<T>(place: Place, onMissing: OnMissing, act: (spot: Spot) => Promise<T>): Promise<T> {
    const name = place.path.at(-1);
    if (name === undefined) throw isAFolder();
    return this.inFolder({ root: place.root, path: place.path.slice(0, -1) }, onMissing, async (folder) =>
      act({ folder, folderId: await folder.id(), name }),
    );
  }

  /** The folder a mount shows; made when it is not there yet: homes come into being at first use. */
  openRoot(root: readonly string[]): Promise<FolderHandle> {
    return openBeneath(this.base, root, async (parent, name) => {
      try {
        await fs.mkdir(parent.at(name), { mode: 0o750 });
      } catch (error) {
        if (!hasErrno(error, 'EEXIST')) throw error;
      }
    });
  }

  /** The caller closes it. */
  async openFolder(place: Place, onMissing: OnMissing): Promise<FolderHandle> {
    const root = await this.openRoot(place.root);
    if (place.path.length === 0) return root;
    try {
      return await openBeneath(root, place.path);
    } catch (error) {
      throw walkError(error, onMissing);
    } finally {
      await root.close();
    }
  }

  /** Holds a folder open while something is done in it. */
  async inFolder<T>(
    place: Place,
    onMissing: OnMissing,
    act: (folder: FolderHandle) => Promise<T>,
  ): Promise<T> {
    const folder = await this.openFolder(place, onMissing);
    try {
      return await act(folder);
    } finally {
      await folder.close();
    }
  }
}

/** Names that differ only by normalisation share a lock, so that two of them can't be made at the same time. */
export function lockKey(spot: Pick<Spot, 'folderId' | 'name'>): string {
  return `${spot.folderId}/${normalName(spot.name)}`;
}

function walkError(error: unknown, onMissing: OnMissing): unknown {
  if (onMissing === 'not-found' || !hasErrno(error, 'ENOENT', 'ENOTDIR')) return error;
  return new SallyportError('parent-missing', 'The folder it should be in does not exist', { cause: error });
}
