/** Renames: of what is stored, and of what the session itself is still writing. */
import { SallyportError } from '#shared/error.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import { type Caller, operationName, receiptOf } from './caller.ts';
import { binOrder, type Bins, describeBinned } from './bins.ts';
import { denied, taken, toFileError } from './storage/file-error.ts';
import type { Located, Mounted } from './mounts.ts';
import type { OwnUploads } from './own-uploads.ts';
import { isAllowed, requireAllowed, requireFreeName, requireNoMountPoint } from './permissions.ts';
import { findStored } from './queries.ts';
import type { FileContext } from './service-context.ts';
import type { OperationName } from './storage/storage.ts';
import { isSamePlace } from './storage/places.ts';
import type { Place, Renamed } from './storage/storage.ts';
import type { WriteHandle } from './write-handle.ts';

/** One rename, looked up. */
interface Move {
  readonly session: Caller;
  readonly from: Located;
  readonly to: Located;
  readonly source: Mounted;
  readonly target: Mounted;
  readonly by: OperationName;
  readonly wantsOverwrite: boolean;
  readonly mayOverwrite: boolean;
}

export class Renames {
  readonly #context: FileContext;
  readonly #ownUploads: OwnUploads;
  readonly #bins: Bins;

  constructor(context: FileContext, ownUploads: OwnUploads, bins: Bins) {
    this.#bins = bins;
    this.#context = context;
    this.#ownUploads = ownUploads;
  }

  async rename(session: Caller, params: Params<'fs.rename'>): Promise<Result<'fs.rename'>> {
    const { mounts } = this.#context;
    const user = session.user();
    const from = mounts.locate(user, params.from);
    const to = mounts.locate(user, params.to);
    const source = requireMounted(from);
    const target = requireMounted(to);
    const move: Move = {
      session,
      from,
      to,
      source,
      target,
      by: operationName(session, params),
      wantsOverwrite: params.overwrite,
      mayOverwrite: params.overwrite && isAllowed(target, 'overwrite'),
    };
    const own = await this.#ownUploads.at(session, source);
    const there = await this.#ownUploads.at(session, target);
    const isSelf = isSamePlace(source.place, target.place) && source.storage === target.storage;
    // One that an earlier process made and could not answer.
    const before = source.storage.journal.recall(move.by);
    if (own === undefined && before !== undefined && there?.upload.record.id === before.id) {
      const { replaced } = before;
      await this.#tell(move, { replaced, replacedBytes: 0, type: 'file', movedBytes: there.size });
      return { replaced };
    }
    const isTaken = there !== undefined || (isSelf && session.protocol === 'sftp');
    if (isTaken && !params.overwrite && before === undefined) {
      if (own === undefined) await source.storage.stat(source.place);
      throw taken('an upload of this session, or itself');
    }
    if (before === undefined) await this.#requireNothingBelow(move);
    let renamed: Result<'fs.rename'> = { replaced: false };
    if (own === undefined) renamed = await this.#renameStored(move);
    else if (!isSelf) renamed = await this.#renameOwn(move, own);
    if (there !== undefined && there !== own) {
      await there.ifOpen(() => target.storage.unlinkUpload(there.upload.record.id, move.by));
      return { ...renamed, replaced: true };
    }
    return renamed;
  }

  /** Only an empty folder can be replaced, and one with an upload in it is none. */
  async #requireNothingBelow({ session, target, wantsOverwrite }: Move): Promise<void> {
    if ((await this.#ownUploads.below(session, target)).length === 0) return;
    if (!wantsOverwrite) throw taken('a folder is there');
    throw new SallyportError('not-empty', 'The folder is not empty', { detail: 'an open upload is in it' });
  }

  async #renameStored(move: Move): Promise<Result<'fs.rename'>> {
    const { session, from, to, source, target } = move;
    const onlyId = await this.#finishingId(move);
    if (onlyId === undefined) {
      requireAllowed(from, 'rename');
      if (target.mount !== source.mount) await requireMovable(from, to);
    }
    requireNoMountPoint(from);
    requireFreeName(to);
    const renamed = await orDenied(move, () =>
      source.storage.rename(source.place, target.place, {
        overwrite: move.mayOverwrite,
        by: move.by,
        bin: binOrder(session, to),
        ...(onlyId !== undefined && { onlyId }),
      }),
    );
    this.#context.quota.freed(session.username, target.mount, renamed.replacedBytes);
    await source.storage.dropKept(session.username, source.place);
    await target.storage.dropKept(session.username, target.place);
    await this.#context.finishing.renamed(session, source, target);
    const told = this.#tell(move, renamed);
    await this.#bins.took(session, target, renamed.binned);
    await told;
    return { replaced: renamed.replaced, binned: renamed.binned?.id };
  }

  /** The file this may rename without the right to: the last name of what the session just made, in its folder. */
  async #finishingId({ session, source, target, by }: Move): Promise<string | undefined> {
    if (isAllowed(source, 'rename') || !isAllowed(target, 'write') || source.storage !== target.storage)
      return undefined;
    if (!isSamePlace(folderOf(source.place), folderOf(target.place))) return undefined;
    const { finishing } = this.#context;
    const made = await finishing.find(session, source);
    if (made !== undefined) return made.fileId;
    // Sent again, since an earlier process made it and could not answer.
    const before = source.storage.journal.recall(by);
    const moved = before === undefined ? undefined : await finishing.find(session, target);
    return moved !== undefined && moved.fileId === before?.id ? moved.fileId : undefined;
  }

  /**
   * What its session is writing needs no more than a new upload under the other name. A stored file that it will replace
   * is renamed with it, as any file is.
   */
  async #renameOwn(move: Move, own: WriteHandle): Promise<Result<'fs.rename'>> {
    const { session, to, source, target, by } = move;
    if (source.storage !== target.storage) throw anotherStorage();
    requireFreeName(to);
    const hasStored = (await findStored(source)) !== undefined;
    const stored = hasStored ? await this.#renameStored(move) : undefined;
    if (!hasStored) requireAllowed(to, 'write');
    const moved = await orDenied(move, () =>
      own.ifOpen(() =>
        target.storage.moveUpload(
          own.upload.record.id,
          { place: target.place, virtualPath: to.path.components },
          { overwrite: hasStored || move.mayOverwrite, by },
        ),
      ),
    );
    // Closed in between: then it is a stored file.
    if (moved === undefined) return this.#renameStored(move);
    own.located = to;
    await target.storage.dropKept(session.username, target.place);
    if (stored !== undefined) return stored;
    await this.#tell(move, {
      replaced: moved.replaced,
      replacedBytes: 0,
      type: 'file',
      movedBytes: own.size,
    });
    return { replaced: moved.replaced };
  }

  #tell({ session, from, to, by }: Move, renamed: Renamed): Promise<boolean> {
    return this.#context.receipts.write(session, {
      event: 'file.rename',
      once: receiptOf({ op: by.operation }),
      path: from.path,
      toPath: to.path,
      ...(renamed.type === 'file' && { bytes: renamed.movedBytes }),
      detail: describeRenamed(renamed),
    });
  }
}

function describeRenamed({ type, replaced, binned }: Renamed): string {
  if (!replaced) return type;
  return `${type}, replaced what was there${binned === undefined ? '' : `, ${describeBinned(binned)}`}`;
}

function folderOf({ root, path }: Place): Place {
  return { root, path: path.slice(0, -1) };
}

function requireMounted({ mounted }: Located): Mounted {
  if (mounted === undefined) throw denied('outside all mounts');
  return mounted;
}

/** From one mount to another: it leaves the one and comes into being in the other. */
async function requireMovable(from: Located, to: Located): Promise<void> {
  const source = requireAllowed(from, 'delete');
  const target = requireAllowed(to, 'write');
  if (source.storage !== target.storage) throw anotherStorage();
  if (isAllowed(target, 'mkdir')) return;
  const { type } = await source.storage.stat(source.place);
  if (type === 'folder') throw denied('mkdir is not allowed on the target mount');
}

function anotherStorage(): SallyportError {
  return new SallyportError('unsupported', 'That can not be moved to another storage; copy it instead');
}

/** Who may not replace is told so, and not that a name is taken which was to be replaced. */
async function orDenied<T>({ wantsOverwrite, mayOverwrite }: Move, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const failure = toFileError(error);
    if (failure.code === 'exists' && wantsOverwrite && !mayOverwrite)
      throw denied('overwrite is not allowed');
    throw failure;
  }
}
