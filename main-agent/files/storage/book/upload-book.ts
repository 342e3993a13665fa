/**
 * The book of uploads, the same for each medium: begun, kept when broken, taken up again, swept when nobody came back for
 * them. Which uploads are open here is known by id; two of them never share bytes.
 */
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { KeyLock } from '#main-agent/turns.ts';
import { journalRecallMs, keptVersionMs } from '../../limits.ts';
import type { BlobStorage, HiddenFolder, OpenBytes, Spot } from '../blob-storage.ts';
import { badHandle, notFound, taken, toFileError } from '../file-error.ts';
import { isBelow, isSamePlace, keyOfSpot, movedPlace, nameKey } from '../places.ts';
import { requireFileOrNothing } from '../requirements.ts';
import type {
  BeginUpload,
  CommittedUpload,
  FinishedBefore,
  FinishedResumable,
  KeptUpload,
  OperationName,
  Place,
  RenameOptions,
  ResumableUpload,
  Stored,
  Upload,
  UploadRecord,
  UploadStart,
  UploadTarget,
} from '../storage.ts';
import { BinBook } from './bin-book.ts';
import { againIfChanged, InPlaceWriters } from './in-place-writers.ts';
import { Journal } from './journal.ts';
import { type KeptEntry, KeptUploads } from './kept-uploads.ts';
import { KeptVersions } from './kept-versions.ts';
import { OpenFiles } from './open-files.ts';
import { StagedUpload, type UploadHome } from './staged-upload.ts';
import { StagingArea, type StagedRecord } from './staging-area.ts';

export interface UploadBookOptions {
  readonly keepPartialMs: number;
  readonly keepReplaced: boolean;
  /** A user's uploads begun until then are an earlier holder's of the name. */
  readonly formerUntilMs: (user: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class UploadBook implements UploadHome {
  readonly blobs: BlobStorage;
  readonly locks: KeyLock;
  readonly clock: Clock;
  readonly log: Log;
  readonly files = new OpenFiles();
  readonly waiting = new KeptUploads();
  readonly versions: KeptVersions;
  readonly writers: InPlaceWriters;
  readonly bin: BinBook;
  readonly #options: UploadBookOptions;
  readonly #areas = new Map<HiddenFolder, Promise<StagingArea>>();
  readonly #open = new Map<string, StagedUpload>();
  /** Kept ones on their way to being open again, by the name they were kept under. */
  readonly #resuming = new Map<string, KeptEntry>();
  /** Names that an open upload took as "must not exist". */
  readonly #reserved = new Set<string>();
  readonly #openedAtMs: number;
  #journal: Journal | undefined;
  #finishedBefore: Promise<ReadonlyMap<string, readonly FinishedBefore[]>> | undefined;

  constructor(blobs: BlobStorage, locks: KeyLock, options: UploadBookOptions) {
    this.blobs = blobs;
    this.locks = locks;
    this.clock = options.clock;
    this.log = options.log;
    this.#options = options;
    this.#openedAtMs = options.clock.monotonic();
    this.versions = new KeptVersions({ ...options, waiting: this.waiting });
    this.writers = new InPlaceWriters(this);
    this.bin = new BinBook({
      ...options,
      blobs,
      locks,
      journal: () => this.journal,
      files: this.files,
      areaFor: (place, spot) => this.#areaFor(place, spot),
    });
  }

  async open(): Promise<void> {
    const [first, ...others] = await this.blobs.stagings();
    if (first === undefined) throw new TypeError('a storage without a staging folder');
    await this.#areaOf(first);
    for (const folder of others) {
      // What waits there is found when something is uploaded there, or at the next start.
      await this.#afterwards('a staging folder of a mount could not be read', () => this.#areaOf(folder));
    }
    this.#journal = await Journal.open(first, this.clock, this.log);
    await this.writers.decideAppends();
  }

  async #areaFor(place: Place, spot: Spot): Promise<StagingArea> {
    return this.#areaOf(await this.blobs.stagingFor(place, spot));
  }

  #areaOf(folder: HiddenFolder): Promise<StagingArea> {
    const known = this.#areas.get(folder);
    if (known !== undefined) return known;
    const loading = this.#loadArea(new StagingArea(folder, this.#options));
    this.#areas.set(folder, loading);
    // Tried again by the next upload.
    loading.catch(() => this.#areas.delete(folder));
    return loading;
  }

  async #loadArea(area: StagingArea): Promise<StagingArea> {
    const { uploads, versions, withoutPart } = await area.load((id) => this.#open.has(id));
    for (const { record, size, touchedAtMs } of uploads) {
      if (record.isCopy === true || (await this.#hasBothNames(record))) await this.#settle(area, record);
      else await this.keep({ area, record, size, keptAtMs: touchedAtMs });
    }
    for (const record of withoutPart) await this.#settle(area, record);
    for (const version of versions) this.waiting.addVersion({ area, version });
    await this.bin.load(area);
    return area;
  }

  /** Nobody goes on with it: it was committed, or there is nothing of it. Before anybody could change its name. */
  async #settle(area: StagingArea, record: StagedRecord): Promise<void> {
    await this.#afterwards('what was left of an upload could not be removed', async () => {
      if (record.unlinked !== true && (await this.#findPlaced(record)) === undefined)
        return area.remove(record.id);
      await area.removePart(record.id);
      await area.markCommitted(record);
    });
  }

  /** Killed in the middle of its commit, see `Spot.moveTo`: who wrote on into the part would write into the file. */
  async #hasBothNames(record: StagedRecord): Promise<boolean> {
    try {
      return (await this.#findPlaced(record)) !== undefined;
    } catch (error) {
      this.log.warn({ err: error, upload: record.id }, 'where a kept upload is to go could not be looked at');
      return false;
    }
  }

  /** The file that came of an upload, if it has the name that was meant. */
  async #findPlaced({ place, partId }: StagedRecord): Promise<Stored | undefined> {
    try {
      const found = await this.blobs.at(place, 'not-found', (spot) => spot.find());
      return found === undefined || found === 'unserved' || found.id !== partId ? undefined : found;
    } catch (error) {
      // Its folder is gone.
      if (toFileError(error).code === 'not-found') return undefined;
      throw error;
    }
  }

  #allAreas(): Promise<readonly StagingArea[]> {
    return Promise.all(this.#areas.values());
  }

  async #afterwards(failure: string, act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.log.warn({ err: error }, failure);
    }
  }

  get journal(): Journal {
    if (this.#journal === undefined) throw new Error('the storage is not open');
    return this.#journal;
  }

  begin(place: Place, begin: BeginUpload): Promise<Upload> {
    return againIfChanged(() => this.#begin(place, begin));
  }

  #begin(place: Place, begin: BeginUpload): Promise<Upload | undefined> {
    return this.blobs.at(place, 'parent-missing', async (spot) => {
      const existing = requireFileOrNothing(await spot.find());
      const folderId = await spot.folderId();
      const kept = existing === undefined ? this.#keptIn(folderId, begin.record.user, place) : undefined;
      const start = begin.choose(existing, kept);
      const { exclusive } = begin.record;
      if (start.from === 'present' && !exclusive) return this.writers.openPresent(spot, begin, start);
      if (start.from === 'nothing') return this.writers.create(spot, begin);
      const reservation = nameKey(folderId, spot.name);
      if (exclusive && (existing !== undefined || this.#reserved.has(reservation))) {
        throw taken('exclusive create');
      }
      if (exclusive) this.#reserved.add(reservation);
      try {
        if (existing === undefined) await spot.requireNoTwin();
        const area = await this.#areaFor(place, spot);
        const upload =
          start.from === 'kept'
            ? await this.#resume(start.id, begin, existing !== undefined, folderId)
            : await this.#start(area, folderId, begin, existing, start);
        this.#open.set(upload.record.id, upload);
        if (start.from === 'kept') this.#resuming.delete(start.id);
        return upload;
      } catch (error) {
        if (exclusive) this.#reserved.delete(reservation);
        throw error;
      }
    });
  }

  async #start(
    area: StagingArea,
    folderId: string,
    begin: BeginUpload,
    existing: Stored | undefined,
    start: UploadStart,
  ): Promise<StagedUpload> {
    const { id } = begin.record;
    // A replaced file keeps its mode, whatever the opening says: as if it had been written in place.
    const mode = existing?.mode ?? begin.mode;
    const part = await this.#makePart(area, begin, start, mode);
    try {
      if (mode !== undefined) await part.change({ mode });
      const record = stagedRecord(begin, existing !== undefined, folderId, part);
      await area.writeRecord(record);
      return new StagedUpload(this, area, record, part);
    } catch (error) {
      await part.close();
      await area.remove(id);
      throw error;
    }
  }

  #makePart(
    area: StagingArea,
    begin: BeginUpload,
    start: UploadStart,
    mode: number | undefined,
  ): Promise<OpenBytes> {
    const { id } = begin.record;
    if (start.from !== 'copy') return area.createPart(id, mode);
    return this.blobs.at(start.of, 'not-found', async (spot) => {
      const original = await spot.open('read');
      if (original === undefined) throw notFound('what is copied');
      try {
        begin.onStartBytes(original.size);
        return await area.copyToPart(id, original);
      } finally {
        await original.close();
      }
    });
  }

  async #resume(
    keptId: string,
    begin: BeginUpload,
    replaces: boolean,
    folderId: string,
  ): Promise<StagedUpload> {
    const kept = this.waiting.take(keptId);
    if (kept === undefined) throw notFound('the kept upload is gone');
    // Until `begin` has it among the open ones.
    this.#resuming.set(keptId, kept);
    try {
      return await this.#takeUp(kept, begin, replaces, folderId);
    } catch (error) {
      this.#resuming.delete(keptId);
      throw error;
    }
  }

  async #takeUp(
    kept: KeptEntry,
    begin: BeginUpload,
    replaces: boolean,
    folderId: string,
  ): Promise<StagedUpload> {
    const { id } = begin.record;
    const { area } = kept;
    const { id: keptId } = kept.record;
    let part: OpenBytes | undefined;
    try {
      begin.onStartBytes(kept.size);
      part = await area.openPart(keptId);
      const record = stagedRecord(begin, replaces, folderId, part);
      // A record of its own before it has its new name: whenever main is killed, the part has one.
      await area.writeRecord(record);
      await area.renamePart(keptId, id);
      await this.#afterwards('the record of a resumed upload is left', () => area.removeRecord(keptId));
      return new StagedUpload(this, area, record, part);
    } catch (error) {
      await part?.close();
      // A full disk, or no descriptor left: what was stored waits on, as it did.
      this.waiting.add(kept);
      await area.removeRecord(id);
      throw error;
    }
  }

  async areaNear(file: OpenBytes): Promise<StagingArea> {
    return this.#areaOf(await this.blobs.stagingNear(file));
  }

  opened(id: string): StagedUpload | undefined {
    return this.#open.get(id);
  }

  async kept(user: string, place: Place): Promise<KeptUpload | undefined> {
    // Asked for every name that is missing: most users never left anything.
    if (this.waiting.at(user, place).length === 0) return undefined;
    return this.blobs.at(place, 'not-found', async (spot) =>
      (await spot.find()) === undefined ? this.#keptIn(await spot.folderId(), user, place) : undefined,
    );
  }

  #keptIn(folderId: string, user: string, place: Place): KeptUpload | undefined {
    const sinceMs = this.clock.now() - this.#options.keepPartialMs;
    return this.waiting
      .at(user, place)
      .filter(this.#isOfPresentHolder)
      .filter(({ record, keptAtMs }) => record.folderId === folderId && keptAtMs >= sinceMs)
      .sort((a, b) => b.keptAtMs - a.keptAtMs)[0];
  }

  /** What an earlier holder of the name left is swept in its time and goes to nobody. */
  readonly #isOfPresentHolder = ({ record }: { readonly record: UploadRecord }): boolean => {
    const untilMs = this.#options.formerUntilMs(record.user);
    return untilMs === undefined || record.startedAtMs > untilMs;
  };

  async dropKept(user: string, place: Place): Promise<void> {
    const mayComeBack = this.clock.monotonic() - this.#openedAtMs <= journalRecallMs;
    for (const { record } of this.waiting.at(user, place)) {
      // A session may still have it open that has not been heard of since this process began.
      if (record.left === true || !mayComeBack) await this.discardKept(record.id);
    }
  }

  /** Somebody has it open, is uploading to it or below it, or may go on with an upload there. */
  isInUse(place: Place, { id, type }: Pick<Stored, 'id' | 'type'>): boolean {
    if (this.files.isOpen(id) || this.waiting.isAwaited(place)) return true;
    const isThere = (at: Place): boolean => isSamePlace(at, place) || isBelow(at, place);
    if ([...this.#open.values(), ...this.journal.writers].some(({ record }) => isThere(record.place)))
      return true;
    return type === 'folder' && this.waiting.isAnyBelow(place);
  }

  /** A folder is gone, or is another one now. */
  async dropBelow(folder: Place): Promise<void> {
    for (const { record } of this.waiting.below(folder)) await this.discardKept(record.id);
  }

  /**
   * A folder was renamed: what is being written below it goes with it, whoever writes, as on a disk. An upload that an
   * earlier process had open is one too: its session may come back.
   */
  async follow(from: Place, to: Place): Promise<void> {
    for (const upload of this.#open.values()) {
      const moved = movedRecord(upload.record, from, to);
      if (moved !== undefined) await upload.shared.turns.run(() => this.#tryChange(upload, moved));
    }
    for (const { area, record, ...entry } of this.waiting.below(from)) {
      const moved = record.left === true ? undefined : movedRecord(record, from, to);
      if (moved === undefined) continue;
      const changed = { ...record, ...moved };
      await area.rewriteRecord(changed);
      this.waiting.take(record.id);
      this.waiting.add({ ...entry, area, record: changed });
    }
  }

  /** The folder has its new name: an upload that can not follow fails alone, at its commit. */
  async #tryChange(upload: StagedUpload, change: Partial<StagedRecord>): Promise<void> {
    try {
      await upload.changeRecord(change);
    } catch (error) {
      this.log.warn({ err: error, upload: upload.record.id }, 'an upload could not follow its folder');
    }
  }

  move(
    id: string,
    { place, virtualPath }: UploadTarget,
    { overwrite, by }: RenameOptions,
  ): Promise<{ readonly replaced: boolean }> {
    return this.blobs.at(place, 'parent-missing', async (spot) =>
      this.locks.hold([await keyOfSpot(spot)], async () => {
        const upload = this.#requireOpen(id);
        const existing = requireFileOrNothing(await spot.find());
        const replaces = existing !== undefined;
        // By a rename that an earlier process made, and could not finish here.
        const isOwn = replaces && this.journal.recall(by)?.id === existing.id;
        if (replaces && !overwrite && !isOwn) throw taken('rename target exists');
        if (!replaces) await spot.requireNoTwin();
        if (!(await upload.isBeside(spot)))
          throw new SallyportError(
            'unsupported',
            'That can not be moved to another storage; copy it instead',
          );
        await this.journal.note({ ...by, id, replaced: replaces });
        const folderId = await spot.folderId();
        const before = upload.record.place;
        await upload.changeRecord({ place, virtualPath, folderId, replaces, exclusive: false });
        // Its other handles.
        await this.writers.follow(before, place);
        return { replaced: replaces };
      }),
    );
  }

  async unlink(id: string, by: OperationName): Promise<void> {
    const upload = this.#requireOpen(id);
    await this.journal.note({ ...by, id, replaced: false });
    await upload.changeRecord({ unlinked: true });
  }

  #requireOpen(id: string): StagedUpload {
    const upload = this.#open.get(id);
    if (upload === undefined) throw badHandle('the upload is over');
    return upload;
  }

  resumable(user: string): readonly ResumableUpload[] {
    const keptAtMs = this.clock.now();
    const open = [...this.#open.values()]
      .filter(({ record }) => record.user === user && record.resumable !== undefined)
      .map(({ record, size, over }) => ({ record, size, keptAtMs, held: over }));
    const changing = [...this.#resuming.values()]
      .filter(({ record }) => record.user === user && record.resumable !== undefined)
      // Nobody can say when; whoever waits looks again.
      .map((entry) => ({ ...entry, held: new Promise<void>(() => undefined) }));
    const waiting = this.waiting.resumableOf(user).map((entry) => ({ ...entry, held: undefined }));
    // For a moment of letting go it both waits and is open: then it waits.
    const byName = new Map(
      [...open, ...changing, ...waiting].map((one) => [one.record.resumable?.name, one] as const),
    );
    return [...byName.values()].filter(this.#isOfPresentHolder);
  }

  keptBytes(user: string): number {
    return this.waiting.bytes(user);
  }

  findBegun(session: string, operation: number): string | undefined {
    return (
      this.waiting.begunBy(session, operation)?.record.id ??
      this.journal.recallWriterBegunBy({ session, operation })
    );
  }

  openBefore(session: string): readonly string[] {
    return this.waiting.openBefore(session);
  }

  async discardKept(keptId: string): Promise<void> {
    const kept = this.waiting.take(keptId);
    await kept?.area.remove(keptId);
  }

  async adopt(id: string, session: string): Promise<Upload | undefined> {
    const kept = this.waiting.get(id);
    if (kept === undefined) return this.writers.adopt(id, session);
    if (kept.record.session !== session) return undefined;
    const appendedBytes = this.writers.requireAppended(kept.record);
    this.waiting.take(id);
    this.#resuming.set(id, kept);
    try {
      const part = await kept.area.openPart(id);
      const upload = new StagedUpload(this, kept.area, kept.record, part, appendedBytes);
      this.#open.set(id, upload);
      return upload;
    } catch (error) {
      this.waiting.add(kept);
      throw error;
    } finally {
      this.#resuming.delete(id);
    }
  }

  async findCommitted(id: string, session: string): Promise<CommittedUpload | undefined> {
    for (const area of await this.#allAreas()) {
      const record = (await area.readCommitted(id)) ?? (await area.readRecord(id));
      if (record === undefined || record.session !== session) continue;
      if (record.unlinked === true) return { record, attributes: nameless(record), created: false };
      const attributes = await this.#findPlaced(record);
      // Another file has the name by now: what became of ours can't be said any more.
      return attributes && { record, attributes, created: !record.replaces };
    }
    return undefined;
  }

  async finishedBefore(session: string): Promise<readonly FinishedBefore[]> {
    this.#finishedBefore ??= this.#readFinished().catch((error: unknown) => {
      this.log.warn({ err: error }, 'notes of commits could not be read');
      return new Map();
    });
    return (await this.#finishedBefore).get(session) ?? [];
  }

  /** Once: what is committed from now on is this process's to remember. */
  async #readFinished(): Promise<ReadonlyMap<string, readonly FinishedBefore[]>> {
    const bySession = new Map<string, FinishedBefore[]>();
    for (const area of await this.#allAreas()) {
      for (const { record, ageMs } of await area.committed()) {
        if (record.unlinked === true) continue;
        const own = bySession.get(record.session) ?? [];
        own.push({ uploadId: record.id, fileId: record.partId, place: record.place, ageMs });
        bySession.set(record.session, own);
      }
    }
    return bySession;
  }

  async finishedResumables(): Promise<readonly FinishedResumable[]> {
    const finished: FinishedResumable[] = [];
    await this.#afterwards('notes of commits could not be read', async () => {
      for (const area of await this.#allAreas())
        finished.push(...(await area.committed()).filter(({ record }) => record.resumable !== undefined));
    });
    return finished.filter(this.#isOfPresentHolder);
  }

  async finishedMoved(uploadId: string, session: string, to: Place): Promise<void> {
    try {
      for (const area of await this.#allAreas()) await area.moveCommitted(uploadId, session, to);
    } catch (error) {
      this.log.warn({ err: error, upload: uploadId }, 'the note of a commit could not be written anew');
    }
  }

  released(upload: StagedUpload): void {
    this.#open.delete(upload.record.id);
    this.unreserve(upload.record);
  }

  unreserve({ exclusive, unlinked, folderId, place }: StagedRecord): void {
    if (exclusive && unlinked !== true) this.#reserved.delete(nameKey(folderId, place.path.at(-1) ?? ''));
  }

  async keep(entry: KeptEntry): Promise<void> {
    for (const gone of this.waiting.add(entry)) await gone.area.remove(gone.record.id);
  }

  /** A file was committed: this user's broken uploads of it are of no use any more. */
  dropSuperseded(record: StagedRecord): Promise<void> {
    return this.dropKept(record.user, record.place);
  }

  async sweep(): Promise<void> {
    const now = this.clock.now();
    for (const kept of this.waiting.olderThan(now - this.#options.keepPartialMs)) {
      await this.discardKept(kept.record.id);
    }
    for (const { area, version } of this.waiting.takeVersionsOlderThan(now - keptVersionMs)) {
      await area.removeVersion(version.id);
    }
    // What this index does not know: records of commits.
    for (const area of await this.#allAreas()) {
      await area.sweep((id) => this.#open.has(id) || this.waiting.get(id) !== undefined);
    }
  }

  async close(): Promise<void> {
    for (const upload of this.#open.values()) await upload.abandon();
    await this.#journal?.close();
    await this.bin.close();
    for (const area of await this.#allAreas()) await area.settled();
  }
}

/** What is left to tell of a file that vanished with its close. */
function nameless({ partId, startedAtMs }: StagedRecord): Stored {
  const times = { mtimeMs: startedAtMs, atimeMs: startedAtMs };
  return { type: 'file', id: partId, size: 0, ...times, mode: 0o600, links: 0, changedAtMs: startedAtMs };
}

/** Resumable ones are taken up by the path they were created with. */
function movedRecord(record: StagedRecord, from: Place, to: Place): Partial<StagedRecord> | undefined {
  if (record.resumable !== undefined || !isBelow(record.place, from)) return undefined;
  const place = movedPlace(record.place, from, to);
  if (place === undefined) return undefined;
  const mountPath = record.virtualPath.slice(0, record.virtualPath.length - record.place.path.length);
  return { place, virtualPath: [...mountPath, ...place.path] };
}

function stagedRecord(
  begin: BeginUpload,
  replaces: boolean,
  folderId: string,
  part: OpenBytes,
): StagedRecord {
  return { ...begin.record, replaces, folderId, partId: part.id };
}
