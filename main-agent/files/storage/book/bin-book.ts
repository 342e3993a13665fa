/**
 * The bin of a local storage: what is removed or replaced is renamed into a folder of its own file system, whole and
 * however much is in it, and renamed out of it again. Which entries there are is known in memory, from their notes.
 */
import type { BigIntStats, PathLike } from 'node:fs';
import * as fs from 'node:fs/promises';
import { Serial } from '#main-agent/turns/serial.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { hasErrno, notFound } from '../file-error.ts';
import { binEntriesPerUserMax, binVersionsMax, copiedVersionBytesMax, copiesAtOnce } from '../../limits.ts';
import { Slots } from '#main-agent/turns/slots.ts';
import { BinFolder, type BinNote, randomName } from '../local/bin-folder.ts';
import { type Jail, lockKey, type Spot } from '../local/jail.ts';
import type { Journal, OperationName } from './journal.ts';
import type { KeyLock } from '#main-agent/turns/key-lock.ts';
import { renameSpot } from './rename.ts';
import type { OpenFiles } from './open-files.ts';
import { isBelow, isSamePlace } from '../places.ts';
import type { StagingArea } from './staging-area.ts';
import type { Bin, Binned, BinOrder, Place, Stored } from '../storage.ts';
import { fileId } from '../local/stored.ts';
import { measureTree } from '../local/tree-walk.ts';

export interface LocalBinOptions {
  readonly jail: Jail;
  readonly locks: KeyLock;
  readonly journal: () => Journal;
  readonly files: OpenFiles;
  readonly areaFor: (place: Place, spot: Pick<Spot, 'folder'>) => Promise<StagingArea>;
  /** What a user binned until then is an earlier holder's of the name. */
  readonly formerUntilMs: (user: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is to be kept, where it is now, and who wants that. */
export interface Keeping {
  readonly place: Place;
  readonly spot: Pick<Spot, 'folder' | 'name'>;
  readonly stored: Pick<Stored, 'type' | 'size' | 'id'>;
  readonly order: BinOrder;
  readonly by: OperationName;
}

interface Entry {
  readonly folder: BinFolder;
  note: BinNote;
  /** When all that is in it was added up, or could not be. */
  addingUp?: Promise<void>;
}

interface Owned {
  readonly entries: Set<Entry>;
  /** Of those that count, since `sinceMs`; undefined: to be added up again. */
  counted: { readonly sinceMs: number | undefined; readonly bytes: number } | undefined;
}

/** Files that are taken from elsewhere go away under a second name; a file system may not have such. */
const linkless = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EMLINK'];

export class LocalBin implements Bin {
  readonly #options: LocalBinOptions;
  readonly #folders = new Map<StagingArea, Promise<BinFolder>>();
  readonly #byId = new Map<string, Entry>();
  readonly #byUser = new Map<string, Owned>();
  /** By session and operation. */
  readonly #byOperation = new Map<string, Entry>();
  readonly #closing = new AbortController();
  readonly #copying = new Slots(copiesAtOnce);
  /** Entries that somebody still writes to who had them open. */
  readonly #growing = new Set<Entry>();
  /** Long walks, one after the other. */
  readonly #removing = new Serial();
  readonly #addingUp = new Serial();
  readonly #makingRoom = new Serial();

  constructor(options: LocalBinOptions) {
    this.#options = options;
  }

  /** Takes in what waits in an area from before. */
  async load(area: StagingArea): Promise<void> {
    if (!(await BinFolder.isThere(area.folder))) return;
    const folder = await this.#folderOf(area);
    const { notes, dropped } = await folder.load();
    for (const name of dropped) this.#removeLater(folder, name);
    for (const { note: noted, stats } of notes) {
      // Who had it open may have written to it.
      const note = noted.type === 'file' ? { ...noted, bytes: Number(stats.size) } : noted;
      const entry = { folder, note };
      if (await this.#isHalfMoved(note, stats)) {
        await fs.unlink(folder.folder.at(note.id));
        await folder.removeNote(note.id);
      } else this.#add(entry);
    }
    await this.roomMade();
  }

  #folderOf(area: StagingArea): Promise<BinFolder> {
    const known = this.#folders.get(area) ?? BinFolder.open(area.folder, this.#options.log);
    this.#folders.set(area, known);
    known.catch(() => this.#folders.delete(area));
    return known;
  }

  /**
   * A kill came between a file's second name and the end of its first: it is where it was, or where it was being put
   * back to, and not in the bin.
   */
  async #isHalfMoved(note: BinNote, stats: BigIntStats): Promise<boolean> {
    if (!stats.isFile() || stats.nlink < 2n) return false;
    for (const place of [note.place, note.restoringTo]) {
      if (place !== undefined && (await this.#idAt(place)) === fileId(stats)) return true;
    }
    return false;
  }

  async #idAt(place: Place): Promise<string | undefined> {
    try {
      const found = await this.#options.jail.withName(place, 'not-found', (folder, name) =>
        folder.find(name),
      );
      return found === undefined ? undefined : fileId(found);
    } catch {
      return undefined;
    }
  }

  /** Undefined: there is no bin on that file system, and nothing was done. */
  async take(keeping: Keeping): Promise<Binned | undefined> {
    const entry = await this.#begin(keeping, 'deleted');
    if (entry === undefined) return undefined;
    const { folder, name } = keeping.spot;
    await this.#moveIn(entry, (to) => fs.rename(folder.at(name), to));
    this.#noteWriters(entry, keeping);
    return this.#add(entry);
  }

  /** Whoever has it open goes on writing; what that adds counts as what it is: bytes that are in no folder. */
  #noteWriters(entry: Entry, { place, stored }: Keeping): void {
    const { files, journal } = this.#options;
    const open = stored.type === 'file' ? files.find(stored.id) : undefined;
    if (open?.visibility === 'visible') open.visibility = 'unlinked';
    const isWrittenTo =
      open !== undefined || journal().writers.some(({ record }) => isBelow(record.place, place));
    if (isWrittenTo) this.#growing.add(entry);
  }

  /** Keeps the file that `replace` puts another one in the place of. Undefined: it could not be kept, and is replaced. */
  async keeping(keeping: Keeping, replace: () => Promise<void>): Promise<Binned | undefined> {
    const entry = await this.#begin(keeping, 'replaced');
    const { folder, name } = keeping.spot;
    const isKept =
      entry !== undefined && (await this.#tryMoveIn(entry, (to) => fs.link(folder.at(name), to)));
    try {
      await replace();
    } catch (error) {
      if (isKept) await this.#forget(entry);
      throw error;
    }
    return isKept ? this.#add(entry) : undefined;
  }

  /**
   * Keeps a copy of a file that is about to be cut where it is: of shared blocks where the file system can, else only of
   * what is copied in a moment. Undefined: it could not be kept.
   */
  async keepCopy(keeping: Keeping, openFile: string): Promise<Binned | undefined> {
    const entry = await this.#begin(keeping, 'replaced');
    if (entry === undefined) return undefined;
    const copy = async (to: PathLike): Promise<void> => {
      const half = entry.folder.folder.at(`${entry.note.id}.json-new`);
      try {
        await fs
          .copyFile(openFile, half, fs.constants.COPYFILE_FICLONE_FORCE)
          .catch(async (error: unknown) => {
            if (keeping.stored.size > copiedVersionBytesMax) throw error;
            await fs.copyFile(openFile, half);
          });
        await fs.rename(half, to);
      } catch (error) {
        await fs.rm(half, { force: true });
        throw error;
      }
    };
    const isKept = await this.#copying.run(() => this.#tryMoveIn(entry, copy));
    return isKept ? this.#add(entry) : undefined;
  }

  async #begin(
    { place, spot, stored, order, by }: Keeping,
    reason: BinNote['reason'],
  ): Promise<Entry | undefined> {
    const folder = await this.#folderFor(place, spot);
    if (folder === undefined) return undefined;
    const { user, virtualPath, keepMs, isCounted } = order;
    const atMs = this.#options.clock.now();
    const note: BinNote = {
      id: randomName(),
      user,
      virtualPath: [...virtualPath],
      place: { root: [...place.root], path: [...place.path] },
      type: stored.type,
      ...(stored.type === 'file' && { bytes: stored.size }),
      atMs,
      expiresAtMs: atMs + keepMs,
      reason,
      isCounted,
      session: by.session,
      operation: by.operation,
    };
    await this.#writeFirst(folder, note);
    return { folder, note };
  }

  /** Who is told that something is kept must not lose it to a full disk; there is a way to say that it may go. */
  async #writeFirst(folder: BinFolder, note: BinNote): Promise<void> {
    try {
      await folder.writeNote(note);
    } catch (error) {
      if (!hasErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
      throw new SallyportError(
        'no-space',
        'The storage is full: nothing more can be kept in the bin. Empty it, or delete for good',
        { cause: error },
      );
    }
  }

  async #folderFor(place: Place, spot: Pick<Spot, 'folder'>): Promise<BinFolder | undefined> {
    try {
      return await this.#folderOf(await this.#options.areaFor(place, spot));
    } catch (error) {
      // Another file system inside a mount: there was no room for it beside the files, and never will be.
      if (!isSallyportError(error, 'unsupported')) throw error;
      this.#options.log.warn({ err: error, place }, 'what is removed here can not be kept');
      return undefined;
    }
  }

  async #moveIn({ folder, note }: Entry, move: (to: PathLike) => Promise<void>): Promise<void> {
    try {
      await move(folder.folder.at(note.id));
    } catch (error) {
      await folder.removeNote(note.id);
      throw error;
    }
  }

  async #tryMoveIn(entry: Entry, move: (to: PathLike) => Promise<void>): Promise<boolean> {
    try {
      await this.#moveIn(entry, move);
      return true;
    } catch (error) {
      const { user, virtualPath: path } = entry.note;
      const level = hasErrno(error, ...linkless) ? 'info' : 'warn';
      this.#options.log[level]({ err: error, user, path }, 'the replaced file could not be kept');
      return false;
    }
  }

  /** Its second name only. */
  async #forget({ folder, note }: Entry): Promise<void> {
    await fs.rm(folder.folder.at(note.id), { force: true });
    await folder.removeNote(note.id);
  }

  #add(entry: Entry): Binned {
    const { note } = entry;
    const owned = this.#byUser.get(note.user) ?? { entries: new Set(), counted: undefined };
    this.#byUser.set(note.user, owned);
    owned.entries.add(entry);
    owned.counted = undefined;
    this.#byId.set(note.id, entry);
    this.#byOperation.set(operationKey(note), entry);
    if (note.bytes === undefined) this.#addUpLater(entry);
    this.#dropOldest(owned.entries, binEntriesPerUserMax);
    if (note.reason === 'replaced') {
      const sameName = [...owned.entries].filter(
        (one) => one.note.reason === 'replaced' && isSamePlace(one.note.place, note.place),
      );
      this.#dropOldest(new Set(sameName), binVersionsMax);
    }
    return toBinned(note);
  }

  /** After one was added. Not waited for here: whoever added it holds its name, which who restores the oldest may want. */
  #dropOldest(entries: ReadonlySet<Entry>, entriesMax: number): void {
    if (entries.size <= entriesMax) return;
    let oldest: Entry | undefined;
    for (const one of entries) if (oldest === undefined || one.note.atMs < oldest.note.atMs) oldest = one;
    const { id } = oldest?.note ?? {};
    if (id !== undefined)
      void this.#makingRoom.run(() => this.#walk(`${id} of the bin is not dropped`, () => this.drop([id])));
  }

  #remove(entry: Entry): void {
    const { note } = entry;
    this.#byId.delete(note.id);
    this.#byOperation.delete(operationKey(note));
    const owned = this.#byUser.get(note.user);
    if (owned === undefined) return;
    this.#growing.delete(entry);
    owned.entries.delete(entry);
    owned.counted = undefined;
    if (owned.entries.size === 0) this.#byUser.delete(note.user);
  }

  of(user: string): readonly Binned[] {
    const untilMs = this.#options.formerUntilMs(user);
    return this.everything(user).filter(({ atMs }) => untilMs === undefined || atMs > untilMs);
  }

  everything(user: string): readonly Binned[] {
    return Array.from(this.#byUser.get(user)?.entries ?? [], ({ note }) => toBinned(note));
  }

  owners(): Iterable<string> {
    return this.#byUser.keys();
  }

  keptBy(name: OperationName): Binned | undefined {
    const entry = this.#byOperation.get(operationKey(name));
    return entry === undefined ? undefined : toBinned(entry.note);
  }

  countedBytes(user: string): number {
    const owned = this.#byUser.get(user);
    if (owned === undefined) return 0;
    const sinceMs = this.#options.formerUntilMs(user);
    if (owned.counted === undefined || owned.counted.sinceMs !== sinceMs) {
      const counted = this.of(user).filter(({ isCounted }) => isCounted);
      owned.counted = { sinceMs, bytes: counted.reduce((sum, { bytes = 0 }) => sum + bytes, 0) };
    }
    return owned.counted.bytes;
  }

  restore(id: string, to: Place, by: OperationName): Promise<void> {
    const { locks, jail, journal } = this.#options;
    return locks.hold([turnOf(id)], () =>
      jail.withSpot(to, 'parent-missing', async (target) => {
        const entry = this.#byId.get(id);
        if (entry === undefined) {
          // By a process that was killed before it could answer.
          const there = await target.folder.find(target.name);
          if (there !== undefined && journal().recall(by)?.id === fileId(there)) return;
          throw notFound('not in the bin');
        }
        const { folder } = entry;
        entry.note = { ...entry.note, restoringTo: { root: [...to.root], path: [...to.path] } };
        await folder.writeNote(entry.note);
        const source = { folder: folder.folder, folderId: await folder.folder.id(), name: id };
        await locks.hold([lockKey(target)], () =>
          renameSpot(source, target, { overwrite: false, by }, journal()),
        );
        this.#remove(entry);
        await folder.removeNote(id);
        const there = await target.folder.find(target.name);
        const open = there === undefined ? undefined : this.#options.files.find(fileId(there));
        if (open?.visibility === 'unlinked') open.visibility = 'visible';
      }),
    );
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#options.locks.hold([turnOf(id)], () => this.#drop(id));
  }

  async #drop(id: string): Promise<void> {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    const { folder } = entry;
    try {
      this.#removeLater(folder, await folder.markDropped(id));
    } catch (error) {
      // Whoever may look into the staging folder took it out.
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
    this.#remove(entry);
    await folder.removeNote(id);
  }

  async dropExpired(): Promise<readonly Binned[]> {
    await this.#followGrowing();
    const now = this.#options.clock.now();
    const expired = Array.from(this.#byId.values(), ({ note }) => toBinned(note)).filter(
      ({ expiresAtMs }) => expiresAtMs <= now,
    );
    await this.drop(expired.map(({ id }) => id));
    return expired;
  }

  /** What was being written to when it came here is as long as it is now. */
  async #followGrowing(): Promise<void> {
    const { files, journal } = this.#options;
    for (const entry of this.#growing) {
      const { note, folder } = entry;
      const stats = await folder.folder.find(note.id);
      if (stats === undefined) continue;
      const isOpen =
        note.type === 'file'
          ? files.find(fileId(stats)) !== undefined
          : journal().writers.some(({ record }) => isBelow(record.place, note.place));
      // Once more after the last one closed it.
      if (!isOpen) this.#growing.delete(entry);
      if (note.type === 'folder') this.#addUpLater(entry);
      else if (note.bytes !== Number(stats.size)) await this.#resize(entry, Number(stats.size));
    }
  }

  async #resize(entry: Entry, bytes: number): Promise<void> {
    const { id, user } = entry.note;
    await this.#options.locks.hold([turnOf(id)], async () => {
      if (this.#byId.get(id) !== entry) return;
      entry.note = { ...entry.note, bytes };
      const owned = this.#byUser.get(user);
      if (owned !== undefined) owned.counted = undefined;
      await entry.folder.writeNote(entry.note);
    });
  }

  #removeLater(folder: BinFolder, name: string): void {
    void this.#removing.run(() =>
      this.#walk(`${name} of the bin is not removed yet`, () => folder.remove(name, this.#closing.signal)),
    );
  }

  #addUpLater(entry: Entry): void {
    const { id } = entry.note;
    entry.addingUp = this.#addingUp.run(() =>
      this.#walk(`the folder ${id} of the bin is not added up`, async () => {
        if (this.#byId.get(id) !== entry) return;
        const folder = await entry.folder.folder.openFolder(id);
        try {
          await this.#resize(entry, await measureTree(folder, '', this.#closing.signal));
        } finally {
          await folder.close();
        }
      }),
    );
  }

  roomMade(): Promise<void> {
    return this.#makingRoom.settled();
  }

  async addedUp(id: string): Promise<Binned | undefined> {
    await this.#byId.get(id)?.addingUp;
    const entry = this.#byId.get(id);
    return entry === undefined ? undefined : toBinned(entry.note);
  }

  /** In the background: what fails is tried again at the next start. */
  async #walk(failure: string, walk: () => Promise<void>): Promise<void> {
    if (this.#closing.signal.aborted) return;
    try {
      await walk();
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#options.log.warn({ err: error }, failure);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#makingRoom.settled();
    await this.#removing.settled();
    await this.#addingUp.settled();
    for (const folder of this.#folders.values()) await (await folder).folder.close();
  }
}

/** One thing at a time is done to an entry. */
function turnOf(id: string): string {
  return `bin ${id}`;
}

function operationKey({ session, operation }: OperationName): string {
  return `${session} ${operation}`;
}

function toBinned(note: BinNote): Binned {
  const { id, user, virtualPath, place, type, bytes, atMs, expiresAtMs, reason, isCounted } = note;
  return { id, user, virtualPath, place, type, bytes, atMs, expiresAtMs, reason, isCounted };
}
