import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { notFound } from '../file-error.ts';
import { applyChange } from './attribute-change.ts';
import type { Descriptor } from './descriptor.ts';
import { readBytes, writeBytes } from './file-bytes.ts';
import type { RegularFile } from './folder-handle.ts';
import { requirePrecondition } from './precondition.ts';
import type { Committed, CommitRules, Stored, Upload, UploadRecord } from './storage.ts';
import { toStored } from './stored.ts';

/**
 * Plain POSIX writing into the file itself, for mounts with `uploads: direct`: everybody sees each write at once, a
 * broken upload is a short file, and preconditions only judge what is there at the commit.
 */
export class DirectUpload implements Upload {
  readonly record: UploadRecord;
  readonly initialSize: number;
  readonly atomic = false;
  readonly #file: Descriptor;
  readonly #etag: string | undefined;
  readonly #replacedBytes: number;
  #size: number;
  #isOver = false;

  constructor(record: UploadRecord, { file, stats }: RegularFile, sizeBefore: number) {
    this.record = record;
    this.#file = file;
    this.#etag = record.replaces ? toStored(stats)?.etag : undefined;
    this.initialSize = Number(stats.size);
    this.#replacedBytes = sizeBefore - this.initialSize;
    this.#size = this.initialSize;
  }

  get size(): number {
    return this.#size;
  }

  async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    await writeBytes(this.#file, pieces, position);
    const end = pieces.reduce((bytes, piece) => bytes + piece.byteLength, position);
    this.#size = Math.max(this.#size, end);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return readBytes(this.#file, buffers, position, this.#size);
  }

  async change(change: AttributeChange): Promise<void> {
    if (change.size !== undefined) {
      await this.#file.truncate(change.size);
      this.#size = change.size;
    }
    await applyChange(this.#file, change);
  }

  async stat(): Promise<Stored> {
    const stored = toStored(await this.#file.stat());
    if (stored === undefined) throw notFound();
    return stored;
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  async commit(rules: CommitRules): Promise<Committed> {
    requirePrecondition(rules.precondition, this.#etag);
    if (rules.change !== undefined) await this.change(rules.change);
    await this.#file.sync();
    const attributes = await this.stat();
    await this.#letGo();
    return { attributes, created: !this.record.replaces, replacedBytes: this.#replacedBytes };
  }

  keep(): Promise<void> {
    return this.#letGo();
  }

  discard(): Promise<void> {
    return this.#letGo();
  }

  abandon(): Promise<void> {
    return this.#letGo();
  }

  async #letGo(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#file.close();
  }
}
