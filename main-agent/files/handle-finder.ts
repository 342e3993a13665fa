/**
 * From the number a session names to what is open under it. A number that this process never gave out may be one of the
 * process before it: then the upload's record or the journal says what it was, and it is opened again as if nothing had
 * happened.
 */
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Caller } from './caller.ts';
import { badHandle, denied } from './storage/file-error.ts';
import type { Handle } from './handles.ts';
import type { Located, Mounted, MountTree } from './mounts.ts';
import { isAllowed, requireAllowed, requireAnyAllowed } from './permissions.ts';
import { changed, ReadHandle } from './read-handle.ts';
import type { FileContext } from './service-context.ts';
import type { OperationJournal, Reader } from './storage/storage.ts';
import type { Storage, StoredFile, Upload } from './storage/storage.ts';
import { WriteHandle } from './write-handle.ts';

/** Handles and staging files share a name, so that a handle is found again after a restart. */
export function uploadIdOf(handle: number): string {
  return handle.toString(36);
}

export class HandleFinder {
  readonly #context: FileContext;
  readonly #adopting = new Map<string, Promise<Handle | undefined>>();

  constructor(context: FileContext) {
    this.#context = context;
  }

  /** Ends the handle when the session is over meanwhile; an upload that was taken up again stays resumable. */
  async add(session: Caller, number: number, handle: Handle): Promise<void> {
    try {
      this.#context.handles.add(session, number, handle);
    } catch (error) {
      await handle.end('keep');
      throw error;
    }
  }

  /** `upload`: the id of the session's own open upload, where its bytes are what is read. */
  async addReader(
    session: Caller,
    handle: ReadHandle,
    journal: OperationJournal,
    upload?: string,
  ): Promise<void> {
    const { number } = handle;
    await this.add(session, number, handle);
    journal.noteReader({
      session: session.key,
      handle: number,
      virtualPath: handle.located.path.components,
      etag: handle.attributes.etag ?? '',
      fileId: handle.attributes.id,
      size: handle.size,
      startedAtMs: handle.startedAtMs,
      ...(upload !== undefined && { beside: { upload } }),
    });
    handle.onEnd = () => journal.forgetReader(number);
    handle.onTold = () => journal.noteTold(number);
  }

  /**
   * What an earlier process had open for reading under this number, if nobody has asked this one for it, and what to do
   * once its end is told.
   */
  readBefore(
    session: Caller,
    number: number,
  ): { readonly reader: Reader; readonly onTold: () => void } | undefined {
    const { handles, mounts } = this.#context;
    if (handles.find(session, number) !== undefined || this.#adopting.has(adoptingKey(session, number)))
      return undefined;
    for (const { journal } of mounts.storages) {
      const reader = journal.recallReader(session.key, number);
      if (reader !== undefined) return { reader, onTold: () => journal.noteTold(number) };
    }
    return undefined;
  }

  async find(session: Caller, number: number): Promise<Handle | undefined> {
    return this.#context.handles.find(session, number) ?? this.#adopt(session, number);
  }

  async requireFile(session: Caller, number: number): Promise<ReadHandle | WriteHandle> {
    const handle = await this.find(session, number);
    if (handle === undefined || handle.kind === 'folder') throw badHandle('no such file handle');
    return handle;
  }

  async requireWrite(session: Caller, number: number): Promise<WriteHandle> {
    const handle = await this.requireFile(session, number);
    if (handle.kind !== 'write') throw badHandle('opened for reading only');
    requireStillWritable(this.#context.mounts, session.user(), handle);
    return handle;
  }

  async requireReadable(session: Caller, number: number): Promise<ReadHandle | WriteHandle> {
    const handle = await this.requireFile(session, number);
    if (handle.kind === 'write' && !handle.upload.record.readable) throw denied('opened for writing only');
    requireStillReadable(this.#context.mounts, session.user(), handle);
    return handle;
  }

  /** All that the session had open for writing when an earlier process ended, whether or not it is named again. */
  async adoptAll(session: Caller): Promise<void> {
    for (const storage of this.#context.mounts.storages) {
      for (const id of storage.openBefore(session.key)) await this.#tryToFind(session, id);
    }
  }

  async #tryToFind(session: Caller, id: string): Promise<void> {
    try {
      await this.find(session, Number.parseInt(id, 36));
    } catch (error) {
      // Whoever asks for the handle itself is told; here it is only one name fewer.
      this.#context.log.debug({ err: error, upload: id }, 'an upload could not be taken up again');
    }
  }

  /** Once, however many requests and streams ask at the same time. */
  #adopt(session: Caller, number: number): Promise<Handle | undefined> {
    const key = adoptingKey(session, number);
    const running = this.#adopting.get(key);
    if (running !== undefined) return running;
    const adopting = this.#adoptFrom(session, number).finally(() => this.#adopting.delete(key));
    this.#adopting.set(key, adopting);
    return adopting;
  }

  async #adoptFrom(session: Caller, number: number): Promise<Handle | undefined> {
    for (const storage of this.#context.mounts.storages) {
      const handle =
        (await this.#adoptUpload(session, number, storage)) ??
        (await this.#adoptReader(session, number, storage));
      if (handle !== undefined) return handle;
    }
    return undefined;
  }

  async #adoptUpload(session: Caller, number: number, storage: Storage): Promise<WriteHandle | undefined> {
    const { mounts, quota, log } = this.#context;
    const upload = await storage.adoptUpload(uploadIdOf(number), session.key);
    if (upload === undefined) return undefined;
    try {
      const user = session.user();
      const located = mounts.locate(user, upload.record.virtualPath);
      requireSamePlace(located, upload);
      const account = await quota.open(user);
      // It was within the quota when it was written.
      if (upload.atomic) account.reserve(upload.initialSize, undefined);
      const handle = new WriteHandle(upload, located, account, () => session.user().quotaBytes);
      await this.add(session, number, handle);
      return handle;
    } catch (error) {
      log.warn({ err: error, upload: upload.record.id }, 'an upload could not be taken up again');
      await upload.keep();
      return undefined;
    }
  }

  async #adoptReader(session: Caller, number: number, storage: Storage): Promise<ReadHandle | undefined> {
    const reader = storage.journal.recallReader(session.key, number);
    if (reader === undefined) return undefined;
    const located = this.#context.mounts.locate(session.user(), reader.virtualPath);
    const mounted = requireAllowed(located, 'read');
    const file = (await this.#openBeside(session, reader)) ?? (await mounted.storage.openFile(mounted.place));
    const { beside, etag, fileId, startedAtMs } = reader;
    const isOneVersion = session.protocol === 'https';
    const { attributes } = file;
    if (isOneVersion ? attributes.etag !== etag : attributes.id !== fileId) {
      await file.close();
      throw changed();
    }
    const handle = new ReadHandle(file, located, startedAtMs, { number, isOneVersion });
    await this.addReader(session, handle, mounted.storage.journal, beside?.upload);
    return handle;
  }

  async #openBeside(session: Caller, { beside }: Reader): Promise<StoredFile | undefined> {
    if (beside === undefined) return undefined;
    const writing = await this.find(session, Number.parseInt(beside.upload, 36));
    return writing?.kind === 'write' ? writing.openBeside() : undefined;
  }
}

function adoptingKey({ key }: Caller, number: number): string {
  return `${key} ${number}`;
}

/** A right that was taken away since a file was opened does not outlive it in the handle. */
export function requireStillReadable(
  mounts: MountTree,
  user: EffectiveUser,
  handle: ReadHandle | WriteHandle,
): void {
  const path = handle.kind === 'read' ? handle.located.path.components : handle.upload.record.virtualPath;
  requireAllowed(mounts.locate(user, path), 'read');
}

export function isReadable(mounts: MountTree, user: EffectiveUser, handle: ReadHandle): boolean {
  const { mounted } = mounts.locate(user, handle.located.path.components);
  return mounted !== undefined && isAllowed(mounted, 'read');
}

/** Of an upload this only ends early what could not be committed any more. */
export function requireStillWritable(mounts: MountTree, user: EffectiveUser, { upload }: WriteHandle): void {
  const { atomic, record } = upload;
  const located = mounts.locate(user, record.virtualPath);
  // Somebody's file as it is; what is one's own upload, or was, is not.
  if (!atomic && record.replaces && record.joins === undefined) requireAllowed(located, 'overwrite');
  else requireAnyAllowed(located, 'write', 'overwrite');
  if (!atomic) requireSamePlace(located, upload);
}

/** A mount may have been moved or taken away since the upload began. */
export function requireSamePlace(located: Located, { record }: Pick<Upload, 'record'>): Mounted {
  const { mounted } = located;
  const isSame =
    mounted !== undefined &&
    JSON.stringify([mounted.place.root, mounted.place.path]) ===
      JSON.stringify([record.place.root, record.place.path]);
  if (!isSame) throw denied('the mount is not what it was when the upload began');
  return mounted;
}
