/**
 * Byte streams the DMZ opens on a handle. The handle belongs to the session that the stream names; what else a stream
 * asks for was decided when the handle was opened.
 */
import { SallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { StreamHeader } from '#shared/link/messages.ts';
import type { StreamHandler } from '#main-agent/link/handlers.ts';
import type { FullSession } from '#main-agent/login/session.ts';
import type { Direction } from './bandwidth.ts';
import { toFileError } from './file-error.ts';
import type { HandleFinder } from './handle-finder.ts';
import { type Pace, type ReadRange, ReadStream } from './read-stream.ts';
import type { FileContext } from './service-context.ts';
import { WriteStream } from './write-stream.ts';

export function buildStreamHandler(context: FileContext, finder: HandleFinder): StreamHandler {
  return (header, stream, session) => {
    if (header.kind === 'read') void readFile(context, finder, header, stream, session);
    else void writeFile(context, finder, header, stream, session);
  };
}

function paceOf(context: FileContext, session: FullSession, direction: Direction): Pace {
  return (bytes) => {
    const { uploadBytesPerSecond, downloadBytesPerSecond } = session.user().limits;
    const rate = direction === 'upload' ? uploadBytesPerSecond : downloadBytesPerSecond;
    return context.bandwidth.take(session.username, direction, bytes, rate);
  };
}

function requireLive(session: FullSession): void {
  if (session.ended.aborted) throw new SallyportError('no-session', 'The session is over');
}

async function readFile(
  context: FileContext,
  finder: HandleFinder,
  header: Extract<StreamHeader, { kind: 'read' }>,
  stream: LaneStream,
  session: FullSession,
): Promise<void> {
  // The node may give up before there is anything to stop.
  let isGone = false;
  stream.onReset = () => {
    isGone = true;
  };
  try {
    const handle = await finder.requireReadable(session, header.handle);
    requireLive(session);
    if (isGone) return;
    const range: ReadRange = { offset: header.offset, lengthBytes: header.lengthBytes };
    const reading = new ReadStream(
      handle,
      stream,
      range,
      paceOf(context, session, 'download'),
      (sentBytes) => {
        handle.streams.remove(reading);
        if (handle.kind === 'read') handle.sentBytes += sentBytes;
      },
    );
    handle.streams.add(reading);
    await reading.run();
  } catch (error) {
    stream.reset(toFileError(error));
  }
}

async function writeFile(
  context: FileContext,
  finder: HandleFinder,
  header: Extract<StreamHeader, { kind: 'write' }>,
  stream: LaneStream,
  session: FullSession,
): Promise<void> {
  let forget = (): void => undefined;
  // At once: the first pieces may arrive before an upload of an earlier process is found again.
  const writing = new WriteStream(stream, paceOf(context, session, 'upload'), () => forget());
  try {
    const handle = await finder.requireWrite(session, header.handle);
    requireLive(session);
    handle.streams.add(writing);
    forget = () => handle.streams.remove(writing);
    writing.start(handle, handle.upload.record.append ? undefined : header.offset);
  } catch (error) {
    writing.stop(toFileError(error));
  }
}
