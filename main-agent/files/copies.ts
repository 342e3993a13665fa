/** Copies on main, so that their bytes do not travel to a client and back: whole files, and ranges of open ones. */
import type { Asker } from '#shared/link/asker.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import { SallyportError } from '#shared/error.ts';
import { type Caller, operationName, receiptOf } from './caller.ts';
import { binOrder, type Bins, describeReplaced } from './bins.ts';
import { badHandle, denied, taken } from './storage/file-error.ts';
import {
  type HandleFinder,
  requireStillReadable,
  requireStillWritable,
  uploadIdOf,
} from './handle-finder.ts';
import { copiesAtOnce, scratchBytes } from './limits.ts';
import type { Located, Mounted } from './mounts.ts';
import { isAllowed, requireAllowed, requireAnyAllowed, requireFileName } from './permissions.ts';
import { isOwnFolder } from './quota.ts';
import type { FileContext } from './service-context.ts';
import { Slots } from '#main-agent/turns.ts';
import type { OperationName } from './storage/storage.ts';
import type { Committed, CommittedUpload, Storage, StoredFile, Upload } from './storage/storage.ts';

export class Copies {
  readonly #context: FileContext;
  readonly #finder: HandleFinder;
  readonly #bins: Bins;
  readonly #copying = new Slots(copiesAtOnce);

  constructor(context: FileContext, finder: HandleFinder, bins: Bins) {
    this.#bins = bins;
    this.#context = context;
    this.#finder = finder;
  }

  async copy(session: Caller, params: Params<'fs.copy'>, asker?: Asker): Promise<Result<'fs.copy'>> {
    const from = this.#context.mounts.locate(session.user(), params.from);
    const to = this.#context.mounts.locate(session.user(), params.to);
    const source = requireAllowed(from, 'read');
    const target = requireAnyAllowed(to, 'write', 'overwrite');
    requireFileName(from);
    requireFileName(to);
    const startedAtMs = this.#context.clock.now();
    const before = await recallCopy(target.storage, operationName(session, params));
    const committed: Omit<Committed, 'replacedBytes'> =
      before === undefined
        ? await this.#copying.run(() => this.#copyFile(session, source, target, to, params), asker)
        : { ...before, binned: target.storage.bin.keptBy(operationName(session, params)) };
    const told = this.#context.receipts.write(session, {
      event: 'file.copy',
      once: receiptOf(params),
      path: from.path,
      toPath: to.path,
      bytes: committed.attributes.size,
      startedAtMs,
      detail: describeReplaced(committed.created, committed.binned),
    });
    await this.#bins.took(session, target, committed.binned);
    await told;
    return { replaced: !committed.created, binned: committed.binned?.id };
  }

  async #copyFile(
    session: Caller,
    source: Mounted,
    target: Mounted,
    to: Located,
    params: Params<'fs.copy'>,
  ): Promise<Committed> {
    const { quota, clock, handles } = this.#context;
    const id = uploadIdOf(handles.newNumber());
    const account = await quota.open(to.user);
    const file = await source.storage.openFile(source.place);
    let countedBytes = 0;
    const reserve = (bytes: number): void => {
      account.reserve(bytes, session.user().quotaBytes);
      countedBytes += bytes;
    };
    const mayReplace = params.overwrite && isAllowed(target, 'overwrite');
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
          operation: params.op,
          isCopy: true,
        },
        choose: (existing) => {
          if (existing !== undefined && !mayReplace) throw taken('copy target exists');
          if (existing === undefined && !isAllowed(target, 'write')) throw denied('write is not allowed');
          return isSameStorage ? { from: 'copy', of: source.place } : { from: 'empty' };
        },
        onStartBytes: reserve,
      });
      if (!isSameStorage) await copyBytes(file, upload, session.ended, reserve);
      await target.storage.journal.note({ ...operationName(session, params), id, replaced: false });
      const committed = await upload.commit({
        mayReplace,
        mayCreate: isAllowed(target, 'write'),
        keptVersionBytesMax: 0,
        bin: binOrder(session, to),
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
  async copyRange(session: Caller, params: Params<'fs.copy-range'>): Promise<Result<'fs.copy-range'>> {
    const from = await this.#finder.requireReadable(session, params.from);
    const to = await this.#finder.requireWrite(session, params.to);
    // Sent again after a crash, it would be there twice.
    if (to.upload.record.append) {
      throw new SallyportError('unsupported', 'Nothing is copied into a file that is open for appending');
    }
    if (from === to) throw badHandle('a file can not be copied into itself');
    const lengthBytes =
      params.lengthBytes === 0 ? Math.max(0, from.size - params.fromOffset) : params.lengthBytes;
    const buffer = Buffer.allocUnsafeSlow(Math.min(scratchBytes, Math.max(1, lengthBytes)));
    let copiedBytes = 0;
    while (copiedBytes < lengthBytes) {
      session.ended.throwIfAborted();
      const user = session.user();
      requireStillReadable(this.#context.mounts, user, from);
      requireStillWritable(this.#context.mounts, user, to);
      const wanted = buffer.subarray(0, Math.min(buffer.length, lengthBytes - copiedBytes));
      const bytes = await from.read([wanted], params.fromOffset + copiedBytes);
      if (bytes === 0) break;
      await to.write([wanted.subarray(0, bytes)], params.toOffset + copiedBytes);
      copiedBytes += bytes;
    }
    return { copiedBytes };
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

/** A copy that an earlier process finished and could not answer. */
async function recallCopy(storage: Storage, by: OperationName): Promise<CommittedUpload | undefined> {
  const intent = storage.journal.recall(by);
  return intent === undefined ? undefined : storage.findCommitted(intent.id, by.session);
}
