/**
 * What became of the appends a process was making when it was killed. Decided once, before this process writes anything:
 * later the files would not tell any more.
 */
import { crc32 } from 'node:zlib';
import { scratchBytes } from '../../limits.ts';
import type { OpenBytes } from '../blob-storage.ts';
import type { Append } from './writer-notes.ts';

/** `undefined`: a piece of it, or it can't be told. */
export async function landedBytes(
  append: Append,
  later: Append | undefined,
  openFile: (id: string) => Promise<OpenBytes | undefined>,
): Promise<number | undefined> {
  const { at, bytes, appendedBytes } = append;
  const all = appendedBytes + bytes;
  // Appends of one file are made one after the other: the next one begins where this one ended.
  if (later !== undefined) return later.at >= at + bytes ? all : undefined;
  const file = await openFile(append.id);
  if (file === undefined) return undefined;
  try {
    const { id, size } = file;
    if (id !== append.fileId) return undefined;
    if (size <= at) return appendedBytes;
    return size >= at + bytes && (await checksum(file, at, bytes)) === append.crc32 ? all : undefined;
  } finally {
    await file.close();
  }
}

export function checksumOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => crc32(piece, sum), 0);
}

async function checksum(file: OpenBytes, at: number, bytes: number): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(bytes, scratchBytes));
  let sum = 0;
  for (let done = 0; done < bytes; done += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, bytes - done));
    await file.read([piece], at + done, 0);
    sum = crc32(piece, sum);
  }
  return sum;
}
