import { createHash } from 'node:crypto';
import { scratchBytes } from './limits.ts';
import type { SharedFile } from './storage/storage.ts';

/** Bytes of an upload, in order. */
interface DigestSource {
  readonly size: number;
  read(buffers: readonly Uint8Array[], position: number): Promise<number>;
}

/** What is digested: all bytes of a file that others may write to at the same time. */
interface DigestedFile extends DigestSource {
  readonly initialSize: number;
  readonly shared: Pick<SharedFile, 'changes'>;
}

export interface Digest {
  /** Undefined: not made, see `how`. */
  readonly sha256: string | undefined;
  readonly how: 'streamed' | 'read' | 'too-long';
}

/**
 * SHA-256 of a file that is being written: along the way as long as the writes come in order and nobody else writes, else
 * by reading it once when it is complete.
 */
export class UploadDigest {
  readonly #hash = createHash('sha256');
  readonly #file: DigestedFile;
  readonly #changesBefore: number;
  #ownChanges = 0;
  #hashedBytes = 0;
  #isInOrder: boolean;

  /** An upload that begins with bytes already is read at the end. */
  constructor(file: DigestedFile) {
    this.#file = file;
    this.#changesBefore = file.shared.changes;
    this.#isInOrder = file.initialSize === 0;
  }

  /** Bytes that are being written; if that fails, say so with `failed`. */
  writes(pieces: readonly Uint8Array[], position: number): void {
    this.#ownChanges += 1;
    if (!this.#isInOrder) return;
    if (position !== this.#hashedBytes) {
      this.#isInOrder = false;
      return;
    }
    for (const piece of pieces) {
      this.#hash.update(piece);
      this.#hashedBytes += piece.byteLength;
    }
  }

  /** Bytes that were hashed may not be in the file. */
  failed(): void {
    this.#isInOrder = false;
  }

  truncated(size: number): void {
    this.#ownChanges += 1;
    if (size !== this.#hashedBytes) this.#isInOrder = false;
  }

  /** Call once, when no write can follow. A file longer than `readBytesMax` is not read for it. */
  async finish(readBytesMax: number): Promise<Digest> {
    const { size, shared } = this.#file;
    const isOwn = shared.changes === this.#changesBefore + this.#ownChanges;
    if (this.#isInOrder && isOwn && this.#hashedBytes === size) {
      return { sha256: this.#hash.digest('hex'), how: 'streamed' };
    }
    if (size > readBytesMax) return { sha256: undefined, how: 'too-long' };
    return { sha256: await hashBytes(this.#file), how: 'read' };
  }
}

/** SHA-256 of all bytes, hex. */
export async function hashBytes(source: DigestSource, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(scratchBytes);
  for (let position = 0; ;) {
    signal?.throwIfAborted();
    const bytes = await source.read([buffer], position);
    if (bytes === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytes));
    position += bytes;
  }
}
