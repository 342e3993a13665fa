import type { StoredUpload, StoredUploads } from '#dmz/http-api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { ApiProblem, parseProblem } from '#dmz/web/api/problem.ts';
import { toApiPath, type FolderPath } from '#dmz/web/files/path.ts';

/**
 * Files to the server: small ones in one request, large ones as resumable uploads (tus 1.0.0), which outlive the
 * connection, the page and the session. The server makes a file visible whole or not at all.
 */

const tus = { 'Tus-Resumable': '1.0.0' };
const uploadPath = (id: string): string => `/api/uploads/${id}`;

/**
 * When the file was last changed, as both ways to the server say it: one text, or none for a time that RFC 3339 has no
 * year for. The server then takes the time of the upload.
 */
function mtimeOf(file: File): readonly string[] {
  const changed = new Date(file.lastModified);
  const year = changed.getUTCFullYear();
  return year >= 0 && year <= 9999 ? [changed.toISOString()] : [];
}

export function putFile(options: {
  readonly path: FolderPath;
  readonly file: File;
  /** False: refuse (412) when the name is taken. */
  readonly overwrite: boolean;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { file } = options;
  return sendBody('PUT', toApiPath(options.path), file, options.signal, {
    'Content-Type': 'application/octet-stream',
    ...Object.fromEntries(mtimeOf(file).map((mtime) => ['Sallyport-Mtime', mtime])),
    ...(options.overwrite ? {} : { 'If-None-Match': '*' }),
  });
}

/** Rejects 409 `exists` when the name is taken and may not be replaced. */
export function createUpload(
  http: Http,
  facts: {
    readonly path: FolderPath;
    readonly file: File;
    readonly overwrite: boolean;
  },
): Promise<StoredUpload> {
  const values = [
    ['path', `/${facts.path.join('/')}`],
    ...mtimeOf(facts.file).map((mtime) => ['mtime', mtime]),
    ...(facts.overwrite ? [['overwrite', 'true']] : []),
  ];
  const metadata = values.map(([key = '', value = '']) => `${key} ${toBase64(value)}`);
  return http.call<StoredUpload>({
    method: 'POST',
    path: '/api/uploads',
    headers: { ...tus, 'Upload-Length': String(facts.file.size), 'Upload-Metadata': metadata.join(',') },
  });
}

export function findUpload(http: Http, id: string, signal?: AbortSignal): Promise<StoredUpload> {
  return http.call<StoredUpload>({
    method: 'GET',
    path: uploadPath(id),
    ...(signal === undefined ? {} : { signal }),
  });
}

export async function listUploads(http: Http): Promise<readonly StoredUpload[]> {
  const body = await http.call<StoredUploads>({
    method: 'GET',
    path: '/api/uploads',
  });
  return body.uploads;
}

export async function removeUpload(http: Http, id: string): Promise<void> {
  await http.call({ method: 'DELETE', path: uploadPath(id), headers: tus });
}

/** The bytes from `offset` on; with the last of them the file is there. */
export function sendRest(options: {
  readonly id: string;
  readonly offset: number;
  readonly file: Blob;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { id, offset, file, signal } = options;
  return sendBody('PATCH', uploadPath(id), file.slice(offset), signal, {
    ...tus,
    'Upload-Offset': String(offset),
    'Content-Type': 'application/offset+octet-stream',
  });
}

/** XMLHttpRequest: `fetch` reads a whole file before it sends, where it may send one at all. */
function sendBody(
  method: 'PUT' | 'PATCH',
  path: string,
  body: Blob,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = (): void => request.abort();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.addEventListener('load', () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else
        reject(parseProblem(request.status, request.getResponseHeader('Retry-After'), request.responseText));
    });
    request.addEventListener('error', () => reject(new ApiProblem(0)));
    request.addEventListener('abort', () => reject(new DOMException('cancelled', 'AbortError')));
    request.addEventListener('loadend', () => signal.removeEventListener('abort', abort));
    signal.addEventListener('abort', abort);
    if (signal.aborted) reject(new DOMException('cancelled', 'AbortError'));
    else request.send(body);
  });
}

function toBase64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
