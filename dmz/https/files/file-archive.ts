import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { ArchiveBytes } from './archive-bytes.ts';
import type { ArchiveRoom } from './archive-room.ts';
import { listTree, type ArchiveEntry } from './archive-tree.ts';
import { labelContent } from './content.ts';
import { DownloadBody } from './download-body.ts';
import type { Exchange } from '#dmz/https/exchange/exchange.ts';
import { fileHeaders } from '#dmz/https/exchange/headers.ts';

/**
 * A folder, or some of what is in it, as one ZIP. Nothing is stored on the way: the tree is listed first, so that what
 * can be refused is refused before the first byte; then one file after the other is read and passed on as it comes.
 * What goes wrong after the first byte cuts the connection: half an archive must never look like a whole one.
 *
 * Files are stored, not deflated: the exposed host has better things to do than to compress strangers' videos.
 */

/** What was asked for. Empty `names`: all of the folder. */
interface WantedArchive {
  readonly folder: VirtualPath;
  readonly names: readonly string[];
  /** Names that this way of asking has room for. */
  readonly namesMax: number;
}

/** An archive that is listed and takes its place in memory until it is sent, or dropped. */
export interface ListedArchive {
  /** What it is called where it is saved. */
  readonly name: string;
  readonly entries: readonly ArchiveEntry[];
  /** Gives its place free. Once. */
  leave(): void;
}

/** Rejects with everything that speaks against it before the first byte. */
export async function listArchive(
  exchange: Exchange,
  session: Admitted,
  wanted: WantedArchive,
  room: ArchiveRoom,
): Promise<ListedArchive> {
  const { folder, names, namesMax } = wanted;
  if (names.length > namesMax)
    throw new SallyportError('too-many', `At most ${namesMax} names in one archive`, {
      data: { bound: 'names', maximum: namesMax },
    });
  const only = names.length === 1 ? names[0] : undefined;
  const place = room.enter(session.view.username);
  try {
    const entries = await listTree(session.files, folder, names, {
      requireWanted: () => {
        // A client that went away must not leave main listing for it.
        if (exchange.response.destroyed || session.ended.aborted)
          throw new SallyportError('bad-request', 'Nobody waits for the archive any more');
      },
      take: (nameCharacters) => place.take(nameCharacters),
    });
    const name = `${only ?? (folder.isRoot ? 'files' : folder.name)}.zip`;
    return { name, entries, leave: () => place.leave() };
  } catch (error) {
    place.leave();
    throw error;
  }
}

/** Leaves the archive's place to the caller. */
export async function sendListed(
  exchange: Exchange,
  session: Admitted,
  archive: ListedArchive,
): Promise<void> {
  const { type, disposition } = labelContent(archive.name);
  const headers = [...fileHeaders, 'Content-Type', type, 'Content-Disposition', disposition];
  if (exchange.method === 'HEAD') {
    exchange.response.writeHead(200, headers);
    exchange.response.end();
    return;
  }
  const begin = (): void => void exchange.response.writeHead(200, headers);
  const bytes = new DownloadBody(
    exchange,
    session,
    (to) => new ArchiveBytes(session.files, archive.entries, to),
    begin,
  );
  await bytes.send();
}

/** Its length is not known before, and HTTP/1.0 says the end by closing: a client could not tell a cut one. */
export function requireToldEnd(exchange: Exchange): void {
  if (exchange.request.httpVersion === '1.0')
    throw new SallyportError('unsupported', 'Archives are sent over HTTP/1.1 only');
}

export async function sendArchive(
  exchange: Exchange,
  session: Admitted,
  wanted: WantedArchive,
  room: ArchiveRoom,
): Promise<void> {
  requireToldEnd(exchange);
  const archive = await listArchive(exchange, session, wanted, room);
  try {
    await sendListed(exchange, session, archive);
  } finally {
    archive.leave();
  }
}
