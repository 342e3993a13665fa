/** Changes of the tree: folders made, things removed, renamed, copied, and their modes and times. */
import type { AttributeChange, OpenMode, Precondition } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { FullSession } from '#main-agent/login/session.ts';
import { badHandle, denied, isAFolder, taken, toFileError } from './file-error.ts';
import { copiesAtOnce, scratchBytes } from './limits.ts';
import type { Located, Mounted } from './mounts.ts';
import { type HandleFinder, uploadIdOf } from './handle-finder.ts';
import type { Openings } from './openings.ts';
import {
  isAllowed,
  requireAllowed,
  requireAnyAllowed,
  requireFileName,
  requireFreeName,
  requireNoMountPoint,
} from './permissions.ts';
import { findKept } from './queries.ts';
import { isOwnFolder } from './quota.ts';
import type { FileContext } from './service-context.ts';
import { Slots } from './slots.ts';
import type { OperationName } from './storage/journal.ts';
import type {
  Committed,
  CommittedUpload,
  Renamed,
  RenameOptions,
  Storage,
  StoredFile,
  Upload,
} from './storage/storage.ts';

export class Changes {
  readonly #context: FileContext;
  readonly #openings: Openings;
  readonly #finder: HandleFinder;
  readonly #copying = new Slots(copiesAtOnce);

  constructor(context: FileContext, openings: Openings, finder: HandleFinder) {
    this.#context = context;
    this.#openings = openings;
    this.#finder = finder;
  }

  async makeFolder(session: FullSession, params: Params<'fs.make-folder'>): Promise<void> {
    const located = this.#locate(session, params.path);
    const { storage, place } = requireAllowed(located, 'mkdir');
    requireFreeName(located);
    await storage.makeFolder(place, params.mode, nameOf(session, params));
    this.#context.receipts.write(session, { event: 'file.mkdir', path: located.path });
  }

  async removeFile(
    session: FullSession,
    params: Params<'fs.remove-file'>,
    precondition: Precondition | undefined,
  ): Promise<void> {
    const located = this.#locate(session, params.path);
    requireFileName(located);
    const mounted = requireAnyAllowed(located, 'delete', 'write');
    const bytes = isAllowed(mounted, 'delete')
      ? await this.#removeStored(session, mounted, precondition, nameOf(session, params))
      : await this.#removeKept(session, mounted, denied('delete is not allowed on this mount'));
    this.#context.receipts.write(session, { event: 'file.delete', path: located.path, bytes });
  }

  async #removeStored(
    session: FullSession,
    mounted: Mounted,
    precondition: Precondition | undefined,
    by: OperationName,
  ): Promise<number> {
    try {
      const bytes = await mounted.storage.removeFile(mounted.place, precondition, by);
      this.#context.quota.freed(session.username, mounted.mount, bytes);
      return bytes;
    } catch (error) {
      const failure = toFileError(error);
      if (failure.code !== 'not-found') throw failure;
      return this.#removeKept(session, mounted, failure);
    }
  }

  /** A user's own broken upload is the user's to delete. */
  async #removeKept(session: FullSession, mounted: Mounted, otherwise: SallyportError): Promise<number> {
    const kept = await findKept(session, mounted).catch(() => undefined);
    if (kept === undefined) throw otherwise;
    await mounted.storage.discardKept(kept.record.id);
    return kept.size;
  }

  async removeFolder(session: FullSession, params: Params<'fs.remove-folder'>): Promise<void> {
    const { recursive } = params;
    const located = this.#locate(session, params.path);
    const { storage, place, mount } = requireAllowed(located, 'delete');
    requireNoMountPoint(located);
    let bytes = 0;
    try {
      await storage.removeFolder(place, {
        recursive,
        by: nameOf(session, params),
        signal: session.ended,
        onRemovedFile: (size) => {
          bytes += size;
        },
      });
    } finally {
      this.#context.quota.freed(session.username, mount, bytes);
    }
    this.#context.receipts.write(session, {
      event: 'file.delete',
      path: located.path,
      bytes,
      detail: recursive ? 'a folder with all that was in it' : 'an empty folder',
    });
  }

  async rename(session: FullSession, params: Params<'fs.rename'>): Promise<Result<'fs.rename'>> {
    const user = session.user();
    const from = this.#context.mounts.locate(user, params.from);
    const to = this.#context.mounts.locate(user, params.to);
    const source = requireAllowed(from, 'rename');
    const target = to.mounted;
    if (target === undefined) throw denied('outside all mounts');
    if (target.mount !== source.mount) await requireMovable(from, to);
    requireNoMountPoint(from);
    requireFreeName(to);
    const overwrite = params.overwrite && isAllowed(target, 'overwrite');
    const renamed = await renameStored(source, target, params.overwrite, {
      overwrite,
      by: nameOf(session, params),
    });
    this.#context.quota.freed(session.username, target.mount, renamed.replacedBytes);
    this.#context.receipts.write(session, {
      event: 'file.rename',
      path: from.path,
      toPath: to.path,
      detail: renamed.replaced ? `${renamed.type}, replaced what was there` : renamed.type,
    });
    return { replaced: renamed.replaced };
  }

  async change(session: FullSession, params: Params<'fs.change'>, change: AttributeChange): Promise<void> {
    const { path, op } = params;
    const located = this.#locate(session, path);
    const { storage, place } = requireAnyAllowed(located, 'overwrite', 'mkdir');
    requireNoMountPoint(located);
    const { type } = await storage.stat(place);
    if (type === 'file') requireAllowed(located, 'overwrite');
    if (change.size === undefined) return storage.change(place, change);
    if (type === 'folder') throw isAFolder();
    // A new length is new content: it goes the way of every upload.
    const mode: OpenMode = {
      read: false,
      write: true,
      create: 'never',
      truncate: change.size === 0,
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

  async copy(session: FullSession, params: Params<'fs.copy'>): Promise<Result<'fs.copy'>> {
    const from = this.#locate(session, params.from);
    const to = this.#locate(session, params.to);
    const source = requireAllowed(from, 'read');
    const target = requireAnyAllowed(to, 'write', 'overwrite');
    requireFileName(from);
    requireFileName(to);
    const startedAtMs = this.#context.clock.now();
    const before = await recallCopy(target.storage, nameOf(session, params));
    if (before !== undefined) return { replaced: !before.created };
    const committed = await this.#copying.run(() => this.#copyFile(session, source, target, to, params));
    this.#context.receipts.write(session, {
      event: 'file.copy',
      path: from.path,
      toPath: to.path,
      bytes: committed.attributes.size,
      startedAtMs,
    });
    return { replaced: !committed.created };
  }

  async #copyFile(
    session: FullSession,
    source: Mounted,
    target: Mounted,
    to: Located,
    { op, overwrite }: Params<'fs.copy'>,
  ): Promise<Committed> {
    const { quota, clock, handles } = this.#context;
    const by = { session: session.key, operation: op };
    const id = uploadIdOf(handles.newNumber());
    const account = await quota.open(to.user);
    const file = await source.storage.openFile(source.place);
    let countedBytes = 0;
    const reserve = (bytes: number): void => {
      account.reserve(bytes, session.user().quotaBytes);
      countedBytes += bytes;
    };
    const mayReplace = overwrite && isAllowed(target, 'overwrite');
    const isSameStorage = source.storage === target.storage;
    let upload: Upload | undefined;
    try {
      upload = await target.storage.beginUpload(target.place, {
        record: {
          id,
          user: session.username,
          session: session.key,
          virtualPath: to.path.components,
          place: target.place,
          startedAtMs: clock.now(),
          exclusive: false,
          append: false,
          readable: false,
          operation: op,
        },
        choose: (existing) => {
          if (existing !== undefined && !mayReplace) throw taken('copy target exists');
          if (existing === undefined && !isAllowed(target, 'write')) throw denied('write is not allowed');
          return isSameStorage ? { from: 'copy', of: source.place } : { from: 'empty' };
        },
        onStartBytes: reserve,
      });
      if (!isSameStorage) await copyBytes(file, upload, session.ended, reserve);
      await target.storage.journal.note({ ...by, id, replaced: false });
      const committed = await upload.commit({
        mayReplace,
        mayCreate: isAllowed(target, 'write'),
        keptVersionBytesMax: 0,
      });
      const isOwn = isOwnFolder(target.mount, session.username);
      const { replacedBytes, attributes } = committed;
      account.committed(countedBytes, replacedBytes, isOwn ? undefined : attributes.id);
      return committed;
    } catch (error) {
      account.release(countedBytes);
      await upload?.discard();
      throw error;
    } finally {
      await file.close();
    }
  }

  /** SFTP copy-data: bytes of one open file into another; stops at the end of the source. */
  async copyRange(session: FullSession, params: Params<'fs.copy-range'>): Promise<Result<'fs.copy-range'>> {
    const from = await this.#finder.requireReadable(session, params.from);
    const to = await this.#finder.requireWrite(session, params.to);
    if (from === to) throw badHandle('a file can not be copied into itself');
    const lengthBytes =
      params.lengthBytes === 0 ? Math.max(0, from.size - params.fromOffset) : params.lengthBytes;
    const buffer = Buffer.allocUnsafeSlow(Math.min(scratchBytes, Math.max(1, lengthBytes)));
    let copiedBytes = 0;
    while (copiedBytes < lengthBytes) {
      session.ended.throwIfAborted();
      const wanted = buffer.subarray(0, Math.min(buffer.length, lengthBytes - copiedBytes));
      const bytes = await from.read([wanted], params.fromOffset + copiedBytes);
      if (bytes === 0) break;
      await to.write([wanted.subarray(0, bytes)], params.toOffset + copiedBytes);
      copiedBytes += bytes;
    }
    return { copiedBytes };
  }

  #locate(session: FullSession, path: readonly string[]): Located {
    return this.#context.mounts.locate(session.user(), path);
  }
}

async function copyBytes(
  from: StoredFile,
  to: Upload,
  signal: AbortSignal,
  reserve: (bytes: number) => void,
): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(scratchBytes);
  for (let position = 0; ;) {
    signal.throwIfAborted();
    const bytes = await from.read([buffer], position);
    if (bytes === 0) return;
    reserve(bytes);
    await to.write([buffer.subarray(0, bytes)], position);
    position += bytes;
  }
}

/** From one mount to another: it leaves the one and comes into being in the other. */
async function requireMovable(from: Located, to: Located): Promise<void> {
  const source = requireAllowed(from, 'delete');
  const target = requireAllowed(to, 'write');
  if (source.storage !== target.storage) {
    throw new SallyportError('unsupported', 'That can not be moved to another storage; copy it instead');
  }
  if (isAllowed(target, 'mkdir')) return;
  const { type } = await source.storage.stat(source.place);
  if (type === 'folder') throw denied('mkdir is not allowed on the target mount');
}

async function renameStored(
  source: Mounted,
  target: Mounted,
  wantsOverwrite: boolean,
  options: RenameOptions,
): Promise<Renamed> {
  try {
    return await source.storage.rename(source.place, target.place, options);
  } catch (error) {
    const failure = toFileError(error);
    if (failure.code === 'exists' && wantsOverwrite && !options.overwrite) {
      throw denied('overwrite is not allowed');
    }
    throw failure;
  }
}

/** A copy that an earlier process finished and could not answer. */
async function recallCopy(storage: Storage, by: OperationName): Promise<CommittedUpload | undefined> {
  const intent = storage.journal.recall(by);
  return intent === undefined ? undefined : storage.findCommitted(intent.id, by.session);
}

function nameOf(session: FullSession, { op }: { readonly op: number }): OperationName {
  return { session: session.key, operation: op };
}
