import { createHash } from 'node:crypto';
import { scratchBytes } from './limits.ts';

/** Bytes of an upload, in order. */
export interface DigestSource {
  readonly size: number;
  read(buffers: readonly Uint8Array[], position: number): Promise<number>;
}

/**
 * SHA-256 of a file that is being written: along the way as long as the writes come in order, else by reading it once
 * when it is complete.
 */
export class UploadDigest {
  readonly #hash = createHash('sha256');
  #hashedBytes = 0;
  #isInOrder: boolean;

  /** An upload that begins with bytes already is read at the end. */
  constructor(initialSize: number) {
    this.#isInOrder = initialSize === 0;
  }

  /** Bytes that are being written; if that fails, say so with `failed`. */
  writes(pieces: readonly Uint8Array[], position: number): void {
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
    if (size !== this.#hashedBytes) this.#isInOrder = false;
  }

  /** Call once, when no write can follow. */
  async finish(source: DigestSource): Promise<{ readonly hex: string; readonly streamed: boolean }> {
    if (this.#isInOrder && this.#hashedBytes === source.size) {
      return { hex: this.#hash.digest('hex'), streamed: true };
    }
    return { hex: await hashBytes(source), streamed: false };
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
