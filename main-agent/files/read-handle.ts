import { SallyportError } from '#shared/error.ts';
import { badHandle } from './file-error.ts';
import type { Ending } from './handles.ts';
import type { Located } from './mounts.ts';
import type { Stored, StoredFile } from './storage/storage.ts';
import { StreamSet } from './stream-set.ts';

/** A file open for reading. Several streams may read it at the same time. */
export class ReadHandle {
  readonly kind = 'read';
  readonly located: Located;
  readonly streams = new StreamSet();
  readonly startedAtMs: number;
  /** For the receipt. */
  sentBytes = 0;
  wasRead = false;
  onEnd: () => void = () => undefined;
  readonly #file: StoredFile;
  readonly #reading = new Set<Promise<unknown>>();
  #isOver = false;
  #isChanged = false;

  /**
   * `isOneVersion`: its reader was told a length and an ETag, and must not get bytes of two versions; else it reads what
   * is there at each moment, as from a disk.
   */
  constructor(
    file: StoredFile,
    located: Located,
    startedAtMs: number,
    { isOneVersion }: { readonly isOneVersion: boolean },
  ) {
    this.#file = file;
    if (isOneVersion) file.watch(() => this.#change());
    this.located = located;
    this.startedAtMs = startedAtMs;
  }

  get attributes(): Stored {
    return this.#file.attributes;
  }

  get size(): number {
    return this.#file.attributes.size;
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    this.wasRead = true;
    return this.#whileOpen(() => this.#file.read(buffers, position));
  }

  stat(): Promise<Stored> {
    return this.#whileOpen(() => this.#file.stat());
  }

  async #whileOpen<T>(act: () => Promise<T>): Promise<T> {
    if (this.#isOver) throw badHandle('released');
    if (this.#isChanged) throw changed();
    const acting = act();
    this.#reading.add(acting);
    try {
      return await acting;
    } finally {
      this.#reading.delete(acting);
    }
  }

  #change(): void {
    this.#isChanged = true;
    this.streams.stopAll(changed());
  }

  /** `reason` is what running streams are told. */
  async end(_how: Ending, reason?: SallyportError): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onEnd();
    this.streams.stopAll(reason);
    await Promise.allSettled(this.#reading);
    await this.#file.close();
  }
}

/** Never half of one version and half of another. */
export function changed(): SallyportError {
  return new SallyportError('changed', 'The file changed while it was being read');
}
