/**
 * Bytes as they came, each piece with the function that gives its buffer back. Cutting doesn't copy: a piece is given
 * back when the last cut of it is.
 */
interface Piece {
  bytes: Buffer;
  readonly shared: { uses: number; readonly release: () => void };
}

export interface Pieces {
  readonly length: number;
  readonly buffers: readonly Buffer[];
  /** The buffers are sent (copied or encrypted) and may be reused. Exactly once. */
  readonly release: () => void;
}

export class PieceQueue {
  readonly #pieces: Piece[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: Buffer, release: () => void): void {
    if (bytes.length === 0) {
      release();
      return;
    }
    this.#pieces.push({ bytes, shared: { uses: 1, release } });
    this.#bytes += bytes.length;
  }

  /** Up to `count` bytes from the front. */
  take(count: number): Pieces {
    const taken: Piece[] = [];
    let length = 0;
    while (length < count) {
      const piece = this.#pieces[0];
      if (piece === undefined) break;
      const wanted = count - length;
      if (piece.bytes.length <= wanted) {
        this.#pieces.shift();
        taken.push(piece);
        length += piece.bytes.length;
      } else {
        piece.shared.uses += 1;
        taken.push({ bytes: piece.bytes.subarray(0, wanted), shared: piece.shared });
        piece.bytes = piece.bytes.subarray(wanted);
        length += wanted;
      }
    }
    this.#bytes -= length;
    return {
      length,
      buffers: taken.map((piece) => piece.bytes),
      release: () => {
        for (const piece of taken) giveBack(piece);
      },
    };
  }

  clear(): void {
    for (const piece of this.#pieces.splice(0)) giveBack(piece);
    this.#bytes = 0;
  }
}

function giveBack(piece: Piece): void {
  piece.shared.uses -= 1;
  if (piece.shared.uses === 0) piece.shared.release();
}
