import { z } from 'zod';
import { problemSchema } from '#shared/problem.ts';
import { binPageEntriesMax, binRestoresMax } from './limits.ts';
import { count, path, seconds, time, type Shown } from './values.ts';

/** Files, folders, the bin, downloads and resumable uploads. Bytes of files have no schema. */

const kind = z.enum(['file', 'folder']);

const unserved = z.strictObject({ count, names: z.array(z.string()) });
/** What lies in a folder and can't be shown: how many, and the first of their names in writing that can be. */
export type Unserved = Shown<typeof unserved>;

const entry = z.strictObject({
  name: z.string(),
  type: kind,
  size: count.describe('Bytes; of no meaning for folders.'),
  mtime: time,
  etag: z.exactOptional(z.string()),
});
export type ListedEntry = Shown<typeof entry>;

export const listing = z.strictObject({
  path,
  entries: z.array(entry),
  next: z.exactOptional(z.string()).describe('`cursor` of the page after this one; absent after the last.'),
  unserved: z
    .exactOptional(unserved)
    .describe('With the first page: what lies in the folder and can not be shown.'),
});
export type Listing = Shown<typeof listing>;

export const sortKey = z.enum(['name', '-name', 'size', '-size', 'mtime', '-mtime']);
export type SortKey = Shown<typeof sortKey>;

/** Of all that lies below a folder. */
export const survey = z.strictObject({
  path,
  looked: count.describe('Entries that were looked at.'),
  complete: z.boolean(),
  unserved,
});
export type Survey = Shown<typeof survey>;

export const move = z.strictObject({
  to: z.string().describe('A whole path, so a rename also moves.'),
  overwrite: z.exactOptional(z.boolean()),
});
export type Move = Shown<typeof move>;

const binId = z.string().regex(/^[A-Za-z0-9_-]{22}$/);

const binEntry = z.strictObject({
  id: binId,
  name: z.string(),
  path,
  type: kind,
  size: z.exactOptional(count).describe('Bytes; of a folder absent until they are added up.'),
  deleted_at: time,
  by: z.string().describe('User name of who did it.'),
  reason: z.enum(['deleted', 'replaced']),
  expires_at: time,
});
export type BinnedEntry = Shown<typeof binEntry>;

export const binPage = z.strictObject({
  entries: z.array(binEntry).describe('Newest first.'),
  next: z.exactOptional(z.string()),
  kept_bytes: count,
  kept_entries: count,
});
export type BinPage = Shown<typeof binPage>;

export const binRestore = z.strictObject({
  ids: z.array(binId).min(1).max(binRestoresMax),
  conflict: z
    .exactOptional(z.literal('keep-both'))
    .describe('A name that is taken gets another: `plan (restored).txt`.'),
});
export type BinRestore = Shown<typeof binRestore>;

/** Of one id its problem is the answer itself. */
export const binRestored = z.strictObject({
  results: z
    .array(
      z.union([z.strictObject({ id: binId, path }), z.strictObject({ id: binId, problem: problemSchema })]),
    )
    .describe('In the order of `ids`.'),
});
export type BinRestored = Shown<typeof binRestored>;

export const binEmpty = z.strictObject({
  ids: z.exactOptional(z.array(binId).max(binPageEntriesMax)).describe('Absent: all.'),
});
export type BinEmpty = Shown<typeof binEmpty>;

export const binEmptied = z.strictObject({ dropped: count.describe('So many are gone for good.') });
export type BinEmptied = Shown<typeof binEmptied>;

export const downloadWanted = z.strictObject({
  folder: z.string(),
  names: z.array(z.string()).describe('Of entries of the folder; none: all of it.'),
});
export type DownloadWanted = Shown<typeof downloadWanted>;

export const downloadReady = z.strictObject({
  address: z.string().describe('To be followed.'),
  expires_in: z.exactOptional(seconds).describe('Of an archive: it waits so long, and is fetched once.'),
});
export type DownloadReady = Shown<typeof downloadReady>;

export const upload = z.strictObject({
  id: z.string(),
  path,
  length: count,
  offset: count.describe('Bytes on the disk inside.'),
  mtime: z.exactOptional(time),
  overwrite: z.boolean(),
  expires: time,
});
export type StoredUpload = Shown<typeof upload>;

export const uploads = z.strictObject({ uploads: z.array(upload) });
export type StoredUploads = Shown<typeof uploads>;
