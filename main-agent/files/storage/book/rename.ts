/** Renames within a storage, under the locks of both names. */
import type { Found, Spot } from '../blob-storage.ts';
import { isAFolder, taken } from '../file-error.ts';
import { requireId, requireShown } from '../requirements.ts';
import type { Binned, Intent, OperationJournal, Renamed, RenameOptions, Stored } from '../storage.ts';

export async function renameSpot(
  source: Spot,
  target: Spot,
  { overwrite, by, onlyId }: RenameOptions,
  journal: OperationJournal,
  replacing: Replacing = async (_replaced, replace) => {
    await replace();
    return undefined;
  },
): Promise<Renamed> {
  const found = await source.find();
  const there = await target.find();
  const done = found === undefined ? recallRename(journal.recall(by), there) : undefined;
  if (done !== undefined) return done;
  const moved = requireShown(found);
  requireId(moved, onlyId);
  const { type } = moved;
  const movedBytes = bytesOf(moved);
  const sameFolder = (await source.folderId()) === (await target.folderId());
  if (sameFolder && source.name === target.name) {
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  if (there !== undefined && isHalfMade(journal.recall(by), moved, there)) {
    await source.removeFile();
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  const note = (replaced: boolean): Promise<void> => journal.note({ ...by, id: moved.id, replaced });
  if (there === undefined) {
    await target.requireNoTwin(sameFolder ? source.name : undefined);
    await note(false);
    await source.moveTo(target, { isExclusive: moved.type === 'file' });
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  if (!overwrite || there === 'unserved') throw taken('rename target exists');
  if (there.type === 'folder' && moved.type === 'file') throw isAFolder();
  await note(true);
  const binned = await replacing(there, () => source.moveTo(target, { isExclusive: false }));
  return { replaced: true, replacedBytes: bytesOf(there), type, movedBytes, binned };
}

/** Is told what is about to be replaced, does it, and says where that went. */
type Replacing = (replaced: Stored, replace: () => Promise<void>) => Promise<Binned | undefined>;

/** The outcome of a rename that an earlier process made: what it moved has the new name. */
function recallRename(intent: Intent | undefined, there: Found | undefined): Renamed | undefined {
  if (intent === undefined || there === undefined || there === 'unserved' || there.id !== intent.id)
    return undefined;
  return { replaced: intent.replaced, replacedBytes: 0, type: there.type, movedBytes: bytesOf(there) };
}

/** An earlier process was killed when the file had both its names, see `Spot.moveTo`. */
function isHalfMade(intent: Intent | undefined, moved: Stored, there: Found): boolean {
  const isBoth = moved.type === 'file' && there !== 'unserved' && moved.id === there.id;
  return isBoth && moved.id === intent?.id && !intent.replaced;
}

function bytesOf({ type, size }: Stored): number {
  return type === 'file' ? size : 0;
}
