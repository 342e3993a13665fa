import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import { judgeRead, modifiedSecondMs } from './conditional.ts';
import { labelContent } from './content.ts';
import { finish, type Exchange } from './exchange.ts';
import { fileHeaders } from './headers.ts';
import { downloadPace } from './limits.ts';
import { judgeRange } from './range.ts';

/** Sends an open file, or what the request's conditions ask for instead. Leaves the handle to the caller. */
export async function sendFile(
  x: Exchange,
  session: Admitted,
  name: string,
  file: RemoteFile,
): Promise<void> {
  const { attributes } = file;
  const answer = judgeFile(x, name, attributes);
  if (answer.body === undefined || answer.body.lengthBytes === 0) {
    await finish(x, answer.status, answer.headers);
    return;
  }
  // The headers go with the first piece: what goes wrong before it can still be told.
  await pipeBytes(x, session, file, answer.body, () =>
    x.response.writeHead(answer.status, [...answer.headers]),
  );
}

/** HEAD: the same headers from what is known of the file, without opening it. */
export async function sendFileHead(x: Exchange, name: string, attributes: Attributes): Promise<void> {
  const { status, headers } = judgeFile(x, name, attributes);
  await finish(x, status, headers);
}

interface FileAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body?: { readonly offset: number; readonly lengthBytes: number };
}

function judgeFile(x: Exchange, name: string, file: Attributes): FileAnswer {
  const { headers } = x.request;
  const validators = [
    ...(file.etag === undefined ? [] : ['ETag', `"${file.etag}"`]),
    'Last-Modified',
    new Date(modifiedSecondMs(file)).toUTCString(),
  ];
  const instead = judgeRead(headers, file);
  if (instead === 412) throw new SallyportError('precondition-failed', 'The file is not as you expected');
  if (instead === 304) return { status: 304, headers: [...fileHeaders, ...validators] };

  const { type, disposition } = labelContent(name);
  const common = [...fileHeaders, ...validators, 'Accept-Ranges', 'bytes'];
  const range = x.method === 'HEAD' ? undefined : judgeRange(headers, file);
  if (range === 'unsatisfiable')
    return {
      status: 416,
      headers: [...common, 'Content-Range', `bytes */${file.size}`, 'Content-Length', '0'],
    };

  const body = range ?? { offset: 0, lengthBytes: file.size };
  const described = [
    ...common,
    'Content-Type',
    type,
    'Content-Disposition',
    disposition,
    'Content-Length',
    String(body.lengthBytes),
  ];
  if (range === undefined) return { status: 200, headers: described, body };
  const last = body.offset + body.lengthBytes - 1;
  return {
    status: 206,
    headers: [...described, 'Content-Range', `bytes ${body.offset}-${last}/${file.size}`],
    body,
  };
}

/**
 * Lane pieces go to the socket as they are. A piece is given back when the socket is done with it, so a reader that
 * stops stops its own stream on main, and at most one credit window waits here.
 */
function pipeBytes(
  x: Exchange,
  session: Admitted,
  file: RemoteFile,
  range: { readonly offset: number; readonly lengthBytes: number },
  begin: () => void,
): Promise<void> {
  const { response } = x;
  const stream = file.readStream(range);
  const held = new Set<() => void>();
  let leftBytes = range.lengthBytes;

  return new Promise((resolve, reject) => {
    const transfer = x.pace.watch(downloadPace, () =>
      fail(new SallyportError('deadline', 'The reader is too slow')),
    );
    transfer.setClientsTurn(false);
    let isOver = false;

    function settle(): boolean {
      if (isOver) return false;
      isOver = true;
      transfer.done();
      session.ended.removeEventListener('abort', endSession);
      response.off('close', clientGone);
      return true;
    }
    function fail(error: SallyportError): void {
      if (!settle()) return;
      stream.reset(error);
      // Before the pieces are given back: their memory is reused at once.
      if (response.headersSent) x.request.socket.destroy();
      for (const release of held) release();
      held.clear();
      reject(error);
    }
    function endSession(): void {
      fail(new SallyportError('no-session', 'The session has ended'));
    }
    function clientGone(): void {
      fail(new SallyportError('bad-request', 'The client went away'));
    }

    stream.onData = (bytes, release) => {
      if (isOver) {
        release();
        return;
      }
      if (bytes.length > leftBytes) {
        release();
        fail(new SallyportError('changed', 'The file has changed', { detail: 'more bytes than announced' }));
        return;
      }
      if (!response.headersSent) begin();
      leftBytes -= bytes.length;
      held.add(release);
      transfer.setClientsTurn(true);
      response.write(bytes, () => {
        if (!held.delete(release)) return;
        release();
        transfer.moved(bytes.length);
        if (held.size === 0) transfer.setClientsTurn(false);
      });
    };
    stream.onEnd = () => {
      if (leftBytes > 0)
        return fail(
          new SallyportError('changed', 'The file has changed', { detail: 'shorter than announced' }),
        );
      // The last pieces are still with the socket: their callbacks, or the loss of the client, come first.
      response.end(() => {
        if (settle()) resolve();
      });
    };
    stream.onReset = (error) => fail(error);
    session.ended.addEventListener('abort', endSession);
    response.on('close', clientGone);
    if (session.ended.aborted) endSession();
    else if (response.destroyed) clientGone();
  });
}
