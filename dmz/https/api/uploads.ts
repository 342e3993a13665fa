import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { UploadView } from '#shared/link/messages.ts';
import type { StoredUpload, StoredUploads } from '#dmz/http-api/files.ts';
import { binHeader } from '#dmz/https/files/file-upload.ts';
import {
  askForBody,
  isBrokenOff,
  sendEmpty,
  sendJson,
  sendProblem,
  type Exchange,
} from '#dmz/https/exchange/exchange.ts';
import {
  formatUploadMetadata,
  parseByteCount,
  parseChecksum,
  type Checksum,
  parseUploadMetadata,
  tusContentType,
  tusDescription,
  tusHeaders,
  tusVersion,
} from '#dmz/https/files/tus.ts';
import { formatHttpDate, formatTime } from '#dmz/https/exchange/time.ts';
import { UploadBody } from '#dmz/https/files/upload-body.ts';

/**
 * Resumable uploads, tus 1.0.0 (https://tus.io/protocols/resumable-upload), core and the extensions in `tus.ts`. The
 * bytes and every fact about an upload are main's: this door may be restarted, or be another one, between two requests.
 *
 * Not offered: `X-HTTP-Method-Override`, which lets a header change what a request does.
 */

const prefix = '/api/uploads/';

type Handler = (exchange: Exchange, session: Admitted) => Promise<void>;

/** Every answer about uploads names the version; a client of another one is told so (412). */
function withTus(handle: Handler): Handler {
  return async (exchange, session) => {
    const version = exchange.request.headers['tus-resumable'];
    if (version !== undefined && version !== tusVersion)
      return sendProblem(exchange, new SallyportError('precondition-failed', 'This is tus 1.0.0'), {
        headers: ['Tus-Version', tusVersion],
      });
    try {
      await handle(exchange, session);
    } catch (error) {
      // To tus clients every 4xx but 409 and 423 is the end; one that stalled shall come back for the rest.
      const isPause = isSallyportError(error, 'too-slow');
      await sendProblem(exchange, error, { headers: tusHeaders, ...(isPause ? { status: 503 } : {}) });
    }
  };
}

export const describeTus: Handler = (exchange) => sendEmpty(exchange, 204, tusDescription);

/** What the user has not finished yet. Ours, not tus's: for a client that was closed and starts again. */
export async function listUploads(exchange: Exchange, session: Admitted): Promise<void> {
  const uploads = await session.files.uploads.list();
  await sendJson<StoredUploads>(exchange, 200, { uploads: uploads.map(describe) });
}

/** HEAD is tus's question how far an upload got; GET says the same in JSON. */
export const getUpload = withTus(async (exchange, session) => {
  const upload = await session.files.uploads.find(nameOf(exchange));
  const headers = [
    ...offsetHeaders(upload, upload.storedBytes),
    'Upload-Length',
    String(upload.lengthBytes),
    'Upload-Metadata',
    formatUploadMetadata(upload),
  ];
  if (exchange.method === 'HEAD') await sendEmpty(exchange, 200, headers);
  else await sendJson<StoredUpload>(exchange, 200, describe(upload), headers);
});

export const createUpload = withTus(async (exchange, session) => {
  const { headers } = exchange.request;
  const lengthBytes = parseByteCount(headers, 'upload-length');
  if (lengthBytes === undefined)
    throw new SallyportError('bad-request', 'Upload-Length must say how large the file is');
  const facts = parseUploadMetadata(headerOf(exchange, 'upload-metadata'));
  const hasBody = headers['content-type'] !== undefined;
  if (hasBody && !isTusContent(exchange)) return refuseContent(exchange);
  const { path, ...rest } = facts;
  const upload = await session.files.uploads.create(path, { lengthBytes, ...rest });
  const location = ['Location', `${prefix}${upload.upload}`];
  // An empty file is whole at once.
  if (!hasBody && lengthBytes > 0)
    return sendJson<StoredUpload>(exchange, 201, describe(upload), [
      ...offsetHeaders(upload, 0),
      ...location,
    ]);
  const opened = await session.files.uploads.open(upload.upload);
  const received = await receive(exchange, session, opened);
  if (received === 'wrong-checksum') return refuseChecksum(exchange, location);
  await sendEmpty(exchange, 201, [
    ...offsetHeaders(upload, received.end),
    ...location,
    ...binHeader(received.binned),
  ]);
});

export const patchUpload = withTus(async (exchange, session) => {
  if (!isTusContent(exchange)) return refuseContent(exchange);
  const offset = parseByteCount(exchange.request.headers, 'upload-offset');
  if (offset === undefined) throw new SallyportError('bad-request', 'Upload-Offset is missing');
  const { uploads } = session.files;
  const name = nameOf(exchange);
  // Asked before it is opened: opening takes it from a connection that may be doing well.
  const known = await uploads.find(name);
  if (known.storedBytes !== offset) return refuseOffset(exchange, known);
  const opened = await uploads.open(name);
  if (opened.upload.storedBytes !== offset) {
    void opened.file.release({ keepPartial: true });
    return refuseOffset(exchange, opened.upload);
  }
  const received = await receive(exchange, session, opened);
  if (received === 'wrong-checksum') await refuseChecksum(exchange, []);
  else
    await sendEmpty(exchange, 204, [
      ...offsetHeaders(opened.upload, received.end),
      ...binHeader(received.binned),
    ]);
});

export const deleteUpload = withTus(async (exchange, session) => {
  await session.files.uploads.remove(nameOf(exchange));
  await sendEmpty(exchange, 204, tusHeaders);
});

/** The new offset, and where the file went that the whole upload replaced. */
interface Received {
  readonly end: number;
  readonly binned?: string | undefined;
}

/** The body goes behind what is stored. Resolves with the new offset; a whole upload is a file then. */
async function receive(
  exchange: Exchange,
  session: Admitted,
  { file, upload }: { readonly file: RemoteFile; readonly upload: UploadView },
): Promise<Received | 'wrong-checksum'> {
  const { storedBytes: offset, lengthBytes } = upload;
  let end: number;
  let checksum: Checksum | undefined;
  try {
    checksum = parseChecksum(headerOf(exchange, 'upload-checksum'));
    askForBody(exchange);
    end = await new UploadBody(exchange, {
      session,
      file,
      offset,
      endBytesMax: lengthBytes,
      ...(checksum === undefined ? {} : { onChunk: checksum.update }),
    }).receive();
    if (checksum !== undefined && !checksum.holds()) {
      await file.change({ size: offset });
      await file.release({ keepPartial: true });
      return 'wrong-checksum';
    }
  } catch (error) {
    void letGo(file, checksum === undefined ? undefined : offset, isBrokenOff(exchange));
    throw error;
  }
  if (end === lengthBytes) return { end, binned: (await file.commit()).binned };
  await file.release({ keepPartial: true });
  return { end };
}

/** What came under a checksum and could not be held against it is not kept: the client asked for that. */
async function letGo(file: RemoteFile, verifiedBytes: number | undefined, cut: boolean): Promise<void> {
  try {
    if (verifiedBytes !== undefined) await file.change({ size: verifiedBytes });
  } catch {
    // The session is over, or a newer connection has the upload.
  }
  await file.release({ keepPartial: true, cut });
}

function nameOf(exchange: Exchange): string {
  const name = exchange.path.slice(prefix.length);
  if (!/^[A-Za-z0-9_-]{22}$/.test(name)) throw new SallyportError('not-found', 'There is no such upload');
  return name;
}

function headerOf(exchange: Exchange, name: string): string | undefined {
  const value = exchange.request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

function isTusContent(exchange: Exchange): boolean {
  return exchange.request.headers['content-type'] === tusContentType;
}

function refuseContent(exchange: Exchange): Promise<void> {
  return sendProblem(exchange, new SallyportError('bad-request', `Send ${tusContentType}`), {
    status: 415,
    reason: 'unsupported-media-type',
    headers: tusHeaders,
  });
}

function offsetHeaders({ expiresAtMs }: UploadView, offset: number): readonly string[] {
  return [...tusHeaders, 'Upload-Offset', String(offset), 'Upload-Expires', formatHttpDate(expiresAtMs)];
}

function refuseOffset(exchange: Exchange, upload: UploadView): Promise<void> {
  return sendProblem(exchange, new SallyportError('conflict', 'The upload goes on at another place'), {
    reason: 'wrong-offset',
    headers: offsetHeaders(upload, upload.storedBytes),
  });
}

/** tus, checksum extension: 460. */
function refuseChecksum(exchange: Exchange, headers: readonly string[]): Promise<void> {
  return sendProblem(exchange, new SallyportError('bad-request', 'The bytes are not those of the checksum'), {
    status: 460,
    reason: 'wrong-checksum',
    headers: [...tusHeaders, ...headers],
  });
}

function describe(upload: UploadView): StoredUpload {
  const { path, lengthBytes, storedBytes, mtimeMs, overwrite, expiresAtMs } = upload;
  return {
    id: upload.upload,
    path: `/${path.join('/')}`,
    length: lengthBytes,
    offset: storedBytes,
    ...(mtimeMs === undefined ? {} : { mtime: formatTime(mtimeMs) }),
    overwrite,
    expires: formatTime(expiresAtMs),
  };
}
