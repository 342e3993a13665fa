/**
 * The bin as its user has it (D-80): what was deleted or replaced on a mount that keeps it, by the one who did it.
 * Nobody else sees it but an admin, and no path leads there. What may be put back is judged anew, by what the user may
 * do now.
 */
import { operationName, receiptOf } from './caller.ts';
import type { MountRetention } from '#main-agent/users/effective-user.ts';
import { isUsername } from '#main-agent/users/username.ts';
import { isAbout } from './retention-rules.ts';
import { SallyportError, isSallyportError } from '#shared/error.ts';
import { componentBytesMax, requireComponents } from '#shared/file-service/virtual-path.ts';
import type { BinEntry, Params, Result } from '#shared/link/messages.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import { denied, notFound, toFileError } from './storage/file-error.ts';
import { binFreeShare, pageBytesMax, restoreNamesMax } from './limits.ts';
import type { Located, Mounted } from './mounts.ts';
import { isAllowed, requireAllowed, requireFreeName } from './permissions.ts';
import { isOwnFolder } from './quota.ts';
import type { FileContext } from './service-context.ts';
import type { OperationName } from './storage/storage.ts';
import { isSamePlace } from './storage/places.ts';
import type { Binned, BinOrder, Place, Storage } from './storage/storage.ts';

/** What users deleted or replaced and can have back. */
export interface BinAdmin {
  /** Also what an earlier holder of the name left; nobody need have the name now. In no order. */
  list(username: string): readonly KeptEntry[];
  /** The path it has then, as its user sees it. Rejects `not-found`, `exists` where the name is taken. */
  restore(username: string, id: string, how: AdminReason & { readonly keepBoth: boolean }): Promise<string>;
  /** How many are gone for good; without `ids` all. */
  empty(username: string, ids: readonly string[] | undefined, why: AdminReason): Promise<number>;
}

export interface KeptEntry {
  readonly id: string;
  /** As its user saw it. */
  readonly path: string;
  readonly type: 'file' | 'folder';
  readonly bytes: number | undefined;
  readonly reason: 'deleted' | 'replaced';
  readonly deletedAtMs: number;
  readonly expiresAtMs: number;
  readonly storage: string;
  /** Somebody deleted it who had the name before. */
  readonly isFormer: boolean;
}

/** What is deleted or replaced there by this session goes to its user's bin. Undefined: it is gone. */
export function binOrder(session: FullSession, { path, mounted }: Located): BinOrder | undefined {
  const bin = mounted?.mount.bin;
  if (bin === undefined || (session.protocol === 'sftp' && !bin.sftp)) return undefined;
  const { keepMs, isCounted } = bin;
  const retentionMs = retentionOf(mounted?.mount.retention, path.name);
  return { user: session.username, virtualPath: path.components, keepMs, isCounted, retentionMs };
}

/** Undefined: the rule of its mount says nothing of it. */
function retentionOf(retention: MountRetention | undefined, name: string): number | undefined {
  return retention !== undefined && isAbout(retention, name) ? retention.afterMs : undefined;
}

/** For the audit. */
export function describeBinned({ expiresAtMs }: Binned): string {
  return `kept in the bin until ${new Date(expiresAtMs).toISOString()}`;
}

/** What came of an upload or a copy, for the audit; `deedOf` (incident/findings.ts) reads it. */
export function describeReplaced(created: boolean, binned: Binned | undefined): string {
  if (created) return 'new file';
  return binned === undefined ? 'replaced a file' : `replaced a file, ${describeBinned(binned)}`;
}

/** An entry, and the storage that has it. */
interface Kept {
  readonly storage: Storage;
  readonly binned: Binned;
}

/** Newest first, and always in the same order. */
function byAge({ binned: a }: Kept, { binned: b }: Kept): number {
  return b.atMs - a.atMs || (a.id < b.id ? -1 : 1);
}

export class Bins implements BinAdmin {
  readonly #context: FileContext;

  constructor(context: FileContext) {
    this.#context = context;
  }

  listOwn(session: FullSession, { cursor, limit }: Params<'fs.list-bin'>): Result<'fs.list-bin'> {
    const all = this.#of(session.username).toSorted(byAge);
    const from = cursor === undefined ? 0 : all.findIndex((one) => isAfter(one.binned, cursor));
    const entries: BinEntry[] = [];
    let octets = 0;
    for (const { binned } of from === -1 ? [] : all.slice(from, from + limit)) {
      const entry = describe(binned);
      octets += Buffer.byteLength(JSON.stringify(entry));
      if (octets > pageBytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    const last = entries.at(-1);
    const isMore = from !== -1 && from + entries.length < all.length;
    return {
      entries,
      ...(isMore && last !== undefined && { next: cursorOf(last.deletedAtMs, last.id) }),
      keptBytes: all.reduce((sum, { binned }) => sum + (binned.bytes ?? 0), 0),
      keptEntries: all.length,
    };
  }

  async restoreOwn(
    session: FullSession,
    params: Params<'fs.restore-binned'>,
  ): Promise<Result<'fs.restore-binned'>> {
    const { mounts, quota, receipts } = this.#context;
    const kept = this.#of(session.username).find(({ binned }) => binned.id === params.id);
    if (kept === undefined) throw gone();
    const { storage, binned } = kept;
    const located = mounts.locate(session.user(), binned.virtualPath);
    const mounted = requireWelcome(located, binned);
    requireFreeName(located);
    // Not known yet of a folder that came a moment ago; that must not hold up who wants it back at once, unless it has to
    // fit, which it must where it did not count.
    const known = binned.isCounted ? binned : await storage.bin.addedUp(binned.id);
    const bytes = known?.bytes ?? 0;
    const account = await quota.open(located.user);
    account.reserve(bytes, binned.isCounted ? undefined : located.user.quotaBytes);
    let place: Place;
    try {
      place = await this.#putBack(kept, operationName(session, params), {
        keepBoth: params.keepBoth,
        mayMakeFolders: isAllowed(mounted, 'mkdir'),
      });
    } catch (error) {
      account.release(bytes);
      throw error;
    }
    const { id } = await storage.stat(place);
    account.committed(bytes, 0, isOwnFolder(mounted.mount, session.username) ? undefined : id);
    await storage.dropKept(session.username, place);
    const path = requireComponents([...located.path.parent.components, place.path.at(-1) ?? '']);
    await receipts.write(session, {
      event: 'file.restore',
      once: receiptOf(params),
      path: located.path,
      ...(path.name !== located.path.name && { toPath: path }),
      bytes,
      detail: `${binned.type}, ${binned.reason} ${new Date(binned.atMs).toISOString()}`,
    });
    return { path: [...path.components] };
  }

  /** Where it is then. */
  async #putBack(
    { storage, binned }: Kept,
    by: OperationName,
    options: { readonly keepBoth: boolean; readonly mayMakeFolders: boolean },
  ): Promise<Place> {
    const { root, path } = binned.place;
    for (let tries = 0; ; tries += 1) {
      const name = restoredName(path.at(-1) ?? '', tries, binned.type);
      const place = { root, path: [...path.slice(0, -1), name] };
      try {
        await this.#restoreTo(storage, binned.id, place, by, options.mayMakeFolders);
        return place;
      } catch (error) {
        const failure = toFileError(error);
        if (failure.code !== 'exists' || !options.keepBoth || tries === restoreNamesMax) throw failure;
      }
    }
  }

  async #restoreTo(
    storage: Storage,
    id: string,
    place: Place,
    by: OperationName,
    mayMakeFolders: boolean,
  ): Promise<void> {
    await withItsFolders(storage, place, by, mayMakeFolders, () => storage.bin.restore(id, place, by));
  }

  async emptyOwn(session: FullSession, params: Params<'fs.empty-bin'>): Promise<Result<'fs.empty-bin'>> {
    const { ids } = params;
    const wanted = ids === undefined ? undefined : new Set(ids);
    const dropped = this.#of(session.username).filter(({ binned }) => wanted?.has(binned.id) ?? true);
    await dropAll(dropped);
    if (dropped.length > 0) {
      await this.#context.receipts.write(session, {
        event: 'file.purge',
        once: receiptOf(params),
        path: requireComponents([]),
        bytes: sumOf(dropped),
        detail: `emptied by its user: ${describeMany(dropped)}`,
      });
    }
    return { dropped: dropped.length };
  }

  /**
   * After something went to the bin. What does not count to a quota must not fill the disk: the oldest of it goes when
   * together it is more than the quota, or where there is none than a share of the file system. The newest stays always:
   * it was within the quota a moment ago.
   */
  async took(session: FullSession, mounted: Mounted, binned: Binned | undefined): Promise<void> {
    if (binned === undefined) return;
    await mounted.storage.bin.roomMade();
    if (binned.bytes === undefined) {
      void this.#addedUp(session, mounted, binned);
      return;
    }
    if (!binned.isCounted) await this.#makeRoom(session, mounted);
  }

  async #addedUp(
    session: FullSession,
    { storage, mount, place }: Mounted,
    { id, atMs }: Binned,
  ): Promise<void> {
    const { quota, log } = this.#context;
    try {
      const now = await storage.bin.addedUp(id);
      if (now?.bytes === undefined) return;
      quota.freed(session.username, mount, now.bytes, undefined, atMs);
      if (!now.isCounted) await this.#makeRoom(session, { storage, mount, place });
    } catch (error) {
      log.warn({ err: error, user: session.username }, 'the bin of a user could not be bounded');
    }
  }

  async #makeRoom(session: FullSession, { storage, place }: Mounted): Promise<void> {
    const { username } = session;
    const limitBytes =
      session.user().quotaBytes ?? (await storage.usage({ ...place, path: [] })).totalBytes * binFreeShare;
    const free = this.#of(username)
      .filter(({ binned }) => !binned.isCounted)
      .toSorted(byAge);
    let sum = 0;
    const tooMuch = free.filter(({ binned }, index) => {
      sum += binned.bytes ?? 0;
      return index > 0 && sum > limitBytes;
    });
    if (tooMuch.length === 0) return;
    await dropAll(tooMuch);
    await this.#context.receipts.write(session, {
      event: 'file.purge',
      path: requireComponents([]),
      bytes: sumOf(tooMuch),
      detail: `the oldest, so that the bin stays within ${Math.floor(limitBytes)} bytes: ${describeMany(tooMuch)}`,
    });
  }

  /** Drops what has expired. */
  async sweep(): Promise<void> {
    for (const storage of this.#context.mounts.storages) {
      const byUser = Map.groupBy(await storage.bin.dropExpired(), ({ user }) => user);
      for (const [user, expired] of byUser) {
        const dropped = expired.map((binned) => ({ storage, binned }));
        await this.#context.receipts.writeOf(user, {
          event: 'file.purge',
          path: requireComponents([]),
          bytes: sumOf(dropped),
          detail: `its time in the bin was over: ${describeMany(dropped)}`,
        });
      }
    }
  }

  list(username: string): readonly KeptEntry[] {
    const own = new Set(this.#of(username).map(({ binned }) => binned.id));
    return this.#everything(username).map(({ storage, binned }) => ({
      id: binned.id,
      path: `/${binned.virtualPath.join('/')}`,
      type: binned.type,
      bytes: binned.bytes,
      reason: binned.reason,
      deletedAtMs: binned.atMs,
      expiresAtMs: binned.expiresAtMs,
      storage: storage.name,
      isFormer: !own.has(binned.id),
    }));
  }

  async restore(
    username: string,
    id: string,
    { keepBoth, actor, reason }: AdminReason & { readonly keepBoth: boolean },
  ): Promise<string> {
    const kept = this.#everything(username).find(({ binned }) => binned.id === id);
    if (kept === undefined) throw gone();
    const { storage, binned } = kept;
    // No session numbers this; it is not sent again after a crash either.
    const by = { session: `admin ${id}`, operation: 0 };
    const place = await this.#putBack(kept, by, { keepBoth, mayMakeFolders: true });
    this.#context.quota.freed(username, place, -(binned.bytes ?? 0));
    const path = requireComponents(binned.virtualPath);
    const restored = path.parent.child(place.path.at(-1) ?? '');
    await this.#context.receipts.writeOf(
      username,
      {
        event: 'file.restore',
        path,
        ...(restored.name !== path.name && { toPath: restored }),
        ...(binned.bytes !== undefined && { bytes: binned.bytes }),
        detail: `${binned.type} on storage ${storage.name}: ${reason}`,
      },
      actor,
    );
    return restored.toString();
  }

  async empty(
    username: string,
    ids: readonly string[] | undefined,
    { actor, reason }: AdminReason,
  ): Promise<number> {
    const wanted = ids === undefined ? undefined : new Set(ids);
    const dropped = this.#everything(username).filter(({ binned }) => wanted?.has(binned.id) ?? true);
    await dropAll(dropped);
    if (dropped.length > 0) {
      const detail = `${reason}: ${describeMany(dropped)}`;
      await this.#context.receipts.writeOf(
        username,
        { event: 'file.purge', path: requireComponents([]), bytes: sumOf(dropped), detail },
        actor,
      );
    }
    return dropped.length;
  }

  owners(): readonly string[] {
    const all = [...this.#context.mounts.storages].flatMap(({ bin }) => [...bin.owners()]);
    // What was taken back of a node's doings is no user's (taking-back.ts).
    return [...new Set(all.filter(isUsername))];
  }

  #everything(username: string): Kept[] {
    return [...this.#context.mounts.storages].flatMap((storage) =>
      storage.bin.everything(username).map((binned) => ({ storage, binned })),
    );
  }

  #of(username: string): Kept[] {
    return [...this.#context.mounts.storages].flatMap((storage) =>
      storage.bin.of(username).map((binned) => ({ storage, binned })),
    );
  }
}

/** Puts something to a place; where the folders above it are gone, they are made first if they may be. */
export async function withItsFolders(
  storage: Storage,
  place: Place,
  by: OperationName,
  mayMakeFolders: boolean,
  put: () => Promise<unknown>,
): Promise<void> {
  try {
    await put();
    return;
  } catch (error) {
    const failure = toFileError(error);
    if (failure.code !== 'parent-missing') throw failure;
    if (!mayMakeFolders) throw denied('mkdir is not allowed on this mount, and the folder is gone');
  }
  for (let depth = 1; depth < place.path.length; depth += 1) {
    await makeFolderIfMissing(storage, { root: place.root, path: place.path.slice(0, depth) }, by);
  }
  await put();
}

function gone(): SallyportError {
  return new SallyportError('not-found', 'That is not in your bin any more');
}

/** The mount it was in, if it may be put back there. */
function requireWelcome(located: Located, { type, place }: Binned): Mounted {
  const mounted = requireAllowed(located, ...(type === 'folder' ? ['mkdir' as const] : []), 'write');
  // What was deleted where its user could not read must not appear where the user can.
  if (JSON.stringify(mounted.place.root) !== JSON.stringify(place.root) || !isSamePlace(mounted.place, place))
    throw denied('the mount is not what it was when that was deleted');
  return mounted;
}

async function makeFolderIfMissing(storage: Storage, place: Place, by: OperationName): Promise<void> {
  try {
    const { type } = await storage.stat(place);
    if (type === 'file')
      throw new SallyportError('not-a-folder', 'A file has the name of the folder it was in');
    return;
  } catch (error) {
    if (!isSallyportError(toFileError(error), 'not-found')) throw error;
  }
  try {
    await storage.makeFolder(place, undefined, by);
  } catch (error) {
    // Made by another restore at the same time.
    if (!isSallyportError(toFileError(error), 'exists')) throw error;
  }
}

/** `plan.txt`, `plan (restored).txt`, `plan (restored 2).txt`; a stem that is too long for that gives way. */
function restoredName(name: string, tries: number, type: Binned['type']): string {
  if (tries === 0) return name;
  const dot = type === 'folder' ? -1 : name.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const suffix = tries === 1 ? ' (restored)' : ` (restored ${tries})`;
  let short = stem;
  while (short !== '' && Buffer.byteLength(short + suffix + extension) > componentBytesMax)
    short = Array.from(short).slice(0, -1).join('');
  if (short === '') throw notFound('no name is left for it');
  return short + suffix + extension;
}

function describe(binned: Binned): BinEntry {
  const { id, virtualPath, type, bytes, atMs, user, reason, expiresAtMs } = binned;
  return {
    id,
    path: [...virtualPath],
    type,
    ...(bytes !== undefined && { bytes }),
    deletedAtMs: atMs,
    by: user,
    reason,
    expiresAtMs,
  };
}

function cursorOf(atMs: number, id: string): string {
  return `${atMs}.${id}`;
}

function isAfter({ atMs, id }: Binned, cursor: string): boolean {
  const [, time = '', last = ''] = /^(\d{1,16}(?:\.\d+)?)\.([A-Za-z0-9_-]{22})$/.exec(cursor) ?? [];
  if (time === '') throw new SallyportError('bad-request', 'That cursor is not ours');
  return atMs < Number(time) || (atMs === Number(time) && id > last);
}

async function dropAll(kept: readonly Kept[]): Promise<void> {
  for (const [storage, some] of Map.groupBy(kept, (one) => one.storage)) {
    await storage.bin.drop(some.map(({ binned }) => binned.id));
  }
}

function sumOf(kept: readonly Kept[]): number {
  return kept.reduce((sum, { binned }) => sum + (binned.bytes ?? 0), 0);
}

/** `/a.txt` or `12 entries, /a.txt, /b, …` */
function describeMany(kept: readonly Kept[]): string {
  const named = kept.slice(0, describedMax).map(({ binned }) => `/${binned.virtualPath.join('/')}`);
  if (kept.length <= 1) return named.join('');
  return `${kept.length} entries, ${named.join(', ')}${kept.length > describedMax ? ', …' : ''}`;
}

/** Of what goes together so many are told by path: a record stays a line that somebody reads. */
const describedMax = 5;
