/** Positional reads and writes that finish what they begin: the kernel may do less than it was asked. */
import { SallyportError } from '#shared/error.ts';
import type { Descriptor } from './descriptor.ts';
import type { RegularFile } from './folder-handle.ts';

export function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((bytes, piece) => bytes + piece.byteLength, 0);
}

/**
 * Fills the buffers in order; fewer bytes only where the file ends. `knownSize`: a short read that reaches it is
 * believed, which saves small files a second call that reads nothing.
 */
export async function readBytes(
  file: Descriptor,
  buffers: readonly Uint8Array[],
  position: number,
  knownSize: number,
): Promise<number> {
  const wanted = lengthOf(buffers);
  let done = 0;
  while (done < wanted) {
    const bytesRead = await file.read(skipBytes(buffers, done), position + done);
    done += bytesRead;
    if (bytesRead === 0 || (done < wanted && position + done === knownSize)) break;
  }
  return done;
}

export async function writeBytes(
  file: Descriptor,
  pieces: readonly Uint8Array[],
  position: number,
): Promise<void> {
  const wanted = lengthOf(pieces);
  let done = 0;
  while (done < wanted) {
    const bytesWritten = await file.write(skipBytes(pieces, done), position + done);
    if (bytesWritten === 0) throw new SallyportError('io-error', 'The storage failed', { detail: 'wrote 0' });
    done += bytesWritten;
  }
}

/** A small text file of our own, closed afterwards; empty when it is larger than it may be. */
export async function readText({ file, stats }: RegularFile, bytesMax: number): Promise<string> {
  try {
    const size = Number(stats.size);
    if (size > bytesMax) return '';
    const buffer = Buffer.alloc(size);
    return buffer.toString('utf8', 0, await readBytes(file, [buffer], 0, size));
  } finally {
    await file.close();
  }
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
