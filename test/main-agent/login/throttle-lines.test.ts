import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ThrottleLines } from '#main-agent/login/throttle-lines.ts';
import { Asker } from '#shared/link/asker.ts';
import { refusal } from './rig.ts';

const everyMs = 1_000;
const limit = { scope: 'node', everyMs };

describe('turns at a throttle', () => {
  let lines: ThrottleLines;
  let through: string[];
  /** How far the clock is ahead of the timers: they come late on a busy machine. */
  let aheadMs: number;
  const clock = { monotonic: () => Date.now() + aheadMs };
  beforeEach(() => {
    vi.useFakeTimers();
    aheadMs = 0;
    lines = new ThrottleLines(clock);
    through = [];
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  function ask(source: string, { name = source, patienceMs = 20_000, of = limit, node = 'dmz1' } = {}) {
    const asker = new Asker(clock, patienceMs);
    const turn = lines.enter(of, { node, source, name, asker });
    turn.then(
      () => through.push(name),
      () => undefined,
    );
    return { turn, asker };
  }
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it('one is let through at once, the next after the interval', async () => {
    ask('a');
    ask('b');
    await pass(everyMs - 1);
    expect(through).toEqual(['a']);
    await pass(1);
    expect(through).toEqual(['a', 'b']);
    await pass(10 * everyMs);
    ask('c');
    await pass(0);
    expect(through).toEqual(['a', 'b', 'c']);
  });

  it('whoever tries five times a second slows itself down and nobody else', async () => {
    let turnedAway = 0;
    const hadNextTurn: boolean[] = [];
    for (let time = 0; time < 100; time += 1) {
      ask('flood', { name: `user-${time}` }).turn.catch(() => (turnedAway += 1));
      if (time % 20 === 10) ask('somebody', { name: `new ${time}` });
      if (time % 20 === 15) hadNextTurn.push(through.includes(`new ${time - 5}`));
      await pass(200);
    }
    expect(hadNextTurn).toEqual([true, true, true, true, true]);
    expect(through).toHaveLength(21);
    expect(turnedAway).toBeGreaterThan(70);
  });

  it('the source that was let through least goes first, whoever came first', async () => {
    ask('flood', { name: 'f1' });
    await pass(0);
    for (const name of ['f2', 'f3']) ask('flood', { name });
    ask('new', { name: 'n1' });
    ask('other', { name: 'o1' });
    await pass(4 * everyMs);
    expect(through).toEqual(['f1', 'n1', 'o1', 'f2', 'f3']);
  });

  it('four tries of a source wait, none of them twice for a name; the next is told when to come back', async () => {
    ask('a', { name: 'first' });
    await pass(0);
    for (const name of ['1', '2', '3', '4']) ask('a', { name });
    expect((await refusal(ask('a', { name: '4' }).turn)).data).toEqual({ retryAfterMs: 5 * everyMs });
    expect((await refusal(ask('a', { name: '5' }).turn)).code).toBe('rate-limited');
    await pass(4 * everyMs);
    expect(through).toEqual(['first', '1', '2', '3', '4']);
  });

  it('nobody waits for a turn that comes too late, nor takes one after having gone', async () => {
    const slow = { scope: 'name', everyMs: 10_000 };
    ask('a', { of: slow });
    await pass(0);
    const leaver = ask('b', { of: slow });
    expect((await refusal(ask('c', { of: slow }).turn)).data).toEqual({ retryAfterMs: 20_000 });
    leaver.asker.giveUp();
    expect((await refusal(leaver.turn)).code).toBe('deadline');
    const next = ask('d', { of: slow });
    await pass(10_000);
    await next.turn;
    expect(through).toEqual(['a', 'd']);
  });

  it('who waits is turned away as soon as others before it make its turn too late', async () => {
    const slow = { scope: 'name', everyMs: 5_000 };
    ask('a', { of: slow });
    await pass(0);
    ask('a', { of: slow, name: 'again' });
    const late = ask('a', { of: slow, name: 'late', patienceMs: 16_000 });
    // Behind these by arrival, before them by turns.
    const fresh = [ask('b', { of: slow }), ask('c', { of: slow })];
    expect((await refusal(late.turn)).code).toBe('rate-limited');
    await pass(10_000);
    await Promise.all(fresh.map(({ turn }) => turn));
    await pass(5_000);
    expect(through).toEqual(['a', 'b', 'c', 'again']);
    // Who was turned away has no turn to wait for.
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a node that invents sources, each with all the patience there is, does not keep another node’s people out', async () => {
    const slow = { scope: 'name', everyMs: 5_000 };
    ask('first', { of: slow, node: 'evil' });
    await pass(0);
    const refused: string[] = [];
    for (let number = 0; number < 50; number += 1)
      ask(`invented ${number}`, { of: slow, node: 'evil', patienceMs: 1e9 }).turn.catch(() =>
        refused.push('invented'),
      );
    await pass(0);
    // As many as an honest node's could be.
    expect(refused).toHaveLength(47);
    ask('honest', { of: slow });
    await pass(10_000);
    expect(through).toEqual(['first', 'honest', 'invented 0']);
  });

  it('who was let through less is not told to come back because of those who were let through more', async () => {
    const slow = { scope: 'name', everyMs: 5_000 };
    ask('a', { of: slow });
    await pass(0);
    for (const name of ['1', '2', '3']) ask('a', { of: slow, name });
    ask('new', { of: slow });
    await pass(5_000);
    expect(through).toEqual(['a', 'new']);
  });

  it('a turn that is given back is the next one’s', async () => {
    const { turn } = ask('a');
    const giveBack = await turn;
    ask('b');
    await pass(1);
    expect(through).toEqual(['a']);
    giveBack();
    await pass(1);
    expect(through).toEqual(['a', 'b']);
  });

  it('a wait of exactly three quarters of the patience is waited, of a moment more not', async () => {
    const of = { scope: 'name', everyMs: 3_000 };
    ask('a', { of });
    await pass(0);
    ask('b', { of, patienceMs: 4_000 });
    expect((await refusal(ask('c', { of, patienceMs: 7_999 }).turn)).data).toEqual({ retryAfterMs: 6_000 });
    ask('c', { of, patienceMs: 8_000 });
    await pass(6_000);
    expect(through).toEqual(['a', 'b', 'c']);
  });

  it('a try that comes a millisecond too early waits that millisecond; the time to come back is a whole one', async () => {
    ask('a');
    await pass(everyMs - 1);
    ask('b');
    await pass(0);
    expect(through).toEqual(['a']);
    await pass(1);
    expect(through).toEqual(['a', 'b']);
    aheadMs = 0.5;
    const { data } = await refusal(ask('c', { patienceMs: 1 }).turn);
    expect(data).toEqual({ retryAfterMs: everyMs });
  });

  it('who waits for nobody in particular waits as long as a door would, and no longer', async () => {
    const of = { scope: 'name', everyMs: 15_000 };
    const enter = (source: string) =>
      lines
        .enter(of, { node: 'dmz1', source, name: source, asker: undefined })
        .then(() => void through.push(source));
    void enter('a');
    void enter('b');
    await pass(0);
    expect((await refusal(enter('c'))).code).toBe('rate-limited');
    await pass(15_000);
    expect(through).toEqual(['a', 'b']);
  });

  it('a source waits once for a name, however few of it wait', async () => {
    ask('a', { name: 'first' });
    await pass(0);
    ask('a', { name: '1' });
    expect((await refusal(ask('a', { name: '1' }).turn)).code).toBe('rate-limited');
    ask('b', { name: '1' });
    ask('a', { name: '2' });
    await pass(3 * everyMs);
    expect(through).toEqual(['first', '1', '1', '2']);
  });

  it('nodes take turns in a line for as long as both wait', async () => {
    ask('first', { node: 'evil' });
    await pass(0);
    for (const number of [1, 2, 3]) ask(`evil ${number}`, { node: 'evil' });
    for (const number of [1, 2]) ask(`honest ${number}`);
    await pass(5 * everyMs);
    expect(through).toEqual(['first', 'honest 1', 'evil 1', 'honest 2', 'evil 2', 'evil 3']);
  });

  it('what is given back is as if it had not been: for the source, and for a line that went on', async () => {
    const [first] = [ask('a', { name: 'a1' }), ask('b', { name: 'b1' })];
    await pass(everyMs);
    expect(through).toEqual(['a1', 'b1']);
    // Somebody was let through since: that interval is not over.
    (await first.turn)();
    ask('b', { name: 'b2' });
    ask('a', { name: 'a2' });
    await pass(everyMs - 1);
    expect(through).toEqual(['a1', 'b1']);
    await pass(1);
    // Of whom nothing counts goes before whom one counts of.
    expect(through).toEqual(['a1', 'b1', 'a2']);
    await pass(everyMs);
    expect(through.at(-1)).toBe('b2');
  });

  it('a turn that was waited for and is given back is free at once', async () => {
    ask('a');
    const waited = ask('b');
    await pass(everyMs);
    (await waited.turn)();
    ask('c');
    await pass(0);
    expect(through).toEqual(['a', 'b', 'c']);
  });

  it('a line has one timer, for when its next turn comes, which keeps no process alive', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    ask('a');
    await pass(0);
    expect(vi.getTimerCount()).toBe(0);
    await pass(400);
    for (const name of ['b', 'c', 'd']) ask(name);
    expect(vi.getTimerCount()).toBe(1);
    expect(timers.mock.results.every(({ value }) => !(value as NodeJS.Timeout).hasRef())).toBe(true);
    await pass(10 * everyMs);
    expect(through).toEqual(['a', 'b', 'c', 'd']);
    expect(timers.mock.calls.map(([, inMs]) => inMs)).toEqual([600, 600, 600, everyMs, everyMs]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a timer that comes before its time, because somebody was let through meanwhile, lets nobody through', async () => {
    ask('a', { name: 'a1' });
    await pass(0);
    ask('a', { name: 'a2' });
    await pass(500);
    aheadMs = 500;
    // Let through less often than who waits, and the interval is over.
    ask('new');
    await pass(500);
    expect(through).toEqual(['a1', 'new']);
    await pass(500);
    expect(through).toEqual(['a1', 'new', 'a2']);
  });

  it('a turn that comes late is for who still waits; who does not is told, and waits for no other', async () => {
    ask('a');
    await pass(0);
    const gone = ask('gone', { patienceMs: 1_400 });
    ask('last moment', { patienceMs: 2_668 });
    aheadMs = 1_667;
    await pass(everyMs);
    expect((await refusal(gone.turn)).code).toBe('rate-limited');
    expect(through).toEqual(['a', 'last moment']);
    const late = ask('late', { patienceMs: 1_400 });
    aheadMs += 400;
    await pass(everyMs);
    expect((await refusal(late.turn)).data).toEqual({ retryAfterMs: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });
});
