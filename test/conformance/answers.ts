import { createHash } from 'node:crypto';
import type { Reply } from './raw-session.ts';
import { packetType, type Request, shorten } from './requests.ts';

/**
 * What a server answered, in words that are equal where two servers mean the same. Left out: a STATUS's sentence, a
 * folder's size and links, owners' names and numbers, and times that nobody set.
 */

const statusWords = [
  'OK',
  'EOF',
  'NO_SUCH_FILE',
  'PERMISSION_DENIED',
  'FAILURE',
  'BAD_MESSAGE',
  'NO_CONNECTION',
  'CONNECTION_LOST',
  'OP_UNSUPPORTED',
] as const;

/** 2020-01-01. Rows set times before it, so a later one is the time of the run. */
export const setTimesBefore = 1_577_836_800;

export function describeAnswer(
  request: Request,
  reply: Reply,
  place: { shorten(path: string): string },
): string {
  if (reply === undefined) return 'the session ended';
  const reader = new Reader(reply.body);
  switch (reply.type) {
    case packetType.status: {
      const code = reader.uint32();
      return statusWords[code] ?? `STATUS ${code}`;
    }
    case packetType.handle:
      return 'HANDLE';
    case packetType.data:
      return `DATA ${describeContent(reader.string())}`;
    case packetType.attrs:
      return `ATTRS ${readAttributes(reader)}`;
    case packetType.name:
      return readNames(reader, request.type === packetType.readdir, place);
    case packetType.version:
      return 'VERSION';
    case packetType.extendedReply:
      return request.readReply?.(reply.body) ?? `EXTENDED_REPLY of ${reply.body.length} bytes`;
    default:
      return `packet type ${reply.type}`;
  }
}

/** Of ATTRS that have size and owner, as those of files and folders do. */
export function readOwner(attributes: Buffer): readonly [number, number] {
  return [attributes.readUInt32BE(12), attributes.readUInt32BE(16)];
}

/** Short content as it is, long content by length and hash. */
export function describeContent(content: Buffer): string {
  if (content.length === 0) return '(empty)';
  if (content.length <= 40) return JSON.stringify(content.toString('latin1'));
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 12);
  return `${content.length} bytes ${hash}`;
}

export function describeTime(seconds: number): string {
  return seconds < setTimesBefore ? ` at ${seconds}` : '';
}

function readNames(reader: Reader, isListing: boolean, place: { shorten(path: string): string }): string {
  const names = Array.from({ length: reader.uint32() }, () => {
    const name = reader.string().toString();
    const long = reader.string().toString();
    const attributes = readAttributes(reader);
    return { name, long, attributes };
  });
  if (!isListing) return `NAME ${names.map(({ name }) => shorten(place.shorten(name))).join(' | ')}`;
  // A server may list "." and ".." or not; every client drops them.
  const entries = names
    .filter(({ name }) => name !== '.' && name !== '..')
    .map(({ name, long, attributes }) => `${shorten(name)}: ${attributes} «${describeLongName(long, name)}»`);
  return `NAME ${entries.length === 0 ? '(none)' : entries.sort().join(', ')}`;
}

/** Permissions, and for files the size; the rest depends on the machine. That the name is last is what parsers need. */
function describeLongName(long: string, name: string): string {
  const [permissions = '', , , , size = ''] = long.split(/ +/);
  const end = long.endsWith(` ${name}`) ? '' : ' (does not end in the name)';
  return permissions.startsWith('d') ? `${permissions}${end}` : `${permissions} ${size}${end}`;
}

function readAttributes(reader: Reader): string {
  const flags = reader.uint32();
  const size = flags & 1 ? reader.uint64() : undefined;
  if (flags & 2) reader.skip(8);
  const mode = flags & 4 ? reader.uint32() : undefined;
  const times = flags & 8 ? [reader.uint32(), reader.uint32()] : undefined;
  if (flags === 0) return '(none)';
  const type =
    mode === undefined
      ? 'typeless'
      : ({ 0o100_000: 'file', 0o040_000: 'folder', 0o120_000: 'link' }[mode & 0o170_000] ?? 'other');
  const missing = [1, 2, 4, 8].filter((flag) => !(flags & flag)).map((flag) => ` without field ${flag}`);
  return [
    type,
    mode === undefined ? '' : ` ${(mode & 0o7777).toString(8)}`,
    size === undefined || type === 'folder' ? '' : ` ${size} bytes`,
    ...missing,
    describeTime(times?.[1] ?? setTimesBefore),
  ].join('');
}

class Reader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint32(): number {
    this.#position += 4;
    return this.#bytes.readUInt32BE(this.#position - 4);
  }

  uint64(): bigint {
    this.#position += 8;
    return this.#bytes.readBigUInt64BE(this.#position - 8);
  }

  string(): Buffer {
    const length = this.uint32();
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  skip(count: number): void {
    this.#position += count;
  }
}
