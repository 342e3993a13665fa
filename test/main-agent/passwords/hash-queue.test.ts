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
function play(atOnceMax: number, random = 0) {
  const time = { ms: 0 };
  const clock = { monotonic: () => time.ms };
  const without: (readonly [string, NoTurn])[] = [];
  const queue = new HashQueue({
    atOnceMax,
    clock,
    random: () => random,
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
    // The one that went first is not the oldest.
    const newest = [ask('newer', 'a'), ask('newest of all', 'a')];
    for (let turns = 0; turns < 3; turns += 1) await endOne();
    expect(started).toEqual(['running', 'newest of all', 'newer', 'newest']);
    void newest;
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

  it('where everybody has a little, nobody gives way; of one’s own source the oldest does', async () => {
    const { ask, without, endAll } = play(1);
    void ask('running', 'a');
    const fill = (count: number, node: string, source: string): void => {
      for (let number = 0; number < count; number += 1) void ask('w', `${source} ${number}`, { node });
    };
    // 64 of either node: three of one source, two of another, one each of the rest.
    for (let number = 0; number < 3; number += 1) void ask('w', 'three');
    for (let number = 0; number < 2; number += 1) void ask('w', 'two');
    fill(59, 'dmz1', 'one');
    fill(64, 'dmz2', 'there');
    expect(without).toEqual([]);
    // Three are more than the two that it would have, and than one; not more than the three.
    void ask('w', 'one 7');
    expect(without.splice(0)).toEqual([['three', 'refused']]);
    void ask('w', 'two');
    expect(without.splice(0)).toEqual([['two', 'refused']]);
    expect((await refusal(ask('w', 'new', { node: 'dmz2' }))).code).toBe('busy');
    expect(without.splice(0)).toEqual([['new', 'refused']]);
    // A third node has more than one less than either.
    void ask('w', 'new', { node: 'dmz3' });
    expect(without).toHaveLength(1);
    expect(without[0]?.[0]).not.toBe('new');
    await endAll();
  });

  it('another node gives way from two more than one’s own would have', async () => {
    for (const [own, other, givesWay] of [
      [63, 65, 'there'],
      [64, 64, 'here'],
    ] as const) {
      const { ask, without, endAll } = play(1);
      void ask('running', 'a');
      for (let number = 0; number < own; number += 1) void ask('w', 'here');
      for (let number = 0; number < other; number += 1)
        void ask('w', number === 64 ? 'there 2' : 'there', { node: 'dmz2' });
      void ask('w', 'here too');
      expect(without).toEqual([[givesWay, 'refused']]);
      await endAll();
    }
  });

  it('for who was here before strangers give way, and others who were only where no strangers wait', async () => {
    const { ask, queue, without, endAll } = play(1);
    const known = { known: true };
    void ask('running', 'a');
    for (let number = 0; number < hashesWaitingMax / 2; number += 1) {
      void ask('w', number < 3 ? 'strange' : `strange ${number}`);
      void ask('w', number < 4 ? 'home' : `home ${number}`, known);
    }
    expect(queue.waiting).toBe(hashesWaitingMax);
    void ask('w', 'new home', known);
    expect(without.splice(0)).toEqual([['strange', 'refused']]);
    expect(queue.waiting).toBe(hashesWaitingMax);
    await endAll();

    const full = play(1);
    void full.ask('running', 'a');
    for (let number = 0; number < hashesWaitingMax; number += 1)
      void full.ask('w', number < 4 ? 'home' : `home ${number}`, known);
    void full.ask('w', 'new home', known);
    expect(full.without).toEqual([['home', 'refused']]);
    await full.endAll();
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

  /** The least of turns that a newcomer must have patience for to be taken in; and the turn it has in the end. */
  async function placeOf(
    arrange: (ask: ReturnType<typeof play>['ask']) => void,
    newcomer: { readonly source: string; readonly known?: boolean; readonly node?: string },
  ): Promise<{ readonly told: number; readonly had: number }> {
    const { ask, waits, measure, started, without, endAll } = play(1);
    await measure(turnMs);
    void ask('running', 'running');
    arrange(ask);
    const { source, known = false, node = 'dmz1' } = newcomer;
    let told = 0;
    for (let isIn = false; !isIn; isIn = without.length === 0) {
      told += 1;
      without.length = 0;
      void ask('newcomer', source, { known, node, asker: waits(patienceOf(told)) });
      expect(told).toBeLessThan(50);
    }
    await endAll();
    return { told, had: started.indexOf('newcomer') };
  }

  const known = { known: true };
  const times = (count: number, work: (number: number) => void): void => {
    for (let number = 0; number < count; number += 1) work(number);
  };
  const arrangements: [string, ...Parameters<typeof placeOf>, number][] = [
    ['nobody', () => undefined, { source: 'me' }, 1],
    [
      'long lines, of each of which one goes before it',
      (ask) => times(6, (n) => void ask('w', `s${n % 2}`)),
      { source: 'me' },
      3,
    ],
    [
      'strangers, of whom none goes before who was here before',
      (ask) => times(6, (n) => void ask('w', `s${n}`)),
      { source: 'me', ...known },
      1,
    ],
    [
      'four who were here before and strangers, of whom one has a turn among them',
      (ask) => {
        times(4, (n) => void ask('w', `k${n}`, known));
        times(5, (n) => void ask('w', `s${n}`));
      },
      { source: 'me', ...known },
      6,
    ],
    [
      'six who were here before and one stranger',
      (ask) => {
        times(6, (n) => void ask('w', `k${n}`, known));
        void ask('w', 's');
      },
      { source: 'me', ...known },
      8,
    ],
    [
      'two strangers and a few who were here before, all of whom go first',
      (ask) => {
        times(7, (n) => void ask('w', `k${n}`, known));
        times(2, (n) => void ask('w', `s${n}`));
      },
      { source: 'me' },
      10,
    ],
    [
      'two strangers and many who were here before, who have three turns of four',
      (ask) => {
        times(20, (n) => void ask('w', `k${n}`, known));
        times(2, (n) => void ask('w', `s${n}`));
      },
      { source: 'me' },
      12,
    ],
    [
      'one of its node and two other nodes, which take turns with it as long as they have anybody',
      (ask) => {
        void ask('w', 's');
        times(3, (n) => void ask('w', `there ${n}`, { node: 'dmz2' }));
        times(2, (n) => void ask('w', `known there ${n}`, { node: 'dmz2', ...known }));
        void ask('w', 'elsewhere', { node: 'dmz3' });
      },
      { source: 'me' },
      5,
    ],
  ];
  it.each(arrangements)(
    'who comes behind %s is taken in if it waits as long as that takes, and has that turn at the latest',
    async (name, arrange, newcomer, turns) => {
      const { told, had } = await placeOf(arrange, newcomer);
      expect(told).toBe(turns);
      // Between nodes it may be one sooner: whose turn is next is not reckoned.
      expect([turns, name.includes('other nodes') ? turns - 1 : turns]).toContain(had);
    },
  );

  it('the end of a line is good enough for who waits as long as it takes, and nobody gives way then', async () => {
    for (const [patience, givesWay] of [
      [patienceOf(6), false],
      [patienceOf(6) - 1, true],
    ] as const) {
      const { ask, waits, measure, without, endAll } = play(1);
      await measure(turnMs);
      void ask('running', 'running');
      times(2, () => void ask('w', 'me'));
      times(5, () => void ask('w', 'other'));
      void ask('w', 'me', { asker: waits(patience) });
      expect(without).toEqual(givesWay ? [['me', 'refused']] : []);
      await endAll();
    }
  });

  it('two places at once take two turns in the time of one', async () => {
    const { ask, queue, measure, endAll } = play(2);
    await measure(turnMs);
    expect(queue.expectedMs).toBe(turnMs);
    times(3, (number) => void ask('w', `s${number}`));
    await settle();
    expect([queue.waiting, queue.expectedMs]).toEqual([1, turnMs]);
    void ask('w', 's4');
    expect(queue.expectedMs).toBe(2 * turnMs);
    expect(queue.served).toBe(1);
    await endAll();
    expect(queue.served).toBe(5);
  });

  it('a turn is not for who waits exactly as long as it takes', async () => {
    const { ask, waits, measure, started, without, time, endAll, endOne } = play(1);
    await measure(turnMs);
    void ask('running', 'a');
    void ask('just not', 'b', { asker: waits(patienceOf(4)) });
    void ask('just', 'c', { asker: waits(patienceOf(4) + 1) });
    time.ms += patienceOf(4) - turnMs;
    // What this one took is one of the latest, so for both the turns became longer.
    await endOne();
    expect(started).toEqual(['running']);
    expect(without).toEqual([
      ['b', 'gone'],
      ['c', 'gone'],
    ]);
    await endAll();
  });

  it('who found no room is told to come back after the line as it is, spread, between two seconds and a minute', async () => {
    for (const [took, random, retryAfterMs] of [
      [100, 0.5, 3_000],
      [100, 1 / 3, 2_667],
      [10_000, 0.5, 15_000],
      [50_000, 0.5, 60_000],
    ] as const) {
      const { ask, waits, measure, endAll } = play(1, random);
      await measure(took);
      void ask('running', 'a');
      await settle();
      const { data } = await refusal(ask('w', 'b', { asker: waits(took) }));
      expect(data).toEqual({ retryAfterMs });
      await endAll();
    }
  });
});
