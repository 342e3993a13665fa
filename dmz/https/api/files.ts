import { move, sortKey, type ListedEntry, type Listing, type Survey } from '#dmz/http-api/files.ts';
import { cursorCharactersMax, listingLimitMax } from '#dmz/http-api/limits.ts';
import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Entry, SortKey } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { ArchiveRoom } from '#dmz/https/files/archive-room.ts';
import { breaksPrecondition, toPrecondition } from '#dmz/https/files/conditional.ts';
import { sendEmpty, sendJson, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { sendArchive } from '#dmz/https/files/file-archive.ts';
import { sendFile, sendFileHead } from '#dmz/https/files/file-download.ts';
import { parseFilePath, parseJsonPath } from '#dmz/https/files/file-path.ts';
import { binHeader, receiveFile, statIfThere } from '#dmz/https/files/file-upload.ts';
import { readJson, requireNoInput } from '#dmz/https/exchange/json-body.ts';
import { formatTime } from '#dmz/https/exchange/time.ts';
import { archiveNamesMax } from '#dmz/https/limits.ts';

/**
 * Files over HTTP. A thin translation: who may do what, and what happens, is decided on main call by call.
 */

const prefix = '/api/files/';

const readMode = { read: true, write: false, create: 'never', truncate: false, append: false } as const;

function pathOf(exchange: Exchange): { readonly path: VirtualPath; readonly isFolderForm: boolean } {
  return parseFilePath(exchange.path.slice(prefix.length));
}

/** GET and HEAD: a folder is listed or archived, a file is sent. */
export function buildGetFile(
  archives: ArchiveRoom,
): (exchange: Exchange, session: Admitted) => Promise<void> {
  return async (exchange, session) => {
    if (exchange.query.get('unserved') === '1') return sendSurvey(exchange, session);
    if (exchange.query.get('zip') !== '1') return getFile(exchange, session);
    const wanted = {
      folder: pathOf(exchange).path,
      names: exchange.query.getAll('name'),
      namesMax: archiveNamesMax,
    };
    return sendArchive(exchange, session, wanted, archives);
  };
}

/** Whether it is a folder, main says; one question where the form tells. */
async function getFile(exchange: Exchange, session: Admitted): Promise<void> {
  const { path, isFolderForm } = pathOf(exchange);
  if (isFolderForm) return sendListing(exchange, session, path);
  if (exchange.method === 'HEAD') {
    const attributes = await session.files.stat(path);
    return attributes.type === 'folder'
      ? sendListing(exchange, session, path)
      : sendFileHead(exchange, path.name, attributes);
  }
  let file: RemoteFile;
  try {
    file = await session.files.open(path, readMode);
  } catch (error) {
    if (isSallyportError(error, 'is-a-folder')) return sendListing(exchange, session, path);
    throw error;
  }
  let cut = true;
  try {
    await sendFile(exchange, session, path.name, file);
    cut = false;
  } finally {
    void file.release({ cut });
  }
}

async function sendListing(exchange: Exchange, session: Admitted, path: VirtualPath): Promise<void> {
  const { cursor, limit, sort } = parseListingQuery(exchange.query);
  const page = await session.files.list(path, { limit, sort, ...(cursor === undefined ? {} : { cursor }) });
  await sendJson<Listing>(exchange, 200, {
    path: path.toString(),
    entries: page.entries.map(describeEntry),
    ...(page.next === undefined ? {} : { next: page.next }),
    ...(page.unserved === undefined ? {} : { unserved: page.unserved }),
  });
}

/** What a page asks before a folder is deleted with all that is in it: how much of that is in no listing. */
async function sendSurvey(exchange: Exchange, session: Admitted): Promise<void> {
  const { path } = pathOf(exchange);
  const { looked, isComplete, unserved } = await session.files.survey(path);
  await sendJson<Survey>(exchange, 200, { path: path.toString(), looked, complete: isComplete, unserved });
}

function parseListingQuery(query: URLSearchParams): { cursor?: string; limit: number; sort: SortKey } {
  const cursor = query.get('cursor') ?? undefined;
  const limit = query.get('limit') ?? String(listingLimitMax);
  const sort = sortKey.safeParse(query.get('sort') ?? 'name');
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > listingLimitMax)
    throw new SallyportError('bad-request', `limit is a number from 1 to ${listingLimitMax}`);
  if (!sort.success)
    throw new SallyportError('bad-request', 'sort is name, size or mtime, or one of them after -');
  if (cursor !== undefined && cursor.length > cursorCharactersMax)
    throw new SallyportError('bad-request', 'That cursor is not ours');
  return { limit: Number(limit), sort: sort.data, ...(cursor === undefined ? {} : { cursor }) };
}

function describeEntry({ name, attributes }: Entry): ListedEntry {
  const { type, size, mtimeMs, etag } = attributes;
  return {
    name,
    type: type === 'folder' ? 'folder' : 'file',
    size,
    mtime: formatTime(mtimeMs),
    ...(etag === undefined ? {} : { etag }),
  };
}

export async function putFile(exchange: Exchange, session: Admitted): Promise<void> {
  const { path, isFolderForm } = pathOf(exchange);
  if (isFolderForm) throw new SallyportError('is-a-folder', 'That is a folder');
  await receiveFile(exchange, session, path);
}

export async function deleteEntry(exchange: Exchange, session: Admitted): Promise<void> {
  const { path } = pathOf(exchange);
  if (path.isRoot) throw new SallyportError('permission-denied', 'The top folder stays');
  const { headers } = exchange.request;
  const attributes = await session.files.stat(path, { followLinks: false });
  if (breaksPrecondition(headers, attributes))
    throw new SallyportError('precondition-failed', 'The file is not as you expected');
  const forGood = exchange.query.get('bin') === '0';
  let removed;
  if (attributes.type === 'folder')
    removed = await session.files.removeFolder(path, {
      recursive: exchange.query.get('recursive') === '1',
      forGood,
    });
  else removed = await session.files.removeFile(path, { precondition: toPrecondition(headers), forGood });
  await sendEmpty(exchange, 204, binHeader(removed.binned));
}

/** POST ?op=mkdir | rename | copy. 201: something new; 204: it took another's place. */
export async function postOperation(exchange: Exchange, session: Admitted): Promise<void> {
  const { path } = pathOf(exchange);
  const { files } = session;
  switch (exchange.query.get('op') ?? '') {
    case 'mkdir':
      await requireNoInput(exchange);
      await files.makeFolder(path);
      return sendEmpty(exchange, 201);
    case 'rename': {
      const { to, overwrite = false } = await readJson(exchange, move);
      await requireCurrent(exchange, session, path);
      const { replaced, binned } = await files.rename(path, parseJsonPath(to), { overwrite });
      return sendEmpty(exchange, replaced ? 204 : 201, binHeader(binned));
    }
    case 'copy': {
      const { to, overwrite = false } = await readJson(exchange, move);
      await requireCurrent(exchange, session, path);
      const { replaced, binned } = await files.copy(path, parseJsonPath(to), { overwrite });
      return sendEmpty(exchange, replaced ? 204 : 201, binHeader(binned));
    }
    default:
      throw new SallyportError('bad-request', 'op is mkdir, rename or copy');
  }
}

/** The conditions of a rename or copy speak of its source. */
async function requireCurrent(exchange: Exchange, session: Admitted, path: VirtualPath): Promise<void> {
  const { headers } = exchange.request;
  if (toPrecondition(headers) === undefined && headers['if-unmodified-since'] === undefined) return;
  if (breaksPrecondition(headers, await statIfThere(session, path)))
    throw new SallyportError('precondition-failed', 'The file is not as you expected');
}
