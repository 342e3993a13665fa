import { createHash, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import { SallyportError } from '#shared/error.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';
import { buildMemoryLink, type MemoryLink } from '#test/harness/memory-link.ts';

const attributes = { type: 'file', size: 3, mtimeMs: 1, atimeMs: 2, mode: 0o644, links: 1 } as const;
const path = requireComponents(['a.txt']);

let open: MemoryLink | undefined;
afterEach(() => open?.close());

describe('a node and main joined in memory', () => {
  it('carries a request to its handler with the session as proof, and the answer back', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    open = await buildMemoryLink({
      sessions,
      files: {
        'fs.stat': async (params, proof) => ({
          ...attributes,
          size: params.path.length + proof.username.length,
        }),
      },
    });
    const files = buildRemoteFiles({ link: open.link, session });
    expect(await files.stat(path)).toEqual({ ...attributes, size: 6 });
  });

  it('carries an error by its public half alone', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    open = await buildMemoryLink({
      sessions,
      files: {
        'fs.stat': async () => {
          throw new SallyportError('not-found', 'No such file', { detail: '/srv/secret', reference: 'ABC' });
        },
      },
    });
    const files = buildRemoteFiles({ link: open.link, session });
    await expect(files.stat(path)).rejects.toMatchObject({
      code: 'not-found',
      publicMessage: 'No such file',
      reference: 'ABC',
      detail: undefined,
    });
  });

  it('moves a large file down and up unharmed, and tells the writer when main has it', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    const content = randomBytes(5_000_001);
    const received: Buffer[] = [];
    open = await buildMemoryLink({
      sessions,
      onStream: (header, stream) => {
        if (header.kind === 'read') void sendAll(stream, content.subarray(header.offset));
        else {
          stream.onData = (bytes, release) => {
            received.push(Buffer.from(bytes));
            release();
          };
        }
      },
    });
    const down = open.link.openStream({ kind: 'read', session, handle: 1, offset: 1 });
    expect(digest(await receiveAll(down))).toBe(digest(content.subarray(1)));

    const up = open.link.openStream({ kind: 'write', session, handle: 1, offset: 0 });
    const done = new Promise((resolve, reject) => {
      up.onEnd = resolve;
      up.onReset = reject;
    });
    await sendAll(up, content);
    await done;
    expect(up.acknowledgedBytes).toBe(content.length);
    expect(digest(Buffer.concat(received))).toBe(digest(content));
  });

  it('sends what was in flight again on the next link, and main does a change only once', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    let made = 0;
    let finish = (): void => undefined;
    open = await buildMemoryLink({
      sessions,
      files: {
        'fs.make-folder': async () => {
          made += 1;
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
          return {};
        },
      },
    });
    const making = buildRemoteFiles({ link: open.link, session }).makeFolder(path);
    await new Promise(setImmediate);
    open.cut();
    await new Promise(setImmediate);
    expect(open.link.isUp).toBe(false);
    await open.join();
    finish();
    await making;
    expect(made).toBe(1);
  });

  it('drops what waits for a link when its session has ended meanwhile', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    open = await buildMemoryLink({ sessions, files: { 'fs.stat': async () => attributes } });
    open.cut();
    await new Promise(setImmediate);
    const waiting = buildRemoteFiles({ link: open.link, session }).stat(path);
    await sessions.end(sessionKey(session), 'signed out by an admin');
    await open.join();
    await expect(waiting).rejects.toMatchObject({ code: 'no-session' });
  });

  it('fails a login at once while there is no link', async () => {
    open = await buildMemoryLink();
    open.cut();
    await new Promise(setImmediate);
    const params = { challenge: randomId() };
    await expect(open.link.request('login.resend', params)).rejects.toMatchObject({ code: 'link-down' });
  });
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Writes as a well-behaved owner does: waits when told to. */
async function sendAll(stream: LaneStream, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += 100_000) {
    if (!stream.write(bytes.subarray(at, at + 100_000))) {
      await new Promise<void>((resolve) => {
        stream.onDrain = resolve;
      });
    }
  }
  stream.end();
}

function receiveAll(stream: LaneStream): Promise<Buffer> {
  const pieces: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.onData = (bytes, release) => {
      pieces.push(Buffer.from(bytes));
      release();
    };
    stream.onEnd = () => resolve(Buffer.concat(pieces));
    stream.onReset = reject;
  });
}
