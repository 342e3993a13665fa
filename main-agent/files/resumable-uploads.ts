/**
 * Uploads that are taken up by name (D-34): created with their length, filled in as many goes and sessions as it takes,
 * made a file when they are whole. The bytes are an ordinary upload's staging file; what is added is the name, which
 * any later session of the same user may use, and that the newest connection always wins over one that may be dead.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { type Params, type Result, type UploadView, uploadsMax } from '#shared/link/messages.ts';
import type { Caller } from './caller.ts';
import { denied, notFound, taken } from './storage/file-error.ts';
import { type HandleFinder, requireSamePlace, uploadIdOf } from './handle-finder.ts';
import { shown } from './listing.ts';
import { isAllowed, requireAnyAllowed, requireFileName } from './permissions.ts';
import type { FileContext } from './service-context.ts';
import { takeOverPauseMs, takeOverTriesMax, uploadListOctetsMax } from './limits.ts';
import { KeyLock } from '#main-agent/turns.ts';
import type {
  BeginUpload,
  KeptUpload,
  Resumable,
  ResumableUpload,
  Storage,
  Stored,
  UploadRecord,
} from './storage/storage.ts';
import { WriteHandle } from './write-handle.ts';

/** Nobody can guess the name of another's upload, and it would not help: the user must be the same. */
const nameBytes = 16;

interface Waiting {
  readonly storage: Storage;
  readonly kept: KeptUpload;
}

export class ResumableUploads {
  readonly #context: FileContext;
  readonly #finder: HandleFinder;
  readonly #keepMs: number;
  /** By upload name: two that open the same one do so one after the other. */
  readonly #turns = new KeyLock();

  constructor(context: FileContext, finder: HandleFinder, keepMs: number) {
    this.#context = context;
    this.#finder = finder;
    this.#keepMs = keepMs;
  }

  create(session: Caller, params: Params<'fs.create-upload'>): Promise<UploadView> {
    // One after the other, so that no number of them at once gets past the bound.
    return this.#turns.hold([`create ${session.username}`], () => this.#create(session, params));
  }

  async #create(session: Caller, params: Params<'fs.create-upload'>): Promise<UploadView> {
    const { mounts, handles, quota, clock } = this.#context;
    const { op, lengthBytes, mtimeMs, overwrite, metadata } = params;
    const located = mounts.locate(session.user(), params.path);
    requireFileName(located);
    const mounted = requireAnyAllowed(located, 'write', 'overwrite');
    const { storage, place } = mounted;
    const before = this.#all(session.username);
    const repeated = before.find(({ record }) => record.session === session.key && record.operation === op);
    if (repeated !== undefined) return repeated.view;
    if (before.length >= uploadsMax)
      throw new SallyportError(
        'too-many',
        `You have ${uploadsMax} unfinished uploads; finish or remove some`,
      );
    const account = await quota.open(located.user);
    // Only asked, not taken: the bytes are counted as they come. A file that can't fit is not begun.
    account.reserve(lengthBytes, session.user().quotaBytes);
    account.release(lengthBytes);

    const resumable: Resumable = {
      name: randomBytes(nameBytes).toString('base64url'),
      lengthBytes,
      overwrite,
      ...(mtimeMs !== undefined && { mtimeMs }),
      ...(metadata !== undefined && { metadata }),
    };
    const upload = await storage.beginUpload(place, {
      record: {
        id: uploadIdOf(handles.newNumber()),
        user: session.username,
        session: session.key,
        virtualPath: located.path.components,
        place,
        startedAtMs: clock.now(),
        exclusive: false,
        append: false,
        readable: false,
        operation: op,
        resumable,
      },
      choose: (existing) => {
        if (existing === undefined && !isAllowed(mounted, 'write')) throw denied('write is not allowed');
        if (existing !== undefined && !overwrite) throw taken('a file is there');
        if (existing !== undefined && !isAllowed(mounted, 'overwrite'))
          throw denied('overwrite is not allowed on this mount');
        return { from: 'empty' };
      },
      onStartBytes: () => undefined,
    });
    await upload.keep();
    return this.#view(upload.record, resumable, 0, clock.now());
  }

  async find(session: Caller, name: string): Promise<UploadView> {
    const found = this.#all(session.username).find(({ view }) => view.upload === name);
    if (found !== undefined) return withMetadata(found.view, found.record.resumable);
    const finished = await this.#context.finishedUploads.find(session.username, name);
    if (finished?.resumable === undefined) throw gone();
    const { resumable } = finished;
    const view = this.#view(finished, resumable, resumable.lengthBytes, this.#context.clock.now());
    return withMetadata(view, resumable);
  }

  list(session: Caller): UploadView[] {
    const listed: UploadView[] = [];
    let octets = 0;
    for (const { view } of this.#all(session.username).slice(0, uploadsMax)) {
      octets += Buffer.byteLength(JSON.stringify(view));
      if (octets > uploadListOctetsMax) break;
      listed.push(view);
    }
    return listed;
  }

  open(session: Caller, { op, upload: name }: Params<'fs.open-upload'>): Promise<Result<'fs.open-upload'>> {
    return this.#turns.hold([name], async () => {
      const begun = this.#begunBy(session, op);
      if (begun !== undefined) {
        const handle = await this.#finder.requireWrite(session, begun);
        return this.#opened(begun, handle);
      }
      for (let tries = 1; ; tries += 1) {
        const waiting = await this.#takeFromOthers(session.username, name);
        const number = this.#context.handles.newNumber();
        try {
          return await this.#opened(number, await this.#resume(session, number, op, waiting));
        } catch (error) {
          // A connection that lost it let go of it just now, and had it in hand for a moment.
          if (!isSallyportError(error, 'not-found') || tries === takeOverTriesMax) throw error;
        }
      }
    });
  }

  remove(session: Caller, name: string): Promise<void> {
    return this.#turns.hold([name], async () => {
      // What became of it is a file now, and the verbs of files are for that.
      if (await this.#context.finishedUploads.forget(session.username, name)) return;
      const { storage, kept } = await this.#takeFromOthers(session.username, name);
      await storage.discardKept(kept.record.id);
    });
  }

  /** The number of the handle that this very request opened before main was killed. */
  #begunBy(session: Caller, op: number): number | undefined {
    for (const storage of this.#context.mounts.storages) {
      const id = storage.findUpload(session.key, op);
      if (id !== undefined) return Number.parseInt(id, 36);
    }
    return undefined;
  }

  async #opened(number: number, handle: WriteHandle): Promise<Result<'fs.open-upload'>> {
    const { record, size } = handle.upload;
    if (record.resumable === undefined) throw gone();
    return {
      handle: number,
      attributes: shown(await handle.stat()),
      upload: this.#view(record, record.resumable, size, this.#context.clock.now()),
    };
  }

  /** A connection that is still there has lost its user, who is asking here. */
  async #takeFromOthers(username: string, name: string): Promise<Waiting> {
    const { handles } = this.#context;
    for (let tries = 0; tries < takeOverTriesMax; tries += 1) {
      for (const { sessionKey, number, handle } of handles.openResumables(username)) {
        if (handle.upload.record.resumable?.name !== name) continue;
        handles.take({ key: sessionKey }, number);
        await handle.end('keep', new SallyportError('changed', 'The upload goes on in another connection'));
      }
      const found = this.#stored(username).find(({ kept }) => kept.record.resumable?.name === name);
      if (found === undefined) throw gone();
      if (found.kept.held === undefined) return found;
      await Promise.race([found.kept.held, wait(takeOverPauseMs)]);
    }
    throw new SallyportError('busy', 'The upload is in use; try again in a moment');
  }

  async #resume(
    session: Caller,
    number: number,
    op: number,
    { storage, kept }: Waiting,
  ): Promise<WriteHandle> {
    const { mounts, handles, quota } = this.#context;
    const { record } = kept;
    // Decided anew: what an admin took away meanwhile is not allowed any more.
    const located = mounts.locate(session.user(), record.virtualPath);
    requireAnyAllowed(located, 'write', 'overwrite');
    const { place } = requireSamePlace(located, kept);
    const account = await quota.open(located.user);
    let reservedBytes = 0;
    const begin: BeginUpload = {
      record: { ...recordFacts(record), id: uploadIdOf(number), session: session.key, operation: op },
      choose: (existing) => requireKept(existing, record),
      onStartBytes: (bytes) => {
        // They were within the quota when they were written.
        account.reserve(bytes, undefined);
        reservedBytes += bytes;
      },
    };
    const done = handles.reserve(session);
    try {
      const upload = await storage.beginUpload(place, begin).catch((error: unknown) => {
        account.release(reservedBytes);
        throw error;
      });
      const handle = new WriteHandle(upload, located, account, () => session.user().quotaBytes);
      await this.#finder.add(session, number, handle);
      return handle;
    } finally {
      done();
    }
  }

  #all(username: string): { readonly record: UploadRecord; readonly view: UploadView }[] {
    return this.#stored(username).flatMap(({ kept: { record, size, keptAtMs } }) =>
      record.resumable === undefined
        ? []
        : [{ record, view: this.#view(record, record.resumable, size, keptAtMs) }],
    );
  }

  #stored(username: string): { readonly storage: Storage; readonly kept: ResumableUpload }[] {
    return [...this.#context.mounts.storages].flatMap((storage) =>
      storage.resumableUploads(username).map((kept) => ({ storage, kept })),
    );
  }

  #view(
    { virtualPath }: Pick<UploadRecord, 'virtualPath'>,
    { name, lengthBytes, mtimeMs, overwrite }: Resumable,
    storedBytes: number,
    touchedAtMs: number,
  ): UploadView {
    return {
      upload: name,
      path: [...virtualPath],
      lengthBytes,
      storedBytes,
      ...(mtimeMs !== undefined && { mtimeMs }),
      overwrite,
      expiresAtMs: touchedAtMs + this.#keepMs,
    };
  }
}

function withMetadata(view: UploadView, resumable: Resumable | undefined): UploadView {
  const metadata = resumable?.metadata;
  return metadata === undefined ? view : { ...view, metadata };
}

function recordFacts(record: UploadRecord): Omit<UploadRecord, 'replaces'> {
  const { replaces: _before, ...facts } = record;
  return facts;
}

/** Whether a file that is there may be replaced is decided at the commit. */
function requireKept(existing: Stored | undefined, { id }: UploadRecord): { from: 'kept'; id: string } {
  if (existing?.type === 'folder') throw taken('a folder is there');
  return { from: 'kept', id };
}

function gone(): SallyportError {
  return notFound('no such upload of this user');
}
