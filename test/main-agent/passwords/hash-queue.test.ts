import { describe, expect, it } from 'vitest';
import { HashQueue, type NoTurn } from '#main-agent/passwords/hash-queue.ts';
import { Asker } from '#shared/link/asker.ts';
import {
  hashesWaitingMax,
  hashesWaitingPerSourceMax,
  overloadRetryMsMin,
  patienceShare,
} from '#main-agent/passwords/limits.ts';
import { refusal, settle } from '../login/rig.ts';

/** Work that ends when told; `started` lists who got a turn, in order. */
function play(atOnceMax: number) {
  const time = { ms: 0 };
  const clock = { monotonic: () => time.ms };
  const without: (readonly [string, NoTurn])[] = [];
  const queue = new HashQueue({
    atOnceMax,
    clock,
    random: () => 0,
    onNoTurn: ({ clientIp }, why) => void without.push([clientIp, why]),
  });
  const started: string[] = [];
  const finish: (() => void)[] = [];
  const outcomes: Promise<string>[] = [];
  const ask = (
    name: string,
    clientIp: string,
    { node = 'dmz1', known = false, asker = undefined as Asker | undefined } = {},
  ): Promise<string> => {
    const turn = queue.run({ node, clientIp, known, asker }, () => {
      started.push(name);
      return new Promise<string>((resolve) => void finish.push(() => resolve(name)));
    });
    turn.catch(() => undefined);
    outcomes.push(turn);
    return turn;
  };
  const waits = (patienceMs: number): Asker => new Asker(clock, patienceMs);
  /** Ends the turn that began first, after so many ms. */
  const endOne = async (ms = 0): Promise<void> => {
    time.ms += ms;
    finish.shift()?.();
    await settle();
  };
  const endAll = async (): Promise<void> => {
    for (let turns = 0; turns < 2 * hashesWaitingMax && finish.length > 0; turns += 1) await endOne();
    await Promise.allSettled(outcomes);
  };
  /** One turn that took so long, so that the queue knows what a turn takes. */
  const measure = async (ms: number): Promise<void> => {
    void ask('measured', 'measured');
    await settle();
    await endOne(ms);
    started.length = 0;
  };
  return { queue, time, ask, waits, started, without, endOne, endAll, measure };
}

describe('turns at the hash', () => {
  it('two at once, the rest wait, and nobody slips in between', async () => {
    const { ask, started, endOne, endAll } = play(2);
    for (const name of ['1', '2', '3']) void ask(name, 'a');
    await settle();
    expect(started).toEqual(['1', '2']);
    const ended = endOne();
    void ask('4', 'b');
    await ended;
    expect(started).toEqual(['1', '2', '3']);
    await endAll();
  });

  it('S-09: a flood from one address or node delays itself, and who was here before goes first', async () => {
    const { ask, started, endAll } = play(1);
    void ask('first', 'flood');
    for (const name of ['f1', 'f2', 'f3']) void ask(name, 'flood');
    void ask('other', 'other');
    void ask('other node', 'flood', { node: 'dmz2' });
    void ask('known', 'home', { known: true });
    await endAll();
    expect(started).toEqual(['first', 'known', 'other node', 'f1', 'other', 'f2', 'f3']);
  });

  it('a node that says that everybody was here before takes no turn from another node', async () => {
    const { ask, started, endAll } = play(1);
    void ask('first', 'a');
    for (let number = 0; number < 6; number += 1) void ask('evil', `home ${number}`, { known: true });
    for (let number = 0; number < 3; number += 1) void ask('honest', `new ${number}`, { node: 'dmz2' });
    await endAll();
    expect(started.slice(1, 7)).toEqual(['evil', 'honest', 'evil', 'honest', 'evil', 'honest']);
  });

  it('one turn in four is a stranger’s, however many wait who were here before', async () => {
    const { ask, started, endAll } = play(1);
    void ask('first', 'a');
    for (let number = 0; number < 8; number += 1) void ask('known', 'home', { known: true });
    for (let number = 0; number < 2; number += 1) void ask('stranger', `new ${number}`);
    await endAll();
    const turns = started.slice(1, 9).join(' ');
    expect(turns).toBe('known known known stranger known known known stranger');
  });

  it('whoever changes addresses within their own /56 is one', async () => {
    const { ask, started, endAll } = play(1);
    void ask('first', 'a');
    for (let number = 0; number < 3; number += 1) void ask('flood', `2001:db8:0:1${number}::1`);
    void ask('neighbour', '2001:db8:0:200::1');
    await endAll();
    expect(started).toEqual(['first', 'flood', 'neighbour', 'flood', 'flood']);
  });

  it('S-09: so many wait for one source; the next takes the place of its oldest and goes first', async () => {
    const { ask, started, without, endOne, endAll } = play(1);
    void ask('running', 'a');
    const oldest = ask('oldest', 'a');
    for (let waiting = 1; waiting < hashesWaitingPerSourceMax; waiting += 1) void ask('w', 'a');
    await settle();
    expect(without).toEqual([]);
    void ask('newest', 'a');
    expect((await refusal(oldest)).code).toBe('busy');
    expect(without).toEqual([['a', 'refused']]);
    await endOne();
    expect(started).toEqual(['running', 'newest']);
    await endAll();
  });

  it('S-09: so many strangers wait in all; half of the room is for who was here before', async () => {
    const { ask, queue, endAll } = play(1);
    void ask('running', 'a');
    for (let waiting = 0; waiting < hashesWaitingMax / 2; waiting += 1) void ask('w', `source ${waiting}`);
    expect((await refusal(ask('stranger', 'new'))).code).toBe('busy');
    for (let waiting = 0; waiting < hashesWaitingMax / 2; waiting += 1)
      void ask('known', `home ${waiting}`, { known: true });
    expect(queue.waiting).toBe(hashesWaitingMax);
    expect((await refusal(ask('stranger', 'new'))).code).toBe('busy');
    await endAll();
    expect(queue.waiting).toBe(0);
  });

  it('where there is no room whoever has most of it gives way, another node before one’s own', async () => {
    const { ask, without, queue, endAll } = play(1);
    void ask('running', 'a');
    for (let waiting = 0; waiting < hashesWaitingMax / 2; waiting += 1) {
      const source = waiting < hashesWaitingPerSourceMax ? 'flood' : `evil ${waiting}`;
      void ask('w', source, { node: 'evil' });
    }
    void ask('honest', 'new');
    expect(without).toEqual([['flood', 'refused']]);
    void ask('another of the same node', 'few', { node: 'evil' });
    expect(without).toEqual([
      ['flood', 'refused'],
      ['flood', 'refused'],
    ]);
    expect(queue.waiting).toBe(hashesWaitingMax / 2);
    await endAll();
  });

  it('failed work gives its place on', async () => {
    const { queue } = play(1);
    const turn = { node: 'dmz1', clientIp: 'a', known: false };
    await expect(queue.run(turn, () => Promise.reject(new Error('no memory')))).rejects.toThrow('no memory');
    expect(await queue.run(turn, async () => 1)).toBe(1);
  });
});

describe('more logins than main can hash', () => {
  const turnMs = 1_000;
  /** Who waits at most for a turn that ends in `turns` turns. */
  const patienceOf = (turns: number): number => (turns * turnMs) / patienceShare;

  it('whoever would wait too long is told at once, and when to come back', async () => {
    const { ask, waits, measure, without, started, endAll } = play(1);
    await measure(turnMs);
    void ask('running', 'a');
    for (let number = 1; number < 5; number += 1)
      void ask('in time', `source ${number}`, { asker: waits(patienceOf(5)) });
    const error = await refusal(ask('late', 'source 5', { asker: waits(patienceOf(5) - 1) }));
    expect(error).toMatchObject({ code: 'busy', data: { retryAfterMs: 5 * turnMs } });
    expect(without).toEqual([['source 5', 'refused']]);
    // Behind a long line of somebody else nobody waits: turns go round.
    for (let number = 0; number < 10; number += 1) void ask('flood', 'flood', { asker: waits(1e9) });
    void ask('in time', 'source 6', { asker: waits(patienceOf(7)) });
    await endAll();
    expect(started.filter((name) => name === 'in time')).toHaveLength(5);
  });

  it('the newest of a source goes before those who would wait too long', async () => {
    const { ask, waits, measure, started, endOne, endAll } = play(1);
    await measure(turnMs);
    void ask('running', 'a');
    const asker = (): Asker => waits(patienceOf(2));
    const first = ask('first', 'a', { asker: asker() });
    void ask('second', 'a', { asker: asker() });
    void ask('third', 'a', { asker: asker() });
    expect((await refusal(first)).code).toBe('busy');
    await endOne();
    expect(started).toEqual(['running', 'third']);
    await endAll();
  });

  it('nobody’s turn comes who gave up, or whose answer would come too late', async () => {
    const { ask, waits, measure, started, without, queue, time, endOne, endAll } = play(1);
    await measure(turnMs);
    void ask('running', 'a');
    const leaver = waits(patienceOf(9));
    const left = ask('left', 'b', { asker: leaver });
    const expired = ask('expired', 'c', { asker: waits(patienceOf(9)) });
    leaver.giveUp();
    expect((await refusal(left)).code).toBe('deadline');
    expect(queue.waiting).toBe(1);
    time.ms += patienceOf(9) - turnMs;
    void ask('in time', 'd', { asker: waits(1e9) });
    await endOne();
    expect((await refusal(expired)).code).toBe('busy');
    expect(started).toEqual(['running', 'in time']);
    expect(without).toEqual([
      ['b', 'gone'],
      ['c', 'gone'],
    ]);
    await endAll();
    expect((await refusal(ask('too late', 'a', { asker: waits(0) }))).code).toBe('deadline');
  });

  it('what a turn takes follows what turns take, and one that takes longer counts already', async () => {
    const { ask, queue, time, measure, endAll } = play(1);
    await measure(100);
    expect(queue.turnMs).toBe(100);
    void ask('slow', 'a');
    await settle();
    time.ms += 700;
    expect(queue.turnMs).toBe(700);
    await endAll();
    expect(queue.turnMs).toBe(220);
    for (let turns = 0; turns < 20; turns += 1) await measure(100);
    expect(queue.turnMs).toBeLessThan(105);
  });

  it('is served as fast as main can for all of a rush of twice as many, and the rush leaves nothing behind', async () => {
    const { ask, waits, measure, started, time, queue, endOne, endAll } = play(1);
    await measure(turnMs);
    const rushTurns = 200;
    void ask('rush', 'source');
    for (let turn = 0; turn < rushTurns; turn += 1) {
      for (const half of [0, 1]) {
        void ask('rush', `10.0.${turn}.${half}`, { asker: waits(20_000) });
        time.ms += turnMs / 2;
      }
      await endOne();
    }
    expect(started.length).toBe(rushTurns + 1);
    expect(queue.expectedMs).toBeLessThanOrEqual(20_000 * patienceShare + turnMs);
    void endAll();
  });

  it('a turn that took for ever once does not shut everybody out for ever', async () => {
    const { ask, waits, measure, started, endAll } = play(1);
    await measure(60_000);
    void ask('one', 'a', { asker: waits(20_000) });
    expect(
      (await refusal(ask('two', 'b', { asker: waits(20_000) }))).data?.retryAfterMs,
    ).toBeGreaterThanOrEqual(overloadRetryMsMin);
    await endAll();
    expect(started).toEqual(['one']);
    for (let turns = 0; turns < 30; turns += 1) await measure(10);
    void ask('one', 'a', { asker: waits(20_000) });
    void ask('two', 'b', { asker: waits(20_000) });
    await endAll();
    expect(started).toEqual(['one', 'two']);
  });
});
