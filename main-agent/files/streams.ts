/**
 * Byte streams the DMZ opens on a handle (D-33). The handle belongs to the session that the stream names; what else a
 * stream asks for was decided when the handle was opened.
 */
import { SallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { StreamHeader } from '#shared/link/messages.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Caller } from './caller.ts';
import { type Direction, turnBytesAt } from './bandwidth.ts';
import { toFileError } from './storage/file-error.ts';
import { type HandleFinder, requireStillReadable, requireStillWritable } from './handle-finder.ts';
import { type Pace, type ReadRange, ReadStream } from './read-stream.ts';
import type { FileContext } from './service-context.ts';
import { WriteStream } from './write-stream.ts';

export function buildStreamHandler(
  context: FileContext,
  finder: HandleFinder,
): (header: StreamHeader, stream: LaneStream, session: Caller) => void {
  return (header, stream, session) => {
    if (header.kind === 'read') void readFile(context, finder, header, stream, session);
    else void writeFile(context, finder, header, stream, session);
  };
}

function buildPace(
  context: FileContext,
  session: Caller,
  direction: Direction,
  requireStillAllowed: (user: EffectiveUser) => void,
): Pace {
  let judged: EffectiveUser | undefined;
  const rate = (): number | undefined => {
    const { uploadBytesPerSecond, downloadBytesPerSecond } = session.user().limits;
    return direction === 'upload' ? uploadBytesPerSecond : downloadBytesPerSecond;
  };
  return {
    turnBytes: () => turnBytesAt(rate()),
    waitBefore: (bytes) => {
      const user = session.user();
      if (user !== judged) requireStillAllowed(user);
      judged = user;
      return context.bandwidth.take(session.username, direction, bytes, rate());
    },
  };
}

function requireLive(session: Caller): void {
  if (session.ended.aborted) throw new SallyportError('no-session', 'The session is over');
}

async function readFile(
  context: FileContext,
  finder: HandleFinder,
  header: Extract<StreamHeader, { kind: 'read' }>,
  stream: LaneStream,
  session: Caller,
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
    // Taken away while it runs, a right to read ends it.
    const pace = buildPace(context, session, 'download', (user) =>
      requireStillReadable(context.mounts, user, handle),
    );
    const reading = new ReadStream(handle, stream, range, pace, (sentBytes, failure) => {
      handle.streams.remove(reading);
      if (handle.kind !== 'read') return;
      handle.sentBytes += sentBytes;
      handle.failure = failure ?? handle.failure;
    });
    handle.streams.add(reading);
    if (handle.kind === 'read') {
      handle.noteStream(range);
      let acknowledged = 0;
      // Comes also after the last byte was sent, as long as the lane knows the stream.
      stream.onAcknowledged = (bytes) => {
        handle.acknowledgedBytes += bytes - acknowledged;
        acknowledged = bytes;
      };
    }
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
  session: Caller,
): Promise<void> {
  let forget = (): void => undefined;
  // At once: the first pieces may arrive before an upload of an earlier process is found again.
  let requireStillAllowed: (user: EffectiveUser) => void = () => undefined;
  const pace = buildPace(context, session, 'upload', (user) => requireStillAllowed(user));
  const writing = new WriteStream(stream, pace, () => forget());
  try {
    const handle = await finder.requireWrite(session, header.handle);
    requireLive(session);
    handle.streams.add(writing);
    forget = () => handle.streams.remove(writing);
    requireStillAllowed = (user) => requireStillWritable(context.mounts, user, handle);
    writing.start(handle, handle.upload.record.append ? undefined : header.offset);
  } catch (error) {
    writing.stop(toFileError(error));
  }
}
