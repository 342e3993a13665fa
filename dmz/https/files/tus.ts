import { createHash, timingSafeEqual } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { uploadMetadataCharactersMax, type UploadView } from '#shared/link/messages.ts';
import { parseJsonPath } from './file-path.ts';
import { formatTime, parseMtime } from '#dmz/https/exchange/time.ts';

/**
 * The headers of tus 1.0.0 (resumable uploads): read strictly, written in one place.
 *
 * Trust: every header is a stranger's. Rejects `bad-request`.
 */

export const tusVersion = '1.0.0';
export const tusContentType = 'application/offset+octet-stream';

/** SHA-1 because every tus server must offer it; it is a check for accidents and no proof of anything. */
const checksumAlgorithms = ['sha1', 'sha256'] as const;

/** Flat name, value list, on every answer about uploads. */
export const tusHeaders: readonly string[] = ['Tus-Resumable', tusVersion];

export const tusDescription: readonly string[] = [
  ...tusHeaders,
  'Tus-Version',
  tusVersion,
  'Tus-Extension',
  'creation,creation-with-upload,termination,checksum,expiration',
  'Tus-Checksum-Algorithm',
  checksumAlgorithms.join(','),
];

/** A count of bytes in a header; undefined: the header is missing. */
export function parseByteCount(headers: IncomingHttpHeaders, name: string): number | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) throw refuse(`${name} is a number of bytes`);
  return Number(value);
}

interface UploadFacts {
  /** The header as it came: tus wants it back unchanged. */
  readonly metadata: string;
  readonly path: VirtualPath;
  readonly mtimeMs?: number;
  readonly overwrite: boolean;
}

/** `Upload-Metadata`: `path` (or, for clients that know no better, `filename`: into the top folder), `mtime`, `overwrite`. */
export function parseUploadMetadata(header: string | undefined): UploadFacts {
  const values = new Map<string, string>();
  if (header === undefined || header.length > uploadMetadataCharactersMax)
    throw refuse('Upload-Metadata must name the path');
  if (!/^[\u0020-\u007e]*$/.test(header)) throw refuse('Upload-Metadata can not be read');
  for (const pair of header.split(',')) {
    const [key = '', encoded = '', ...rest] = pair.trim().split(' ');
    if (!/^[\u0021-\u002b\u002d-\u007e]+$/.test(key) || rest.length > 0 || values.has(key))
      throw refuse('Upload-Metadata can not be read');
    values.set(key, decode(encoded));
  }
  const filename = values.get('filename');
  const path = values.get('path') ?? (filename === undefined ? undefined : `/${filename}`);
  if (path === undefined) throw refuse('Upload-Metadata must name the path');
  const mtime = values.get('mtime');
  return {
    metadata: header,
    path: parseJsonPath(path),
    ...(mtime !== undefined && { mtimeMs: parseMtime(mtime) }),
    overwrite: parseSwitch(values.get('overwrite')),
  };
}

/** As the client gave it; for an upload begun before it was kept, in our own words. */
export function formatUploadMetadata({ path, mtimeMs, overwrite, metadata }: UploadView): string {
  if (metadata !== undefined) return metadata;
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  return [
    `path ${encode(`/${path.join('/')}`)}`,
    ...(mtimeMs === undefined ? [] : [`mtime ${encode(formatTime(mtimeMs))}`]),
    ...(overwrite ? [`overwrite ${encode('true')}`] : []),
  ].join(',');
}

/** `Upload-Checksum: sha1 <base64>`. */
export interface Checksum {
  readonly update: (chunk: Buffer) => void;
  /** Call once, after the last byte. */
  holds(): boolean;
}

export function parseChecksum(header: string | undefined): Checksum | undefined {
  if (header === undefined) return undefined;
  const [, name, encoded = ''] = /^([a-z0-9]+) ([A-Za-z0-9+/]+={0,2})$/.exec(header) ?? [];
  const algorithm = checksumAlgorithms.find((one) => one === name);
  if (algorithm === undefined) throw refuse(`Upload-Checksum is one of ${checksumAlgorithms.join(', ')}`);
  const expected = Buffer.from(encoded, 'base64');
  const hash = createHash(algorithm);
  return {
    update: (chunk) => void hash.update(chunk),
    holds: () => {
      const actual = hash.digest();
      return actual.length === expected.length && timingSafeEqual(actual, expected);
    },
  };
}

function decode(encoded: string): string {
  const bytes = Buffer.from(encoded, 'base64');
  // Never more than two: an open end would be looked for from each sign of a long row of them.
  const bare = (text: string): string => text.replace(/={1,2}$/, '');
  const isCanonical = bare(bytes.toString('base64')) === bare(encoded);
  if (!isCanonical || !isUtf8(bytes)) throw refuse('Upload-Metadata is base64 of UTF-8');
  return bytes.toString('utf8');
}

function parseSwitch(text: string | undefined): boolean {
  if (text === undefined || text === 'false' || text === '0') return false;
  if (text === 'true' || text === '1') return true;
  throw refuse('overwrite is true or false');
}

function refuse(message: string): SallyportError {
  return new SallyportError('bad-request', message);
}
