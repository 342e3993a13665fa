/** Changes of the tree: folders made, things removed and renamed, and their modes and times. */
import type { AttributeChange, OpenMode, Precondition } from '#shared/file-service/attributes.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import { type Caller, operationName, receiptOf } from './caller.ts';
import { binOrder, type Bins, describeBinned } from './bins.ts';
import { denied, isAFolder, taken, toFileError } from './storage/file-error.ts';
import type { Located, Mounted } from './mounts.ts';
import type { HandleFinder } from './handle-finder.ts';
import type { Openings } from './openings.ts';
import type { OwnUploads } from './own-uploads.ts';
import {
  isAllowed,
  requireAllowed,
  requireAnyAllowed,
  requireFileName,
  requireFreeName,
  requireNoMountPoint,
} from './permissions.ts';
import { findKept, findStored } from './queries.ts';
import { removalsAtOnce } from './limits.ts';
import type { FileContext } from './service-context.ts';
import { Slots } from '#main-agent/turns.ts';
import type { Binned, Removed, RemoveFileOptions, Stored } from './storage/storage.ts';
import type { WriteHandle } from './write-handle.ts';

/** What was removed. */
type Gone = Pick<Removed, 'bytes' | 'binned'>;

const ownUpload = 'an upload that this session has open';

export class Changes {
  readonly #context: FileContext;
  readonly #openings: Openings;
  readonly #finder: HandleFinder;
  readonly #ownUploads: OwnUploads;
  readonly #removing = new Slots(removalsAtOnce);
  readonly #bins: Bins;

  constructor(
    context: FileContext,
    openings: Openings,
    finder: HandleFinder,
    ownUploads: OwnUploads,
    bins: Bins,
  ) {
    this.#bins = bins;
    this.#context = context;
    this.#openings = openings;
    this.#finder = finder;
    this.#ownUploads = ownUploads;
  }

  async makeFolder(session: Caller, params: Params<'fs.make-folder'>): Promise<void> {
    const located = this.#locate(session, params.path);
    const mounted = requireAllowed(located, 'mkdir');
    const { storage, place } = mounted;
    requireFreeName(located);
    if ((await this.#ownUploads.at(session, mounted)) !== undefined) throw taken(ownUpload);
    await storage.makeFolder(place, params.mode, operationName(session, params));
    await storage.dropKept(session.username, place);
    const { path } = located;
    await this.#context.receipts.write(session, { event: 'file.mkdir', path, once: receiptOf(params) });
  }

  async removeFile(
    session: Caller,
    params: Params<'fs.remove-file'>,
    precondition: Precondition | undefined,
  ): Promise<Result<'fs.remove-file'>> {
    const located = this.#locate(session, params.path);
    requireFileName(located);
    const mounted = requireAnyAllowed(located, 'delete', 'write');
    const by = operationName(session, params);
    const own = await this.#ownUploads.at(session, mounted);
    const bin = params.forGood === true ? undefined : binOrder(session, located);
    const { bytes, binned } =
      own === undefined && isAllowed(mounted, 'delete')
        ? await this.#removeStored(session, mounted, { precondition, by, bin })
        : await this.#removeOwn(session, mounted, own, { by, bin });
    const told = this.#context.receipts.write(session, {
      event: 'file.delete',
      path: located.path,
      bytes,
      ...(binned !== undefined && { detail: describeBinned(binned) }),
      once: receiptOf(params),
    });
    await this.#bins.took(session, mounted, binned);
    await told;
    return { binned: binned?.id };
  }

  /**
   * What is the user's own needs no right to delete: an upload that is open, which vanishes at its close as a removed file
   * does on a disk, or what a broken one left. The file that has the name goes with it, and needs the right.
   */
  async #removeOwn(
    session: Caller,
    mounted: Mounted,
    own: WriteHandle | undefined,
    options: RemoveFileOptions,
  ): Promise<Gone> {
    const { by } = options;
    const refusal = denied('delete is not allowed on this mount');
    const { storage } = mounted;
    if (own === undefined) {
      const isDone = storage.journal.recall(by) !== undefined;
      return isDone ? { bytes: 0 } : this.#removeKept(session, mounted, refusal);
    }
    let gone: Gone = { bytes: 0 };
    if ((await findStored(mounted)) !== undefined) {
      if (!isAllowed(mounted, 'delete')) throw refusal;
      gone = await this.#removeStored(session, mounted, options);
    }
    await own.ifOpen(() => storage.unlinkUpload(own.upload.record.id, by));
    return gone;
  }

  async #removeStored(session: Caller, mounted: Mounted, options: RemoveFileOptions): Promise<Gone> {
    try {
      const { id, bytes, binned } = await mounted.storage.removeFile(mounted.place, options);
      this.#context.quota.freed(session.username, mounted.mount, bytes, id);
      // Nothing is left under a name that was removed, neither what a try to replace it left.
      await mounted.storage.dropKept(session.username, mounted.place);
      return { bytes, binned };
    } catch (error) {
      const failure = toFileError(error);
      if (failure.code !== 'not-found') throw failure;
      return this.#removeKept(session, mounted, failure);
    }
  }

  /** A user's own broken upload is the user's to delete. */
  async #removeKept(session: Caller, mounted: Mounted, otherwise: SallyportError): Promise<Gone> {
    const kept = await findKept(session, mounted).catch(() => undefined);
    if (kept === undefined) throw otherwise;
    await mounted.storage.discardKept(kept.record.id);
    return { bytes: kept.size };
  }

  async removeFolder(
    session: Caller,
    params: Params<'fs.remove-folder'>,
  ): Promise<Result<'fs.remove-folder'>> {
    const { recursive } = params;
    const located = this.#locate(session, params.path);
    const mounted = requireAllowed(located, 'delete');
    const { storage, place, mount } = mounted;
    requireNoMountPoint(located);
    if ((await this.#ownUploads.below(session, mounted)).length > 0)
      throw new SallyportError('not-empty', 'The folder is not empty', { detail: ownUpload });
    let bytes = 0;
    let unserved = 0;
    let binned: Binned | undefined;
    try {
      const bin = params.forGood === true ? undefined : binOrder(session, located);
      const remove = (): Promise<Binned | undefined> =>
        storage.removeFolder(place, {
          recursive,
          by: operationName(session, params),
          signal: session.ended,
          bin,
          onRemovedFile: (size) => {
            bytes += size;
          },
          onRemovedUnserved: () => {
            unserved += 1;
          },
        });
      // Into the bin it goes with one rename.
      binned = await (recursive && bin === undefined ? this.#removing.run(remove) : remove());
    } finally {
      this.#context.quota.freed(session.username, mount, bytes);
    }
    const what = recursive
      ? `a folder with all that was in it${describeUnserved(unserved)}`
      : 'an empty folder';
    const told = this.#context.receipts.write(session, {
      event: 'file.delete',
      path: located.path,
      once: receiptOf(params),
      // What is in a folder that was kept whole nobody counted.
      ...(binned === undefined ? { bytes, detail: what } : { detail: `${what}, ${describeBinned(binned)}` }),
    });
    await this.#bins.took(session, mounted, binned);
    await told;
    return { binned: binned?.id };
  }

  async change(session: Caller, params: Params<'fs.change'>, change: AttributeChange): Promise<void> {
    const { path, op } = params;
    const located = this.#locate(session, path);
    if (await this.#changeOwn(session, located, change)) return;
    if (await this.#finish(session, located, params, change)) return;
    const { storage, place } = requireAnyAllowed(located, 'overwrite', 'mkdir');
    requireNoMountPoint(located);
    const { type, size } = await storage.stat(place);
    if (type === 'file') requireAllowed(located, 'overwrite');
    if (change.size === undefined || (type === 'file' && change.size === size)) {
      await this.#context.receipts.room();
      // A length that it has already is none to set: clients give back what STAT told them.
      await storage.change(place, change);
      await this.#tellChange(session, located, params, type, change);
      return;
    }
    if (type === 'folder') throw isAFolder();
    // A new length is new content, of the file as it is.
    const mode: OpenMode = {
      read: false,
      write: true,
      create: 'never',
      truncate: false,
      append: false,
    };
    const { handle } = await this.#openings.open(session, op, path, mode, {});
    try {
      await (await this.#finder.requireWrite(session, handle)).change(change);
    } catch (error) {
      await this.#openings.release(session, handle, 'discard');
      throw error;
    }
    await this.#openings.commit(session, handle, {});
  }

  /** Mode and times of a file that was just made need no right but the one to write it. False: not such a file. */
  async #finish(
    session: Caller,
    located: Located,
    params: Params<'fs.change'>,
    change: AttributeChange,
  ): Promise<boolean> {
    const { mounted } = located;
    if (mounted === undefined || isAllowed(mounted, 'overwrite')) return false;
    const { finishing } = this.#context;
    const isTimesOnly = change.mode === undefined && change.size === undefined;
    const made = await finishing[isTimesOnly ? 'findForTimes' : 'find'](session, mounted);
    const stored = made === undefined ? undefined : await findStored(mounted);
    if (made === undefined || stored?.id !== made.fileId) return false;
    // Some clients give back all that they were told, the length too.
    if (change.size !== undefined && change.size !== stored.size) return false;
    const { size: _same, ...wanted } = change;
    await this.#context.receipts.room();
    await mounted.storage.change(mounted.place, wanted, made.fileId);
    await this.#tellChange(session, located, params, 'file', wanted);
    return true;
  }

  async #tellChange(
    session: Caller,
    { path }: Located,
    params: Params<'fs.change'>,
    type: Stored['type'],
    change: AttributeChange,
  ): Promise<void> {
    const changed = describeChange(change);
    // SETSTAT without a flag asks for nothing.
    if (changed === '') return;
    await this.#context.receipts.write(session, {
      event: 'file.attributes',
      path,
      once: receiptOf(params),
      detail: `${type}, ${changed}`,
    });
  }

  /** What is set on an upload by its name is set on its handle. False: this session has none open there. */
  async #changeOwn(session: Caller, { mounted }: Located, change: AttributeChange): Promise<boolean> {
    const own = mounted === undefined ? undefined : await this.#ownUploads.at(session, mounted);
    if (own === undefined) return false;
    try {
      await own.change(change);
      return true;
    } catch (error) {
      if (isSallyportError(error, 'bad-handle')) return false;
      throw error;
    }
  }

  #locate(session: Caller, path: readonly string[]): Located {
    return this.#context.mounts.locate(session.user(), path);
  }
}

/** Whoever deleted the folder could not see them. */
function describeUnserved(count: number): string {
  return count === 0 ? '' : `, also ${count} that no listing shows`;
}

/** `mode 0640, mtime 2026-11-24T08:00:00.000Z` */
function describeChange({ mode, mtimeMs, atimeMs }: AttributeChange): string {
  const words = [
    mode === undefined ? [] : [`mode ${mode.toString(8).padStart(4, '0')}`],
    mtimeMs === undefined ? [] : [`mtime ${showTime(mtimeMs)}`],
    atimeMs === undefined ? [] : [`atime ${showTime(atimeMs)}`],
  ];
  return words.flat().join(', ');
}

/** Whatever a node says is a time. */
function showTime(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? String(ms) : time.toISOString();
}
