import type { OpenBytes } from '../blob-storage.ts';
import type { Stored, StoredFile } from '../storage.ts';
import type { OpenFiles } from './open-files.ts';

/** A file opened for reading. It stays the file that was opened, also when another one takes its name. */
export class ReadFile implements StoredFile {
  readonly attributes: Stored;
  readonly #bytes: OpenBytes;
  readonly #files: OpenFiles;
  #unwatch: () => void = () => undefined;

  constructor(bytes: OpenBytes, files: OpenFiles) {
    this.attributes = bytes.attributes;
    this.#bytes = bytes;
    this.#files = files;
  }

  watch(onChanging: () => void): void {
    const { id, size } = this.attributes;
    this.#unwatch = this.#files.watch(id, size, onChanging);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#bytes.read(buffers, position, this.attributes.size);
  }

  stat(): Promise<Stored> {
    return this.#bytes.stat();
  }

  close(): Promise<void> {
    this.#unwatch();
    return this.#bytes.close();
  }
}
