import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { Canary } from './canaries.ts';
import { descendantsOf } from './peer.ts';

/**
 * What a process holds in its memory: all that it may write to, freed or not, as root or a parent process reads it. It
 * runs on meanwhile, so what moves just then may be missed; what stays is found.
 */

/** Read at once; what lies over the edge of two is found by reading some octets twice. */
const pieceBytes = 16 * 1024 * 1024;
const wordBytes = 4;
/** Shorter ones would be found by chance. */
const needleBytesMin = 8;

interface Region {
  readonly start: number;
  readonly end: number;
}

interface Needle {
  readonly name: string;
  readonly octets: Buffer;
}

/** A needle by one of the words that it has wherever it begins. */
interface Anchor extends Needle {
  /** Of the word in it. */
  readonly offset: number;
}

/** Names of those that are there, as octets, and as two-byte strings of JavaScript where they are text. */
export function findInMemory(pid: number, canaries: readonly Canary[]): string[] {
  const needles = canaries.flatMap(([name, text]): Needle[] => {
    const octets = Buffer.from(text, 'latin1');
    if (octets.length < needleBytesMin) throw new Error(`${name} has no more than ${octets.length} octets`);
    const isText = /^[\x20-\x7e]+$/.test(text);
    return [{ name, octets }, ...(isText ? [{ name, octets: Buffer.from(text, 'utf16le') }] : [])];
  });
  const { anchors, marks } = buildAnchors(needles);
  const found = new Set<string>();
  const overlap = Math.max(...needles.map(({ octets }) => octets.length)) + wordBytes;
  for (const piece of readMemory(pid, overlap)) {
    const words = new Int32Array(piece.buffer, piece.byteOffset, Math.floor(piece.length / wordBytes));
    for (let index = 0; index < words.length; index += 1) {
      const word = words[index] ?? 0;
      if (word === 0 || marks[markOf(word)] === 0) continue;
      for (const { name, octets, offset } of anchors.get(word) ?? []) {
        const start = index * wordBytes - offset;
        if (start >= 0 && piece.subarray(start, start + octets.length).equals(octets)) found.add(name);
      }
    }
  }
  return [...found];
}

/** One look at one word in four octets leaves nearly every place behind. */
function buildAnchors(needles: readonly Needle[]) {
  const anchors = new Map<number, Anchor[]>();
  const marks = new Uint8Array(65_536);
  for (const needle of needles) {
    for (let offset = 0; offset < wordBytes; offset += 1) {
      const word = needle.octets.readInt32LE(offset);
      marks[markOf(word)] = 1;
      anchors.set(word, [...(anchors.get(word) ?? []), { ...needle, offset }]);
    }
  }
  return { anchors, marks };
}

function markOf(word: number): number {
  return (word ^ (word >>> 16)) & 0xffff;
}

/** Each piece is valid until the next is asked for. */
function* readMemory(pid: number, overlap: number): Generator<Buffer> {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(pieceBytes);
  try {
    for (const { start, end } of listRegions(pid)) {
      for (let at = start; at < end; at += pieceBytes - overlap) {
        const read = tryRead(memory, buffer, at, Math.min(pieceBytes, end - at));
        if (read > 0) yield buffer.subarray(0, read);
      }
    }
  } finally {
    closeSync(memory);
  }
}

/** Those that can be written to and of which anything is there. */
function listRegions(pid: number): readonly Region[] {
  const regions: Region[] = [];
  let region: Region | undefined;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const [, start, end, rights] = /^([0-9a-f]+)-([0-9a-f]+) (\S+) /.exec(line) ?? [];
    if (start !== undefined && end !== undefined)
      region =
        rights?.startsWith('rw') === true
          ? { start: parseInt(start, 16), end: parseInt(end, 16) }
          : undefined;
    // Of what was given to the system, or to the swap, nothing is read.
    else if (region !== undefined && /^Rss: +[1-9]/.test(line)) regions.push(region);
  }
  if (regions.length === 0) throw new Error(`process ${pid} is not there, or shows nothing of itself`);
  return regions;
}

/** A region may be given back while we read. */
function tryRead(memory: number, buffer: Buffer, at: number, length: number): number {
  try {
    return readSync(memory, buffer, 0, length, at);
  } catch {
    return 0;
  }
}

/** The vault's process of a main. */
export function findVault(mainPid: number): number {
  const vault = descendantsOf(mainPid).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('vault/process/main.ts'),
  );
  if (vault === undefined) throw new Error(`process ${mainPid} has no vault`);
  return vault;
}
