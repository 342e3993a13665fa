import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lineBytesMax } from './limits.ts';

/** Lines of an audit file: all of them, the first, the last. */

interface FileLine {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** False: the file ends without a line feed; a crash, or a writer at work. */
  readonly isWhole: boolean;
}

const lineFeed = 0x0a;

export async function* readLines(file: string): AsyncGenerator<FileLine> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let start = 0;
    for (let end = bytes.indexOf(lineFeed); end !== -1; end = bytes.indexOf(lineFeed, start)) {
      number += 1;
      yield { text: bytes.toString('utf8', start, end), number, isWhole: true };
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > lineBytesMax) break;
  }
  if (rest.length > 0) yield { text: rest.toString('utf8'), number: number + 1, isWhole: false };
}

export async function readFirstLine(handle: FileHandle): Promise<string | undefined> {
  const start = Buffer.alloc(lineBytesMax);
  const { bytesRead } = await handle.read(start, 0, start.length, 0);
  const end = start.subarray(0, bytesRead).indexOf(lineFeed);
  return end === -1 ? undefined : start.toString('utf8', 0, end);
}

/** Whole lines near the end of a file; the first of them may be the rest of one. */
export async function readTail(handle: FileHandle): Promise<readonly string[]> {
  const { size } = await handle.stat();
  const tail = Buffer.alloc(Math.min(size, lineBytesMax));
  await handle.read(tail, 0, tail.length, size - tail.length);
  return tail.toString('utf8').split('\n').slice(0, -1);
}

/** The last whole line, and where it ends in the file; 0 and no line: there is none. */
export async function readLastLine(
  handle: FileHandle,
): Promise<{ readonly text: string | undefined; readonly endsAt: number }> {
  const { size } = await handle.stat();
  const from = Math.max(0, size - lineBytesMax);
  const tail = Buffer.alloc(size - from);
  await handle.read(tail, 0, tail.length, from);
  const end = tail.lastIndexOf(lineFeed);
  if (end === -1) return { text: undefined, endsAt: from };
  const start = end === 0 ? 0 : tail.lastIndexOf(lineFeed, end - 1) + 1;
  return { text: tail.toString('utf8', start, end), endsAt: from + end + 1 };
}
