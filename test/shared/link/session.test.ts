import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { AnyEvent } from '#shared/link/codec.ts';
import { cutMessagesAfter } from '#test/harness/faulty-transport.ts';
import {
  controlQueuedBytesMax,
  heartbeatIntervalMs,
  heartbeatTimeoutMs,
  helloTimeoutMs,
  requestsInFlightMax,
  requestsPerSessionMax,
} from '#shared/link/limits.ts';
import { buildMemoryMessages } from '#test/harness/memory-transport.ts';
import type { MessageTransport } from '#shared/link/message-transport.ts';
import type { Hello } from '#shared/link/messages.ts';
import { ControlSession, type ControlSessionOptions } from '#shared/link/session.ts';
import { randomId } from '#shared/random-id.ts';

const clock = { now: () => Date.now(), monotonic: () => Date.now() };

function hello(changes: Partial<Hello> = {}): Omit<Hello, 'nowMs'> {
  return {
    versions: [1, 1],
    name: 'x',
    software: 'test',
    boot: randomId(),
    validatedLogins: true,
    ...changes,
  };
}

interface End {
  readonly session: ControlSession;
  readonly opened: Hello[];
  readonly events: AnyEvent[];
  closing: { reason: string; breach: boolean } | undefined;
}

function buildEnd(
  side: 'dmz' | 'main',
  transport: MessageTransport,
  changes: Partial<ControlSessionOptions> = {},
): End {
  const opened: Hello[] = [];
  const events: AnyEvent[] = [];
  const end: End = {
    opened,
    events,
    closing: undefined,
    session: new ControlSession({
      side,
      transport,
      clock,
      hello: hello(),
      onOpen: (peer) => opened.push(peer),
      onEvent: (event) => events.push(event),
      onClose: (reason, breach) => {
        end.closing = { reason, breach };
      },
      onFailure: () => undefined,
      ...changes,
    }),
  };
  end.session.start();
  return end;
}

/** A session whose peer is the test itself. */
function buildAlone(side: 'dmz' | 'main', changes: Partial<ControlSessionOptions> = {}) {
  const [sessionEnd, testEnd] = buildMemoryMessages();
  const received: Record<string, unknown>[] = [];
  testEnd.start({
    onMessage: (message) => received.push(JSON.parse(message.toString()) as Record<string, unknown>),
    onClose: () => undefined,
  });
  const end = buildEnd(side, sessionEnd, changes);
  const send = async (...messages: unknown[]): Promise<void> => {
    for (const message of messages)
      testEnd.send(typeof message === 'string' ? message : JSON.stringify(message));
    await vi.advanceTimersByTimeAsync(0);
  };
  return { end, send, received };
}

const peerHello = { kind: 'hello', hello: { ...hello(), nowMs: 0 } };
const session = randomId();
const timeoutMs = 1000;

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

describe('the hello', () => {
  it('opens the link on both ends, and tells the clock skew', async () => {
    const [dmzEnd, mainEnd] = buildMemoryMessages();
    const dmz = buildEnd('dmz', dmzEnd, {
      hello: hello({ name: 'dmz1', worker: 0 }),
      clock: { ...clock, now: () => Date.now() + 5000 },
    });
    const main = buildEnd('main', mainEnd);
    await vi.advanceTimersByTimeAsync(0);
    expect(main.opened[0]).toMatchObject({ name: 'dmz1', worker: 0 });
    expect(dmz.session.isOpen && main.session.isOpen).toBe(true);
    expect(main.session.skewMs).toBe(5000);
    expect(dmz.session.skewMs).toBe(-5000);
    dmz.session.close('done');
    main.session.close('done');
  });

  it.each([
    [[1, 1], [1, 2], true],
    [[1, 2], [2, 3], true],
    [[2, 3], [1, 2], true],
    [[1, 1], [2, 3], false],
    [[3, 4], [1, 2], false],
  ] as const)('of versions %j meets %j: %s', async (ours, theirs, meets) => {
    const { end, send } = buildAlone('main', { hello: hello({ versions: [...ours] }) });
    await send({ ...peerHello, hello: { ...peerHello.hello, versions: theirs } });
    expect(end.session.isOpen).toBe(meets);
    expect(end.closing?.breach).toBe(meets ? undefined : true);
    end.session.close('done');
  });

  it('must come first, must come once, and must come soon', async () => {
    const first = buildAlone('main');
    await first.send({ kind: 'ping', id: 1, nowMs: 0 });
    expect(first.end.closing).toEqual({ reason: 'ping before the hello', breach: true });

    const twice = buildAlone('main');
    await twice.send(peerHello, peerHello);
    expect(twice.end.closing).toEqual({ reason: 'a second hello', breach: true });

    const never = buildAlone('main');
    await vi.advanceTimersByTimeAsync(helloTimeoutMs);
    expect(never.end.closing?.breach).toBe(false);
  });
});

describe('a hello that answers', () => {
  it('is said after the peer’s, to whom it fits', async () => {
    const asked: Hello[] = [];
    const { end, send, received } = buildAlone('main', {
      hello: (peer) => {
        asked.push(peer);
        return hello({ name: 'main' });
      },
    });
    await vi.advanceTimersByTimeAsync(heartbeatTimeoutMs);
    expect(received).toEqual([]);
    expect(end.session.peer).toBeUndefined();
    expect(end.closing).toBeUndefined();
    await send(peerHello);
    expect(asked).toMatchObject([{ name: 'x' }]);
    expect(received[0]).toMatchObject({ kind: 'hello', hello: { name: 'main', nowMs: Date.now() } });
    expect(received).toHaveLength(2);
    expect(end.session.peer).toMatchObject({ name: 'x' });
    // It came in time: nobody waits for a hello any more.
    for (let waitedMs = 0; waitedMs <= helloTimeoutMs; waitedMs += heartbeatIntervalMs) {
      await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
      await send({ kind: 'pong', id: 1, nowMs: 0 });
    }
    expect(end.closing).toBeUndefined();
    end.session.close('done');
  });

  it('is not said to a peer of other versions, nor is the link opened', async () => {
    const { end, send, received } = buildAlone('main', { hello: () => hello({ versions: [2, 3] }) });
    await send(peerHello);
    expect([received, end.opened]).toEqual([[], []]);
    expect(end.closing).toEqual({ reason: 'the peer speaks wire versions 1 to 1', breach: true });
  });

  it('that finds a fault closes: as a breach when it is the peer’s, else with a word to our own side', async () => {
    const failures: string[] = [];
    const refusing = (error: unknown) =>
      buildAlone('main', {
        onOpen: () => {
          throw error;
        },
        onFailure: ({ code }) => failures.push(code),
      });
    const theirs = refusing(new SallyportError('protocol-violation', 'Bad', { detail: 'no worker' }));
    await theirs.send(peerHello);
    expect(theirs.end.closing).toEqual({ reason: 'no worker', breach: true });
    expect(failures).toEqual([]);
    const ours = refusing(new Error('bug'));
    await ours.send(peerHello);
    expect(ours.end.closing?.breach).toBe(false);
    expect(failures).toEqual(['internal']);
  });
});

describe('the heartbeat', () => {
  it('pings from the opening on, each time with the next number, and answers a ping with its number', async () => {
    const { end, send, received } = buildAlone('main');
    await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
    expect(received.map(({ kind }) => kind)).toEqual(['hello']);
    await send(peerHello);
    await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
    const pings = received.slice(1);
    expect(pings).toMatchObject([
      { kind: 'ping', id: 1 },
      { kind: 'ping', id: 2 },
    ]);
    await send({ kind: 'ping', id: 77, nowMs: 5 });
    expect(received.at(-1)).toEqual({ kind: 'pong', id: 77, nowMs: Date.now() });
    end.session.close('done');
  });

  it('measures the round trip and the peer’s clock by the answer to the latest ping alone', async () => {
    const { end, send } = buildAlone('main');
    await send(peerHello);
    expect(end.session.rttMs).toBeUndefined();
    expect(end.session.skewMs).toBe(-Date.now());
    await vi.advanceTimersByTimeAsync(40);
    await send({ kind: 'pong', id: 1, nowMs: Date.now() + 1000 });
    expect(end.session.rttMs).toBe(40);
    expect(end.session.skewMs).toBe(1020);
    await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
    for (const id of [1, 3]) await send({ kind: 'pong', id, nowMs: 0 });
    expect([end.session.rttMs, end.session.skewMs]).toEqual([40, 1020]);
    end.session.close('done');
  });

  it('takes a peer heard of at the bound for alive, and one not heard of since for dead', async () => {
    for (const [silentMs, isDead] of [
      [heartbeatTimeoutMs, false],
      [heartbeatTimeoutMs + 1, true],
    ] as const) {
      const time = { ms: 0 };
      const { end, send } = buildAlone('main', { clock: { ...clock, monotonic: () => time.ms } });
      await send(peerHello);
      time.ms = 5000;
      // Any message is a sign of life.
      await send({ kind: 'pong', id: 9, nowMs: 0 });
      time.ms = 5000 + silentMs;
      await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
      expect(end.closing !== undefined).toBe(isDead);
      end.session.close('done');
    }
  });

  it('counts from the start, not from when the session was made', async () => {
    const time = { ms: 0 };
    const [transport] = buildMemoryMessages();
    let closed = false;
    const made = new ControlSession({
      side: 'main',
      transport,
      clock: { ...clock, monotonic: () => time.ms },
      hello: hello(),
      onOpen: () => undefined,
      onEvent: () => undefined,
      onClose: () => {
        closed = true;
      },
      onFailure: () => undefined,
    });
    time.ms = 60_000;
    made.start();
    await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
    expect(closed).toBe(false);
    made.close('done');
    expect(closed).toBe(true);
  });

  it('finds a peer that fell silent, within ten seconds', async () => {
    const { end, send } = buildAlone('main');
    await send(peerHello);
    await vi.advanceTimersByTimeAsync(heartbeatTimeoutMs - 1000);
    expect(end.closing).toBeUndefined();
    await vi.advanceTimersByTimeAsync(10_000 - heartbeatTimeoutMs + 1000);
    expect(end.closing).toEqual({ reason: 'nothing heard from the peer', breach: false });
  });

  it('keeps an idle link of two living ends', async () => {
    const [dmzEnd, mainEnd] = buildMemoryMessages();
    const ends = [buildEnd('dmz', dmzEnd), buildEnd('main', mainEnd)];
    await vi.advanceTimersByTimeAsync(60_000);
    for (const end of ends) {
      expect(end.closing).toBeUndefined();
      end.session.close('done');
    }
  });
});

describe('requests', () => {
  async function buildPair(onRequest: NonNullable<ControlSessionOptions['onRequest']>) {
    const [dmzEnd, mainEnd] = buildMemoryMessages();
    const dmz = buildEnd('dmz', dmzEnd);
    const main = buildEnd('main', mainEnd, { onRequest });
    await vi.advanceTimersByTimeAsync(0);
    return { dmz, main };
  }
  const usage = { freeBytes: 1, totalBytes: 2, freeFiles: 3, totalFiles: 4 };
  const ask = (end: End, of = session) =>
    end.session.request('fs.usage', { session: of, path: [] }, { timeoutMs });

  it('S-09: may be in flight up to the bound; the next is told to wait, and the link lives', async () => {
    const answers: (() => void)[] = [];
    const { dmz, main } = await buildPair(() => new Promise((resolve) => answers.push(() => resolve(usage))));
    const asked = Array.from({ length: requestsInFlightMax }, () => ask(dmz, randomId()));
    await expect(ask(dmz, randomId())).rejects.toMatchObject({ code: 'busy' });
    await vi.advanceTimersByTimeAsync(0);
    for (const answer of answers.splice(0)) answer();
    expect(await Promise.all(asked)).toHaveLength(requestsInFlightMax);
    const next = ask(dmz);
    await vi.advanceTimersByTimeAsync(0);
    answers[0]?.();
    expect(await next).toEqual(usage);
    dmz.session.close('done');
    main.session.close('done');
  });

  it('S-09: of one session are refused beyond its own bound', async () => {
    const { dmz, main } = await buildPair(() => new Promise(() => undefined));
    const outcomes: string[] = [];
    for (let count = 0; count <= requestsPerSessionMax; count += 1)
      ask(dmz).catch((error: unknown) => outcomes.push(isSallyportError(error) ? error.code : 'other'));
    await vi.advanceTimersByTimeAsync(0);
    expect(outcomes).toEqual(['busy']);
    dmz.session.close('done');
    main.session.close('done');
  });

  it('end with a deadline; the late answer is dropped and the link lives', async () => {
    let answer = (): void => undefined;
    const { dmz, main } = await buildPair(
      () =>
        new Promise((resolve) => {
          answer = () => resolve(usage);
        }),
    );
    const failure = ask(dmz).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(timeoutMs);
    expect(await failure).toMatchObject({ code: 'deadline' });
    answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(dmz.session.isOpen).toBe(true);
    dmz.session.close('done');
    main.session.close('done');
  });

  it('end when their caller gives up', async () => {
    const { dmz, main } = await buildPair(() => new Promise(() => undefined));
    const caller = new AbortController();
    const options = { timeoutMs, signal: caller.signal };
    const asked = dmz.session.request('fs.usage', { session, path: [] }, options);
    caller.abort();
    await expect(asked).rejects.toMatchObject({ code: 'deadline' });
    const late = dmz.session.request('fs.usage', { session, path: [] }, options);
    await expect(late).rejects.toMatchObject({ code: 'deadline' });
    dmz.session.close('done');
    main.session.close('done');
  });

  it('say how long their asker waits, and tell when it waits no more', async () => {
    const askers: Asker[] = [];
    const { dmz, main } = await buildPair((_request, asker) => {
      askers.push(asker);
      return new Promise(() => undefined);
    });
    const options = { timeoutMs };
    const given = new AbortController();
    const gone = new AbortController();
    const params = { session, path: [] };
    const asked = [
      dmz.session.request('fs.usage', params, options),
      dmz.session.request('fs.usage', params, { ...options, signal: given.signal }),
      dmz.session.request('fs.usage', params, { timeoutMs: 2 * timeoutMs, gone: gone.signal }),
    ];
    const outcomes: unknown[] = [];
    for (const one of asked) void one.catch((error: unknown) => outcomes.push(error));
    await vi.advanceTimersByTimeAsync(0);
    expect(askers.map(({ leftMs }) => leftMs)).toEqual([timeoutMs, timeoutMs, 2 * timeoutMs]);
    given.abort();
    gone.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(askers.map(({ leftMs }) => leftMs)).toEqual([timeoutMs, 0, 0]);
    // Whoever is gone is not the one who asked: what became of it is still waited for.
    expect(outcomes).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(timeoutMs);
    expect(outcomes).toHaveLength(2);
    expect(askers[0]?.leftMs).toBe(0);
    dmz.session.close('done');
    main.session.close('done');
  });

  it('are waited for by nobody when the link goes, but changes, which are asked again on the next', async () => {
    const askers: Asker[] = [];
    const { dmz, main } = await buildPair((_request, asker) => {
      askers.push(asker);
      return new Promise(() => undefined);
    });
    const folder = { session, op: 1, path: ['a'] };
    void dmz.session.request('fs.make-folder', folder, { timeoutMs }).catch(() => undefined);
    void ask(dmz).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(0);
    dmz.session.close('cut');
    await vi.advanceTimersByTimeAsync(0);
    expect(askers.map(({ leftMs }) => leftMs > 0)).toEqual([true, false]);
    main.session.close('done');
  });

  it('S-05: a cancel of nothing, or from main, is a breach; one that comes too late is none', async () => {
    const request = { kind: 'request', id: 1, verb: 'fs.usage', params: { session, path: [] } };
    const cancel = (id: number) => ({ kind: 'cancel', id });
    const onRequest = async () => usage;
    for (const messages of [[cancel(1)], [request, cancel(2)]]) {
      const { end, send } = buildAlone('main', { onRequest });
      await send({ kind: 'hello', hello: { ...hello(), nowMs: 0 } }, ...messages);
      expect(end.closing?.breach).toBe(true);
    }
    const { end, send } = buildAlone('main', { onRequest });
    await send({ kind: 'hello', hello: { ...hello(), nowMs: 0 } }, request);
    await send(cancel(1));
    expect(end.closing).toBeUndefined();
    end.session.close('done');
    const node = buildAlone('dmz');
    await node.send({ kind: 'hello', hello: { ...hello(), nowMs: 0 } }, cancel(1));
    expect(node.end.closing?.breach).toBe(true);
  });

  it('all fail with link-down when the link goes', async () => {
    const { dmz, main } = await buildPair(() => new Promise(() => undefined));
    const asked = [ask(dmz), ask(dmz)];
    main.session.close('cut');
    for (const request of asked) await expect(request).rejects.toMatchObject({ code: 'link-down' });
    await expect(ask(dmz)).rejects.toMatchObject({ code: 'link-down' });
  });

  it('S-11: a fault of ours is told as internal, without its text', async () => {
    const { dmz, main } = await buildPair(() => Promise.reject(new Error('secret detail')));
    const error: unknown = await ask(dmz).catch((reason: unknown) => reason);
    expect(isSallyportError(error, 'internal')).toBe(true);
    expect(String(error)).not.toContain('secret');
    dmz.session.close('done');
    main.session.close('done');
  });

  it('that are refused are no fault of ours; what is wrong with our answer is', async () => {
    const failures: string[] = [];
    const request = { kind: 'request', verb: 'fs.usage', params: { session, path: [] } };
    const answers: (() => Promise<unknown>)[] = [
      async () => {
        throw new SallyportError('not-found', 'No such file');
      },
      async () => ({ ...usage, passwordHash: 'x' }),
      async () => usage,
    ];
    const { end, send, received } = buildAlone('main', {
      onRequest: async () => answers.shift()?.(),
      onFailure: ({ code }) => failures.push(code),
    });
    await send(peerHello);
    for (const id of [1, 2, 3]) await send({ ...request, id });
    const told = received.filter(({ kind }) => kind === 'error' || kind === 'result');
    expect(told).toMatchObject([
      { kind: 'error', id: 1, error: { code: 'not-found' } },
      { kind: 'error', id: 2, error: { code: 'internal' } },
      { kind: 'result', id: 3, result: usage },
    ]);
    expect(failures).toEqual(['internal']);
    end.session.close('done');
  });

  it('S-09: over a session’s bound are answered `busy` by main itself, and again served when one is answered', async () => {
    const answers: (() => void)[] = [];
    const { end, send, received } = buildAlone('main', {
      onRequest: () => new Promise((resolve) => answers.push(() => resolve(usage))),
    });
    await send(peerHello);
    const request = (id: number) => ({
      kind: 'request',
      id,
      verb: 'fs.usage',
      params: { session, path: [] },
    });
    await send(...Array.from({ length: requestsPerSessionMax + 1 }, (_, index) => request(index + 1)));
    const told = () => received.filter(({ kind }) => kind === 'error' || kind === 'result');
    expect(told()).toMatchObject([{ id: requestsPerSessionMax + 1, error: { code: 'busy' } }]);
    answers[0]?.();
    await vi.advanceTimersByTimeAsync(0);
    await send(request(requestsPerSessionMax + 2));
    expect(answers).toHaveLength(requestsPerSessionMax + 1);
    expect(told()).toHaveLength(2);
    expect(end.closing).toBeUndefined();
    end.session.close('done');
  });

  it('S-05: an id used again, or a request without anybody to answer, is a breach', async () => {
    const request = { kind: 'request', id: 1, verb: 'fs.usage', params: { session, path: [] } };
    const { end, send } = buildAlone('main', { onRequest: async () => usage });
    await send(peerHello, request, { ...request, id: 2 }, { ...request, id: 2 });
    expect(end.closing).toEqual({ reason: 'a request id used again', breach: true });
  });

  it.each([
    ['an answer to nothing', { kind: 'result', id: 9, result: {} }],
    ['an answer that breaks the schema', { kind: 'result', id: 1, result: { ...usage, extra: 1 } }],
    ['an unknown error code', { kind: 'error', id: 1, error: { code: 'toString', message: '' } }],
    ['a request', { kind: 'request', id: 1, verb: 'fs.usage', params: { session, path: [] } }],
    ['junk', 'junk'],
  ])('S-05: main that sends %s loses its link', async (_name, message) => {
    const { end, send } = buildAlone('dmz');
    await send(peerHello);
    const failure = ask(end).catch((error: unknown) => error);
    await send(message);
    expect(await failure).toMatchObject({ code: 'link-down' });
    expect(end.closing?.breach).toBe(true);
  });
});

describe('a session that is cut', () => {
  it('after any message ends on both sides, without a breach', async () => {
    for (let messages = 0; messages < 4; messages += 1) {
      const [dmzEnd, mainEnd] = buildMemoryMessages();
      const dmz = buildEnd('dmz', cutMessagesAfter(dmzEnd, messages));
      const main = buildEnd('main', mainEnd, { onRequest: async () => ({}) });
      await vi.advanceTimersByTimeAsync(0);
      const asked = dmz.session
        .request('session.end', { session }, { timeoutMs })
        .catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(await asked).toBeDefined();
      expect([dmz.closing?.breach, main.closing?.breach]).toEqual([false, false]);
    }
  });

  it('is over: it tells so once, hears and says nothing more, and leaves no timer', async () => {
    const closings: string[] = [];
    let answer = (): void => undefined;
    const { end, send, received } = buildAlone('main', {
      onClose: (reason) => closings.push(reason),
      onRequest: () =>
        new Promise((resolve) => {
          answer = () => resolve({ freeBytes: 1, totalBytes: 2, freeFiles: 3, totalFiles: 4 });
        }),
    });
    await send(peerHello, { kind: 'request', id: 1, verb: 'fs.usage', params: { session, path: [] } });
    const before = received.length;
    end.session.close('enough');
    end.session.close('again');
    end.session.closeAsBreach('and again');
    expect(closings).toEqual(['enough']);
    expect(end.session.isOpen).toBe(false);
    answer();
    end.session.sendEvent('session.ended', { sessionKey: randomId(), reason: 'x' });
    await send({ kind: 'event', name: 'lane.grant', body: { token: randomId() } }, 'junk');
    expect([closings.length, end.events.length, received.length]).toEqual([1, 0, before]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has its connection closed, and is given and gives nothing that comes later', async () => {
    let hear = (_message: unknown): void => undefined;
    const sent: string[] = [];
    const closings: string[] = [];
    const end = buildEnd('main', {
      start: (receiver) => {
        hear = (message) => receiver.onMessage(Buffer.from(JSON.stringify(message)));
      },
      send: (message) => void sent.push(message),
      close: (reason) => void closings.push(reason),
      queuedBytes: 0,
    });
    hear(peerHello);
    const before = sent.length;
    end.session.close('enough');
    expect(closings).toEqual(['enough']);
    expect(end.closing).toEqual({ reason: 'enough', breach: false });
    hear({ kind: 'event', name: 'lane.grant', body: { token: randomId() } });
    end.session.sendEvent('session.ended', { sessionKey: randomId(), reason: 'x' });
    expect([end.events.length, sent.length]).toEqual([0, before]);
  });

  it('before any hello leaves no timer', () => {
    const { end } = buildAlone('main');
    end.session.close('enough');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('as a breach says so', async () => {
    const { end, send } = buildAlone('main');
    await send(peerHello);
    end.session.closeAsBreach('a bad lane');
    expect(end.closing).toEqual({ reason: 'a bad lane', breach: true });
  });

  it('hands events on while it is open; a fault in what they do is our own', async () => {
    const event = { kind: 'event', name: 'lane.grant', body: { token: randomId() } };
    const good = buildAlone('main');
    await good.send(peerHello, event);
    expect(good.end.events).toMatchObject([{ name: 'lane.grant' }]);
    good.end.session.close('done');
    const failures: string[] = [];
    const bad = buildAlone('main', {
      onEvent: () => {
        throw new Error('bug');
      },
      onFailure: ({ code }) => failures.push(code),
    });
    await bad.send(peerHello, event);
    expect([bad.end.closing?.breach, failures]).toEqual([false, ['internal']]);
  });

  it('a queue of exactly the bound is borne, one byte more is not', async () => {
    for (const [queuedBytes, isBorne] of [
      [controlQueuedBytesMax, true],
      [controlQueuedBytesMax + 1, false],
    ] as const) {
      const [transport] = buildMemoryMessages();
      const end = buildEnd('dmz', {
        start: (receiver) => transport.start(receiver),
        send: () => undefined,
        close: () => undefined,
        queuedBytes,
      });
      expect(end.closing === undefined).toBe(isBorne);
      end.session.close('done');
    }
  });

  it('a peer that does not read is cut off', async () => {
    const [transport] = buildMemoryMessages();
    const stuffed = buildEnd('dmz', {
      start: (receiver) => transport.start(receiver),
      send: () => undefined,
      close: () => undefined,
      queuedBytes: 17 * 1024 * 1024,
    });
    expect(stuffed.closing).toEqual({ reason: 'the peer does not read', breach: true });
  });
});
