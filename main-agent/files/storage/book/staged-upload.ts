/**
 * One atomic upload: bytes go to a part, `commit` puts it in place. Readers see the old file or the new one, never half
 * of one: the part is synced, gets its name in one step, and then the folder is synced.
 */
import type { Clock } from '#shared/clock.ts';
import type { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { KeyLock } from '#main-agent/turns.ts';
import type { Access, BlobStorage, OpenBytes, Spot } from '../blob-storage.ts';
import { badHandle, denied, taken, toFileError } from '../file-error.ts';
import { keyOfSpot } from '../places.ts';
import { requireFileOrNothing, requirePrecondition } from '../requirements.ts';
import type { Binned, BinOrder, Committed, CommitRules, Stored, Upload } from '../storage.ts';
import type { BinBook } from './bin-book.ts';
import type { KeptEntry, KeptUploads } from './kept-uploads.ts';
import type { KeptVersions } from './kept-versions.ts';
import type { StagedRecord, StagingArea } from './staging-area.ts';
import { type BytesHome, UploadBytes } from './upload-bytes.ts';

/** What an upload needs of the storage it belongs to. */
export interface UploadHome extends BytesHome {
  readonly blobs: BlobStorage;
  readonly locks: KeyLock;
  readonly waiting: KeptUploads;
  readonly versions: KeptVersions;
  readonly bin: BinBook;
  readonly clock: Clock;
  readonly log: Log;
  /** It is no longer open here. */
  released(upload: StagedUpload): void;
  /** Its name is not its own any more. */
  unreserve(record: StagedRecord): void;
  keep(entry: KeptEntry): Promise<void>;
  dropSuperseded(record: StagedRecord): Promise<void>;
}

export class StagedUpload extends UploadBytes implements Upload {
  readonly atomic = true;
  readonly freedBytes = 0;
  readonly #home: UploadHome;
  readonly #area: StagingArea;
  #record: StagedRecord;
  readonly #over = Promise.withResolvers<void>();
  #isOver = false;

  constructor(home: UploadHome, area: StagingArea, record: StagedRecord, part: OpenBytes, appendedBytes = 0) {
    super(part, home, { visibility: 'staged', initialSize: part.size, appendedBytes });
    this.#record = record;
    this.#home = home;
    this.#area = area;
  }

  get record(): StagedRecord {
    return this.#record;
  }

  /** On the disk first: the next process must not put it where it is not to be. */
  async changeRecord(change: Partial<StagedRecord>): Promise<void> {
    this.#requireOpen();
    const before = this.#record;
    const record = { ...before, ...change };
    await this.#area.rewriteRecord(record);
    this.#home.unreserve(before);
    this.#record = record;
  }

  /** Whether its bytes lie where they could get that name. */
  isBeside(spot: Spot): Promise<boolean> {
    return this.#area.folder.isBeside(spot);
  }

  /** Settles when it is not open any more. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** The same bytes once more, whatever name they have; undefined when the upload is over. */
  async reopen(access: Access): Promise<OpenBytes | undefined> {
    return this.shared.turns.run(async () => (this.#isOver ? undefined : this.file.openAgain(access)));
  }

  async commit(rules: CommitRules): Promise<Committed> {
    this.#requireOpen();
    if (this.#record.unlinked === true) return this.#commitUnlinked();
    if (rules.change !== undefined) await this.change(rules.change);
    await this.sync();
    const committed = await this.#home.blobs.at(this.record.place, 'parent-missing', async (spot) =>
      this.#home.locks.hold([await keyOfSpot(spot)], () => this.#putInPlace(spot, rules)),
    );
    this.shared.visibility = 'visible';
    this.#noteOver();
    // Visible: from here on nothing may be done about it.
    await Promise.all([
      this.#afterwards(() => this.#letGo()),
      this.#afterwards(() =>
        committed.unsynced === undefined
          ? this.#area.markCommitted(this.record)
          : this.#area.remove(this.record.id),
      ),
    ]);
    await this.#afterwards(() => this.#home.dropSuperseded(this.record));
    return committed;
  }

  /** A success, as of a file that was removed while it was open; a client that asks again is told the same. */
  async #commitUnlinked(): Promise<Committed> {
    const attributes = await this.stat();
    this.shared.visibility = 'unlinked';
    await this.#letGo();
    await this.#afterwards(() => this.#area.removePart(this.record.id));
    await this.#afterwards(() => this.#area.markCommitted(this.record));
    return { attributes, created: false, replacedBytes: 0 };
  }

  async #putInPlace(spot: Spot, rules: CommitRules): Promise<Committed> {
    const existing = requireFileOrNothing(await spot.find());
    if (existing?.id === this.shared.id) {
      // An earlier process was killed when it had both its names, see `Spot.moveTo`.
      await this.#area.removePart(this.record.id);
      await spot.sync();
      return { attributes: await this.stat(), created: true, replacedBytes: 0 };
    }
    requirePrecondition(rules.precondition, existing?.etag);
    if (existing === undefined) {
      if (!rules.mayCreate) throw denied('the file is gone and a new one may not be made');
      await spot.requireNoTwin();
    } else if (!rules.mayReplace) throw taken('a file is there and may not be replaced');
    else if (rules.bin === undefined && this.size < existing.size) {
      await this.#home.versions.keep(
        this.record,
        existing.size,
        rules.keptVersionBytesMax,
        this.#area,
        (version) => this.#area.keepVersion(spot, version),
      );
    }

    const mustNotReplace =
      existing === undefined && (!rules.mayReplace || rules.precondition?.ifNoneMatch !== undefined);
    let binned: Binned | undefined;
    if (mustNotReplace) await this.#area.part(this.record.id).moveTo(spot, { isExclusive: true });
    else binned = await this.#replace(spot, existing, rules.bin);
    const unsynced = await failureOf(spot.sync());
    return {
      attributes: await this.stat(),
      created: existing === undefined,
      replacedBytes: existing?.size ?? 0,
      binned,
      unsynced,
    };
  }

  async #replace(
    spot: Spot,
    stored: Stored | undefined,
    order: BinOrder | undefined,
  ): Promise<Binned | undefined> {
    const replace = (): Promise<void> => this.#area.part(this.record.id).moveTo(spot, { isExclusive: false });
    const { place, session, operation } = this.record;
    if (order !== undefined && stored !== undefined) {
      const by = { session, operation };
      return this.#home.bin.keeping({ place, spot, stored, order, by }, replace);
    }
    await replace();
    return undefined;
  }

  async #afterwards(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#home.log.warn({ err: error, upload: this.record.id }, 'tidying up after an upload failed');
    }
  }

  get isWorthKeeping(): boolean {
    const isNothing = this.size === 0 && this.record.resumable === undefined;
    return !isNothing && this.record.unlinked !== true && !this.shared.isLost;
  }

  async keep(): Promise<void> {
    if (this.#isOver) return;
    if (!this.isWorthKeeping) return this.discard();
    this.#isOver = true;
    this.shared.visibility = 'gone';
    this.#noteOver();
    try {
      await this.closeFile();
      const record = { ...this.record, left: true };
      await this.#afterwards(() => this.#area.rewriteRecord(record));
      await this.#home.keep({
        area: this.#area,
        record,
        size: this.size,
        keptAtMs: this.#home.clock.now(),
      });
    } finally {
      // Not before: whoever asks for it in between must find it.
      this.#release();
    }
  }

  async discard(): Promise<void> {
    if (this.#isOver) return;
    this.shared.visibility = 'gone';
    this.#noteOver();
    await this.#letGo();
    await this.#area.remove(this.record.id);
  }

  async abandon(): Promise<void> {
    if (!this.#isOver) await this.#letGo();
  }

  async #letGo(): Promise<void> {
    this.#isOver = true;
    this.#release();
    await this.closeFile();
  }

  #noteOver(): void {
    if (this.record.append) this.#home.journal.forgetWriter(this.record.id);
  }

  #release(): void {
    this.#home.released(this);
    this.#over.resolve();
  }

  #requireOpen(): void {
    if (this.#isOver) throw badHandle('the upload is over');
  }
}

async function failureOf(act: Promise<void>): Promise<SallyportError | undefined> {
  try {
    await act;
    return undefined;
  } catch (error) {
    return toFileError(error);
  }
}
