import type { RegularFile } from './folder-handle.ts';
import { requirePrecondition } from './precondition.ts';
import type { Committed, CommitRules, Upload, UploadRecord } from './storage.ts';
import { toStored } from './stored.ts';
import { UploadBytes } from './upload-bytes.ts';

/**
 * Plain POSIX writing into the file itself, for mounts with `uploads: direct`: everybody sees each write at once, a
 * broken upload is a short file, and preconditions only judge what is there at the commit.
 */
export class DirectUpload extends UploadBytes implements Upload {
  readonly record: UploadRecord;
  readonly atomic = false;
  readonly #etag: string | undefined;
  readonly #replacedBytes: number;
  #isOver = false;

  constructor(record: UploadRecord, opened: RegularFile, sizeBefore: number) {
    super(opened);
    this.record = record;
    this.#etag = record.replaces ? toStored(opened.stats)?.etag : undefined;
    this.#replacedBytes = sizeBefore - this.initialSize;
  }

  async commit(rules: CommitRules): Promise<Committed> {
    requirePrecondition(rules.precondition, this.#etag);
    if (rules.change !== undefined) await this.change(rules.change);
    await this.file.sync();
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
    await this.file.close();
  }
}
