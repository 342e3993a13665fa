import { SallyportError } from '#shared/error.ts';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import type { OpenBytes } from '../blob-storage.ts';
import { lengthOf, type SharedFile, type Stored, type StoredFile, type UploadRecord } from '../storage.ts';
import type { Journal } from './journal.ts';
import { checksumOf } from './landed-appends.ts';
import type { OpenFile, OpenFiles } from './open-files.ts';
import { ReadFile } from './read-file.ts';

/** What the bytes need of the storage they belong to. */
export interface BytesHome {
  readonly files: OpenFiles;
  readonly journal: Journal;
}

interface BytesStart {
  /** Of the file, where nobody else has it open. */
  readonly visibility: SharedFile['visibility'];
  readonly initialSize: number;
  /** Landed by this handle in an earlier process. */
  readonly appendedBytes: number;
}

/** The bytes of an open upload, wherever they lie until it is committed: a staging file, or the file itself. */
export abstract class UploadBytes {
  abstract readonly record: UploadRecord;
  readonly initialSize: number;
  readonly shared: OpenFile;
  appendedBytes: number;
  protected readonly file: OpenBytes;
  readonly #home: BytesHome;

  constructor(file: OpenBytes, home: BytesHome, start: BytesStart) {
    this.file = file;
    this.#home = home;
    this.shared = home.files.join(file, start.visibility);
    this.initialSize = start.initialSize;
    this.appendedBytes = start.appendedBytes;
  }

  get size(): number {
    return this.shared.size;
  }

  async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    this.shared.changes += 1;
    this.#home.files.changing(this.shared, position);
    await this.file.write(pieces, position);
    this.shared.size = Math.max(this.shared.size, position + lengthOf(pieces));
  }

  async append(pieces: readonly Uint8Array[]): Promise<void> {
    const { shared, record, appendedBytes } = this;
    const at = shared.size;
    await this.#home.journal.noteAppend({
      id: record.id,
      fileId: shared.id,
      at,
      bytes: lengthOf(pieces),
      crc32: checksumOf(pieces),
      appendedBytes,
    });
    try {
      await this.write(pieces, at);
    } catch (error) {
      // A full disk takes what it can.
      this.appendedBytes += Math.max(0, (await this.stat()).size - at);
      throw error;
    }
    this.appendedBytes += lengthOf(pieces);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.file.read(buffers, position, this.shared.size);
  }

  async change(change: AttributeChange): Promise<void> {
    if (change.size !== undefined) {
      this.shared.changes += 1;
      this.#home.files.changing(this.shared, change.size);
      await this.file.truncate(change.size);
      this.shared.size = change.size;
    }
    await this.file.change(change);
  }

  async stat(): Promise<Stored> {
    const stored = await this.file.stat();
    this.shared.size = stored.size;
    return stored;
  }

  async openBeside(): Promise<StoredFile> {
    return new ReadFile(await this.file.openAgain('read'), this.#home.files);
  }

  /**
   * Once it failed, always: the kernel forgets what it could not write and calls the next attempt a success, whoever asks
   * for it.
   */
  async sync(): Promise<void> {
    if (this.shared.isLost) throw lost();
    try {
      await this.file.sync();
    } catch (error) {
      this.shared.isLost = true;
      throw error;
    }
  }

  /** Once. */
  protected async closeFile(): Promise<void> {
    try {
      await this.file.close();
    } finally {
      this.#home.files.leave(this.shared);
    }
  }
}

function lost(): SallyportError {
  return new SallyportError('io-error', 'The storage failed', {
    detail: 'a sync of the file failed before: what was written may be lost',
  });
}
