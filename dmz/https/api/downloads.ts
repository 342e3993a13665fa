import { downloadWanted, type DownloadReady } from '#dmz/http-api/files.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { ArchiveRoom } from '#dmz/https/files/archive-room.ts';
import type { ArchiveEntry } from '#dmz/https/files/archive-tree.ts';
import { DownloadTickets } from '#dmz/https/files/download-tickets.ts';
import { sendJson, sendProblem, type Exchange } from '#dmz/https/exchange/exchange.ts';
import {
  listArchive,
  requireToldEnd,
  sendListed,
  type ListedArchive,
} from '#dmz/https/files/file-archive.ts';
import { formatFilePath, parseJsonPath } from '#dmz/https/files/file-path.ts';
import { readJson } from '#dmz/https/exchange/json-body.ts';
import { downloadJsonBytesMax, downloadNamesMax, downloadTicketMs } from '#dmz/https/limits.ts';

/**
 * Downloads that are asked for before they begin. A browser that follows an address to save what is there tells nobody
 * why it could not; an answer in JSON does. And a body holds names that no address has room for.
 */

const prefix = '/api/downloads/';
const readMode = { read: true, write: false, create: 'never', truncate: false, append: false } as const;

interface DownloadApi {
  /** Refuses, or answers the address to follow. */
  readonly postDownload: (exchange: Exchange, session: Admitted) => Promise<void>;
  readonly getDownload: (exchange: Exchange, session: Admitted) => Promise<void>;
}

export function buildDownloadApi(room: ArchiveRoom): DownloadApi {
  const tickets = new DownloadTickets();
  return {
    async postDownload(exchange, session) {
      const wanted = await readJson(exchange, downloadWanted, { bytesMax: downloadJsonBytesMax });
      const folder = parseJsonPath(wanted.folder);
      const { names } = wanted;
      const file = names.length === 1 ? await findFile(session, folder.child(names[0] ?? '')) : undefined;
      if (file !== undefined) {
        await requireReadable(session, file);
        // Its own address: a download of it that breaks off can be taken up again, which a ticket can not.
        return sendJson<DownloadReady>(exchange, 201, { address: `/api/files/${formatFilePath(file)}` });
      }
      const archive = await listArchive(
        exchange,
        session,
        { folder, names, namesMax: downloadNamesMax },
        room,
      );
      if (!archive.entries.some(isStoredFile)) {
        archive.leave();
        const error = new SallyportError('not-found', 'There is no file in it');
        return sendProblem(exchange, error, { reason: 'no-files' });
      }
      try {
        await requireWhole(session, archive.entries);
      } catch (error) {
        archive.leave();
        throw error;
      }
      const ticket = tickets.issue(session, archive);
      await sendJson<DownloadReady>(exchange, 201, {
        address: `${prefix}${ticket}`,
        expires_in: downloadTicketMs / 1000,
      });
    },

    async getDownload(exchange, session) {
      requireToldEnd(exchange);
      const id = exchange.path.slice(prefix.length);
      if (exchange.method === 'HEAD')
        return sendListed(exchange, session, requireArchive(tickets.find(session, id)));
      const archive = requireArchive(tickets.take(session, id));
      try {
        await sendListed(exchange, session, archive);
      } finally {
        archive.leave();
      }
    },
  };
}

function requireArchive(archive: ListedArchive | undefined): ListedArchive {
  if (archive === undefined)
    throw new SallyportError('not-found', 'That download was fetched already, or it was not fetched in time');
  return archive;
}

/** And no note of ours about what is missing. */
function isStoredFile({ isFolder, content }: ArchiveEntry): boolean {
  return !isFolder && content === undefined;
}

/** Undefined: a folder. */
async function findFile(session: Admitted, path: VirtualPath): Promise<VirtualPath | undefined> {
  const { type } = await session.files.stat(path);
  return type === 'folder' ? undefined : path;
}

async function requireReadable(session: Admitted, path: VirtualPath): Promise<void> {
  const file = await session.files.open(path, readMode);
  await file.release();
}

/**
 * An archive with a file that may not be read would be cut when it comes to that one. Rights are the same all over a
 * mount, so one file of each is tried.
 */
async function requireWhole(session: Admitted, entries: readonly ArchiveEntry[]): Promise<void> {
  const { mounts } = await session.account();
  const tried = new Map<(typeof mounts)[number] | undefined, VirtualPath>();
  const deepestFirst = mounts.toSorted((a, b) => b.path.length - a.path.length);
  for (const { path } of entries.filter(isStoredFile)) {
    const mount = deepestFirst.find((one) => one.path.every((name, at) => name === path.components[at]));
    if (!tried.has(mount)) tried.set(mount, path);
  }
  for (const path of tried.values()) await requireReadable(session, path);
}
