import { describe, expect, it, vi } from 'vitest';
import { Dispatcher, type LinkHandlers } from '#main-agent/link/dispatch.ts';
import type { FileHandlers, NodeLink } from '#main-agent/link/handlers.ts';
import { strayGraceMs, straysMax, strayWindowMs } from '#main-agent/link/limits.ts';
import { OperationLog } from '#main-agent/link/operations.ts';
import { SallyportError } from '#shared/error.ts';
import type { AnyRequest } from '#shared/link/codec.ts';
import { Asker } from '#shared/link/asker.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { requestSchemas, type Verb } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';

const verbs = Object.keys(requestSchemas) as Verb[];
const loginVerbs = verbs.filter((verb) => verb.startsWith('login.'));
const fileVerbs = verbs.filter((verb) => verb.startsWith('fs.'));
const accountVerbs = verbs.filter((verb) => verb.startsWith('account.') && verb !== 'account.view');
const hostKeyVerbs = verbs.filter((verb) => verb.startsWith('hostkey.'));
const sessionVerbs = verbs.filter(
  (verb) => ![...loginVerbs, ...fileVerbs, ...accountVerbs, ...hostKeyVerbs].some((one) => one === verb),
);
const provenVerbs = [...sessionVerbs, ...accountVerbs, ...fileVerbs];

function buildDispatcher(options: { node?: string; worker?: number; files?: FileHandlers } = {}) {
  const calls: { verb: string; proof: unknown[] }[] = [];
  const table = (): never =>
    new Proxy(
      {},
      {
        get:
          (_target, verb: string) =>
          async (_params: unknown, ...proof: unknown[]) => {
            calls.push({ verb, proof });
            return verb;
          },
      },
    ) as never;
  const sessions = buildFakeSessions();
  const streams: string[] = [];
  const handlers: LinkHandlers = {
    hostKeys: table(),
    login: table(),
    session: table(),
    account: table(),
    files: options.files ?? table(),
    onStream: (_header, _stream, session) => void streams.push(session.username),
    sessions,
  };
  const link: NodeLink = {
    node: options.node ?? 'dmz1',
    worker: options.worker ?? 0,
    epoch: 1,
    exporter: randomId(),
    processGone: new AbortController().signal,
    validatedLogins: true,
    isOpen: true,
    send: () => undefined,
    close: () => undefined,
  };
  const time = { ms: 0 };
  const clock = { now: () => time.ms, monotonic: () => time.ms };
  let tooMany = 0;
  const dispatcher = new Dispatcher({
    handlers,
    link,
    operations: new OperationLog(clock),
    clock,
    onTooManyStrays: () => void (tooMany += 1),
  });
  return { dispatcher, sessions, calls, streams, link, time, tooMany: () => tooMany };
}

const asker = new Asker({ monotonic: () => 0 }, 1_000);
const answer = (dispatcher: Dispatcher, request: AnyRequest) => dispatcher.answer(request, asker);

/** Params are the schema's business; here only the session matters. */
const requestOf = (verb: Verb, session?: string): AnyRequest =>
  ({ verb, params: session === undefined ? {} : { session } }) as never;

describe('the dispatcher', () => {
  it.each([...loginVerbs, ...hostKeyVerbs])(
    'S-05: %s needs no session and gets the link as its only proof',
    async (verb) => {
      const { dispatcher, calls, link } = buildDispatcher();
      await answer(dispatcher, requestOf(verb));
      expect(calls).toEqual([{ verb, proof: [link, asker] }]);
    },
  );

  it.each(provenVerbs)('S-05: %s without a live session is no-session', async (verb) => {
    const { dispatcher, calls } = buildDispatcher();
    await expect(answer(dispatcher, requestOf(verb, randomId()))).rejects.toMatchObject({
      code: 'no-session',
    });
    expect(calls).toEqual([]);
  });

  it.each(provenVerbs)('S-04: %s with a session of another node or worker is no-session', async (verb) => {
    for (const from of [{ node: 'dmz2' }, { worker: 1 }]) {
      const { dispatcher, sessions, calls } = buildDispatcher(from);
      const session = sessions.open({ username: 'alice', node: 'dmz1', worker: 0 });
      await expect(answer(dispatcher, requestOf(verb, session))).rejects.toMatchObject({
        code: 'no-session',
      });
      expect(calls).toEqual([]);
    }
  });

  it.each(sessionVerbs)(
    'S-05: %s is answered for confined and full sessions, with the session as proof',
    async (verb) => {
      for (const state of ['setup-required', 'signed-in'] as const) {
        const { dispatcher, sessions, calls, link } = buildDispatcher();
        const session = sessions.open({ username: 'alice', state });
        await answer(dispatcher, requestOf(verb, session));
        expect(calls).toEqual([
          { verb, proof: [expect.objectContaining({ username: 'alice', state }), link, asker] },
        ]);
      }
    },
  );

  it.each([...accountVerbs, ...fileVerbs])(
    'S-01: %s of a confined session is setup-required',
    async (verb) => {
      const { dispatcher, sessions, calls } = buildDispatcher();
      const protocol = 'https' as const;
      const confined = sessions.open({ username: 'dave', state: 'setup-required', protocol });
      await expect(answer(dispatcher, requestOf(verb, confined))).rejects.toMatchObject({
        code: 'setup-required',
      });
      expect(calls).toEqual([]);
      const full = sessions.open({ username: 'alice', protocol });
      await answer(dispatcher, requestOf(verb, full));
      expect(calls).toHaveLength(1);
    },
  );

  it.each(accountVerbs)('S-05: %s of an SFTP session is not allowed', async (verb) => {
    const { dispatcher, sessions, calls } = buildDispatcher();
    const session = sessions.open({ username: 'alice', protocol: 'sftp' });
    await expect(answer(dispatcher, requestOf(verb, session))).rejects.toMatchObject({ code: 'not-allowed' });
    expect(calls).toEqual([]);
  });

  it('does a change that is sent again once, and answers each question anew', async () => {
    const { dispatcher, sessions, calls } = buildDispatcher();
    const session = sessions.open({ username: 'alice' });
    const change = { verb: 'fs.make-folder', params: { session, op: 1, path: ['a'] } } as never;
    expect(await answer(dispatcher, change)).toBe('fs.make-folder');
    expect(await answer(dispatcher, change)).toBe('fs.make-folder');
    expect(calls).toHaveLength(1);
    for (let time = 0; time < 2; time += 1) await answer(dispatcher, requestOf('fs.stat', session));
    expect(calls).toHaveLength(3);
  });

  it('says of a verb that nobody answers which it is, to our own side', async () => {
    const { dispatcher, sessions } = buildDispatcher({ files: {} as never });
    const session = sessions.open({ username: 'alice' });
    await expect(answer(dispatcher, requestOf('fs.stat', session))).rejects.toThrow('no handler for fs.stat');
  });

  it('S-01: streams are for full sessions of this very node', () => {
    const { dispatcher, sessions, streams } = buildDispatcher();
    const resets: string[] = [];
    const stream = { reset: (error: SallyportError) => resets.push(error.code) } as unknown as LaneStream;
    const open = (session: string) =>
      dispatcher.openStream({ kind: 'read', session, handle: 1, offset: 0 }, stream);
    open(randomId());
    open(sessions.open({ username: 'dave', state: 'setup-required' }));
    open(sessions.open({ username: 'alice', node: 'dmz2' }));
    open(sessions.open({ username: 'alice' }));
    expect(resets).toEqual(['no-session', 'setup-required', 'no-session']);
    expect(streams).toEqual(['alice']);
  });
});

describe('S-05: requests for sessions that are not', () => {
  const sendStray = async (dispatcher: Dispatcher, verb: Verb = 'fs.stat'): Promise<void> => {
    await answer(dispatcher, requestOf(verb, randomId())).catch(() => undefined);
  };

  it('are borne up to the bound within the window, no further', async () => {
    const { dispatcher, tooMany, time } = buildDispatcher();
    // A large time, as a machine has it that runs for long.
    time.ms = 1_000_000_000;
    for (let count = 0; count < straysMax; count += 1) await sendStray(dispatcher);
    expect(tooMany()).toBe(0);
    await sendStray(dispatcher);
    expect(tooMany()).toBe(1);
  });

  it('are counted over the whole window, and not a moment longer', async () => {
    for (const [afterMs, count] of [
      [strayWindowMs, 1],
      [strayWindowMs + 1, 0],
    ] as const) {
      const { dispatcher, tooMany, time } = buildDispatcher();
      for (let stray = 0; stray < straysMax; stray += 1) await sendStray(dispatcher);
      time.ms += afterMs;
      await sendStray(dispatcher);
      expect(tooMany()).toBe(count);
    }
  });

  it('are borne for ever when they are few', async () => {
    const { dispatcher, tooMany, time } = buildDispatcher();
    for (let count = 0; count < straysMax * 5; count += 1) {
      await sendStray(dispatcher);
      time.ms += strayWindowMs / straysMax + 1;
    }
    expect(tooMany()).toBe(0);
  });

  it('count for nothing right after main ended a session', async () => {
    const { dispatcher, tooMany, time } = buildDispatcher();
    dispatcher.allowStrays();
    for (let count = 0; count < straysMax * 2; count += 1) await sendStray(dispatcher);
    expect(tooMany()).toBe(0);
    time.ms += strayGraceMs;
    for (let count = 0; count <= straysMax; count += 1) await sendStray(dispatcher);
    expect(tooMany()).toBe(1);
  });

  it('are those that name none: a fault of main’s own is not the node’s', async () => {
    const { dispatcher, sessions, tooMany } = buildDispatcher();
    vi.spyOn(sessions, 'require').mockImplementation(() => {
      throw new SallyportError('internal', 'Something went wrong on our side');
    });
    for (let count = 0; count < straysMax * 2; count += 1) await sendStray(dispatcher);
    expect(tooMany()).toBe(0);
  });

  it('count for nothing when a stranger sent a bad cookie', async () => {
    const { dispatcher, tooMany } = buildDispatcher();
    for (let count = 0; count < straysMax * 2; count += 1) await sendStray(dispatcher, 'session.attach');
    expect(tooMany()).toBe(0);
  });
});
