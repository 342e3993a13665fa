import { notFound } from '../file-error.ts';
import type { Descriptor } from './descriptor.ts';
import { readBytes } from './file-bytes.ts';
import type { RegularFile } from './folder-handle.ts';
import type { Stored, StoredFile } from './storage.ts';
import { toStored } from './stored.ts';

/** A regular file opened for reading. It stays the file that was opened, also when another one takes its name. */
export class LocalFile implements StoredFile {
  readonly attributes: Stored;
  readonly #file: Descriptor;

  constructor({ file, stats }: RegularFile) {
    const attributes = toStored(stats);
    if (attributes === undefined) throw notFound();
    this.attributes = attributes;
    this.#file = file;
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return readBytes(this.#file, buffers, position, this.attributes.size);
  }

  async stat(): Promise<Stored> {
    return toStored(await this.#file.stat()) ?? this.attributes;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
