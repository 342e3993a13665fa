/**
 * SSH's data types (RFC 4251 §5), which SFTP shares: reading them strictly out of a stranger's bytes, writing ours.
 *
 * Trust: `WireReader` is fed by anybody who can connect. It never reads past its buffer, never allocates by a length
 * it has not checked, and throws `MalformedMessage` for whatever is not exactly what it was asked to read.
 */

export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Strict UTF-8: a lossy decoding would make two names one. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new MalformedMessage('not UTF-8');
  }
}

export class WireReader {
  readonly #bytes: Buffer;
  #position: number;

  constructor(bytes: Buffer, position = 0) {
    this.#bytes = bytes;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.#bytes.length - this.#position;
  }

  #take(count: number): number {
    if (count > this.left) throw new MalformedMessage(`${count} bytes wanted, ${this.left} left`);
    const start = this.#position;
    this.#position += count;
    return start;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** As a number; what a number can't hold exactly is malformed: no file is 2^53 bytes long. */
  uint64(): number {
    const start = this.#take(8);
    const value = this.#bytes.readUInt32BE(start) * 0x1_0000_0000 + this.#bytes.readUInt32BE(start + 4);
    if (!Number.isSafeInteger(value)) throw new MalformedMessage('uint64 beyond 2^53');
    return value;
  }

  /** A view of the bytes, not a copy. */
  string(bytesMax: number): Buffer {
    const length = this.uint32();
    if (length > bytesMax)
      throw new MalformedMessage(`string of ${length} bytes, at most ${bytesMax} allowed`);
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(bytesMax: number): string {
    return decodeUtf8(this.string(bytesMax));
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#take(this.left));
  }

  requireEnd(): void {
    if (this.left > 0) throw new MalformedMessage(`${this.left} bytes left over`);
  }
}

/** Collects fields and makes one buffer of them. For messages, not for file content. */
export class WireWriter {
  readonly #parts: Buffer[] = [];

  byte(value: number): this {
    this.#parts.push(Buffer.from([value]));
    return this;
  }

  boolean(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  uint32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32BE(value);
    this.#parts.push(part);
    return this;
  }

  uint64(value: number): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64BE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  string(value: Uint8Array | string): this {
    const bytes = Buffer.from(value);
    this.uint32(bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
