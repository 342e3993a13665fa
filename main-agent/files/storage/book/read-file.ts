import { notFound } from '../file-error.ts';
import type { Descriptor } from '../local/descriptor.ts';
import { readBytes } from '../local/file-bytes.ts';
import type { RegularFile } from '../local/folder-handle.ts';
import type { OpenFiles } from './open-files.ts';
import type { Stored, StoredFile } from '../storage.ts';
import { toStored } from '../local/stored.ts';

/** A regular file opened for reading. It stays the file that was opened, also when another one takes its name. */
export class LocalFile implements StoredFile {
  readonly attributes: Stored;
  readonly #file: Descriptor;
  readonly #files: OpenFiles;
  #unwatch: () => void = () => undefined;

  constructor({ file, stats }: RegularFile, files: OpenFiles) {
    const attributes = toStored(stats);
    if (attributes === undefined) throw notFound();
    this.attributes = attributes;
    this.#file = file;
    this.#files = files;
  }

  watch(onChanging: () => void): void {
    const { id, size } = this.attributes;
    this.#unwatch = this.#files.watch(id, size, onChanging);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return readBytes(this.#file, buffers, position, this.attributes.size);
  }

  async stat(): Promise<Stored> {
    return toStored(await this.#file.stat()) ?? this.attributes;
  }

  close(): Promise<void> {
    this.#unwatch();
    return this.#file.close();
  }
}
