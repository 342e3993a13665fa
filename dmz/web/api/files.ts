import type {
  DownloadReady,
  DownloadWanted,
  Listing,
  Move,
  SortKey,
  Survey,
  Unserved,
} from '#dmz/http-api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import type { Entry } from '#dmz/web/files/entry.ts';
import { toApiPath, toFolderApiPath, type FolderPath } from '#dmz/web/files/path.ts';
import { pageEntriesMax } from '#dmz/web/limits.ts';

/** Files and folders, call by call. Paths are lists of names; escaping happens here and nowhere else. */

interface Page {
  readonly entries: readonly Entry[];
  /** With the first page, where there are any. */
  readonly unserved?: Unserved;
  /** Cursor of the page after this one; absent after the last. */
  readonly next?: string;
}

export async function getPage(
  http: Http,
  folder: FolderPath,
  options: { sort: SortKey; cursor?: string; signal: AbortSignal },
): Promise<Page> {
  const query = new URLSearchParams({ sort: options.sort, limit: String(pageEntriesMax) });
  if (options.cursor !== undefined) query.set('cursor', options.cursor);
  const body = await http.call<Listing>({
    method: 'GET',
    path: `${toFolderApiPath(folder)}?${query.toString()}`,
    signal: options.signal,
  });
  const entries = body.entries.map(({ name, type, size, mtime }) => ({
    parent: folder,
    name,
    type,
    size,
    mtimeMs: Date.parse(mtime),
  }));
  return {
    entries,
    ...(body.next === undefined ? {} : { next: body.next }),
    ...(body.unserved === undefined ? {} : { unserved: body.unserved }),
  };
}

/** All that lies below a folder and is in no listing, as far as main looks for it. */
export async function countUnserved(http: Http, folder: FolderPath, signal: AbortSignal): Promise<number> {
  const path = `${toFolderApiPath(folder)}?unserved=1`;
  const { unserved } = await http.call<Survey>({ method: 'GET', path, signal });
  return unserved.count;
}

/** Whether there is a file that this person may read. */
export async function isFile(http: Http, path: FolderPath, signal: AbortSignal): Promise<boolean> {
  try {
    await http.call({ method: 'HEAD', path: toApiPath(path), signal });
    return true;
  } catch {
    return false;
  }
}

export async function makeFolder(http: Http, path: FolderPath): Promise<void> {
  await http.call({ method: 'POST', path: `${toApiPath(path)}?op=mkdir` });
}

/** `to` is a whole path, so `rename` also moves. Rejects 409 `exists` when the name is taken and may not be replaced. */
export async function relocateEntry(
  http: Http,
  op: 'rename' | 'copy',
  from: FolderPath,
  to: FolderPath,
  overwrite = false,
): Promise<void> {
  await http.call({
    method: 'POST',
    path: `${toApiPath(from)}?op=${op}`,
    json: { to: `/${to.join('/')}`, overwrite } satisfies Move,
  });
}

export interface FileFacts {
  /** Bytes. */
  readonly size: number;
  readonly mtimeMs: number;
}

/** What is known of a file; undefined: it is a folder. */
export async function findFile(
  http: Http,
  path: FolderPath,
  signal: AbortSignal,
): Promise<FileFacts | undefined> {
  const headers = await http.headers({ method: 'HEAD', path: toApiPath(path), signal });
  const modified = headers.get('Last-Modified');
  if (modified === null) return undefined;
  return { size: Number(headers.get('Content-Length')), mtimeMs: Date.parse(modified) };
}

/** The first bytes of a file. */
export function getFileStart(
  http: Http,
  path: FolderPath,
  options: { readonly bytesMax: number; readonly signal: AbortSignal },
): Promise<Blob> {
  const { bytesMax, signal } = options;
  const headers = bytesMax === 0 ? {} : { Range: `bytes=0-${bytesMax - 1}` };
  return http.bytes({ method: 'GET', path: toApiPath(path), headers, signal });
}

/**
 * Asks for a download of some of a folder's entries, or of all of it; resolves with the address to follow, at once and
 * once. A single file comes as it is, anything else as one archive. Rejects with what speaks against it.
 */
export async function askForDownload(
  http: Http,
  folder: FolderPath,
  names: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const json: DownloadWanted = { folder: `/${folder.join('/')}`, names };
  const { address } = await http.call<DownloadReady>({
    method: 'POST',
    path: '/api/downloads',
    json,
    signal,
  });
  return address;
}

/** Resolves with the id under which it can be had back; undefined: it is gone for good. */
export async function deleteEntry(
  http: Http,
  path: FolderPath,
  type: Entry['type'],
): Promise<string | undefined> {
  const headers = await http.headers({
    method: 'DELETE',
    path: type === 'folder' ? `${toApiPath(path)}?recursive=1` : toApiPath(path),
  });
  return headers.get('Sallyport-Bin') ?? undefined;
}
