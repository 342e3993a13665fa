/** Files that are opened, written to, committed and let go of, and the streams on them. */
import type { AttributeChange, OpenMode, Precondition } from '#shared/file-service/attributes.ts';
import type { SallyportError } from '#shared/error.ts';
import { requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import { type Result, toldContentBytesMax } from '#shared/link/messages.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { Caller } from './caller.ts';
import { binOrder, type Bins, describeReplaced } from './bins.ts';
import { badHandle, denied, notFound, taken, toFileError } from './storage/file-error.ts';
import type { Handle } from './handles.ts';
import { shown } from './listing.ts';
import type { Located, Mounted } from './mounts.ts';
import type { OwnUploads } from './own-uploads.ts';
import { isAllowed, requireAllowed, requireAnyAllowed, requireFileName } from './permissions.ts';
import { type HandleFinder, isReadable, requireSamePlace, uploadIdOf } from './handle-finder.ts';
import { inPlaceDigestBytesMax } from './limits.ts';
import { judgeReadBefore, ReadHandle, type ReadOutcome, type Taken } from './read-handle.ts';
import type { FileContext } from './service-context.ts';
import type {
  BeginUpload,
  Binned,
  CommittedUpload,
  Ending,
  KeptUpload,
  Reader,
  Stored,
  Upload,
  UploadRecord,
  UploadStart,
} from './storage/storage.ts';
import type { Digest } from './upload-digest.ts';
import { type CommitOutcome, WriteHandle } from './write-handle.ts';

/** After these a broken-off commit can't become good by resuming the upload. */
const finalRefusals: readonly string[] = [
  'precondition-failed',
  'exists',
  'permission-denied',
  'is-a-folder',
];

/** A resumable upload outlives every refusal: its user may make room for it, or remove it. A PUT has no way to go on. */
function endingAfter(failure: SallyportError, { upload }: WriteHandle, { protocol }: FullSession): Ending {
  if (upload.record.resumable !== undefined) return 'keep';
  return protocol === 'https' || finalRefusals.includes(failure.code) ? 'discard' : 'keep';
}

/** One OPEN for writing, looked up. */
interface Opening {
  readonly session: Caller;
  readonly located: Located;
  readonly mounted: Mounted;
  readonly mode: OpenMode;
  readonly attributes: AttributeChange;
  readonly number: number;
  readonly record: BeginUpload['record'];
}

interface CommitParams {
  readonly precondition?: Precondition | undefined;
  readonly mtimeMs?: number | undefined;
}

export class Openings {
  readonly #context: FileContext;
  readonly #finder: HandleFinder;
  readonly #ownUploads: OwnUploads;
  readonly #bins: Bins;
  readonly #releasing = new Map<number, Promise<void>>();

  constructor(context: FileContext, finder: HandleFinder, ownUploads: OwnUploads, bins: Bins) {
    this.#bins = bins;
    this.#context = context;
    this.#finder = finder;
    this.#ownUploads = ownUploads;
  }

  async open(
    session: Caller,
    operation: number,
    path: readonly string[],
    mode: OpenMode,
    attributes: AttributeChange,
    contentUpTo = 0,
  ): Promise<Result<'fs.open'>> {
    const located = this.#context.mounts.locate(session.user(), path);
    requireFileName(located);
    const done = this.#context.handles.reserve(session);
    try {
      return mode.write
        ? await this.#openForWriting(session, operation, located, mode, attributes)
        : await this.#openForReading(session, located, contentUpTo);
    } finally {
      done();
    }
  }

  async #openForReading(session: Caller, located: Located, contentUpTo: number): Promise<Result<'fs.open'>> {
    const mounted = requireAllowed(located, 'read');
    const { storage, place } = mounted;
    const { handles, clock } = this.#context;
    const number = handles.newNumber();
    const own = await this.#ownUploads.at(session, mounted);
    const beside = await own?.openBeside();
    const file = beside ?? (await storage.openFile(place));
    const isOneVersion = session.protocol === 'https';
    const handle = new ReadHandle(file, located, clock.now(), { number, isOneVersion });
    const uploadId = beside === undefined ? undefined : own?.upload.record.id;
    await this.#finder.addReader(session, handle, storage.journal, uploadId);
    const opened = { handle: number, attributes: shown(handle.attributes), created: false };
    // An upload of its own session is read beside the writing; whose speed is limited waits for each turn.
    if (beside !== undefined || session.user().limits.downloadBytesPerSecond !== undefined) return opened;
    const contentNow = await this.#prepareContent(session, handle, contentUpTo);
    const isStillReadable = (): boolean => isReadable(this.#context.mounts, session.user(), handle);
    return {
      ...opened,
      // Asked when the answer is encoded: what is about to change from then on is told after the answer.
      get content() {
        return session.isThere() && isStillReadable() ? contentNow() : undefined;
      },
    };
  }

  /** A file that can't be read now is opened all the same: who reads it is told why. */
  async #prepareContent(
    session: Caller,
    handle: ReadHandle,
    bytesMax: number,
  ): Promise<() => string | undefined> {
    try {
      return await handle.prepareContent(bytesMax, () => session.tellChanging(handle.number));
    } catch {
      return () => undefined;
    }
  }

  async #openForWriting(
    session: Caller,
    operation: number,
    located: Located,
    mode: OpenMode,
    attributes: AttributeChange,
  ): Promise<Result<'fs.open'>> {
    const mounted = requireAnyAllowed(located, 'write', 'overwrite');
    if (mode.read) requireAllowed(located, 'read');
    const { handles, clock } = this.#context;
    const own = await this.#ownUploads.at(session, mounted);
    const begun =
      handles.uploadBegunBy(session, operation) ?? mounted.storage.findUpload(session.key, operation);
    if (begun === undefined && own !== undefined && mode.create === 'exclusive')
      throw taken('an upload that this session has open');
    const number = begun === undefined ? handles.newNumber() : Number.parseInt(begun, 36);
    const record = {
      id: uploadIdOf(number),
      user: session.username,
      session: session.key,
      virtualPath: located.path.components,
      place: mounted.place,
      startedAtMs: clock.now(),
      exclusive: mode.create === 'exclusive',
      append: mode.append,
      readable: mode.read,
      operation,
    };
    const opening: Opening = { session, located, mounted, mode, attributes, number, record };
    const handle =
      begun === undefined
        ? ((await this.#join(opening, own)) ?? (await this.#begin(opening)))
        : await this.#finder.requireWrite(session, number);
    return {
      handle: number,
      attributes: shown(await handle.stat()),
      created: !handle.upload.record.replaces,
      // Of what is appended a number says what has landed, which streams count; whose speed is limited waits for each turn.
      ...(!mode.append &&
        session.user().limits.uploadBytesPerSecond === undefined && { writeUpTo: toldContentBytesMax }),
    };
  }

  /** Once more what this session is uploading under the name. Undefined: nothing, or not any more. */
  async #join(
    { session, located, mounted, mode, number, record }: Opening,
    own: WriteHandle | undefined,
  ): Promise<WriteHandle | undefined> {
    if (own === undefined) return undefined;
    const account = await this.#context.quota.open(located.user);
    const { id } = own.upload.record;
    const upload = await mounted.storage.joinUpload(id, { record, truncate: mode.truncate });
    if (upload === undefined) return undefined;
    const handle = new WriteHandle(upload, located, account, () => session.user().quotaBytes);
    await this.#finder.add(session, number, handle);
    return handle;
  }

  async #begin({
    session,
    located,
    mounted,
    mode,
    attributes,
    number,
    record,
  }: Opening): Promise<WriteHandle> {
    const { storage, place, mount } = mounted;
    const account = await this.#context.quota.open(located.user);
    let reservedBytes = 0;
    const begin: BeginUpload = {
      record,
      choose: (existing, kept) => chooseStart(mounted, mode, existing, kept),
      bin: binOrder(session, located),
      ...(attributes.mode !== undefined && { mode: attributes.mode }),
      onStartBytes: (bytes) => {
        account.reserve(bytes, session.user().quotaBytes);
        reservedBytes += bytes;
      },
    };
    let upload: Upload;
    try {
      upload = await (mount.uploads === 'atomic'
        ? storage.beginUpload(place, begin)
        : storage.openInPlace(place, begin));
    } catch (error) {
      account.release(reservedBytes);
      throw error;
    }
    // A mode is for a file that comes into being.
    const { mode: _forNew, ...others } = attributes;
    const wished = upload.record.replaces ? others : attributes;
    const handle = new WriteHandle(upload, located, account, () => session.user().quotaBytes, wished);
    await this.#finder.add(session, number, handle);
    return handle;
  }

  async commit(session: Caller, number: number, params: CommitParams): Promise<Result<'fs.commit'>> {
    const handle = await this.#finder.find(session, number);
    if (handle === undefined) return this.#committedBefore(session, number);
    if (handle.kind === 'read') {
      const attributes = shown(await handle.stat());
      await this.release(session, number, 'keep');
      return { attributes, created: false };
    }
    if (handle.kind !== 'write') throw badHandle('no such handle for writing');
    await this.#context.receipts.room();
    try {
      const outcome = await this.#commitUpload(session, handle, params);
      this.#context.handles.take(session, number);
      if (outcome.unsynced !== undefined) throw outcome.unsynced;
      return {
        attributes: shown(outcome.attributes),
        created: outcome.created,
        ...(outcome.digest.sha256 !== undefined && { sha256: outcome.digest.sha256 }),
        binned: outcome.binned?.id,
      };
    } catch (error) {
      const failure = toFileError(error);
      await this.release(session, number, endingAfter(failure, handle, session), {
        reason: failure,
        failed: true,
      });
      throw failure;
    }
  }

  async #commitUpload(
    session: Caller,
    handle: WriteHandle,
    { precondition, mtimeMs }: CommitParams,
  ): Promise<CommitOutcome> {
    const { mounts, receipts, quota } = this.#context;
    const { record } = handle.upload;
    if (record.unlinked === true) return this.#commitUnlinked(session, handle);
    // Decided now and not when it was opened: what an admin took away meanwhile is not allowed any more.
    const located = mounts.locate(session.user(), record.virtualPath);
    const mounted = requireSamePlace(located, handle.upload);
    const { mount } = mounted;
    const { resumable } = record;
    if (resumable !== undefined && handle.size !== resumable.lengthBytes)
      throw badHandle(`${handle.size} of ${resumable.lengthBytes} bytes`);
    const account = await quota.open(located.user);
    const limitBytes = located.user.quotaBytes ?? Number.MAX_SAFE_INTEGER;
    const outcome = await handle.commit({
      mayReplace: mount.allow.has('overwrite') && !record.exclusive && resumable?.overwrite !== false,
      mayCreate: mount.allow.has('write'),
      keptVersionBytesMax: Math.max(0, limitBytes - account.usedBytes),
      bin: binOrder(session, located),
      ...(precondition !== undefined && { precondition }),
      ...withMtime(mtimeMs ?? resumable?.mtimeMs),
    });
    const { unsynced } = outcome;
    if (resumable !== undefined && unsynced === undefined) this.#context.finishedUploads.add(record);
    const told = receipts.write(session, {
      event: 'file.upload',
      once: commitOf(record),
      outcome: unsynced === undefined ? 'ok' : 'failed',
      path: located.path,
      bytes: outcome.attributes.size,
      ...(outcome.digest.sha256 !== undefined && { sha256: outcome.digest.sha256 }),
      startedAtMs: record.startedAtMs,
      detail: [
        describeUpload(handle, outcome),
        digestWords[outcome.digest.how],
        ...(unsynced === undefined ? [] : ['there, but its folder could not be synced']),
      ].join(', '),
    });
    if (outcome.created || handle.upload.atomic || handle.upload.freedBytes > 0) {
      const { id: fileId } = outcome.attributes;
      await this.#context.finishing.made(session, mounted, { uploadId: record.id, fileId });
    }
    await this.#bins.took(session, mounted, outcome.binned);
    await told;
    return outcome;
  }

  /** Its name was taken from it while it was written: the client is content, and nothing is there. */
  async #commitUnlinked(session: Caller, handle: WriteHandle): Promise<CommitOutcome> {
    const outcome = await handle.commit({ mayReplace: false, mayCreate: false, keptVersionBytesMax: 0 });
    await this.#context.receipts.write(session, {
      event: 'file.upload',
      once: commitOf(handle.upload.record),
      outcome: 'failed',
      path: handle.path,
      bytes: outcome.attributes.size,
      startedAtMs: handle.upload.record.startedAtMs,
      detail: nothingStored,
    });
    return outcome;
  }

  /** The commit happened and its answer was lost with the process that gave it. */
  async #committedBefore(session: Caller, number: number): Promise<Result<'fs.commit'>> {
    for (const storage of this.#context.mounts.storages) {
      const committed = await storage.findCommitted(uploadIdOf(number), session.key);
      if (committed !== undefined) {
        const { created, record, attributes } = committed;
        const binned = storage.bin.keptBy(record);
        await this.#tellCommittedBefore(session, committed, binned);
        return { attributes: shown(attributes), created, binned: binned?.id };
      }
    }
    throw badHandle('no such handle in this session');
  }

  /** Unless that process has told it. */
  #tellCommittedBefore(
    session: Caller,
    { created, record, attributes }: CommittedUpload,
    binned: Binned | undefined,
  ): Promise<boolean> {
    const isUnlinked = record.unlinked === true;
    return this.#context.receipts.write(session, {
      event: 'file.upload',
      once: commitOf(record),
      ...(isUnlinked && { outcome: 'failed' }),
      path: requireComponents(record.virtualPath),
      bytes: attributes.size,
      startedAtMs: record.startedAtMs,
      detail: isUnlinked
        ? nothingStored
        : `${describeReplaced(created, binned)}, its digest was lost with a process that was killed`,
    });
  }

  /**
   * Lets go of a handle; unknown numbers are none of anybody's business. What is sent again over the next link, while the
   * first still waits for its receipt, waits with it.
   */
  release(session: Caller, number: number, how: Ending, ended: Ended = {}): Promise<void> {
    const before = this.#releasing.get(number);
    if (before !== undefined) return before;
    const releasing = this.#release(session, number, how, ended).finally(() =>
      this.#releasing.delete(number),
    );
    this.#releasing.set(number, releasing);
    return releasing;
  }

  async #release(session: Caller, number: number, how: Ending, ended: Ended): Promise<void> {
    const before = this.#finder.readBefore(session, number);
    if (before !== undefined) {
      if (await this.#tellReadBefore(session, before.reader, ended)) before.onTold();
      return;
    }
    await this.#finder.find(session, number);
    const handle = this.#context.handles.take(session, number);
    if (handle !== undefined) await this.end(session, handle, how, ended);
  }

  /** All was read when main was killed, or its client left: only the node knows, and nothing need be opened to tell it. */
  async #tellReadBefore(session: Caller, reader: Reader, ended: Ended): Promise<boolean> {
    if (ended.taken === undefined) return false;
    const how = { isOneVersion: session.protocol === 'https', isCut: ended.cut === true };
    return this.#tellRead(session, {
      ...reader,
      path: requireComponents(reader.virtualPath),
      read: judgeReadBefore(reader.size ?? ended.taken.end, ended.taken, how),
    });
  }

  #tellRead(session: FullSession, { handle, path, startedAtMs, read, reason }: Reading): Promise<boolean> {
    const detail = read.outcome === 'ok' ? undefined : describeEnd(read.outcome, reason);
    return this.#context.receipts.write(session, {
      event: 'file.download',
      once: `reading ${handle}`,
      path,
      startedAtMs,
      ...read,
      ...(detail !== undefined && { detail }),
    });
  }

  async end(session: FullSession, handle: Handle, how: Ending, ended: Ended = {}): Promise<void> {
    const { reason, cut = reason !== undefined } = ended;
    // Before its streams are stopped, which forgets what they sent.
    const read = handle.kind === 'read' ? handle.judge(ended.taken, cut) : undefined;
    try {
      await handle.end(how, reason);
    } catch (error) {
      this.#context.log.warn({ err: error }, 'a file could not be let go of as it should');
    }
    if (how === 'abandon' || handle.kind === 'folder') return;
    const { receipts } = this.#context;
    if (handle.kind === 'read') {
      // An earlier process may have read all that there was to read.
      if ((!handle.wasRead && ended.taken === undefined) || read === undefined) return;
      const { number, located, startedAtMs, failure } = handle;
      const { path } = located;
      const told = { handle: number, path, startedAtMs, read, reason: reason ?? failure };
      if (await this.#tellRead(session, told)) handle.onTold();
      return;
    }
    const { record, size: bytes, atomic } = handle.upload;
    // Opened and closed, and nothing happened to the file.
    if (!atomic && record.replaces && !handle.hasChanged) return;
    const { resumable } = record;
    const why = reason ?? handle.failure;
    const isFailed = ended.failed === true || handle.failure !== undefined;
    const isPiece = resumable !== undefined && reason === undefined;
    await receipts.write(session, {
      event: 'file.upload',
      outcome: isFailed ? 'failed' : cut ? 'cut' : isPiece ? 'partial' : 'failed',
      path: handle.path,
      bytes,
      ...(resumable !== undefined && { size: resumable.lengthBytes }),
      startedAtMs: record.startedAtMs,
      detail: `${why === undefined ? 'not finished' : why.code}, ${leftBehind(handle, how)}`,
    });
  }
}

/** What is told of one file that was read. */
interface Reading {
  readonly handle: number;
  readonly path: VirtualPath;
  readonly startedAtMs: number;
  readonly read: ReadOutcome;
  readonly reason?: SallyportError | undefined;
}

/** Why a handle ends that was not committed. */
interface Ended {
  /** Ended here, and what running streams are told; absent: the node let go of it. */
  readonly reason?: SallyportError;
  /** The reason is why it could not be committed. */
  readonly failed?: boolean;
  /** What the node says that its client has taken. */
  readonly taken?: Taken | undefined;
  /** Its client did not end it. */
  readonly cut?: boolean | undefined;
}

function describeEnd(outcome: AuditRecord['outcome'], reason: SallyportError | undefined): string {
  if (reason !== undefined) return reason.publicMessage;
  return outcome === 'cut' ? 'the client went away' : 'the client closed it before its end';
}

function leftBehind({ upload, writtenBytes }: WriteHandle, how: Ending): string {
  if (!upload.atomic) return `edited in place, ${writtenBytes} bytes written`;
  return how === 'keep' && upload.isWorthKeeping ? 'may be resumed' : 'given up';
}

const digestWords: Readonly<Record<Digest['how'], string>> = {
  streamed: 'digest made while streaming',
  read: 'digest made by reading before the commit',
  'too-long': `digest not made of more than ${inPlaceDigestBytesMax / 1024 ** 2} MiB`,
};

function describeUpload({ upload, writtenBytes }: WriteHandle, { created, binned }: CommitOutcome): string {
  if (created || binned !== undefined || upload.atomic || upload.freedBytes > 0)
    return describeReplaced(created, binned);
  return `edited in place, ${writtenBytes} bytes written`;
}

/** That an upload became a file; it does so once. */
function commitOf({ id }: Pick<UploadRecord, 'id'>): string {
  return `commit ${id}`;
}

const nothingStored =
  'its name was removed, or taken by another file, while it was written: nothing was stored';

function withMtime(mtimeMs: number | undefined): { mtimeMs?: number } {
  return mtimeMs === undefined ? {} : { mtimeMs };
}

/** What an upload starts from, if this user may write there at all; see the table in `permissions.ts`. */
function chooseStart(
  mounted: Mounted,
  mode: OpenMode,
  existing: Stored | undefined,
  kept: KeptUpload | undefined,
): UploadStart {
  const resumed = mode.truncate || mode.create === 'exclusive' ? undefined : kept;
  if (existing === undefined) {
    if (!isAllowed(mounted, 'write')) throw denied('write is not allowed on this mount');
    if (mode.create === 'never' && resumed === undefined) throw notFound();
  } else if (mode.create !== 'exclusive' && !isAllowed(mounted, 'overwrite')) {
    throw denied('overwrite is not allowed on this mount');
  }
  if (resumed !== undefined) return { from: 'kept', id: resumed.record.id };
  // Two that begin a log at the same moment are to write one log, not to replace each other's at CLOSE.
  if (existing === undefined && mode.append && !mode.truncate && mode.create !== 'exclusive')
    return { from: 'nothing' };
  return existing !== undefined && !mode.truncate ? { from: 'present' } : { from: 'empty' };
}
