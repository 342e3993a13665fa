/**
 * One atomic upload: bytes go to the staging file, `commit` puts it in place. Readers see the old file or the new one,
 * never half of one: the staging file is synced, renamed (or linked, where nothing may be replaced), the folder synced.
 */
import * as fs from 'node:fs/promises';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { badHandle, denied, isAFolder, taken } from '../file-error.ts';
import { moveExclusive } from '../local/exclusive-move.ts';
import { type FolderHandle, type RegularFile, reopenRegular } from '../local/folder-handle.ts';
import { type Jail, lockKey, type Spot } from '../local/jail.ts';
import type { KeyLock } from '#main-agent/turns/key-lock.ts';
import type { KeptEntry, KeptUploads } from './kept-uploads.ts';
import type { LocalBin } from './bin-book.ts';
import type { KeptVersions } from './kept-versions.ts';
import { requirePrecondition } from './precondition.ts';
import type { StagedRecord, StagingArea } from './staging-area.ts';
import type { Binned, BinOrder, Committed, CommitRules, Stored, Upload } from '../storage.ts';
import { toStored } from '../local/stored.ts';
import { requireNoTwin } from '../local/twin-names.ts';
import { type BytesHome, UploadBytes } from './upload-bytes.ts';

/** What an upload needs of the storage it belongs to. */
export interface UploadHome extends BytesHome {
  readonly jail: Jail;
  readonly locks: KeyLock;
  readonly waiting: KeptUploads;
  readonly versions: KeptVersions;
  readonly bin: LocalBin;
  readonly clock: Clock;
  readonly log: Log;
  /** It is no longer open here. */
  released(upload: LocalUpload): void;
  /** Its name is not its own any more. */
  unreserve(record: StagedRecord): void;
  keep(entry: KeptEntry): Promise<void>;
  dropSuperseded(record: StagedRecord): Promise<void>;
}

export class LocalUpload extends UploadBytes implements Upload {
  readonly atomic = true;
  readonly freedBytes = 0;
  readonly #home: UploadHome;
  readonly #area: StagingArea;
  #record: StagedRecord;
  readonly #over = Promise.withResolvers<void>();
  #isOver = false;

  constructor(
    home: UploadHome,
    area: StagingArea,
    record: StagedRecord,
    part: RegularFile,
    appendedBytes = 0,
  ) {
    super(part, home, { visibility: 'staged', initialSize: Number(part.stats.size), appendedBytes });
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

  /** Whether its bytes lie where they could become a file of that folder. */
  async isBeside(folder: FolderHandle): Promise<boolean> {
    return (await this.#area.folder.stat()).dev === (await folder.stat()).dev;
  }

  /** Settles when it is not open any more. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** The same bytes once more, whatever name they have; undefined when the upload is over. */
  async reopen(flags: number): Promise<RegularFile | undefined> {
    return this.shared.turns.run(async () => (this.#isOver ? undefined : reopenRegular(this.file, flags)));
  }

  async commit(rules: CommitRules): Promise<Committed> {
    this.#requireOpen();
    if (this.#record.unlinked === true) return this.#commitUnlinked();
    if (rules.change !== undefined) await this.change(rules.change);
    await this.file.sync();
    const committed = await this.#home.jail.withSpot(this.record.place, 'parent-missing', (spot) =>
      this.#home.locks.hold([lockKey(spot)], () => this.#putInPlace(spot, rules)),
    );
    this.shared.visibility = 'visible';
    this.#noteOver();
    // Visible and durable: from here on nothing may turn success into failure.
    await this.#afterwards(() => this.#letGo());
    await this.#afterwards(() => this.#area.markCommitted(this.record));
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
    const { folder, name } = spot;
    const found = await folder.find(name);
    const existing = found === undefined ? undefined : toStored(found);
    if (existing?.type === 'folder') throw isAFolder();
    if (found !== undefined && existing === undefined) throw taken('a link or special file has that name');
    const part = this.#area.partPath(this.record.id);
    if (existing?.id === this.shared.id) {
      // An earlier process was killed when it had both its names (`local/exclusive-move.ts`).
      await fs.unlink(part);
      await folder.sync();
      return { attributes: await this.stat(), created: true, replacedBytes: 0 };
    }
    requirePrecondition(rules.precondition, existing?.etag);
    if (existing === undefined) {
      if (!rules.mayCreate) throw denied('the file is gone and a new one may not be made');
      await requireNoTwin(folder, name);
    } else if (!rules.mayReplace) throw taken('a file is there and may not be replaced');
    else if (rules.bin === undefined && this.size < existing.size) {
      await this.#home.versions.keep(
        this.record,
        existing.size,
        rules.keptVersionBytesMax,
        this.#area,
        (version) => this.#area.keepVersion(folder, name, version),
      );
    }

    const mustNotReplace =
      existing === undefined && (!rules.mayReplace || rules.precondition?.ifNoneMatch !== undefined);
    let binned: Binned | undefined;
    if (mustNotReplace) await moveExclusive(part, folder.at(name));
    else binned = await this.#replace(spot, existing, rules.bin);
    await folder.sync();
    return {
      attributes: await this.stat(),
      created: existing === undefined,
      replacedBytes: existing?.size ?? 0,
      binned,
    };
  }

  async #replace(
    spot: Spot,
    stored: Stored | undefined,
    order: BinOrder | undefined,
  ): Promise<Binned | undefined> {
    const replace = (): Promise<void> =>
      fs.rename(this.#area.partPath(this.record.id), spot.folder.at(spot.name));
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

  async keep(): Promise<void> {
    if (this.#isOver) return;
    const isNothing = this.size === 0 && this.record.resumable === undefined;
    if (isNothing || this.record.unlinked === true) return this.discard();
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
