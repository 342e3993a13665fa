import { SallyportError } from '#shared/error.ts';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import type { KeptVersions } from './kept-versions.ts';
import type { StagingArea } from './staging-area.ts';
import type { OpenBytes } from '../blob-storage.ts';
import { requirePrecondition } from '../requirements.ts';
import type { Binned, Committed, CommitRules, Upload, UploadRecord } from '../storage.ts';
import { type BytesHome, UploadBytes } from './upload-bytes.ts';

/** What it needs of the storage it belongs to. */
export interface InPlaceHome extends BytesHome {
  readonly versions: KeptVersions;
  areaNear(file: OpenBytes): Promise<StagingArea>;
}

interface InPlaceStart {
  readonly truncate: boolean;
  /** By this handle in an earlier process. */
  readonly appendedBytes?: number;
  /** The file as it was before it began anew. */
  readonly binned?: Binned | undefined;
}

/**
 * Writing into the file itself: everybody sees each write at once, two writers lose nothing of each other, a
 * broken write is a short one, and preconditions only judge what is there at the commit.
 */
export class InPlaceUpload extends UploadBytes implements Upload {
  readonly record: UploadRecord;
  readonly freedBytes: number;
  readonly atomic = false;
  readonly isWorthKeeping = true;
  readonly #home: InPlaceHome;
  readonly #binned: Binned | undefined;
  readonly #etag: string | undefined;
  /** Of the file before this handle made it shorter. */
  #keptBytes: number | undefined;
  #isOver = false;

  private constructor(
    record: UploadRecord,
    opened: OpenBytes,
    home: InPlaceHome,
    { truncate, appendedBytes = 0, binned }: InPlaceStart,
  ) {
    const initialSize = truncate ? 0 : opened.size;
    super(opened, home, { visibility: 'visible', initialSize, appendedBytes });
    this.#home = home;
    this.#binned = binned;
    this.record = record;
    this.freedBytes = truncate ? opened.size : 0;
    this.#etag = record.replaces ? opened.attributes.etag : undefined;
  }

  /** `opened` is closed when this rejects. */
  static async open(
    record: UploadRecord,
    opened: OpenBytes,
    home: InPlaceHome,
    start: InPlaceStart,
  ): Promise<InPlaceUpload> {
    const upload = new InPlaceUpload(record, opened, home, start);
    const { shared, appendedBytes } = upload;
    try {
      // In turn with what others write to it.
      if (start.truncate) await shared.turns.run(() => upload.change({ size: 0 }));
      // After it: whoever finds the note opens the file as it is.
      await home.journal.noteWriter({ record, fileId: shared.id, appendedBytes });
      return upload;
    } catch (error) {
      await upload.abandon();
      throw error;
    }
  }

  override async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    this.#requireLive();
    await super.write(pieces, position);
  }

  override async change(change: AttributeChange, keptVersionBytesMax = 0): Promise<void> {
    this.#requireLive();
    const { size } = change;
    if (size !== undefined && size < (await this.stat()).size) await this.#keepLonger(keptVersionBytesMax);
    await super.change(change);
  }

  /** Once: what is cut again was cut already. */
  async #keepLonger(keptVersionBytesMax: number): Promise<void> {
    const { size, visibility } = this.shared;
    if (this.#keptBytes !== undefined || visibility !== 'visible' || keptVersionBytesMax < size) return;
    this.#keptBytes = size;
    const area = await this.#home.areaNear(this.file);
    await this.#home.versions.keepCopy(this.record, size, keptVersionBytesMax, area, this.file);
  }

  async commit(rules: CommitRules): Promise<Committed> {
    this.#requireLive();
    requirePrecondition(rules.precondition, this.#etag);
    if (rules.change !== undefined) await this.change(rules.change);
    await this.sync();
    const attributes = await this.stat();
    if (this.#keptBytes !== undefined && attributes.size >= this.#keptBytes) {
      await this.#home.versions.drop(this.record);
    }
    await this.keep();
    return { attributes, created: !this.record.replaces, replacedBytes: 0, binned: this.#binned };
  }

  async keep(): Promise<void> {
    if (!this.#isOver) this.#home.journal.forgetWriter(this.record.id);
    await this.abandon();
  }

  discard(): Promise<void> {
    return this.keep();
  }

  async abandon(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.closeFile();
  }

  /** The file may be an upload of another handle, which was given up. */
  #requireLive(): void {
    if (this.shared.visibility === 'gone') {
      throw new SallyportError('changed', 'The upload that this file belongs to was broken off');
    }
  }
}
