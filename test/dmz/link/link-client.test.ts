import { afterEach, describe, expect, it, vi } from 'vitest';
import { LinkClient } from '#dmz/link/link-client.ts';
import type { MainHolder } from '#dmz/link/main-link.ts';
import {
  edgeEventRate,
  edgeRefusalRate,
  edgeRefusalsMax,
  laneRegrantMs,
  parkedRequestsMax,
  turnedAwayMs,
} from '#dmz/link/limits.ts';
import { Parking } from '#dmz/link/parking.ts';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import { SallyportError } from '#shared/error.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import { encodeFrame, frameType } from '#shared/link/frames.ts';
import { isEdgeEventOf, type EdgeEvent } from '#shared/link/edge-event.ts';
import {
  edgeEventsMax,
  heartbeatIntervalMs,
  heartbeatTimeoutMs,
  lanesPerLink,
  laneJoinTimeoutMs,
  laneTokenLifeMs,
  streamsPerSessionMax,
} from '#shared/link/limits.ts';
import { buildMemoryBytes, buildMemoryMessages } from '#test/harness/memory-transport.ts';
import { buildLog } from '#shared/log.ts';
import { randomId, sessionKey } from '#shared/random-id.ts';
import { buildFakeSessions } from '#test/harness/fake-sessions.ts';
import { buildMemoryLink, memorySigningKey } from '#test/harness/memory-link.ts';

const clock = { now: () => Date.now(), monotonic: () => Date.now() };
const path = requireComponents(['a']);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const policy = { validatedLogins: true, branding: { name: 'T' }, neverBan: [], bans: [] };

afterEach(() => void vi.useRealTimers());

const [firstBoot, secondBoot, thirdBoot] = [randomId(), randomId(), randomId()];

/** A link whose main is the test itself. */
function buildAlone(workers: Partial<ConstructorParameters<typeof LinkClient>[0]> = {}) {
  const mainBoot = randomId();
  const client = new LinkClient({
    nodeName: 'dmz1',
    worker: 0,
    workerPorts: () => [8444],
    validatedLogins: true,
    signingKey: memorySigningKey.privateKey,
    clock,
    log: buildLog('silent', {}),
    ...workers,
  });
  const connect = async (boot = mainBoot, address = '10.0.0.2') => {
    const [nodeEnd, mainEnd] = buildMemoryMessages();
    const messages: { kind: string; name?: string; body?: { token?: string }; id?: number }[] = [];
    let closed = false;
    mainEnd.start({
      onMessage: (message) => messages.push(JSON.parse(message.toString())),
      onClose: () => {
        closed = true;
      },
    });
    client.acceptControl(nodeEnd, randomId(), address);
    const hello = {
      versions: [1, 1],
      name: 'main1',
      software: 'x',
      boot,
      nowMs: 0,
      validatedLogins: true,
    };
    mainEnd.send(JSON.stringify({ kind: 'hello', hello }));
    await vi.advanceTimersByTimeAsync(0);
    return {
      messages,
      tokens: () => messages.flatMap(({ body }) => (body?.token === undefined ? [] : [body.token])),
      send: async (message: unknown) => {
        mainEnd.send(JSON.stringify(message));
        await vi.advanceTimersByTimeAsync(0);
      },
      isClosed: () => closed,
      close: () => mainEnd.close('gone'),
    };
  };
  const dialLane = async (token: string) => {
    const [nodeEnd, mainEnd] = buildMemoryBytes();
    let closed = false;
    mainEnd.start({
      onBytes: () => undefined,
      onClose: () => {
        closed = true;
      },
    });
    client.acceptLane(nodeEnd);
    if (token !== '') mainEnd.write(encodeFrame(frameType.join, 0, Buffer.from(token)), () => undefined);
    await vi.advanceTimersByTimeAsync(0);
    return { isClosed: () => closed, close: () => mainEnd.close('gone') };
  };
  return { client, connect, dialLane };
}

describe('a link of the node', () => {
  it('is up only when main has said hello and pushed its policy', async () => {
    vi.useFakeTimers();
    const { client, connect } = buildAlone();
    const seen: string[] = [];
    client.onUp(() => seen.push('up'));
    client.onPolicy((now) => seen.push(now.branding.name));
    expect(client.policy.validatedLogins).toBe(true);
    const main = await connect();
    expect(client.isUp).toBe(false);
    await main.send({ kind: 'event', name: 'policy', body: policy });
    expect(client.isUp).toBe(true);
    expect(seen).toEqual(['T', 'up']);
    client.close();
  });

  it('gives way to a newer one of main, and its epoch is over', async () => {
    vi.useFakeTimers();
    const { client, connect, dialLane } = buildAlone();
    const first = await connect();
    await first.send({ kind: 'event', name: 'policy', body: policy });
    const lane = await dialLane(first.tokens()[0] ?? '');
    expect(lane.isClosed()).toBe(false);
    const second = await connect();
    expect(first.isClosed()).toBe(false);
    await second.send({ kind: 'event', name: 'policy', body: policy });
    expect(first.isClosed()).toBe(true);
    expect(lane.isClosed()).toBe(true);
    expect(client.isUp).toBe(true);
    // A token of the old epoch is worth nothing.
    expect((await dialLane(first.tokens()[1] ?? '')).isClosed()).toBe(true);
    client.close();
  });

  it('is kept from a second main with the same key, which is told who has it and since when', async () => {
    vi.useFakeTimers();
    const { client, connect } = buildAlone();
    const since = Date.now();
    const first = await connect(firstBoot, '10.0.0.2');
    await first.send({ kind: 'event', name: 'policy', body: policy });
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const second = await connect(secondBoot, '10.0.0.3');
      expect(second.messages[0]).toMatchObject({
        kind: 'hello',
        hello: { otherMain: { from: '10.0.0.2', sinceMs: since } },
      });
      // A policy does not make it the main either.
      await second.send({ kind: 'event', name: 'policy', body: { ...policy, branding: { name: 'Second' } } });
      expect(client.policy.branding.name).toBe('T');
      expect(second.isClosed()).toBe(false);
      await vi.advanceTimersByTimeAsync(turnedAwayMs);
      expect(second.isClosed()).toBe(true);
      await first.send({ kind: 'ping', id: attempt + 1, nowMs: 0 });
    }
    expect(first.isClosed()).toBe(false);
    expect(client.isUp).toBe(true);
    // Once a minute, not with each attempt.
    expect(first.messages.filter(({ name }) => name === 'main.turned-away')).toEqual([
      { kind: 'event', name: 'main.turned-away', body: { from: '10.0.0.3', sinceMs: since } },
    ]);
    client.close();
  });

  it('is kept from a second main also before the first has pushed its policy', async () => {
    vi.useFakeTimers();
    const { client, connect } = buildAlone();
    await connect(firstBoot);
    const second = await connect(secondBoot);
    expect(second.messages[0]).toHaveProperty('hello.otherMain');
    client.close();
  });

  it('is kept for the main that another worker of the node has, and goes to the next when that is gone', async () => {
    vi.useFakeTimers();
    let elsewhere: MainHolder | undefined = { boot: firstBoot, from: { from: '10.0.0.2', sinceMs: 7 } };
    const held: (string | undefined)[] = [];
    const { client, connect } = buildAlone({
      heldElsewhere: () => elsewhere,
      onHeld: (by) => held.push(by?.boot),
    });
    const second = await connect(secondBoot);
    expect(second.messages[0]).toMatchObject({ hello: { otherMain: { from: '10.0.0.2', sinceMs: 7 } } });
    const first = await connect(firstBoot);
    expect(first.messages[0]).not.toHaveProperty('hello.otherMain');
    await first.send({ kind: 'event', name: 'policy', body: policy });
    first.close();
    await vi.advanceTimersByTimeAsync(0);
    elsewhere = undefined;
    const third = await connect(thirdBoot);
    await third.send({ kind: 'event', name: 'policy', body: policy });
    expect(held).toEqual([firstBoot, undefined, thirdBoot]);
    client.close();
  });

  it('goes to the second main when the first has hung up, or vanished without a word', async () => {
    vi.useFakeTimers();
    const { client, connect } = buildAlone();
    const first = await connect(firstBoot);
    await first.send({ kind: 'event', name: 'policy', body: policy });
    first.close();
    await vi.advanceTimersByTimeAsync(0);
    const second = await connect(secondBoot);
    expect(second.messages[0]).not.toHaveProperty('hello.otherMain');
    await second.send({ kind: 'event', name: 'policy', body: policy });
    expect(client.isUp).toBe(true);
    // This one's host is gone: nothing is heard, and nothing ends its connection but the missing heartbeat.
    await vi.advanceTimersByTimeAsync(heartbeatTimeoutMs);
    expect((await connect(thirdBoot)).messages[0]).toHaveProperty('hello.otherMain');
    await vi.advanceTimersByTimeAsync(heartbeatIntervalMs);
    expect((await connect(thirdBoot)).messages[0]).not.toHaveProperty('hello.otherMain');
    client.close();
  });
});

describe('lane tokens', () => {
  it('are good once, and for ten seconds', async () => {
    vi.useFakeTimers();
    const { client, connect, dialLane } = buildAlone();
    const main = await connect();
    await main.send({ kind: 'event', name: 'policy', body: policy });
    const [first = '', second = ''] = main.tokens();
    expect(main.tokens()).toHaveLength(lanesPerLink);
    expect((await dialLane(first)).isClosed()).toBe(false);
    expect((await dialLane(first)).isClosed()).toBe(true);
    expect((await dialLane(randomId())).isClosed()).toBe(true);
    await vi.advanceTimersByTimeAsync(laneTokenLifeMs / 2);
    await main.send({ kind: 'ping', id: 1, nowMs: 0 });
    await vi.advanceTimersByTimeAsync(laneTokenLifeMs / 2 - 1);
    expect(main.tokens()).toHaveLength(lanesPerLink);
    await vi.advanceTimersByTimeAsync(1);
    expect((await dialLane(second)).isClosed()).toBe(true);
    // The unused one was replaced, so that the link can come to full strength.
    expect(main.tokens()).toHaveLength(lanesPerLink + 1);
    client.close();
  });

  it('are given anew when a lane is lost', async () => {
    vi.useFakeTimers();
    const { client, connect, dialLane } = buildAlone();
    const main = await connect();
    await main.send({ kind: 'event', name: 'policy', body: policy });
    const lanes = await Promise.all(main.tokens().map((token) => dialLane(token)));
    expect(client.laneCount).toBe(lanesPerLink);
    lanes[0]?.close();
    await vi.advanceTimersByTimeAsync(laneRegrantMs);
    expect(main.tokens()).toHaveLength(lanesPerLink + 1);
    client.close();
  });

  it('who has a link and no lane waits for one, as for a link', async () => {
    vi.useFakeTimers();
    const { client, connect, dialLane } = buildAlone();
    const session = randomId();
    const main = await connect();
    await main.send({ kind: 'event', name: 'policy', body: policy });
    let has = false;
    const waiting = client.waitForLane(session).then(() => {
      has = true;
    });
    client.report({ kind: 'limit', detail: 'a monitor sees what waits' });
    expect(client.waiting).toEqual({ answer: 0, link: 0, lane: 1, audit: 1 });
    await vi.advanceTimersByTimeAsync(laneTokenLifeMs / 2);
    expect(has).toBe(false);
    const lane = await dialLane(main.tokens().at(-1) ?? '');
    await waiting;
    // What a lane carried waits for another, not for the one that is being closed.
    const stream = client.openStream({ kind: 'read', session, handle: 1, offset: 0 });
    let resumed: Promise<void> | undefined;
    stream.onReset = () => {
      resumed = client.waitForLane(session);
    };
    lane.close();
    await vi.advanceTimersByTimeAsync(laneRegrantMs);
    has = false;
    void resumed?.then(() => {
      has = true;
    });
    await vi.advanceTimersByTimeAsync(0);
    expect([resumed === undefined, has]).toEqual([false, false]);
    const next = await dialLane(main.tokens().at(-1) ?? '');
    await resumed;
    next.close();
    await vi.advanceTimersByTimeAsync(0);
    const ended = Promise.allSettled([client.waitForLane(session)]);
    const body = { sessionKey: sessionKey(session), reason: 'by an admin' };
    await main.send({ kind: 'event', name: 'session.ended', body });
    expect(await ended).toMatchObject([{ status: 'rejected', reason: { code: 'no-session' } }]);
    const stopped = Promise.allSettled([client.waitForLane(session)]);
    client.close();
    expect(await stopped).toMatchObject([{ status: 'rejected', reason: { code: 'link-down' } }]);
    await expect(client.waitForLane(session)).rejects.toMatchObject({ code: 'link-down' });
  });

  it('a connection that never shows one is closed', async () => {
    vi.useFakeTimers();
    const { client, dialLane } = buildAlone();
    const lane = await dialLane('');
    await vi.advanceTimersByTimeAsync(laneJoinTimeoutMs - 1);
    expect(lane.isClosed()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(lane.isClosed()).toBe(true);
    client.close();
  });
});

describe('requests without a link', () => {
  it('of files wait, and go out on the next link in the order they came', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    const order: string[] = [];
    const memory = await buildMemoryLink({
      sessions,
      files: {
        'fs.make-folder': async ({ path: [name = ''] }) => {
          order.push(name);
          return {};
        },
      },
    });
    memory.cut();
    await turn();
    const files = buildRemoteFiles({ link: memory.link, session });
    const names = Array.from({ length: 20 }, (_value, index) => `folder-${index}`);
    const made = names.map((name) => files.makeFolder(requireComponents([name])));
    await turn();
    expect(order).toEqual([]);
    await memory.join();
    await Promise.all(made);
    expect(order).toEqual(names);
    memory.close();
  });

  it('of files give up after their time, or when their caller does', async () => {
    const memory = await buildMemoryLink({ parkForMs: 50 });
    memory.cut();
    await turn();
    const session = randomId();
    const files = buildRemoteFiles({ link: memory.link, session });
    await expect(files.stat(path)).rejects.toMatchObject({ code: 'link-down' });
    const params = { session, path: [], followLinks: true };
    const waiting = memory.link.request('fs.stat', params, { signal: AbortSignal.abort() });
    await expect(waiting).rejects.toMatchObject({ code: 'deadline' });
    memory.close();
  });

  it('fail at once when the node is shutting down', async () => {
    const memory = await buildMemoryLink();
    const waiting = buildRemoteFiles({ link: memory.link, session: randomId() });
    memory.cut();
    await turn();
    const parked = waiting.stat(path);
    memory.close();
    await expect(parked).rejects.toMatchObject({ code: 'link-down' });
    await expect(waiting.stat(path)).rejects.toMatchObject({ code: 'link-down' });
  });

  it('S-14: of logins fail at once: they are bound to the link they were made for', async () => {
    const memory = await buildMemoryLink();
    memory.cut();
    await turn();
    for (const params of [{ challenge: randomId() }, async () => ({ challenge: randomId() })])
      await expect(memory.link.request('login.cancel', params)).rejects.toMatchObject({ code: 'link-down' });
    memory.close();
  });

  it('a login gets the binding of the very link it is sent on', async () => {
    const memory = await buildMemoryLink({
      mainName: 'main1',
      login: { 'login.cancel': async () => ({}) },
    });
    await memory.link.request('login.cancel', async (binding) => {
      expect(binding).toEqual({ exporter: memory.connection().exporter, mainName: 'main1' });
      return { challenge: randomId() };
    });
    const stale = memory.link.request('login.cancel', async () => {
      memory.cut();
      await turn();
      await memory.join();
      return { challenge: randomId() };
    });
    await expect(stale).rejects.toMatchObject({ code: 'link-down' });
    memory.close();
  });

  it('S-09: wait up to the bound, no further', async () => {
    const parking = new Parking<string>(60_000);
    const waiting = Array.from({ length: parkedRequestsMax }, () => parking.wait(undefined, undefined));
    await expect(parking.wait(undefined, undefined)).rejects.toMatchObject({ code: 'busy' });
    parking.resume('link');
    expect(await Promise.all(waiting)).toHaveLength(parkedRequestsMax);
    expect(parking.size).toBe(0);
  });
});

describe('S-14: when main ends a session', () => {
  it('the node drops its streams and what waits of it, and tells its doors', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    const other = sessions.open({ username: 'bob' });
    const memory = await buildMemoryLink({ sessions, onStream: () => undefined });
    const ended: [string, string][] = [];
    memory.link.onSessionEnded((key, reason) => ended.push([key, reason]));
    const resets: string[] = [];
    for (const [name, id] of [
      ['alice', session],
      ['bob', other],
    ] as const) {
      const stream = memory.link.openStream({ kind: 'read', session: id, handle: 1, offset: 0 });
      stream.onReset = ({ code }) => resets.push(`${name} ${code}`);
    }
    await turn();
    memory.connection().send('session.ended', { sessionKey: sessionKey(session), reason: 'kicked' });
    await turn();
    expect(resets).toEqual(['alice no-session']);
    expect(ended).toEqual([[sessionKey(session), 'kicked']]);
    memory.close();
  });

  it('main ends its streams itself, whatever their owner does', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    const memory = await buildMemoryLink({ sessions, onStream: () => undefined });
    const stream = memory.link.openStream({ kind: 'read', session, handle: 1, offset: 0 });
    const reset = new Promise<SallyportError>((resolve) => {
      stream.onReset = resolve;
    });
    await turn();
    await sessions.end(sessionKey(session), 'kicked');
    expect((await reset).code).toBe('no-session');
    memory.close();
  });
});

describe('a content that main told', () => {
  it('is given up when main says so, and when the link on which it would is lost', async () => {
    const memory = await buildMemoryLink({ sessions: buildFakeSessions(), onStream: () => undefined });
    const dropped: string[] = [];
    for (const handle of [1, 2, 3]) memory.link.holdContent(handle, () => void dropped.push(String(handle)));
    memory.link.holdContent(4, () => void dropped.push('closed'))();
    for (const handle of [1, 1, 4, 5]) memory.connection().send('file.changing', { handle });
    await turn();
    expect(dropped).toEqual(['1']);
    memory.connection().close('restarted');
    await expect.poll(() => dropped).toEqual(['1', '2', '3']);
    memory.close();
  });

  it('is given up also when main said so in the same read, before anybody held it', async () => {
    const memory = await buildMemoryLink({ sessions: buildFakeSessions(), onStream: () => undefined });
    const dropped: string[] = [];
    const hold = (name: string) => memory.link.holdContent(6, () => void dropped.push(name));
    memory.link.onPolicy(() => void hold('at once'));
    memory.connection().send('file.changing', { handle: 6 });
    memory.connection().sendPolicy();
    await turn();
    expect(dropped).toEqual(['at once']);
    await turn();
    hold('later');
    expect(dropped).toEqual(['at once']);
    memory.close();
  });
});

describe('S-09: bounds of the node', () => {
  it('streams of one session', async () => {
    const sessions = buildFakeSessions();
    const session = sessions.open({ username: 'alice' });
    const memory = await buildMemoryLink({ sessions, onStream: () => undefined });
    const open = () => memory.link.openStream({ kind: 'read', session, handle: 1, offset: 0 });
    const streams = Array.from({ length: streamsPerSessionMax }, open);
    expect(open).toThrow(expect.objectContaining({ code: 'busy' }));
    streams[0]?.reset(new SallyportError('io-error', 'x'));
    expect(open().id).toBeGreaterThan(0);
    memory.close();
  });
});

describe('what the node tells of its edge', () => {
  async function join() {
    const events: EdgeEvent[] = [];
    let nowMs = 0;
    const memory = await buildMemoryLink({
      onEdgeEvent: (event) => events.push(event),
      clock: { now: () => nowMs, monotonic: () => nowMs },
    });
    return {
      memory,
      events,
      pass: (ms: number) => (nowMs += ms),
      rejoin: async () => {
        events.length = 0;
        await memory.join();
        await turn();
      },
      take: (sequence: number) => {
        const [first] = events;
        if (first !== undefined) memory.connection().send('edge.taken', { boot: first.boot, sequence });
        return turn();
      },
    };
  }
  const numbers = (events: readonly EdgeEvent[]): number[] => events.map(({ sequence }) => sequence);

  it('is signed by the node, for this node and worker alone', async () => {
    const { memory, events } = await join();
    memory.link.report({ kind: 'banned', clientIp: '192.0.2.1', detail: 'x'.repeat(600) });
    await turn();
    const [event] = events;
    if (event === undefined) throw new Error('no event came');
    const { publicKey } = memorySigningKey;
    expect(event.detail).toHaveLength(512);
    expect(isEdgeEventOf(event, { node: 'dmz1', worker: 0 }, publicKey)).toBe(true);
    expect(isEdgeEventOf(event, { node: 'dmz2', worker: 0 }, publicKey)).toBe(false);
    expect(isEdgeEventOf(event, { node: 'dmz1', worker: 1 }, publicKey)).toBe(false);
    for (const change of [
      { sequence: 2 },
      { clientIp: '192.0.2.2' },
      { atMs: 5 },
      { kind: 'limit' as const },
    ])
      expect(isEdgeEventOf({ ...event, ...change }, { node: 'dmz1', worker: 0 }, publicKey)).toBe(false);
    memory.close();
  });

  it('is sent again on each new link until main has it, and events of an outage come too', async () => {
    const { memory, events, rejoin, take } = await join();
    for (const detail of ['a', 'b', 'c']) memory.link.report({ kind: 'refused', detail });
    await turn();
    expect(numbers(events)).toEqual([1, 2, 3]);
    await take(2);
    memory.cut();
    memory.link.report({ kind: 'refused', detail: 'd' });
    await rejoin();
    expect(numbers(events)).toEqual([3, 4]);
    await take(4);
    await rejoin();
    expect(numbers(events)).toEqual([]);
    memory.close();
  });

  it('is kept when main acknowledges events of another process than this one', async () => {
    const { memory, events, rejoin } = await join();
    for (const detail of ['a', 'b']) memory.link.report({ kind: 'refused', detail });
    await turn();
    memory.connection().send('edge.taken', { boot: randomId(), sequence: 2 });
    await turn();
    await rejoin();
    expect(numbers(events)).toEqual([1, 2]);
    memory.close();
  });

  it('S-09: keeps a bounded number while main is away, counts the others, and tells the count', async () => {
    const { memory, events, rejoin, take, pass } = await join();
    memory.cut();
    await turn();
    const kept = edgeEventsMax - edgeRefusalsMax;
    for (let count = 0; count < kept + 5; count += 1)
      memory.link.report({ kind: 'banned', detail: String(count) });
    await rejoin();
    expect(numbers(events)).toEqual(Array.from({ length: kept }, (_, n) => n + 1));
    pass(1000);
    await take(kept);
    expect(events.at(-1)).toMatchObject({
      sequence: kept + 1,
      kind: 'limit',
      detail: expect.stringMatching(/^5 events were not kept/),
    });
    memory.close();
  });

  it('S-09: a flood is counted, not told one by one', async () => {
    const { memory, events, take, pass } = await join();
    const flood = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += 1) memory.link.report({ kind: 'banned', detail: 'flood' });
      await turn();
      await take(events.length);
    };
    const { burst, perSecond } = edgeEventRate;
    for (let sent = 0; sent < burst; sent += 100) await flood(100);
    await flood(100);
    expect(events).toHaveLength(burst);
    pass(1000);
    await flood(100);
    expect(events).toHaveLength(burst + perSecond);
    expect(events[burst]).toMatchObject({ detail: expect.stringMatching(/^100 events/) });
    memory.close();
  });

  it('S-09: what signed-in users cause at will takes nothing from the rest', async () => {
    const { memory, events, rejoin } = await join();
    memory.cut();
    await turn();
    for (let count = 0; count < 5000; count += 1)
      memory.link.report({ kind: 'refused', detail: 'global request tcpip-forward' });
    memory.link.report({ kind: 'banned', clientIp: '192.0.2.1', detail: 'a real one' });
    await rejoin();
    expect(events.filter(({ kind }) => kind === 'refused')).toHaveLength(edgeRefusalRate.burst);
    expect(events.filter(({ kind }) => kind === 'banned')).toHaveLength(1);
    memory.close();
  });

  it('remembers the highest audit head and answers with it, whatever main says later', async () => {
    const known: number[] = [];
    const memory = await buildMemoryLink({ onAuditKnown: (head) => known.push(head.sequence) });
    const [boot, signature] = [randomId(), 'A'.repeat(86)];
    const told = (start: number, sequence: number) => ({
      start,
      boot,
      sequence,
      signature,
      hash: String(sequence).repeat(64),
    });
    for (const sequence of [3, 7, 5]) memory.connection().send('audit.head', told(1, sequence));
    await turn();
    expect(known).toEqual([3, 7, 7]);
    // A later start of main counts more than a higher number of an earlier one.
    memory.connection().send('audit.head', told(2, 6));
    await turn();
    expect(known).toEqual([3, 7, 7, 6]);
    memory.close();
  });
});
