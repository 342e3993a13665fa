import { SallyportError } from '#shared/error.ts';

/** Bytes of a stream as its reader wants them: so many, and no more in memory than were asked for. */
export class ByteSource {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Exactly so many; rejects `io-error` where the stream ends before. */
  async take(bytes: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    for await (const piece of this.pass(bytes)) taken.push(piece);
    return taken.length === 1 && taken[0] !== undefined ? taken[0] : Buffer.concat(taken);
  }

  /** The next so many, in pieces as they come. */
  async *pass(bytes: number): AsyncGenerator<Buffer> {
    let left = bytes;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) throw brokenBackup('it ends too early');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  /** False: there are none. */
  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done === true) return false;
      this.#rest = next.value;
      if (this.#rest.length > 0) return true;
    }
  }
}

export function brokenBackup(detail: string, cause?: unknown): SallyportError {
  return new SallyportError('io-error', 'This is no whole backup', {
    detail,
    hint: 'take another copy of it, or the backup before it',
    ...(cause !== undefined && { cause }),
  });
}
