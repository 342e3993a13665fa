import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Challenges } from '#main-agent/login/challenges.ts';
import { ProbeBudget } from '#main-agent/login/probe-budget.ts';
import { TurnedAway } from '#main-agent/login/turned-away.ts';
import type * as Limits from '#main-agent/login/limits.ts';
import {
  challengePortsMax,
  challengesMax,
  challengesPerUserMax,
  probesBurst,
  probesPerSecond,
  throttledToldEveryMs,
} from '#main-agent/login/limits.ts';
import { refusal } from './rig.ts';

/** What main remembers between the steps of a login: how much, and for how long. */

// Each that begins looks at all there are: as many as in life would take ten seconds.
vi.mock('#main-agent/login/limits.ts', async (original) => ({
  ...(await original<typeof Limits>()),
  challengesMax: 200,
}));

let nowMs: number;
const clock = { now: () => nowMs, monotonic: () => nowMs };
beforeEach(() => {
  nowMs = 1_000;
});

describe('logins under way', () => {
  const client = { ip: '203.0.113.9', port: 1, agent: 'test' };
  let challenges: Challenges;
  beforeEach(() => {
    challenges = new Challenges(clock);
  });

  const open = (username = 'alice', lifeMs = 60_000) =>
    challenges.open({
      node: 'dmz1',
      username,
      shownName: username,
      factor: 'pwd',
      credential: 'password:x',
      protocol: 'https',
      listener: 'https',
      clientIp: client.ip,
      clientPort: client.port,
      agent: client.agent,
      next: { kind: 'setup' },
      enclosedCode: undefined,
      takeBack: [],
      beganAtMs: nowMs,
      attemptsLeft: 5,
      lifeMs,
    });
  const isThere = (id: string, node = 'dmz1'): boolean => {
    try {
      challenges.require(id, node);
      return true;
    } catch {
      return false;
    }
  };

  it('S-14: are the node’s that began them, until their life is over, and are forgotten then', () => {
    const { id } = open();
    nowMs += 59_999;
    expect(isThere(id)).toBe(true);
    expect(isThere(id, 'dmz2')).toBe(false);
    expect(isThere('A'.repeat(43))).toBe(false);
    expect(challenges.size).toBe(1);
    nowMs += 1;
    expect(isThere(id)).toBe(false);
    expect(challenges.size).toBe(0);
  });

  it('tell how long they still are, and never less than nothing', () => {
    const record = open();
    expect(challenges.leftMs(record)).toBe(60_000);
    nowMs += 60_001;
    expect(challenges.leftMs(record)).toBe(0);
  });

  it('S-04: go on from the same address and client only, over so many of its connections', async () => {
    const record = open();
    for (const other of [{ ip: '203.0.113.10' }, { agent: 'other' }]) {
      const resumed = Promise.try(() => challenges.resume(record.id, 'dmz1', { ...client, ...other }));
      expect((await refusal(resumed)).code).toBe('challenge-gone');
    }
    for (let port = 2; port <= challengePortsMax; port += 1)
      challenges.resume(record.id, 'dmz1', { ...client, port });
    expect([...record.clientPorts]).toEqual(
      Array.from({ length: challengePortsMax }, (_, index) => index + 1),
    );
    // Seen again, the first one is the newest.
    challenges.resume(record.id, 'dmz1', client);
    challenges.resume(record.id, 'dmz1', { ...client, port: 99 });
    expect(record.clientPorts.size).toBe(challengePortsMax);
    expect([record.clientPorts.has(1), record.clientPorts.has(2), record.clientPorts.has(99)]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('S-09: of one user are so many; the next takes the place of that user’s oldest', () => {
    const bobs = open('bob');
    const [oldest, ...others] = Array.from({ length: challengesPerUserMax }, () => open());
    expect(isThere(oldest?.id ?? '')).toBe(true);
    open();
    expect(isThere(oldest?.id ?? '')).toBe(false);
    for (const { id } of [bobs, ...others]) expect(isThere(id)).toBe(true);
    expect(challenges.size).toBe(challengesPerUserMax + 1);
  });

  it('S-09: of everybody are so many; one more is told to come back, unless some are over', async () => {
    const short = open('short', 1_000);
    for (let number = 1; number < challengesMax; number += 1) open(`user-${number}`);
    nowMs += 999;
    const error = await refusal(Promise.try(() => open()));
    expect([error.code, error.data]).toEqual(['busy', { retryAfterMs: 5_000 }]);
    expect(isThere(short.id)).toBe(true);
    nowMs += 1;
    expect(isThere(open().id)).toBe(true);
    expect((await refusal(Promise.try(() => open()))).code).toBe('busy');
  });

  it('end one by one, by user, or as they are meant', () => {
    const records = [open(), open(), open('bob'), open('carol')];
    const there = () => records.map(({ id }) => isThere(id));
    challenges.end(records[0]?.id ?? '');
    expect(there()).toEqual([false, true, true, true]);
    challenges.endAllOf('alice');
    expect(there()).toEqual([false, false, true, true]);
    challenges.endWhere(({ username }) => username === 'bob');
    expect(there()).toEqual([false, false, false, true]);
  });
});

describe('questions about keys', () => {
  it('S-09: of a node are so many at once and so many a second, and none of another node', async () => {
    let atMs = 0;
    const probes = new ProbeBudget(() => atMs);
    expect(probes.leftOf('dmz1')).toBe(probesBurst);
    for (let number = 0; number < probesBurst; number += 1) probes.take('dmz1');
    const error = await refusal(Promise.try(() => probes.take('dmz1')));
    expect([error.code, error.data]).toEqual(['rate-limited', { retryAfterMs: 1_000 }]);
    probes.take('dmz2');
    expect(probes.leftOf('dmz2')).toBe(probesBurst - 1);
    atMs = 1_000 / probesPerSecond;
    probes.take('dmz1');
    expect((await refusal(Promise.try(() => probes.take('dmz1')))).code).toBe('rate-limited');
    atMs += 1_000;
    expect(probes.leftOf('dmz1')).toBe(probesPerSecond);
    atMs += 1_000_000;
    expect(probes.leftOf('dmz1')).toBe(probesBurst);
  });
});

describe('tries that a throttle turned away', () => {
  it('are told of at once, and then as one number a minute, each scope by itself', () => {
    const turnedAway = new TurnedAway(clock);
    expect([turnedAway.count('a'), turnedAway.count('a'), turnedAway.count('b')]).toEqual([1, undefined, 1]);
    nowMs += throttledToldEveryMs - 1;
    expect(turnedAway.count('a')).toBeUndefined();
    nowMs += 1;
    expect(turnedAway.count('a')).toBe(3);
    expect(turnedAway.count('a')).toBeUndefined();
    expect(turnedAway.count('b')).toBe(1);
  });
});
