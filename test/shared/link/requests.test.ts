import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SallyportError } from '#shared/error.ts';
import { Asker } from '#shared/link/asker.ts';
import type { AnyRequest } from '#shared/link/codec.ts';
import { longRequestTimeoutMs, requestsInFlightMax, requestTimeoutMs } from '#shared/link/limits.ts';
import {
  defaultTimeoutMs,
  IncomingRequests,
  OutgoingRequests,
  RequestCounts,
  type RequestOptions,
} from '#shared/link/requests.ts';
import { randomId } from '#shared/random-id.ts';

const session = randomId();
const usage = { freeBytes: 1, totalBytes: 2, freeFiles: 3, totalFiles: 4 };
const violation = expect.objectContaining({ code: 'protocol-violation' });
const busy = expect.objectContaining({ code: 'busy' });

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

describe('the asking end', () => {
  function buildAsking() {
    const sent: { kind: string; id: number }[] = [];
    const requests = new OutgoingRequests((message) => sent.push(JSON.parse(message)));
    const ask = (options: Partial<RequestOptions> = {}, path: string[] = []) => {
      const asked = requests.request('fs.usage', { session, path }, { timeoutMs: 1000, ...options });
      // What became of it is looked at when the test is so far.
      asked.catch(() => undefined);
      return asked;
    };
    return { requests, sent, ask };
  }

  it('numbers its requests from 1, and says of each how long it waits', () => {
    const { sent, ask } = buildAsking();
    void ask();
    void ask({ timeoutMs: 2000 });
    expect(sent).toMatchObject([
      { kind: 'request', id: 1, patienceMs: 1000 },
      { kind: 'request', id: 2, patienceMs: 2000 },
    ]);
  });

  it('waits for answers in any order, and for each once', async () => {
    const { requests, ask } = buildAsking();
    const [first, second] = [ask(), ask()];
    expect(requests.inFlight).toBe(2);
    requests.receiveResult(2, usage);
    expect(await second).toEqual(usage);
    expect(requests.inFlight).toBe(1);
    requests.receiveResult(2, usage);
    requests.receiveError(2, new SallyportError('not-found', 'late'));
    requests.receiveError(1, new SallyportError('not-found', 'No such file'));
    await expect(first).rejects.toMatchObject({ code: 'not-found' });
    expect(requests.inFlight).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('S-05: finds an answer to nothing a breach, and one that is not of the verb’s shape', async () => {
    const { requests, ask } = buildAsking();
    expect(() => requests.receiveResult(1, usage)).toThrow(violation);
    const asked = ask();
    expect(() => requests.receiveResult(2, usage)).toThrow(violation);
    expect(() => requests.receiveError(2, new SallyportError('busy', ''))).toThrow(violation);
    expect(() => requests.receiveResult(1, { ...usage, extra: 1 })).toThrow(violation);
    // It is not answered: the link that then goes tells it so.
    expect(requests.inFlight).toBe(1);
    requests.close(new SallyportError('link-down', 'gone'));
    await expect(asked).rejects.toMatchObject({ code: 'link-down' });
  });

  it('sends nothing that the table does not allow, and the number is for the next', async () => {
    const { requests, sent, ask } = buildAsking();
    await expect(ask({}, ['a'.repeat(256)])).rejects.toMatchObject({ code: 'bad-request' });
    expect([sent.length, requests.inFlight]).toEqual([0, 0]);
    void ask();
    expect(sent).toMatchObject([{ id: 1 }]);
  });

  it('gives up at the deadline and not before, and says so', async () => {
    const { requests, sent, ask } = buildAsking();
    const asked = ask();
    await vi.advanceTimersByTimeAsync(999);
    expect(requests.inFlight).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await expect(asked).rejects.toMatchObject({ code: 'deadline' });
    expect(requests.inFlight).toBe(0);
    expect(sent.slice(1)).toEqual([{ kind: 'cancel', id: 1 }]);
    requests.receiveResult(1, usage);
  });

  it.each(['signal', 'gone'] as const)('asks nothing for a caller whose %s came before', async (name) => {
    const { sent, ask } = buildAsking();
    const caller = new AbortController();
    caller.abort();
    await expect(ask({ [name]: caller.signal })).rejects.toMatchObject({ code: 'deadline' });
    expect(sent).toEqual([]);
  });

  it('gives up with its caller, at once', async () => {
    const { requests, sent, ask } = buildAsking();
    const caller = new AbortController();
    const asked = ask({ signal: caller.signal });
    caller.abort();
    await expect(asked).rejects.toMatchObject({ code: 'deadline' });
    expect(sent.slice(1)).toEqual([{ kind: 'cancel', id: 1 }]);
    expect([requests.inFlight, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('goes on for the answer when only who it is for has gone', async () => {
    const { requests, sent, ask } = buildAsking();
    const visitor = new AbortController();
    const asked = ask({ gone: visitor.signal });
    visitor.abort();
    expect(sent.slice(1)).toEqual([{ kind: 'cancel', id: 1 }]);
    requests.receiveResult(1, usage);
    expect(await asked).toEqual(usage);
  });

  it('cancels nothing that was answered', async () => {
    const { requests, sent, ask } = buildAsking();
    const [signal, gone] = [new AbortController(), new AbortController()];
    const asked = ask({ signal: signal.signal, gone: gone.signal });
    requests.receiveResult(1, usage);
    await asked;
    signal.abort();
    gone.abort();
    await vi.advanceTimersByTimeAsync(2000);
    expect(sent).toHaveLength(1);
  });

  it('S-09: has the bound in flight and not one more, until one is answered', async () => {
    const { requests, sent, ask } = buildAsking();
    for (let count = 0; count < requestsInFlightMax; count += 1) void ask();
    expect(requests.inFlight).toBe(requestsInFlightMax);
    await expect(ask()).rejects.toMatchObject({ code: 'busy' });
    requests.receiveResult(1, usage);
    void ask();
    expect(requests.inFlight).toBe(requestsInFlightMax);
    expect(sent).toHaveLength(requestsInFlightMax + 1);
    requests.close(new SallyportError('link-down', 'gone'));
  });

  it('once closed rejects what waited and what comes, sends nothing and waits for nothing', async () => {
    const { requests, sent, ask } = buildAsking();
    const waiting = [ask(), ask()];
    requests.close(new SallyportError('link-down', 'gone'));
    for (const asked of [...waiting, ask()])
      await expect(asked).rejects.toMatchObject({ code: 'link-down', publicMessage: 'gone' });
    expect([sent.length, requests.inFlight, vi.getTimerCount()]).toEqual([2, 0, 0]);
  });
});

it('only what grows with the file or the tree may take long', () => {
  expect(defaultTimeoutMs('fs.hash')).toBe(longRequestTimeoutMs);
  expect(defaultTimeoutMs('fs.stat')).toBe(requestTimeoutMs);
  expect(defaultTimeoutMs('login.begin')).toBe(requestTimeoutMs);
});

const clock = { now: () => Date.now(), monotonic: () => Date.now() };
const of = (one: string): AnyRequest => ({ verb: 'fs.usage', params: { session: one, path: [] } });
const ofNobody: AnyRequest = { verb: 'login.resend', params: { challenge: session } };
const change: AnyRequest = { verb: 'fs.make-folder', params: { session, op: 1, path: ['a'] } };

describe('requests that are being answered', () => {
  it('S-09: are counted up to the bound of all, whoever asks, and make room when they are answered', () => {
    const counts = new RequestCounts({ inAllMax: 3, perSessionMax: 3 });
    counts.enter(of('a'));
    const leave = counts.enter(ofNobody);
    counts.enter(of('b'));
    expect(counts.inAll).toBe(3);
    for (const one of [of('c'), ofNobody]) expect(() => counts.enter(one)).toThrow(busy);
    expect(counts.inAll).toBe(3);
    leave();
    expect(counts.inAll).toBe(2);
    counts.enter(of('c'));
    expect(() => counts.enter(ofNobody)).toThrow(busy);
  });

  it('S-09: are counted up to the bound of their session, which is no other session’s', () => {
    const counts = new RequestCounts({ inAllMax: 100, perSessionMax: 2 });
    const leaves = [counts.enter(of('a')), counts.enter(of('a'))];
    expect(() => counts.enter(of('a'))).toThrow(busy);
    expect(counts.inAll).toBe(2);
    for (let count = 0; count < 3; count += 1) counts.enter(ofNobody);
    counts.enter(of('b'));
    leaves[0]?.();
    counts.enter(of('a'));
    expect(() => counts.enter(of('a'))).toThrow(busy);
    counts.enter(of('b'));
    expect(() => counts.enter(of('b'))).toThrow(busy);
    leaves[1]?.();
    leaves[0] = counts.enter(of('a'));
    leaves[0]();
    expect(counts.inAll).toBe(6);
  });

  it('S-05: have rising ids, gaps allowed, also after one that was refused', () => {
    const incoming = new IncomingRequests(clock);
    expect(() => incoming.begin(0, ofNobody)).toThrow(violation);
    incoming.begin(1, ofNobody);
    incoming.begin(5, ofNobody);
    for (const id of [1, 4, 5]) expect(() => incoming.begin(id, ofNobody)).toThrow(violation);
    for (let id = 6; id < requestsInFlightMax + 4; id += 1) incoming.begin(id, ofNobody);
    expect(incoming.inFlight).toBe(requestsInFlightMax);
    const refused = requestsInFlightMax + 10;
    expect(() => incoming.begin(refused, ofNobody)).toThrow(busy);
    expect(() => incoming.begin(refused, ofNobody)).toThrow(violation);
  });

  it('are waited for as long as their asker said, else as long as their verb may take', () => {
    const incoming = new IncomingRequests(clock);
    expect(incoming.begin(1, ofNobody, 5).asker.leftMs).toBe(5);
    expect(incoming.begin(2, ofNobody).asker.leftMs).toBe(requestTimeoutMs);
  });

  it('S-05: are given up by a cancel; of nothing it is a breach, too late it is none', () => {
    const incoming = new IncomingRequests(clock);
    expect(() => incoming.cancel(1)).toThrow(violation);
    const [first, second] = [incoming.begin(1, of('a')), incoming.begin(2, of('a'))];
    incoming.cancel(1);
    expect([first.asker.leftMs, second.asker.leftMs]).toEqual([0, requestTimeoutMs]);
    second.finish();
    incoming.cancel(2);
    expect(second.asker.leftMs).toBe(requestTimeoutMs);
    expect(() => incoming.cancel(3)).toThrow(violation);
    expect(incoming.inFlight).toBe(1);
    first.finish();
    expect(incoming.inFlight).toBe(0);
  });

  it('are waited for by nobody once the link is gone, but changes, which are asked again', () => {
    const incoming = new IncomingRequests(clock);
    const [reading, changing] = [incoming.begin(1, of('a')), incoming.begin(2, change)];
    const answered = incoming.begin(3, of('a'));
    answered.finish();
    incoming.close();
    expect([reading, changing, answered].map(({ asker }) => asker.leftMs > 0)).toEqual([false, true, true]);
  });
});

describe('who waits for an answer', () => {
  it('waits until the time is over, and what comes later is not begun', async () => {
    const asker = new Asker(clock, 10);
    await vi.advanceTimersByTimeAsync(9);
    expect(asker.leftMs).toBe(1);
    expect(() => asker.requireWaiting()).not.toThrow();
    for (let late = 0; late < 2; late += 1) {
      await vi.advanceTimersByTimeAsync(1);
      expect(asker.leftMs).toBe(0);
      expect(() => asker.requireWaiting()).toThrow(expect.objectContaining({ code: 'deadline' }));
    }
  });

  it('gives up once, and tells once all who asked to be told', () => {
    const asker = new Asker(clock, 10);
    const told: string[] = [];
    asker.onGiveUp(() => told.push('a'));
    asker.onGiveUp(() => told.push('b'))();
    asker.onGiveUp(() => told.push('c'));
    asker.giveUp();
    asker.giveUp();
    expect(told).toEqual(['a', 'c']);
    expect(asker.leftMs).toBe(0);
    expect(() => asker.requireWaiting()).toThrow(expect.objectContaining({ code: 'deadline' }));
  });
});
