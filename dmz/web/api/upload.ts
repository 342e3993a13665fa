import { ApiProblem, parseProblem } from '#dmz/web/api/problem.ts';
import { toApiPath, type FolderPath } from '#dmz/web/files/path.ts';

/**
 * One file to the server. XMLHttpRequest, because `fetch` still doesn't tell how much of a body has left.
 * The server makes the file visible whole or not at all.
 */
export function putFile(options: {
  readonly path: FolderPath;
  readonly body: Blob;
  /** False: refuse (412) when the name is taken. */
  readonly overwrite: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (sentBytes: number) => void;
}): Promise<void> {
  const { path, body, overwrite, signal, onProgress } = options;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = (): void => request.abort();
    request.open('PUT', toApiPath(path));
    if (!overwrite) request.setRequestHeader('If-None-Match', '*');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.addEventListener('progress', (event) => onProgress(event.loaded));
    request.addEventListener('load', () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else
        reject(parseProblem(request.status, request.getResponseHeader('Retry-After'), request.responseText));
    });
    request.addEventListener('error', () => reject(new ApiProblem(0)));
    request.addEventListener('abort', () => reject(new DOMException('cancelled', 'AbortError')));
    request.addEventListener('loadend', () => signal.removeEventListener('abort', abort));
    signal.addEventListener('abort', abort);
    request.send(body);
  });
}
