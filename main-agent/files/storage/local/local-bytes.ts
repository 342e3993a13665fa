/**
 * The bytes of a regular file of this host. Positional reads and writes finish what they begin: the kernel may do less
 * than it was asked.
 */
import { constants, type BigIntStats } from 'node:fs';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { Access, OpenBytes } from '../blob-storage.ts';
import { notFound } from '../file-error.ts';
import { lengthOf, type Stored } from '../storage.ts';
import { applyChange } from './attribute-change.ts';
import { Descriptor } from './descriptor.ts';
import type { RegularFile } from './folder-handle.ts';
import { fileId, toStored } from './stored.ts';

/** Appending is the kernel's: wherever the end is, of programs on this host too. */
export const accessFlags: Readonly<Record<Access, number>> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  append: constants.O_RDWR | constants.O_APPEND,
};

export class LocalBytes implements OpenBytes {
  readonly id: string;
  /** When it was opened. */
  readonly size: number;
  /** Of the file system it lies on. */
  readonly device: bigint;
  readonly #file: Descriptor;
  readonly #stats: BigIntStats;
  #attributes: Stored | undefined;

  constructor({ file, stats }: RegularFile) {
    this.id = fileId(stats);
    this.size = Number(stats.size);
    this.device = stats.dev;
    this.#file = file;
    this.#stats = stats;
  }

  /** The kernel's name for what is open. */
  get path(): string {
    return this.#file.path;
  }

  /** Made when it is asked for: an ETag costs a hash. */
  get attributes(): Stored {
    return (this.#attributes ??= requireStored(this.#stats));
  }

  async stat(): Promise<Stored> {
    return requireStored(await this.#file.stat());
  }

  async read(buffers: readonly Uint8Array[], position: number, knownSize: number): Promise<number> {
    const wanted = lengthOf(buffers);
    let done = 0;
    while (done < wanted) {
      const bytesRead = await this.#file.read(skipBytes(buffers, done), position + done);
      done += bytesRead;
      if (bytesRead === 0 || (done < wanted && position + done === knownSize)) break;
    }
    return done;
  }

  async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    const wanted = lengthOf(pieces);
    let done = 0;
    while (done < wanted) {
      const bytesWritten = await this.#file.write(skipBytes(pieces, done), position + done);
      if (bytesWritten === 0)
        throw new SallyportError('io-error', 'The storage failed', { detail: 'wrote 0' });
      done += bytesWritten;
    }
  }

  truncate(size: number): Promise<void> {
    return this.#file.truncate(size);
  }

  change(change: AttributeChange): Promise<void> {
    return applyChange(this.#file, change);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  async openAgain(access: Access): Promise<LocalBytes> {
    const file = await Descriptor.open(this.#file.path, accessFlags[access]);
    file.isQuick = this.#file.isQuick;
    try {
      return new LocalBytes({ file, stats: await file.stat() });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** What a caller hands back is what it was given by this storage. */
export function requireLocalBytes(bytes: OpenBytes): LocalBytes {
  if (bytes instanceof LocalBytes) return bytes;
  throw new TypeError('a file of another storage');
}

function requireStored(stats: BigIntStats): Stored {
  const stored = toStored(stats);
  if (stored === undefined) throw notFound('open file');
  return stored;
}

function skipBytes(buffers: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  if (bytes === 0) return buffers;
  const rest: Uint8Array[] = [];
  let left = bytes;
  for (const buffer of buffers) {
    if (left >= buffer.byteLength) left -= buffer.byteLength;
    else {
      rest.push(buffer.subarray(left));
      left = 0;
    }
  }
  return rest;
}
