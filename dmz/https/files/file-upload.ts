import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { breaksPrecondition, toPrecondition } from './conditional.ts';
import { askForBody, isBrokenOff, sendEmpty, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { parseMtime } from '#dmz/https/exchange/time.ts';
import { UploadBody } from './upload-body.ts';

/** PUT: the whole body becomes the file, or nothing happens. Main makes it visible at the commit and not before. */
export async function receiveFile(exchange: Exchange, session: Admitted, path: VirtualPath): Promise<void> {
  const { headers } = exchange.request;
  // RFC 9110 §14.5: a part of a file sent as if it were all of it would destroy the rest.
  if (headers['content-range'] !== undefined)
    throw new SallyportError('bad-request', 'Parts of a file can not be sent');
  const precondition = toPrecondition(headers);
  // As `mtime` of a resumable upload; HTTP itself has no header for it in a request.
  const mtime = headers['sallyport-mtime'];
  const mtimeMs = typeof mtime === 'string' ? parseMtime(mtime) : undefined;
  await requireUnbroken(exchange, session, path);

  const file = await session.files.open(path, {
    read: false,
    write: true,
    create: 'if-missing',
    truncate: true,
    append: false,
  });
  let committed;
  try {
    askForBody(exchange);
    await new UploadBody(exchange, { session, file }).receive();
    committed = await file.commit({
      ...(precondition !== undefined && { precondition }),
      ...(mtimeMs !== undefined && { mtimeMs }),
    });
  } catch (error) {
    // Not kept as a partial upload: PUT has no way to go on with one.
    void file.release({ keepPartial: false, cut: isBrokenOff(exchange) });
    throw error;
  }
  const { etag } = committed.attributes;
  await sendEmpty(exchange, committed.created ? 201 : 204, [
    ...(etag === undefined ? [] : ['ETag', `"${etag}"`]),
    ...binHeader(committed.binned),
  ]);
}

/** In a drop box nobody may know what is there: what main can judge at the commit is left to it. */
async function requireUnbroken(exchange: Exchange, session: Admitted, path: VirtualPath): Promise<void> {
  const { headers } = exchange.request;
  const isDated = headers['if-unmodified-since'] !== undefined;
  const isTagged = headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
  if (!isDated && !isTagged) return;
  let current;
  try {
    current = await statIfThere(session, path);
  } catch (error) {
    if (isSallyportError(error, 'permission-denied') && !isDated) return;
    throw error;
  }
  if (breaksPrecondition(headers, current))
    throw new SallyportError('precondition-failed', 'The file is not as you expected');
}

/** What is there now, for conditions that can be judged before the body is sent. */
export async function statIfThere(session: Admitted, path: VirtualPath): Promise<Attributes | undefined> {
  try {
    return await session.files.stat(path);
  } catch (error) {
    if (isSallyportError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** The header that tells where in the bin something went that was deleted or replaced. */
export function binHeader(binned: string | undefined): readonly string[] {
  return binned === undefined ? [] : ['Sallyport-Bin', binned];
}
