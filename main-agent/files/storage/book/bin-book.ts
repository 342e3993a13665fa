/**
 * The bin, the same for each medium: what is removed or replaced gets a name in a hidden folder next to its own, whole
 * and however much is in it, and gets out of it again. Which entries there are is known in memory, from their notes.
 *
 * Per entry, `<id>` is the file or folder itself and `<id>.json` whose it was and where. `<id>.dropped` is on its way off
 * the medium. The note is written before anything is moved and removed after everything was: a note without its entry
 * says nothing, and an entry never lacks a note that could be read.
 */
import { randomBytes } from 'node:crypto';
import { type KeyLock, Serial, Slots } from '#main-agent/turns.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import {
  binEntriesPerUserMax,
  binVersionsMax,
  copiedVersionBytesMax,
  copiesAtOnce,
  stagingRecordBytesMax,
} from '../../limits.ts';
import type { BlobStorage, HiddenFolder, OpenBytes, Spot } from '../blob-storage.ts';
import { hasFileCode, notFound } from '../file-error.ts';
import { isBelow, isSamePlace, keyOfSpot } from '../places.ts';
import type { Bin, Binned, BinOrder, OperationName, Place, Stored } from '../storage.ts';
import { type BinNote, noteName, parseNote, toBinned, writeNote } from './bin-notes.ts';
import type { Journal } from './journal.ts';
import type { OpenFiles } from './open-files.ts';
import { renameSpot } from './rename.ts';
import type { StagingArea } from './staging-area.ts';

const folderName = 'bin';
/** Notes looked at in one go when main begins: some ten milliseconds. */
const notesAtOnce = 500;

interface BinBookOptions {
  readonly blobs: BlobStorage;
  readonly locks: KeyLock;
  readonly journal: () => Journal;
  readonly files: OpenFiles;
  readonly areaFor: (place: Place, spot: Spot) => Promise<StagingArea>;
  /** What a user binned until then is an earlier holder's of the name. */
  readonly formerUntilMs: (user: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is to be kept, where it is now, and who wants that. */
interface Keeping {
  readonly place: Place;
  readonly spot: Spot;
  readonly stored: Pick<Stored, 'type' | 'size' | 'id' | 'changedAtMs'>;
  readonly order: BinOrder;
  readonly by: OperationName;
}

interface Entry {
  readonly folder: HiddenFolder;
  note: BinNote;
  /** When all that is in it was added up, or could not be. */
  addingUp?: Promise<void>;
}

interface Owned {
  readonly entries: Set<Entry>;
  /** Of those that count, since `sinceMs`; undefined: to be added up again. */
  counted: { readonly sinceMs: number | undefined; readonly bytes: number } | undefined;
}

export class BinBook implements Bin {
  readonly #options: BinBookOptions;
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

  constructor(options: BinBookOptions) {
    this.#options = options;
  }

  /** Takes in what waits in an area from before; removes halves that a kill left. */
  async load(area: StagingArea): Promise<void> {
    const folder = await area.folder.inner(folderName, { isMade: false });
    if (folder === undefined) return;
    const present = new Set<string>();
    for await (const name of folder.names()) present.add(name);
    const ids: string[] = [];
    for (const name of present) {
      const [id = '', kind] = name.split('.');
      if (kind === 'dropped') this.#removeLater(folder, name);
      else if (kind === 'json-new') await folder.remove(name);
      else if (kind === 'json' && !present.has(id)) await folder.remove(name);
      else if (kind === 'json') ids.push(id);
    }
    for (let from = 0; from < ids.length; from += notesAtOnce)
      await this.#loadNotes(folder, ids.slice(from, from + notesAtOnce));
    await this.roomMade();
  }

  async #loadNotes(folder: HiddenFolder, ids: readonly string[]): Promise<void> {
    const texts = await folder.readMany(ids.map(noteName), stagingRecordBytesMax);
    const found = await folder.findMany(ids);
    for (const [index, id] of ids.entries()) {
      const noted = parseNote(id, texts[index] ?? '', this.#options.log);
      const there = found[index];
      if (noted === undefined || there === undefined || there === 'unserved') continue;
      // Who had it open may have written to it.
      const note = noted.type === 'file' ? { ...noted, bytes: there.size } : noted;
      if (await this.#isHalfMoved(note, there)) await this.#forget({ folder, note });
      else this.#add({ folder, note });
    }
  }

  /**
   * A kill came between a file's second name and the end of its first: it is where it was, or where it was being put
   * back to, and not in the bin.
   */
  async #isHalfMoved(note: BinNote, there: Stored): Promise<boolean> {
    if (there.type !== 'file' || there.links < 2) return false;
    for (const place of [note.place, note.restoringTo]) {
      if (place !== undefined && (await this.#idAt(place)) === there.id) return true;
    }
    return false;
  }

  async #idAt(place: Place): Promise<string | undefined> {
    try {
      const found = await this.#options.blobs.at(place, 'not-found', (spot) => spot.find());
      return found === 'unserved' ? undefined : found?.id;
    } catch {
      return undefined;
    }
  }

  /** Undefined: there is no bin on that file system, and nothing was done. */
  async take(keeping: Keeping): Promise<Binned | undefined> {
    const entry = await this.#begin(keeping, 'deleted');
    if (entry === undefined) return undefined;
    await this.#moveIn(entry, (to) => keeping.spot.moveTo(to, { isExclusive: false }));
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
    const isKept = entry !== undefined && (await this.#tryMoveIn(entry, (to) => keeping.spot.linkTo(to)));
    try {
      await replace();
    } catch (error) {
      if (isKept) await this.#forget(entry);
      throw error;
    }
    return isKept ? this.#add(entry) : undefined;
  }

  /** Keeps a copy of a file that is about to be cut where it is. Undefined: it could not be kept. */
  async keepCopy(keeping: Keeping, file: OpenBytes): Promise<Binned | undefined> {
    const entry = await this.#begin(keeping, 'replaced');
    if (entry === undefined) return undefined;
    const isKept = await this.#copying.run(() =>
      this.#tryMoveIn(entry, ({ name }) => entry.folder.keepCopy(name, file, copiedVersionBytesMax)),
    );
    return isKept ? this.#add(entry) : undefined;
  }

  async #begin(
    { place, spot, stored, order, by }: Keeping,
    reason: BinNote['reason'],
  ): Promise<Entry | undefined> {
    const folder = await this.#folderFor(place, spot);
    if (folder === undefined) return undefined;
    const { user, virtualPath, keepMs, retentionMs = Infinity, isCounted } = order;
    const atMs = this.#options.clock.now();
    const agedMs = stored.type === 'file' ? Math.max(0, atMs - stored.changedAtMs) : 0;
    const note: BinNote = {
      id: randomBytes(16).toString('base64url'),
      user,
      virtualPath: [...virtualPath],
      place: { root: [...place.root], path: [...place.path] },
      type: stored.type,
      ...(stored.type === 'file' && { bytes: stored.size }),
      atMs,
      expiresAtMs: atMs + Math.max(0, Math.min(keepMs, retentionMs - agedMs)),
      reason,
      isCounted,
      session: by.session,
      operation: by.operation,
    };
    await this.#writeFirst(folder, note);
    return { folder, note };
  }

  /** Who is told that something is kept must not lose it to a full disk; there is a way to say that it may go. */
  async #writeFirst(folder: HiddenFolder, note: BinNote): Promise<void> {
    try {
      await writeNote(folder, note);
    } catch (error) {
      if (!hasFileCode(error, 'no-space', 'quota-exceeded')) throw error;
      throw new SallyportError(
        'no-space',
        'The storage is full: nothing more can be kept in the bin. Empty it, or delete for good',
        { cause: error },
      );
    }
  }

  async #folderFor(place: Place, spot: Spot): Promise<HiddenFolder | undefined> {
    try {
      const { folder } = await this.#options.areaFor(place, spot);
      return await folder.inner(folderName, { isMade: true });
    } catch (error) {
      // Another file system inside a mount: there was no room for it beside the files, and never will be.
      if (!isSallyportError(error, 'unsupported')) throw error;
      this.#options.log.warn({ err: error, place }, 'what is removed here can not be kept');
      return undefined;
    }
  }

  async #moveIn({ folder, note }: Entry, move: (to: Spot) => Promise<void>): Promise<void> {
    try {
      await move(folder.at(note.id));
    } catch (error) {
      await folder.remove(noteName(note.id));
      throw error;
    }
  }

  async #tryMoveIn(entry: Entry, move: (to: Spot) => Promise<void>): Promise<boolean> {
    try {
      await this.#moveIn(entry, move);
      return true;
    } catch (error) {
      const { user, virtualPath: path } = entry.note;
      const level = hasFileCode(error, 'unsupported') ? 'info' : 'warn';
      this.#options.log[level]({ err: error, user, path }, 'the replaced file could not be kept');
      return false;
    }
  }

  /** Its second name only. */
  async #forget({ folder, note }: Entry): Promise<void> {
    await folder.remove(note.id);
    await folder.remove(noteName(note.id));
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

  async giveTo(user: string, to: string, move: (place: Place) => Place): Promise<number> {
    const ids = this.of(user).map(({ id }) => id);
    for (const id of ids) {
      const entry = this.#byId.get(id);
      if (entry === undefined) continue;
      const { root, path } = move(entry.note.place);
      const note = { ...entry.note, user: to, place: { root: [...root], path: [...path] } };
      await writeNote(entry.folder, note);
      const isGrowing = this.#growing.has(entry);
      this.#remove(entry);
      entry.note = note;
      this.#add(entry);
      if (isGrowing) this.#growing.add(entry);
    }
    return ids.length;
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
    const { locks, blobs, journal } = this.#options;
    return locks.hold([turnOf(id)], () =>
      blobs.at(to, 'parent-missing', async (target) => {
        const entry = this.#byId.get(id);
        if (entry === undefined) {
          // By a process that was killed before it could answer.
          const there = await target.find();
          const done = journal().recall(by)?.id;
          if (there !== undefined && there !== 'unserved' && there.id === done) return;
          throw notFound('not in the bin');
        }
        const { folder } = entry;
        entry.note = { ...entry.note, restoringTo: { root: [...to.root], path: [...to.path] } };
        await writeNote(folder, entry.note);
        await locks.hold([await keyOfSpot(target)], () =>
          renameSpot(folder.at(id), target, { overwrite: false, by }, journal()),
        );
        this.#remove(entry);
        await folder.remove(noteName(id));
        await this.#showAgain(target);
      }),
    );
  }

  async #showAgain(target: Spot): Promise<void> {
    const there = await target.find();
    if (there === undefined || there === 'unserved') return;
    const open = this.#options.files.find(there.id);
    if (open?.visibility === 'unlinked') open.visibility = 'visible';
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#options.locks.hold([turnOf(id)], () => this.#drop(id));
  }

  async #drop(id: string): Promise<void> {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    const { folder } = entry;
    const dropped = `${id}.dropped`;
    try {
      await folder.at(id).moveTo(folder.at(dropped), { isExclusive: false });
      this.#removeLater(folder, dropped);
    } catch (error) {
      // Whoever may look into the staging folder took it out.
      if (!hasFileCode(error, 'not-found')) throw error;
    }
    this.#remove(entry);
    await folder.remove(noteName(id));
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
      const there = await folder.at(note.id).find();
      if (there === undefined || there === 'unserved') continue;
      const isOpen =
        note.type === 'file'
          ? files.find(there.id) !== undefined
          : journal().writers.some(({ record }) => isBelow(record.place, note.place));
      // Once more after the last one closed it.
      if (!isOpen) this.#growing.delete(entry);
      if (note.type === 'folder') this.#addUpLater(entry);
      else if (note.bytes !== there.size) await this.#resize(entry, there.size);
    }
  }

  async #resize(entry: Entry, bytes: number): Promise<void> {
    const { id, user } = entry.note;
    await this.#options.locks.hold([turnOf(id)], async () => {
      if (this.#byId.get(id) !== entry) return;
      entry.note = { ...entry.note, bytes };
      const owned = this.#byUser.get(user);
      if (owned !== undefined) owned.counted = undefined;
      await writeNote(entry.folder, entry.note);
    });
  }

  #removeLater(folder: HiddenFolder, name: string): void {
    void this.#removing.run(() =>
      this.#walk(`${name} of the bin is not removed yet`, () =>
        folder.removeTree(name, this.#closing.signal),
      ),
    );
  }

  #addUpLater(entry: Entry): void {
    const { id } = entry.note;
    entry.addingUp = this.#addingUp.run(() =>
      this.#walk(`the folder ${id} of the bin is not added up`, async () => {
        if (this.#byId.get(id) !== entry) return;
        await this.#resize(entry, await entry.folder.measure(id, this.#closing.signal));
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
  }
}

/** One thing at a time is done to an entry. */
function turnOf(id: string): string {
  return `bin ${id}`;
}

function operationKey({ session, operation }: OperationName): string {
  return `${session} ${operation}`;
}
