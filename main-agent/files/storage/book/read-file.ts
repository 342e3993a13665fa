import type { OpenBytes } from '../blob-storage.ts';
import type { Stored, StoredFile } from '../storage.ts';
import type { OpenFiles } from './open-files.ts';

/** A file opened for reading. It stays the file that was opened, also when another one takes its name. */
export class ReadFile implements StoredFile {
  readonly attributes: Stored;
  readonly #bytes: OpenBytes;
  readonly #files: OpenFiles;
  readonly #watches: (() => void)[] = [];

  constructor(bytes: OpenBytes, files: OpenFiles) {
    this.attributes = bytes.attributes;
    this.#bytes = bytes;
    this.#files = files;
    // Told of nothing, and known as open.
    this.#watches.push(files.watch(bytes.id, 0, () => undefined));
  }

  watch(onChanging: () => void, { alsoGrowing }: { readonly alsoGrowing: boolean }): void {
    const { id, size } = this.attributes;
    this.#watches.push(this.#files.watch(id, alsoGrowing ? Infinity : size, onChanging));
  }

  get isBeingWritten(): boolean {
    return this.#files.find(this.attributes.id) !== undefined;
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#bytes.read(buffers, position, this.attributes.size);
  }

  stat(): Promise<Stored> {
    return this.#bytes.stat();
  }

  close(): Promise<void> {
    for (const unwatch of this.#watches.splice(0)) unwatch();
    return this.#bytes.close();
  }
}
