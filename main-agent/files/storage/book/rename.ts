/** Renames within a storage, by handles of both folders and under the locks of both names. */
import type { BigIntStats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { isAFolder, taken } from '../file-error.ts';
import { moveExclusive } from '../local/exclusive-move.ts';
import type { Spot } from '../local/jail.ts';
import type { Intent, Journal } from './journal.ts';
import type { Binned, Renamed, RenameOptions, Stored } from '../storage.ts';
import { requireId, requireShown, toStored } from '../local/stored.ts';
import { explainNotEmpty } from '../local/tree-walk.ts';
import { requireNoTwin } from '../local/twin-names.ts';

export async function renameSpot(
  source: Spot,
  target: Spot,
  { overwrite, by, onlyId }: RenameOptions,
  journal: Journal,
  replacing: Replacing = async (_replaced, replace) => {
    await replace();
    return undefined;
  },
): Promise<Renamed> {
  const from = source.folder.at(source.name);
  const to = target.folder.at(target.name);
  const found = await source.folder.find(source.name);
  const there = await target.folder.find(target.name);
  const done = found === undefined ? recallRename(journal.recall(by), there) : undefined;
  if (done !== undefined) return done;
  const moved = requireShown(found);
  requireId(moved, onlyId);
  const { type } = moved;
  const movedBytes = bytesOf(moved);
  const sameFolder = source.folderId === target.folderId;
  if (sameFolder && source.name === target.name) {
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  if (there !== undefined && isHalfMade(journal.recall(by), moved, toStored(there))) {
    await fs.unlink(from);
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  const note = (replaced: boolean): Promise<void> => journal.note({ ...by, id: moved.id, replaced });
  if (there === undefined) {
    await requireNoTwin(target.folder, target.name, sameFolder ? source.name : undefined);
    await note(false);
    if (moved.type === 'file') await moveExclusive(from, to);
    else await fs.rename(from, to);
    return { replaced: false, replacedBytes: 0, type, movedBytes };
  }
  const replaced = toStored(there);
  if (!overwrite || replaced === undefined) throw taken('rename target exists');
  if (replaced.type === 'folder' && moved.type === 'file') throw isAFolder();
  await note(true);
  try {
    const binned = await replacing(replaced, () => fs.rename(from, to));
    return { replaced: true, replacedBytes: bytesOf(replaced), type, movedBytes, binned };
  } catch (error) {
    throw await explainNotEmpty(target.folder, target.name, error);
  }
}

/** Is told what is about to be replaced, does it, and says where that went. */
export type Replacing = (replaced: Stored, replace: () => Promise<void>) => Promise<Binned | undefined>;

/** The outcome of a rename that an earlier process made: what it moved has the new name. */
function recallRename(intent: Intent | undefined, there: BigIntStats | undefined): Renamed | undefined {
  const stored = there === undefined ? undefined : toStored(there);
  if (intent === undefined || stored?.id !== intent.id) return undefined;
  const { type } = stored;
  return { replaced: intent.replaced, replacedBytes: 0, type, movedBytes: bytesOf(stored) };
}

/** An earlier process was killed when the file had both its names (`local/exclusive-move.ts`). */
function isHalfMade(intent: Intent | undefined, moved: Stored, there: Stored | undefined): boolean {
  return moved.type === 'file' && moved.id === there?.id && moved.id === intent?.id && !intent.replaced;
}

function bytesOf({ type, size }: Stored): number {
  return type === 'file' ? size : 0;
}
