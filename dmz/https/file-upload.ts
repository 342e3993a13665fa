import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { breaksPrecondition, toPrecondition } from './conditional.ts';
import { sendEmpty, type Exchange } from './exchange.ts';
import { uploadPace } from './limits.ts';

/** PUT: the whole body becomes the file, or nothing happens. Main makes it visible at the commit and not before. */
export async function receiveFile(x: Exchange, session: Admitted, path: VirtualPath): Promise<void> {
  const { headers } = x.request;
  // RFC 9110 §14.5: a part of a file sent as if it were all of it would destroy the rest.
  if (headers['content-range'] !== undefined)
    throw new SallyportError('bad-request', 'Parts of a file can not be sent');
  const precondition = toPrecondition(headers);
  const isConditional = precondition !== undefined || headers['if-unmodified-since'] !== undefined;
  if (isConditional && breaksPrecondition(headers, await statIfThere(session, path)))
    throw new SallyportError('precondition-failed', 'The file is not as you expected');

  const file = await session.files.open(path, {
    read: false,
    write: true,
    create: 'if-missing',
    truncate: true,
    append: false,
  });
  let committed;
  try {
    if (x.expectsContinue) x.response.writeContinue();
    await receiveBody(x, session, file);
    committed = await file.commit(precondition === undefined ? {} : { precondition });
  } catch (error) {
    // Not kept as a partial upload: PUT has no way to go on with one.
    void file.release({ keepPartial: false });
    throw error;
  }
  const { etag } = committed.attributes;
  await sendEmpty(x, committed.created ? 201 : 204, etag === undefined ? [] : ['ETag', `"${etag}"`]);
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

/** Resolves when main's kernel has every byte of the body. The stream is opened with the first one. */
function receiveBody(x: Exchange, session: Admitted, file: RemoteFile): Promise<void> {
  const { request } = x;
  return new Promise((resolve, reject) => {
    let stream: LaneStream | undefined;
    const transfer = x.pace.watch(uploadPace, () => {
      fail(new SallyportError('deadline', 'The upload is too slow'));
      request.socket.destroy();
    });

    function settle(act: () => void): void {
      transfer.done();
      request.off('data', take).off('end', end).off('close', cutOff);
      session.ended.removeEventListener('abort', endSession);
      act();
    }
    function fail(error: SallyportError): void {
      settle(() => {
        request.pause();
        stream?.reset(error);
        reject(error);
      });
    }
    function open(): LaneStream {
      const opened = file.writeStream({ offset: 0 });
      opened.onDrain = () => {
        transfer.setClientsTurn(true);
        request.resume();
      };
      opened.onEnd = () => settle(resolve);
      opened.onReset = (error) => fail(error);
      return opened;
    }
    function take(chunk: Buffer): void {
      transfer.moved(chunk.length);
      try {
        stream ??= open();
        if (stream.write(chunk)) return;
      } catch (error) {
        fail(
          isSallyportError(error)
            ? error
            : new SallyportError('internal', 'Something went wrong', { cause: error }),
        );
        return;
      }
      transfer.setClientsTurn(false);
      request.pause();
    }
    function end(): void {
      transfer.setClientsTurn(false);
      if (stream === undefined) settle(resolve);
      else stream.end();
    }
    function cutOff(): void {
      // 'close' also follows a complete body; only an early one cuts it off.
      if (!request.complete) fail(new SallyportError('bad-request', 'The upload was cut off'));
    }
    function endSession(): void {
      fail(new SallyportError('no-session', 'The session has ended'));
    }

    session.ended.addEventListener('abort', endSession);
    request.on('data', take).on('end', end).on('close', cutOff);
    if (session.ended.aborted) endSession();
    else if (request.destroyed) cutOff();
  });
}
