import { brokenBackup, type ByteSource } from './byte-source.ts';

/**
 * Reads BER (ITU-T X.690) as `enveloped-data.ts` writes it: heads from a stream, whole elements from a buffer. What is
 * written otherwise, though it may mean the same, is refused.
 *
 * Trust: bytes of a file that may be anybody's; nothing is believed before its tag was checked.
 */

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

/** Of what has no length of its own and ends with `endOfContents`. */
export const indefiniteLength = Buffer.from([0x80]);
export const endOfContents = Buffer.from([0, 0]);

/** Its length, or undefined where it is indefinite. */
export async function readHead(
  source: ByteSource,
): Promise<{ readonly tag: number; readonly length: number | undefined }> {
  const [tag = 0, first = 0] = await source.take(2);
  if (first < 0x80) return { tag, length: first };
  if (first === 0x80) return { tag, length: undefined };
  return { tag, length: readLength(await source.take(lengthOctets(first))) };
}

/** Refuses an element of more than `bytesMax`. */
export async function readElement(source: ByteSource, tag: number, bytesMax: number): Promise<Buffer> {
  const head = await readHead(source);
  if (head.tag !== tag || head.length === undefined || head.length > bytesMax)
    throw brokenBackup(`an element ${head.tag.toString(16)} where ${tag.toString(16)} belongs`);
  return source.take(head.length);
}

/** The elements that a constructed one consists of. */
export function readElements(content: Buffer): readonly Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < content.length;) {
    const [tag, first] = content.subarray(at, at + 2);
    if (tag === undefined || first === undefined) throw brokenBackup('an element is cut off');
    const octets = first < 0x80 ? 0 : lengthOctets(first);
    const start = at + 2 + octets;
    const end = start + (octets === 0 ? first : readLength(content.subarray(at + 2, start)));
    if (end > content.length) throw brokenBackup('an element is longer than what it is in');
    elements.push({ tag, content: content.subarray(start, end), whole: content.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** As many as fit a number of ours. */
function lengthOctets(first: number): number {
  const octets = first & 0x7f;
  if (octets < 1 || octets > 4) throw brokenBackup('an element has a length that is none');
  return octets;
}

function readLength(octets: Buffer): number {
  return octets.length === 0 ? 0 : octets.readUIntBE(0, octets.length);
}
