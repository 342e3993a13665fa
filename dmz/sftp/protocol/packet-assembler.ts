import { sftpPacketBytesMax } from '#dmz/sftp/limits.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';

/**
 * Cuts the channel's bytes into SFTP packets (§3: uint32 length, then that many bytes) without copying them: a packet
 * is the pieces of it, as they came.
 *
 * Trust: fed by a signed-in but possibly hostile client. A length that can't be right ends the session: after it
 * nobody knows where the next packet begins. Holds no more than the channel's window lets the client send.
 */
export class SftpPacket {
  readonly #pieces: Buffer[];
  readonly length: number;

  constructor(pieces: Buffer[], length: number) {
    this.#pieces = pieces;
    this.length = length;
  }

  /** The first `count` bytes (or all, if fewer) in one piece. */
  head(count: number): Buffer {
    const first = this.#pieces[0];
    if (first !== undefined && first.length >= Math.min(count, this.length)) return first;
    return Buffer.concat(this.#pieces, Math.min(count, this.length));
  }

  whole(): Buffer {
    return this.head(this.length);
  }

  /** The bytes from `start` to `end`, as pieces. */
  slice(start: number, end: number): Buffer[] {
    const pieces: Buffer[] = [];
    let position = 0;
    for (const piece of this.#pieces) {
      const from = Math.max(0, start - position);
      const to = Math.min(piece.length, end - position);
      if (from < to) pieces.push(piece.subarray(from, to));
      position += piece.length;
    }
    return pieces;
  }
}

/** Honest clients fill their messages: 64 make a full window. One-byte pieces would cost a hundred bytes each to keep. */
const chunksMax = 512;

export class PacketAssembler {
  #chunks: Buffer[] = [];
  #buffered = 0;
  /** Length of the packet at the head, once known. */
  #length: number | undefined;

  get bufferedBytes(): number {
    return this.#buffered;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#chunks.length > chunksMax) this.#chunks = [Buffer.concat(this.#chunks)];
  }

  /** The next complete packet. Throws MalformedMessage for a length no packet has. */
  next(): SftpPacket | undefined {
    if (this.#length === undefined) {
      if (this.#buffered < 4) return undefined;
      const length = Buffer.concat(this.#take(4)).readUInt32BE(0);
      if (length < 5 || length > sftpPacketBytesMax)
        throw new MalformedMessage(`SFTP packet of ${length} bytes`);
      this.#length = length;
    }
    const length = this.#length;
    if (this.#buffered < length) return undefined;
    this.#length = undefined;
    return new SftpPacket(this.#take(length), length);
  }

  #take(count: number): Buffer[] {
    const pieces: Buffer[] = [];
    let wanted = count;
    while (wanted > 0) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      if (chunk.length <= wanted) {
        this.#chunks.shift();
        pieces.push(chunk);
        wanted -= chunk.length;
      } else {
        pieces.push(chunk.subarray(0, wanted));
        this.#chunks[0] = chunk.subarray(wanted);
        wanted = 0;
      }
    }
    this.#buffered -= count;
    return pieces;
  }
}
