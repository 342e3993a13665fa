import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { ArchiveBytes } from './archive-bytes.ts';
import type { ArchiveRoom } from './archive-room.ts';
import { listTree } from './archive-tree.ts';
import { labelContent } from './content.ts';
import { DownloadBody } from './download-body.ts';
import type { Exchange } from './exchange.ts';
import { fileHeaders } from './headers.ts';
import { archiveNamesMax } from './limits.ts';

/**
 * A folder, or some of what is in it, as one ZIP. Nothing is stored on the way: the tree is listed first, so that what
 * can be refused is refused before the first byte; then one file after the other is read and passed on as it comes.
 * What goes wrong after the first byte cuts the connection: half an archive must never look like a whole one.
 *
 * Files are stored, not deflated: the exposed host has better things to do than to compress strangers' videos.
 */
export async function sendArchive(
  x: Exchange,
  session: Admitted,
  wanted: { readonly folder: VirtualPath; readonly names: readonly string[] },
  room: ArchiveRoom,
): Promise<void> {
  const { folder, names } = wanted;
  if (names.length > archiveNamesMax)
    throw new SallyportError('too-many', `At most ${archiveNamesMax} names in one archive`);
  // Its length is not known before, and HTTP/1.0 says the end by closing: a client could not tell a cut one.
  if (x.request.httpVersion === '1.0')
    throw new SallyportError('unsupported', 'Archives are sent over HTTP/1.1 only');
  const only = names.length === 1 ? names[0] : undefined;
  const { type, disposition } = labelContent(`${only ?? (folder.isRoot ? 'files' : folder.name)}.zip`);
  const headers = [...fileHeaders, 'Content-Type', type, 'Content-Disposition', disposition];
  const place = room.enter(session.view.username);
  try {
    const entries = await listTree(session.files, folder, names, {
      requireWanted: () => {
        // A client that went away must not leave main listing for it.
        if (x.response.destroyed || session.ended.aborted)
          throw new SallyportError('bad-request', 'Nobody waits for the archive any more');
      },
      take: (nameCharacters) => place.take(nameCharacters),
    });
    if (x.method === 'HEAD') {
      x.response.writeHead(200, headers);
      x.response.end();
      return;
    }
    const begin = (): void => void x.response.writeHead(200, headers);
    await new DownloadBody(x, session, (to) => new ArchiveBytes(session.files, entries, to), begin).send();
  } finally {
    place.leave();
  }
}
