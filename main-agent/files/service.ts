/**
 * The file service put together: a handler per verb, one for streams, and what ends with a session. Every handler maps
 * what the kernel says to file codes, so nothing else of this host crosses the link.
 */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { AttributeChange, Precondition } from '#shared/file-service/attributes.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Log } from '#shared/log.ts';
import type { Params } from '#shared/link/messages.ts';
import type { Audit } from '#main-agent/state/audit-record.ts';
import type { FileHandlers, NodeLink } from '#main-agent/link/handlers.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { StoredMove } from '#main-agent/state/kept-records.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { buildCaller, type Caller } from './caller.ts';
import { Bandwidth } from './bandwidth.ts';
import { Bins } from './bins.ts';
import { Changes } from './changes.ts';
import { Copies } from './copies.ts';
import { toFileError } from './storage/file-error.ts';
import type { FileService } from './file-service.ts';
import { FinishedUploads } from './finished-uploads.ts';
import { Finishing } from './finishing.ts';
import { HandleFinder } from './handle-finder.ts';
import { HandleTable } from './handles.ts';
import { endingsAtOnce, sweepIntervalMs } from './limits.ts';
import { shown } from './listing.ts';
import { MountTree } from './mounts.ts';
import { Openings } from './openings.ts';
import { OwnUploads } from './own-uploads.ts';
import { Queries } from './queries.ts';
import { Quota } from './quota.ts';
import { Receipts, type TransferCount } from './receipts.ts';
import { Retention, type RetentionOptions } from './retention.ts';
import { Renames } from './renames.ts';
import type { FileContext } from './service-context.ts';
import { ResumableUploads } from './resumable-uploads.ts';
import { SortedPages } from './sorted-pages.ts';
import type { Place, Storage } from './storage/storage.ts';
import { Slots } from '#main-agent/turns.ts';
import { buildStreamHandler } from './streams.ts';
import { Survey } from './survey.ts';
import { TakingBack } from './taking-back.ts';
import { Transfers } from './transfers.ts';

interface FileServiceOptions {
  /** By the names that mounts use; closed with the service. */
  readonly storages: ReadonlyMap<string, Storage>;
  readonly uploads: {
    /** How long a broken upload can be resumed. */
    readonly keepPartialMs: number;
    /** How long after its CLOSE a file's session may still set its mode and times and rename it. */
    readonly keepFinishingMs: number;
  };
  readonly audit: Audit;
  readonly retention: RetentionOptions;
  /** The user as the files say now, for `usedBytes`. */
  readonly findUser: (username: string) => EffectiveUser | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export function buildFileService(options: FileServiceOptions): FileService {
  const { storages, clock, log, audit } = options;
  const closing = new AbortController();
  const mounts = new MountTree(storages);
  const context: FileContext = {
    clock,
    log,
    builtAtMs: clock.now(),
    mounts,
    handles: new HandleTable(),
    quota: new Quota(mounts, clock, log, closing.signal),
    receipts: new Receipts(audit, clock, log),
    bandwidth: new Bandwidth(clock),
    finishedUploads: new FinishedUploads(mounts, clock),
    finishing: new Finishing(mounts, clock, options.uploads.keepFinishingMs),
    sortedPages: new SortedPages(clock),
  };
  return new Service(context, options, closing);
}

/** What a request is about, as far as it says so. */
interface Target {
  readonly session: string;
  readonly op?: number;
  readonly path?: readonly string[];
  readonly from?: readonly string[] | number;
  readonly to?: readonly string[] | number;
}

type Act<P, R> = (params: P, session: Caller, asker?: Asker) => Promise<R>;
type Handler<P, R> = (params: P, session: FullSession, link: NodeLink, asker?: Asker) => Promise<R>;

class Service implements FileService {
  readonly handlers: FileHandlers;
  readonly onStream: FileService['onStream'];
  readonly transfers: Transfers;
  readonly bins: Bins;
  readonly retention: Retention;
  readonly surveys: Survey;
  readonly #context: FileContext;
  readonly #storages: ReadonlyMap<string, Storage>;
  readonly #openings: Openings;
  readonly #findUser: FileServiceOptions['findUser'];
  readonly #closing: AbortController;
  readonly #watched = new WeakSet<AbortSignal>();
  /** Of sessions and processes that are over, while their files are being closed. */
  readonly #endings = new Set<Promise<void>>();
  readonly #sweeping: NodeJS.Timeout;

  constructor(context: FileContext, options: FileServiceOptions, closing: AbortController) {
    this.#context = context;
    this.#storages = options.storages;
    this.#findUser = options.findUser;
    this.#closing = closing;
    const finder = new HandleFinder(context);
    const ownUploads = new OwnUploads(context.handles, finder);
    const bins = new Bins(context);
    this.bins = bins;
    this.#openings = new Openings(context, finder, ownUploads, bins);
    this.transfers = new Transfers(context.handles, this.#openings, context.clock);
    this.handlers = this.#buildHandlers(
      finder,
      this.#openings,
      new Queries(context, ownUploads),
      new Changes(context, this.#openings, finder, ownUploads, bins),
      new Renames(context, ownUploads, bins),
      new Copies(context, finder, bins),
      new ResumableUploads(context, finder, options.uploads.keepPartialMs),
    );
    const onStream = buildStreamHandler(context, finder);
    this.onStream = (header, stream, session, link) => {
      const caller = buildCaller(session, link);
      this.#watch(caller);
      onStream(header, stream, caller);
    };
    this.retention = new Retention(context, options.retention, closing.signal);
    this.surveys = new Survey(context.mounts.storages, context.clock, context.log);
    this.#sweeping = setInterval(() => void this.#sweep(), sweepIntervalMs).unref();
  }

  #buildHandlers(
    finder: HandleFinder,
    openings: Openings,
    queries: Queries,
    changes: Changes,
    renames: Renames,
    copies: Copies,
    uploads: ResumableUploads,
  ): FileHandlers {
    return {
      'fs.list': this.#guard((params, session) => queries.list(session, params)),
      'fs.stat': this.#guard((params, session) => queries.stat(session, params.path)),
      'fs.usage': this.#guard((params, session) => queries.usage(session, params.path)),
      'fs.survey': this.#guard((params, session, asker) => queries.survey(session, params.path, asker)),
      'fs.hash': this.#guard((params, session, asker) => queries.hash(session, params.path, asker)),
      'fs.read-link': this.#guard((params, session) => queries.readLink(session, params.path)),
      'fs.open-folder': this.#guard((params, session) => queries.openFolder(session, params.path)),
      'fs.read-folder': this.#guard((params, session) =>
        queries.readFolder(session, params.handle, params.page),
      ),
      'fs.open': this.#guard((params, session) =>
        openings.open(
          session,
          params.op,
          params.path,
          params.mode,
          changeOf(params.attributes),
          params.contentUpTo,
        ),
      ),
      'fs.write': this.#guard(async (params, session) => {
        // Who is slowed down waits for each turn, which is for streams to do.
        if (session.user().limits.uploadBytesPerSecond !== undefined)
          throw new SallyportError('busy', 'Too busy, try again in a moment');
        const handle = await finder.requireWrite(session, params.handle);
        await handle.write([Buffer.from(params.content, 'base64url')], params.offset);
        return {};
      }),
      'fs.stat-handle': this.#guard(async (params, session) => {
        const handle = await finder.requireFile(session, params.handle);
        const attributes = shown(await handle.stat());
        if (handle.kind === 'read' || !handle.upload.record.append) return attributes;
        return { ...attributes, appendedBytes: handle.upload.appendedBytes };
      }),
      'fs.change-handle': this.#guard(async (params, session) => {
        const handle = await finder.requireWrite(session, params.handle);
        await handle.change(changeOf(params.change));
        return {};
      }),
      'fs.sync': this.#guard(async (params, session) => {
        const handle = await finder.requireFile(session, params.handle);
        if (handle.kind === 'write') await handle.sync();
        return {};
      }),
      'fs.copy-range': this.#guard((params, session) => copies.copyRange(session, params)),
      'fs.commit': this.#guard((params, session) => {
        const precondition = preconditionOf(params.precondition);
        return openings.commit(session, params.handle, { ...params, precondition });
      }),
      'fs.release': this.#guard(async (params, session) => {
        const { handle, keepPartial, taken, cut } = params;
        await openings.release(session, handle, keepPartial ? 'keep' : 'discard', { taken, cut });
        return {};
      }),
      'fs.create-upload': this.#guard((params, session) => uploads.create(session, params)),
      'fs.find-upload': this.#guard((params, session) => uploads.find(session, params.upload)),
      'fs.list-uploads': this.#guard(async (_params, session) => ({ uploads: uploads.list(session) })),
      'fs.open-upload': this.#guard((params, session) => uploads.open(session, params)),
      'fs.remove-upload': this.#guard(async (params, session) => {
        await uploads.remove(session, params.upload);
        return {};
      }),
      'fs.make-folder': this.#guard(async (params, session) => {
        await changes.makeFolder(session, params);
        return {};
      }),
      'fs.remove-file': this.#guard((params, session) =>
        changes.removeFile(session, params, preconditionOf(params.precondition)),
      ),
      'fs.remove-folder': this.#guard((params, session) => changes.removeFolder(session, params)),
      'fs.list-bin': this.#guard(async (params, session) => this.bins.listOwn(session, params)),
      'fs.restore-binned': this.#guard((params, session) => this.bins.restoreOwn(session, params)),
      'fs.empty-bin': this.#guard((params, session) => this.bins.emptyOwn(session, params)),
      'fs.rename': this.#guard((params, session) => renames.rename(session, params)),
      'fs.copy': this.#guard((params, session, asker) => copies.copy(session, params, asker)),
      'fs.change': this.#guard(async (params, session) => {
        await changes.change(session, params, changeOf(params.change));
        return {};
      }),
    };
  }

  #guard<P extends Target, R>(act: Act<P, R>): Handler<P, R> {
    return async (params, session, link, asker) => {
      const caller = buildCaller(session, link);
      this.#watch(caller);
      try {
        return await act(params, caller, asker);
      } catch (error) {
        if (session.ended.aborted) {
          throw new SallyportError('no-session', 'The session is over', { cause: error });
        }
        const failure = toFileError(error);
        await this.#noteRefusal(caller, params, failure);
        throw failure;
      }
    };
  }

  /** Opening and changing carry an operation number: what a rule or the disk keeps from being done leaves a record. */
  async #noteRefusal(session: Caller, params: Target, { code, detail }: SallyportError): Promise<void> {
    const isRefused = code === 'permission-denied' || code === 'quota-exceeded';
    if (!isRefused && code !== 'no-space' && code !== 'io-error') return;
    const { op, path, from, to } = params;
    const components = path ?? from;
    // Without a path: a handle, whose opening was judged and told.
    if (op === undefined || components === undefined || typeof components === 'number') return;
    const { receipts } = this.#context;
    await receipts.room();
    await receipts.write(session, {
      event: 'file.refused',
      once: `refusal ${op}`,
      outcome: isRefused ? 'refused' : 'failed',
      path: requireComponents(components),
      ...(to !== undefined && typeof to !== 'number' && { toPath: requireComponents(to) }),
      rule: code,
      ...(detail !== undefined && { detail }),
    });
  }

  /** Whoever ends a session, its files end with it; so do those that a process of a node had open. */
  #watch(caller: Caller): void {
    this.#once(caller.ended, () => void this.endSession(caller));
    this.#once(caller.processGone, () => void this.#endProcess(caller.processGone));
  }

  #once(signal: AbortSignal, act: () => void): void {
    if (this.#watched.has(signal)) return;
    this.#watched.add(signal);
    signal.addEventListener('abort', act, { once: true });
  }

  transferCounts(): readonly TransferCount[] {
    return this.#context.receipts.transferCounts();
  }

  async usedBytes(username: string): Promise<number> {
    const user = this.#findUser(username);
    return user === undefined ? 0 : (await this.#context.quota.measured(user)).usedBytes;
  }

  async isOccupied({ storage, root }: Parameters<FileService['isOccupied']>[0]): Promise<boolean> {
    try {
      await this.#storages.get(storage)?.stat({ root: [], path: root });
      return true;
    } catch (error) {
      return toFileError(error).code !== 'not-found';
    }
  }

  async moveFolder({ storage, from, to }: StoredMove, operation: string): Promise<void> {
    if (!(await this.isOccupied({ storage, root: from }))) return;
    await this.#context.mounts
      .requireStorage(storage)
      .rename(
        { root: [], path: from },
        { root: [], path: to },
        { overwrite: false, by: { session: operation, operation: 0 } },
      );
  }

  async giveBin(username: string, to: string, moves: readonly StoredMove[]): Promise<number> {
    let entries = 0;
    for (const storage of this.#context.mounts.storages) {
      const own = moves.filter((move) => move.storage === storage.name);
      entries += await storage.bin.giveTo(username, to, (place) => moved(place, own));
    }
    return entries;
  }

  async endSession(session: Parameters<FileService['endSession']>[0]): Promise<void> {
    const { handles, sortedPages, finishing } = this.#context;
    sortedPages.forget(session.key);
    finishing.forget(session);
    const reason = new SallyportError('no-session', 'The session is over');
    const isSignedIn = session.state === 'signed-in';
    await this.#endAll(handles.takeAllOf(session.key), (handle) =>
      isSignedIn ? this.#openings.end(session, handle, 'keep', { reason }) : handle.end('keep', reason),
    );
  }

  /** Many together, since each waits for its receipt. */
  #endAll<T>(all: readonly T[], end: (one: T) => Promise<void>): Promise<void> {
    const ending = this.#endEach(all, end);
    this.#endings.add(ending);
    return ending.finally(() => this.#endings.delete(ending));
  }

  async #endEach<T>(all: readonly T[], end: (one: T) => Promise<void>): Promise<void> {
    const ending = new Slots(endingsAtOnce);
    for (const settled of await Promise.allSettled(all.map((one) => ending.run(() => end(one)))))
      if (settled.status === 'rejected')
        this.#context.log.warn({ err: settled.reason }, 'a file of what ended could not be closed');
  }

  /** Nobody can name any more what it had open; a client that comes back opens anew, and finds its upload kept. */
  async #endProcess(gone: AbortSignal): Promise<void> {
    const reason = new SallyportError('link-down', 'The node it went through ended');
    await this.#endAll(this.#context.handles.takeAllThrough(gone), ({ session, handle }) =>
      this.#openings.end(session, handle, 'keep', { reason }),
    );
  }

  takeBack(node: string, isRehearsal: boolean): TakingBack {
    return new TakingBack(this.#context, { node, isRehearsal, findUser: this.#findUser });
  }

  async settled(): Promise<void> {
    await Promise.all(this.#endings);
    await this.#context.receipts.settled();
  }

  async #sweep(): Promise<void> {
    this.surveys.keepFresh();
    void this.retention.runIfDue();
    try {
      await this.bins.sweep();
    } catch (error) {
      this.#context.log.warn({ err: error }, 'sweeping the bins failed');
    }
    for (const storage of this.#context.mounts.storages) {
      try {
        await storage.sweep();
      } catch (error) {
        this.#context.log.warn({ err: error, storage: storage.name }, 'sweeping a storage failed');
      }
    }
  }

  /** Streams end, files close; uploads stay as they are for the next process. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.#closing.abort();
    await Promise.all(this.#context.handles.takeAll().map((handle) => handle.end('abandon')));
    await this.retention.settled();
    await this.#context.receipts.close();
    await this.surveys.close();
    for (const storage of this.#context.mounts.storages) await storage.close();
  }
}

/** Where a place is after the folders above it moved. */
function moved({ root, path }: Place, moves: readonly StoredMove[]): Place {
  const whole = moves.reduce<readonly string[]>(
    (at, { from, to }) =>
      from.every((part, index) => at[index] === part) ? [...to, ...at.slice(from.length)] : at,
    [...root, ...path],
  );
  return { root: whole.slice(0, root.length), path: whole.slice(root.length) };
}

/** Drops what the schema leaves `undefined`. */
function changeOf(change: Params<'fs.open'>['attributes']): AttributeChange {
  const { size, mode, mtimeMs, atimeMs } = change ?? {};
  return {
    ...(size !== undefined && { size }),
    ...(mode !== undefined && { mode }),
    ...(mtimeMs !== undefined && { mtimeMs }),
    ...(atimeMs !== undefined && { atimeMs }),
  };
}

function preconditionOf(precondition: Params<'fs.commit'>['precondition']): Precondition | undefined {
  if (precondition === undefined) return undefined;
  const { ifMatch, ifNoneMatch } = precondition;
  return {
    ...(ifMatch !== undefined && { ifMatch }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch }),
  };
}
