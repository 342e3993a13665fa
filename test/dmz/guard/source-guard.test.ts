import { describe, expect, it } from 'vitest';
import { SourceGuard } from '#dmz/guard/source-guard.ts';
import type { Admission, Refusal } from '#dmz/guard/guard.ts';
import type { GuardLimits } from '#dmz/guard/limits.ts';
import { doorFindings, type DoorFinding, type DoorQuestion, type Policy } from '#shared/link/messages.ts';
import { buildLog, type Log } from '#shared/log.ts';
import type { Protocol } from '#shared/login.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';

const minute = 60_000;
const hour = 60 * minute;
const ip = '192.0.2.7';

function setUp(options: { policy?: Partial<Policy>; limits?: Partial<GuardLimits>; log?: Log } = {}) {
  let nowMs = 1_800_000_000_000;
  let policy: Policy = {
    validatedLogins: true,
    branding: { name: 'x' },
    neverBan: [],
    bans: [],
    ...options.policy,
  };
  const listeners = new Set<unknown>();
  const listen = (listener: unknown): (() => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  let push: (policy: Policy) => void = () => undefined;
  let ask: (question: DoorQuestion) => readonly DoorFinding[] = () => [];
  const events: { kind: string; clientIp?: string | undefined; detail: string }[] = [];
  /** Addresses of connections that had to go, in order. */
  const dropped: string[] = [];
  class Rigged extends SourceGuard {
    override admitConnection(from: string, door: Protocol) {
      return super.admitConnection(from, door, () => void dropped.push(from));
    }
  }
  const guard = new Rigged({
    link: {
      get policy() {
        return policy;
      },
      onDoorAsked: (answer) => {
        ask = answer;
        return listen(answer);
      },
      onPolicy: (listener) => {
        push = listener;
        return listen(listener);
      },
      report: (event) => events.push(event),
    },
    clock: { now: () => nowMs, monotonic: () => nowMs },
    log: options.log ?? buildLog('silent', {}),
    ...(options.limits !== undefined && { limits: options.limits }),
  });
  return {
    guard,
    dropped,
    listeners,
    ask: (question: Partial<DoorQuestion> = {}) => ask({ ip, ...question }),
    events,
    wait: (ms: number) => {
      nowMs += ms;
    },
    now: () => nowMs,
    fail: (times: number, from = ip, user = 'alice') => {
      for (let time = 0; time < times; time += 1) guard.firstFactorFailed(from, user);
    },
    push: (change: Partial<Policy>) => {
      policy = { ...policy, ...change };
      push(policy);
    },
  };
}

function admitted(outcome: Admission | Refusal): Admission {
  if (!outcome.admitted) throw new Error(`refused: ${outcome.reason}`);
  return outcome;
}

describe('passwords that main wants no more of', () => {
  it('are told of only where somebody was turned away', () => {
    const { guard, events } = setUp();
    guard.mustWait(ip, 'https', 'alice');
    expect(events).toEqual([]);
    guard.turnedAway(ip, 'alice', 'name', 1);
    expect(guard.mustWait(ip, 'https', 'alice')).toBe(1);
    expect(events).toMatchObject([{ kind: 'limit', detail: 'passwords-throttled' }]);
  });

  it('are held back from that user or that household for as long as it said, at both doors', () => {
    const { guard, wait, events } = setUp();
    guard.turnedAway('2001:db8:0:11::1', 'alice', 'name', 3_000);
    expect(guard.mustWait('2001:db8:0:1f::2', 'sftp', 'alice')).toBe(3_000);
    expect(guard.mustWait('2001:db8:0:1f::2', 'https', 'bob')).toBeUndefined();
    expect(guard.mustWait('2001:db8:0:200::1', 'https', 'alice')).toBeUndefined();
    guard.turnedAway('2001:db8:0:11::1', 'alice', 'source', 5_000);
    wait(2_999);
    expect(guard.mustWait('2001:db8:0:1f::2', 'https', 'bob')).toBe(2_001);
    wait(2_001);
    expect(guard.mustWait('2001:db8:0:1f::2', 'https', 'alice')).toBeUndefined();
    expect(events.map(({ detail }) => detail)).toEqual(['passwords-throttled', 'passwords-throttled']);
  });
});

describe('bans', () => {
  it('come with the 15th failure in ten minutes and last 15 minutes', () => {
    const { guard, fail, wait, events } = setUp();
    fail(14);
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    fail(1);
    expect(guard.isBanned(ip, 'https')).toBe(15 * minute);
    expect(events).toEqual([expect.objectContaining({ kind: 'banned', clientIp: ip })]);
    wait(15 * minute - 1);
    expect(guard.isBanned(ip, 'https')).toBe(1);
    wait(1);
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
  });

  it('count only what happened within ten minutes', () => {
    const { guard, fail, wait } = setUp();
    fail(14);
    wait(10 * minute);
    fail(14);
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
  });

  it('are lifted once for each order of main: one made after it stays, however often the order is repeated', () => {
    const { guard, fail, push } = setUp();
    const order = { id: 'order-1', address: ip };
    fail(15);
    push({ lifted: [order] });
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    fail(15);
    push({ lifted: [order] });
    expect(guard.isBanned(ip, 'https')).toBeGreaterThan(0);
    push({ lifted: [order, { ...order, id: 'order-2' }] });
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
  });

  it('double each time, up to a day, and start again a day after the last', () => {
    const { guard, fail, wait } = setUp();
    const lengths: (number | undefined)[] = [];
    for (let round = 0; round < 9; round += 1) {
      fail(15);
      const length = guard.isBanned(ip, 'https');
      lengths.push(length);
      wait(length ?? 0);
    }
    expect(lengths.map((length) => (length ?? 0) / minute)).toEqual([
      15, 30, 60, 120, 240, 480, 960, 1440, 1440,
    ]);
    wait(24 * hour);
    fail(15);
    expect(guard.isBanned(ip, 'https')).toBe(15 * minute);
  });

  it('a good login takes back only what that user failed', () => {
    const { guard, fail } = setUp();
    fail(14, ip, 'alice');
    guard.firstFactorRight(ip, 'alice');
    fail(7, ip, 'alice');
    fail(7, ip, 'bob');
    guard.firstFactorRight(ip, 'alice');
    fail(7, ip, 'bob');
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    fail(1, ip, 'bob');
    expect(guard.isBanned(ip, 'https')).toBeDefined();
  });

  it('a name that main calls a bait counts three failures, and the fifth is one too many', () => {
    const { guard, wait } = setUp();
    for (const name of ['root', 'admin', 'root', 'root']) guard.firstFactorFailed(ip, name, { isBait: true });
    expect(guard.isBanned(ip, 'sftp')).toBeUndefined();
    guard.firstFactorFailed(ip, 'root', { isBait: true });
    for (const door of ['https', 'sftp'] as const) expect(guard.isBanned(ip, door)).toBe(15 * minute);
    wait(15 * minute);
    expect(guard.isBanned(ip, 'sftp')).toBeUndefined();
  });

  it('breaches of one protocol close that door, and the other stays open', () => {
    const { guard, push } = setUp();
    for (let time = 0; time < 20; time += 1) guard.malformed(ip, 'https', 'x');
    expect(guard.admitConnection(ip, 'https')).toMatchObject({ admitted: false, reason: 'banned' });
    expect([guard.isBanned(ip, 'https'), guard.isBanned(ip, 'sftp')]).toEqual([15 * minute, undefined]);
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
    for (let time = 0; time < 19; time += 1) guard.malformed(ip, 'sftp', 'x');
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
    push({ lifted: [{ id: '1', address: ip }] });
    expect(guard.admitConnection(ip, 'https').admitted).toBe(true);
  });

  it('are told to main with their source, length, cause and, where it is one, their door', () => {
    const { guard, fail, events } = setUp();
    fail(15);
    for (let time = 0; time < 20; time += 1) guard.malformed('192.0.2.8', 'sftp', 'x');
    expect(events).toEqual([
      {
        kind: 'banned',
        clientIp: ip,
        detail: `${ip} for 900 s: failures`,
        ban: { source: ip, cause: 'failures', forMs: 15 * minute },
      },
      {
        kind: 'banned',
        clientIp: '192.0.2.8',
        protocol: 'sftp',
        detail: '192.0.2.8 for 900 s: malformed',
        ban: { source: '192.0.2.8', cause: 'malformed', forMs: 15 * minute },
      },
    ]);
    expect(Object.keys(events[0] ?? {})).not.toContain('protocol');
  });

  it('20 breaches of protocol in ten minutes cost the connection too', () => {
    const { guard } = setUp();
    for (let time = 0; time < 19; time += 1) guard.malformed(ip, 'https', 'x');
    expect(guard.admitConnection(ip, 'https').admitted).toBe(true);
    guard.malformed(ip, 'https', 'x');
    expect(guard.admitConnection(ip, 'https')).toMatchObject({ admitted: false, reason: 'banned' });
  });

  it('a source banned for failed logins may still connect to read why, over https only', () => {
    const { guard, fail } = setUp();
    fail(15);
    expect(guard.admitConnection(ip, 'https').admitted).toBe(true);
    expect(guard.admitConnection(ip, 'sftp')).toMatchObject({ reason: 'banned', retryAfterMs: 15 * minute });
  });

  it('count an IPv6 customer by /64 and an IPv4 client on a dual-stack socket by its address', () => {
    const { guard, fail } = setUp();
    for (let host = 0; host < 15; host += 1) fail(1, `2001:db8:0:1::${host.toString(16)}`);
    expect(guard.isBanned('2001:db8:0:1:ffff::1', 'https')).toBeDefined();
    expect(guard.isBanned('2001:0db8::1:0:0:0:9', 'https')).toBeDefined();
    expect(guard.isBanned('2001:db8:0:2::1', 'https')).toBeUndefined();
    fail(15, '::ffff:192.0.2.9');
    expect(guard.isBanned('192.0.2.9', 'https')).toBeDefined();
    expect(guard.isBanned('192.0.2.8', 'https')).toBeUndefined();
  });

  it('never touch a source on the never-ban list', () => {
    const { guard, fail, push } = setUp({
      policy: { neverBan: ['192.0.2.0/28', '::1', 'nonsense', '10.0.0.0/99'] },
    });
    fail(100);
    guard.firstFactorFailed(ip, 'root', { isBait: true });
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
    for (let time = 0; time < 100; time += 1) {
      guard.malformed(ip, 'sftp', 'x');
      expect(guard.firstFactorRight(ip, 'alice')).toBeUndefined();
    }
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
    push({ neverBan: [], bans: [] });
    // What it did before counts for nothing now.
    expect(guard.isBanned(ip, 'sftp')).toBeUndefined();
    fail(14);
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    fail(15, '192.0.2.16');
    expect(guard.isBanned('192.0.2.16', 'https')).toBeDefined();
  });

  it('entries of the never-ban list that can not be read are told in the log', () => {
    const { log, lines } = buildRecordedLog();
    const { push } = setUp({ policy: { neverBan: ['192.0.2.0/28', 'nonsense'] }, log });
    push({ neverBan: ['192.0.2.0/28'] });
    expect(lines.map((line) => (JSON.parse(line) as { entries: string[] }).entries)).toEqual([['nonsense']]);
  });

  it('a source that comes on the never-ban list is held up by nothing from before', () => {
    const { guard, push, ask, fail, now } = setUp({ limits: { loginBurst: 1 } });
    for (let time = 0; time < 2; time += 1) guard.firstFactorRight(ip, 'alice');
    fail(15);
    push({ neverBan: [ip], bans: [{ address: ip, untilMs: now() + hour, reason: 'x' }] });
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
    expect(ask({ user: 'alice' }).filter(({ acts }) => acts)).toEqual([]);
  });

  it("main's list bans addresses and ranges until the moment it names", () => {
    const { guard, push, wait, now } = setUp();
    const untilMs = now() + 1000;
    push({
      bans: [
        { address: ip, untilMs, reason: 'x' },
        { address: '198.51.100.0/24', untilMs, reason: 'x' },
        { address: '2001:db8:0:5::/64', untilMs, reason: 'x' },
        { address: '2001:db8:9::/48', untilMs, reason: 'x' },
      ],
    });
    const banned = [ip, '198.51.100.77', '2001:db8:0:5::1', '2001:db8:9:ffff::1'];
    for (const source of banned) expect([source, guard.isBanned(source, 'https')]).toEqual([source, 1000]);
    for (const source of banned)
      expect(guard.admitConnection(source, 'https')).toMatchObject({ admitted: false, reason: 'banned' });
    expect(guard.isBanned('198.51.101.1', 'https')).toBeUndefined();
    wait(1000);
    for (const source of banned) expect(guard.isBanned(source, 'https')).toBeUndefined();
  });

  it("what main lifts is lifted here, whoever's ban it was", () => {
    const { guard, fail, push, now } = setUp();
    fail(15);
    push({ bans: [{ address: ip, untilMs: now() + hour, reason: 'x' }] });
    expect(guard.isBanned(ip, 'https')).toBe(hour);
    push({ bans: [] });
    expect(guard.isBanned(ip, 'https')).toBeUndefined();
  });

  it('S-09: forgets the longest silent source when there are too many', () => {
    const { guard, fail } = setUp({ limits: { sourcesMax: 2 } });
    fail(14, '192.0.2.1');
    fail(14, '192.0.2.2');
    fail(1, '192.0.2.3');
    fail(1, '192.0.2.1');
    expect(guard.isBanned('192.0.2.1', 'https')).toBeUndefined();
    fail(13, '192.0.2.1');
    expect(guard.isBanned('192.0.2.1', 'https')).toBeUndefined();
    fail(1, '192.0.2.1');
    expect(guard.isBanned('192.0.2.1', 'https')).toBeDefined();
  });
});

describe('the pace of good logins', () => {
  it('a burst, then one a second for each user and source', () => {
    const { guard, wait } = setUp({ limits: { loginBurst: 3 } });
    const login = (user = 'alice', from = ip) => guard.firstFactorRight(from, user);
    expect([login(), login(), login()]).toEqual([undefined, undefined, undefined]);
    expect(login()).toBe(1000);
    expect(login('bob')).toBeUndefined();
    expect(login('alice', '192.0.2.8')).toBeUndefined();
    wait(1000);
    expect(login()).toBeUndefined();
    expect(login()).toBe(1000);
  });
});

describe('connections', () => {
  it('are limited by source, and given back once', () => {
    const { guard, events } = setUp({ limits: { connectionsPerSourceMax: { https: 2, sftp: 64 } } });
    const first = admitted(guard.admitConnection(ip, 'https'));
    admitted(guard.admitConnection(ip, 'https'));
    expect(guard.admitConnection(ip, 'https')).toMatchObject({ reason: 'too-many-from-source' });
    expect(events.at(-1)?.kind).toBe('limit');
    expect(guard.admitConnection('192.0.2.8', 'https').admitted).toBe(true);
    first.release();
    first.release();
    expect(guard.admitConnection(ip, 'https').admitted).toBe(true);
    expect(guard.admitConnection(ip, 'https').admitted).toBe(false);
  });

  it('S-09: that are refused are told of once a minute for each source, door and limit, not each time', () => {
    const { guard, events, wait } = setUp({ limits: { connectionsPerSourceMax: { https: 0, sftp: 0 } } });
    const refuse = (from: string, door: 'https' | 'sftp') =>
      expect(guard.admitConnection(from, door).admitted).toBe(false);
    for (let time = 0; time < 100; time += 1) refuse(ip, 'https');
    expect(events).toHaveLength(1);
    refuse(ip, 'sftp');
    refuse('192.0.2.8', 'https');
    expect(events).toHaveLength(3);
    wait(minute - 1);
    refuse(ip, 'https');
    expect(events).toHaveLength(3);
    wait(1);
    refuse(ip, 'https');
    expect(events).toHaveLength(4);
  });

  it('S-09: a limit that is nobody in particular is told of once a minute, whoever meets it', () => {
    const { guard, events } = setUp({ limits: { connectionsMax: { https: 0, sftp: 0 } } });
    for (let host = 1; host < 100; host += 1) guard.admitConnection(`192.0.2.${host}`, 'https');
    expect(events.map(({ kind, detail }) => [kind, detail])).toEqual([['limit', 'too-many']]);
  });

  it('with a session are never dropped: a door full of them refuses, trusted sources too', () => {
    const { guard, dropped } = setUp({
      policy: { neverBan: [ip] },
      limits: { connectionsMax: { https: 2, sftp: 2 }, connectionsPerSourceMax: { https: 1, sftp: 1 } },
    });
    const all = [1, 2].map(() => admitted(guard.admitConnection(ip, 'https')));
    for (const one of all) one.authenticated();
    expect(guard.admitConnection(ip, 'https')).toMatchObject({ reason: 'too-many' });
    all[0]?.release();
    admitted(guard.admitConnection(ip, 'https'));
    expect(dropped).toEqual([]);
  });

  it('before their first factor are eight from one source', () => {
    const { guard } = setUp();
    const all = Array.from({ length: 8 }, () => admitted(guard.admitConnection(ip, 'sftp')));
    expect(guard.admitConnection(ip, 'sftp')).toMatchObject({ reason: 'too-many-from-source' });
    all[0]?.authenticated();
    all[0]?.authenticated();
    admitted(guard.admitConnection(ip, 'sftp'));
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(false);
  });

  it('that await a code leave the start-up limit and have their own: 8 a source, 4 a user', () => {
    const { guard } = setUp();
    const connect = () => admitted(guard.admitConnection(ip, 'sftp'));
    const first = connect();
    expect(first.awaitCode('u0')).toBe(true);
    for (let n = 1; n < 4; n += 1) expect(connect().awaitCode('u0')).toBe(true);
    expect(connect().awaitCode('u0')).toBe(false);
    for (let n = 1; n < 5; n += 1) expect(connect().awaitCode(`u${n}`)).toBe(true);
    expect(connect().awaitCode('u7')).toBe(false);
    first.authenticated();
    expect(connect().awaitCode('u7')).toBe(true);
    expect(connect().awaitCode('u8')).toBe(false);
  });

  it('whose wait for a code was refused count as not logged in until they are gone', () => {
    const { guard } = setUp({ limits: { awaitingCodePerUserMax: 0, unauthenticatedPerSourceMax: 2 } });
    const all = [1, 2].map(() => admitted(guard.admitConnection(ip, 'sftp')));
    for (const one of all) expect(one.awaitCode('alice')).toBe(false);
    expect(guard.admitConnection(ip, 'sftp')).toMatchObject({ reason: 'too-many-from-source' });
    all[0]?.release();
    expect(guard.admitConnection(ip, 'sftp').admitted).toBe(true);
  });

  it('leave nothing behind whatever order they end in', () => {
    const { guard } = setUp({ limits: { connectionsPerSourceMax: { https: 256, sftp: 2 } } });
    for (let round = 0; round < 100; round += 1) {
      const one = admitted(guard.admitConnection(ip, 'sftp'));
      const two = admitted(guard.admitConnection(ip, 'sftp'));
      expect(one.awaitCode('a')).toBe(true);
      two.authenticated();
      one.release();
      one.authenticated();
      expect(one.awaitCode('a')).toBe(false);
      two.release();
    }
  });
});

describe('when there is no room', () => {
  const share = { silent: 4, hello: 4, secured: 4, code: 4 };
  const small = { stageMax: { https: share, sftp: share }, connectionsMax: { https: 12, sftp: 12 } };
  const elsewhere = (number: number) => `198.${51 + (number >> 8)}.${number & 255}.1`;

  function fill(guard: ReturnType<typeof setUp>['guard'], count: number, door: Protocol = 'sftp') {
    return Array.from({ length: count }, (_, number) =>
      admitted(guard.admitConnection(elsewhere(number), door)),
    );
  }

  it.each(['https', 'sftp'] as const)('the oldest silent one goes, whoever comes (%s)', (door) => {
    const { guard, dropped, events } = setUp({ limits: small });
    fill(guard, 4, door);
    const first = admitted(guard.admitConnection(ip, door));
    expect(dropped).toEqual([elsewhere(0)]);
    admitted(guard.admitConnection('192.0.3.7', door));
    expect(dropped).toEqual([elsewhere(0), elsewhere(1)]);
    expect(events.map(({ kind, clientIp, detail }) => [kind, clientIp, detail])).toEqual([
      ['limit', elsewhere(0), 'dropped-silent'],
    ]);
    first.release();
  });

  it('whoever shows more makes room among those who have shown as much, and leaves the others alone', () => {
    const { guard, dropped } = setUp({ limits: small });
    const hellos = fill(guard, 4);
    for (const one of hellos) one.reached('hello');
    fill(guard, 4);
    expect(dropped).toEqual([]);
    const late = admitted(guard.admitConnection(ip, 'sftp'));
    expect(dropped).toEqual([elsewhere(0)]);
    late.reached('hello');
    expect(dropped).toEqual([elsewhere(0), elsewhere(0)]);
    late.reached('secured');
    late.reached('hello');
    for (let number = 0; number < 20; number += 1)
      admitted(guard.admitConnection(elsewhere(100 + number), 'sftp')).reached('hello');
    dropped.length = 0;
    late.authenticated();
    for (let number = 0; number < 40; number += 1)
      admitted(guard.admitConnection(elsewhere(200 + number), 'sftp')).reached('secured');
    expect(dropped).not.toContain(ip);
  });

  it('the network with the most there loses one first: a flood pushes out itself', () => {
    const { guard, dropped } = setUp({ limits: small });
    const person = admitted(guard.admitConnection(ip, 'sftp'));
    person.reached('hello');
    person.reached('secured');
    for (let number = 0; number < 50; number += 1) {
      const one = admitted(guard.admitConnection(`2001:db8:0:${number.toString(16)}::1`, 'sftp'));
      one.reached('hello');
      one.reached('secured');
    }
    expect(dropped).toHaveLength(47);
    expect(dropped).not.toContain(ip);
  });

  it('sources with a good login in 30 days have shares of their own, at most 16 of one user', () => {
    const home = '203.0.113.4';
    const { guard, dropped, wait } = setUp({ limits: small });
    guard.signedIn(home, 'alice');
    const one = admitted(guard.admitConnection(home, 'sftp'));
    fill(guard, 100);
    expect(dropped).not.toContain(home);
    one.release();
    wait(30 * 24 * hour - 1);
    const still = admitted(guard.admitConnection(home, 'sftp'));
    fill(guard, 100);
    expect(dropped).not.toContain(home);
    still.release();
    wait(1);
    admitted(guard.admitConnection(home, 'sftp'));
    fill(guard, 100);
    expect(dropped).toContain(home);

    dropped.length = 0;
    for (let number = 0; number < 17; number += 1) guard.signedIn(`192.0.${number}.1`, 'mallory');
    for (const from of ['192.0.0.1', '192.0.1.1']) admitted(guard.admitConnection(from, 'sftp'));
    fill(guard, 100);
    expect(dropped).toContain('192.0.0.1');
    expect(dropped).not.toContain('192.0.1.1');
  });

  it('a door full of sessions and strangers still makes room for a known source, at the cost of a stranger', () => {
    const { guard, dropped } = setUp({ limits: small });
    for (const one of fill(guard, 4)) one.authenticated();
    for (const one of fill(guard, 4)) one.authenticated();
    fill(guard, 3);
    guard.signedIn(ip, 'alice');
    admitted(guard.admitConnection(ip, 'sftp'));
    admitted(guard.admitConnection(ip, 'sftp'));
    expect(dropped).toEqual([elsewhere(0)]);
    for (let times = 0; times < 2; times += 1) admitted(guard.admitConnection(ip, 'sftp'));
    expect(dropped).toEqual([elsewhere(0), elsewhere(1), elsewhere(2)]);
    expect(guard.admitConnection(elsewhere(9), 'sftp')).toMatchObject({ reason: 'too-many' });
    expect(dropped).toHaveLength(3);
  });

  it('a connection that was dropped no longer counts, and is told to go once', () => {
    const { guard, dropped } = setUp({ limits: small });
    const [first] = fill(guard, 4);
    admitted(guard.admitConnection(ip, 'sftp'));
    first?.release();
    first?.reached('hello');
    first?.authenticated();
    expect(first?.awaitCode('alice')).toBe(false);
    for (let number = 0; number < 7; number += 1)
      admitted(guard.admitConnection(elsewhere(number), 'sftp')).authenticated();
    expect(dropped.filter((from) => from === elsewhere(0))).toHaveLength(1);
  });
});

describe('networks around a source', () => {
  const many = (start: number, count: number, name: (number: number) => string) =>
    Array.from({ length: count }, (_, number) => name(start + number));
  const hex = (number: number) => number.toString(16);

  it.each([
    ['an IPv4 /24', 32, (n: number) => `198.51.100.${n}`, '198.51.101.1'],
    ['a /56', 16, (n: number) => `2001:db8:0:a${hex(n).padStart(2, '0')}::1`, '2001:db8:0:b00::1'],
    ['a /48', 32, (n: number) => `2001:db8:0:${hex(n)}00::1`, '2001:db8:1::1'],
  ])(
    '%s has a limit of its own, and a newcomer takes the place of a neighbour',
    (_name, max, name, other) => {
      const { guard, dropped } = setUp();
      const all = many(0, max, name).map((from) => admitted(guard.admitConnection(from, 'sftp')));
      expect(dropped).toEqual([]);
      admitted(guard.admitConnection(other, 'sftp'));
      expect(dropped).toEqual([]);
      admitted(guard.admitConnection(name(max), 'sftp'));
      expect(dropped).toEqual([name(0)]);
      // Nobody has more than this one now.
      expect(guard.admitConnection(name(max), 'sftp')).toMatchObject({ reason: 'too-many-from-network' });
      for (const one of all) one.authenticated();
      expect(guard.admitConnection(name(max), 'sftp').admitted).toBe(true);
    },
  );

  it('one neighbour with eight gives way to each who has none, down to one, and nobody else does', () => {
    const { guard, dropped } = setUp();
    for (const host of [1, 2, 3, 4])
      for (let times = 0; times < 8; times += 1)
        admitted(guard.admitConnection(`198.51.100.${host}`, 'sftp'));
    for (let host = 10; host < 38; host += 1) admitted(guard.admitConnection(`198.51.100.${host}`, 'sftp'));
    expect(dropped).toHaveLength(28);
    for (const host of [1, 2, 3, 4])
      expect(dropped.filter((from) => from === `198.51.100.${host}`)).toHaveLength(7);
  });

  it('connections with a session fill a network too, and then nobody is dropped', () => {
    const { guard, dropped } = setUp({ limits: { connectionsPerSourceMax: { https: 2, sftp: 2 } } });
    for (let host = 0; host < 8; host += 1)
      admitted(guard.admitConnection(`198.51.100.${host}`, 'https')).authenticated();
    expect(guard.admitConnection('198.51.100.9', 'https')).toMatchObject({ reason: 'too-many-from-network' });
    expect(guard.admitConnection('198.51.101.9', 'https').admitted).toBe(true);
    expect(dropped).toEqual([]);
  });
});

describe('what an admin is told of an address', () => {
  const share = { silent: 1, hello: 1, secured: 1, code: 1 };
  const reach = (one: Admission, stage: 'hello' | 'secured') => one.reached(stage);
  const situations: Readonly<
    Record<Exclude<DoorFinding['what'], 'session-questions'>, () => ReturnType<typeof setUp>>
  > = {
    'never-ban': () => setUp({ policy: { neverBan: [ip] } }),
    'known-source': () => within(({ guard }) => guard.signedIn(ip, 'alice')),
    'banned-failures': () => within(({ fail }) => fail(15)),
    'banned-malformed': () =>
      within(({ guard }) => {
        for (let time = 0; time < 20; time += 1) guard.malformed(ip, 'sftp', 'x');
      }),
    'banned-policy': () =>
      within(({ push, now }) => push({ bans: [{ address: ip, untilMs: now() + hour, reason: 'x' }] })),
    'failed-logins': () => within(({ fail }) => fail(3)),
    breaches: () => within(({ guard }) => guard.malformed(ip, 'sftp', 'x')),
    'login-pace': () =>
      within(({ guard }) => {
        for (let time = 0; time < 61; time += 1) guard.firstFactorRight(ip, 'alice');
      }),
    'passwords-throttled': () => within(({ guard }) => guard.turnedAway(ip, 'alice', 'name', 10_000)),
    connections: () =>
      within(({ guard }) => admitted(guard.admitConnection(ip, 'sftp')).authenticated(), {
        connectionsPerSourceMax: { https: 1, sftp: 1 },
      }),
    unauthenticated: () =>
      within(({ guard }) => {
        for (let time = 0; time < 8; time += 1) admitted(guard.admitConnection(ip, 'sftp'));
      }),
    'awaiting-code': () =>
      within(({ guard }) => {
        for (let time = 0; time < 4; time += 1)
          void admitted(guard.admitConnection(ip, 'sftp')).awaitCode('alice');
      }),
    'stage-full': () =>
      within(({ guard }) => reach(admitted(guard.admitConnection('192.0.3.1', 'sftp')), 'hello'), {
        stageMax: { https: share, sftp: share },
      }),
    'door-full': () =>
      within(({ guard }) => admitted(guard.admitConnection('192.0.3.1', 'sftp')).authenticated(), {
        connectionsMax: { https: 1, sftp: 1 },
      }),
  };
  function within(arrange: (rig: ReturnType<typeof setUp>) => void, limits: Partial<GuardLimits> = {}) {
    const rig = setUp({ limits });
    arrange(rig);
    return rig;
  }
  const harmless = ['never-ban', 'known-source', 'failed-logins', 'breaches'];

  it('is every reason there is: no list is longer', () => {
    expect([...Object.keys(situations), 'session-questions'].toSorted()).toEqual(doorFindings.toSorted());
  });

  it.each(Object.entries(situations))('%s is found where it is, and nowhere else', (what, arrange) => {
    const found = arrange()
      .ask({ user: 'alice', protocol: 'sftp' })
      .find((one) => one.what === what && (one.acts || harmless.includes(what)));
    expect(found).toMatchObject({ what });
    expect(
      setUp()
        .ask({ user: 'alice', protocol: 'sftp' })
        .some((one) => one.what === what && one.acts),
    ).toBe(false);
  });

  it('says when it ends, to the millisecond', () => {
    const { ask, fail, now, wait } = setUp();
    fail(15);
    const until = now() + 15 * minute;
    expect(ask()).toContainEqual({ what: 'banned-failures', protocol: 'https', untilMs: until, acts: true });
    expect(ask()).toContainEqual({ what: 'banned-failures', protocol: 'sftp', untilMs: until, acts: true });
    wait(15 * minute);
    expect(ask().some(({ what }) => what === 'banned-failures')).toBe(false);
  });

  describe('is all that there is, each with its numbers', () => {
    const idle = (what: string, protocol: Protocol, max: number, of?: string) => ({
      what,
      protocol,
      ...(of !== undefined && { of }),
      count: 0,
      max,
      acts: false,
    });
    const https = [
      idle('connections', 'https', 256, ip),
      idle('connections', 'https', 1_024, '192.0.2.0/24'),
      idle('door-full', 'https', 4_096),
    ];
    const sftp = (awaiting: readonly object[]) => [
      idle('connections', 'sftp', 64, ip),
      idle('unauthenticated', 'sftp', 8, ip),
      idle('connections', 'sftp', 256, '192.0.2.0/24'),
      idle('unauthenticated', 'sftp', 32, '192.0.2.0/24'),
      ...awaiting,
      idle('door-full', 'sftp', 2_048),
    ];
    const ofSource = idle('awaiting-code', 'sftp', 8, ip);
    const ofUser = (user: string) => idle('awaiting-code', 'sftp', 4, user);

    it('of an address that nobody has seen', () => {
      const { ask } = setUp();
      expect(ask()).toEqual([...https, ...sftp([ofSource])]);
      expect(ask({ protocol: 'sftp', user: 'alice' })).toEqual(sftp([ofSource, ofUser('alice')]));
      expect(ask({ protocol: 'https', user: 'alice' })).toEqual(https);
    });

    it('of one that is busy', () => {
      const { guard, ask, now, wait, fail } = setUp({ limits: { loginBurst: 2 } });
      // All of these failures but the last are forgotten by the end.
      for (const laterMs of [minute, 9 * minute, minute]) {
        fail(1, ip, 'carol');
        wait(laterMs);
      }
      guard.signedIn(ip, 'alice');
      guard.malformed(ip, 'sftp', 'x');
      guard.firstFactorRight(ip, 'bob');
      for (let time = 0; time < 3; time += 1) guard.firstFactorRight(ip, 'alice');
      guard.turnedAway(ip, 'alice', 'name', 1);
      const common = [
        { what: 'known-source', acts: false },
        { what: 'failed-logins', count: 1, untilMs: now() + 9 * minute, max: 15, acts: false },
      ];
      const breaches = {
        what: 'breaches',
        protocol: 'sftp',
        count: 1,
        untilMs: now() + 10 * minute,
        max: 20,
        acts: false,
      };
      expect(ask({ user: 'alice' })).toEqual([
        ...common,
        { what: 'login-pace', of: 'alice', untilMs: now() + 1_000, acts: true },
        { what: 'passwords-throttled', untilMs: now() + 1, acts: true },
        ...https,
        breaches,
        ...sftp([ofSource, ofUser('alice')]),
      ]);
      expect(ask({ user: 'bob' })).toEqual([
        ...common,
        ...https,
        breaches,
        ...sftp([ofSource, ofUser('bob')]),
      ]);
    });
  });

  it('says of a stage that is full whose share of it is', () => {
    for (const isKnown of [false, true]) {
      const { guard, ask } = setUp({ limits: { stageMax: { https: share, sftp: share } } });
      if (isKnown) guard.signedIn(ip, 'alice');
      admitted(guard.admitConnection(ip, 'sftp')).reached('hello');
      expect(ask({ protocol: 'sftp' }).filter(({ what }) => what === 'stage-full')).toEqual([
        {
          what: 'stage-full',
          protocol: 'sftp',
          of: `hello, ${isKnown ? 'known sources' : 'strangers'}`,
          count: 1,
          max: 1,
          acts: true,
        },
      ]);
    }
  });

  it('counts by each network around it', () => {
    const { guard, ask } = setUp();
    for (const from of ['2001:db8:0:1::1', '2001:db8:0:2::1', '2001:db8:0:100::1'])
      admitted(guard.admitConnection(from, 'sftp'));
    const found = ask({ ip: '2001:db8:0:1::9', protocol: 'sftp' }).filter(
      ({ what }) => what === 'unauthenticated',
    );
    expect(found.map(({ of, count, max }) => [of, count, max])).toEqual([
      ['2001:db8:0:1::/64', 1, 8],
      ['2001:db8:0:0::/56', 2, 16],
      ['2001:db8:0::/48', 3, 32],
    ]);
  });
});

describe('a guard that is closed', () => {
  it('listens to the link no more', () => {
    const { guard, listeners } = setUp();
    expect(listeners.size).toBe(2);
    guard.close();
    expect(listeners.size).toBe(0);
  });
});
