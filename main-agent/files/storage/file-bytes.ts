/** Positional reads and writes that finish what they begin: the kernel may do less than it was asked. */
import type { FileHandle } from 'node:fs/promises';
import { SallyportError } from '#shared/error.ts';

/**
 * Fills the buffers in order; fewer bytes only where the file ends. `knownSize`: a short read that reaches it is
 * believed, which saves small files a second call that reads nothing.
 */
export async function readBytes(
  file: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
  knownSize: number,
): Promise<number> {
  const wanted = buffers.reduce((bytes, buffer) => bytes + buffer.byteLength, 0);
  let done = 0;
  while (done < wanted) {
    const { bytesRead } = await file.readv(skipBytes(buffers, done), position + done);
    done += bytesRead;
    if (bytesRead === 0 || (done < wanted && position + done === knownSize)) break;
  }
  return done;
}

export async function writeBytes(
  file: FileHandle,
  pieces: readonly Uint8Array[],
  position: number,
): Promise<void> {
  const wanted = pieces.reduce((bytes, piece) => bytes + piece.byteLength, 0);
  let done = 0;
  while (done < wanted) {
    const { bytesWritten } = await file.writev(skipBytes(pieces, done), position + done);
    if (bytesWritten === 0) throw new SallyportError('io-error', 'The storage failed', { detail: 'wrote 0' });
    done += bytesWritten;
  }
}

function skipBytes(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  if (bytes === 0) return [...buffers];
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
