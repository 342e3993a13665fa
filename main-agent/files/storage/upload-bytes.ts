import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { notFound } from '../file-error.ts';
import { applyChange } from './attribute-change.ts';
import type { Descriptor } from './descriptor.ts';
import { readBytes, writeBytes } from './file-bytes.ts';
import type { RegularFile } from './folder-handle.ts';
import type { Stored } from './storage.ts';
import { toStored } from './stored.ts';

/** The bytes of an open upload, wherever they lie until it is committed: a staging file, or the file itself. */
export class UploadBytes {
  readonly initialSize: number;
  protected readonly file: Descriptor;
  #size: number;

  constructor({ file, stats }: RegularFile) {
    this.file = file;
    this.initialSize = Number(stats.size);
    this.#size = this.initialSize;
  }

  get size(): number {
    return this.#size;
  }

  async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    await writeBytes(this.file, pieces, position);
    const end = pieces.reduce((bytes, piece) => bytes + piece.byteLength, position);
    this.#size = Math.max(this.#size, end);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return readBytes(this.file, buffers, position, this.#size);
  }

  async change(change: AttributeChange): Promise<void> {
    if (change.size !== undefined) {
      await this.file.truncate(change.size);
      this.#size = change.size;
    }
    await applyChange(this.file, change);
  }

  async stat(): Promise<Stored> {
    const stored = toStored(await this.file.stat());
    if (stored === undefined) throw notFound('open upload');
    return stored;
  }

  sync(): Promise<void> {
    return this.file.sync();
  }
}
