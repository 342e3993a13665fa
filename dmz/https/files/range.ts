import type { IncomingHttpHeaders } from 'node:http';
import type { Attributes } from '#shared/file-service/attributes.ts';
import { modifiedSecondMs, parseHttpDate } from './conditional.ts';

/** First byte and count. */
export interface ByteRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * Which part of a file is asked for (RFC 9110 §14). Undefined: all of it, as for a Range we can't read and for several
 * ranges at once, which a server may pass over (§14.2). A client that asks for pieces gets the bytes they are pieces of,
 * and no list of ranges, however long or overlapping, makes the answer larger than the file.
 */
export function judgeRange(
  headers: IncomingHttpHeaders,
  file: Attributes,
): ByteRange | 'unsatisfiable' | undefined {
  const { range, 'if-range': ifRange } = headers;
  if (range === undefined || !isStillSame(ifRange === undefined ? undefined : String(ifRange), file))
    return undefined;
  const spec = /^bytes=(.+)$/i.exec(range.trim())?.[1];
  if (spec === undefined) return undefined;
  // A list may have empty members (§5.6.1); two that are not are several ranges.
  const [only = '', ...more] = spec.split(',').filter((member) => member.trim() !== '');
  if (more.length > 0) return undefined;
  const match = /^\s*(\d{0,15})-(\d{0,15})\s*$/.exec(only);
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const suffix = Math.min(Number(last), file.size);
    return suffix === 0 ? 'unsatisfiable' : { offset: file.size - suffix, lengthBytes: suffix };
  }
  const offset = Number(first);
  const end = last === '' ? file.size - 1 : Math.min(Number(last), file.size - 1);
  if (last !== '' && Number(last) < offset) return undefined;
  return offset >= file.size ? 'unsatisfiable' : { offset, lengthBytes: end - offset + 1 };
}

/** If-Range (RFC 9110 §13.1.5): a part is only good to a client that has the rest of this very version. */
function isStillSame(ifRange: string | undefined, file: Attributes): boolean {
  if (ifRange === undefined) return true;
  const tag = /^"([^"]*)"$/.exec(ifRange.trim())?.[1];
  if (tag !== undefined) return file.etag !== undefined && tag === file.etag;
  // A date is exact or it is nothing, and even then only of a file that did not change within its second.
  return parseHttpDate(ifRange) === modifiedSecondMs(file);
}
