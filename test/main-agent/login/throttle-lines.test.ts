import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ThrottleLines } from '#main-agent/login/throttle-lines.ts';
import { Asker } from '#shared/link/asker.ts';
import { refusal } from './rig.ts';

const everyMs = 1_000;
const limit = { scope: 'node', everyMs };

describe('turns at a throttle', () => {
  let lines: ThrottleLines;
  let through: string[];
  const clock = { monotonic: () => Date.now() };
  beforeEach(() => {
    vi.useFakeTimers();
    lines = new ThrottleLines(clock);
    through = [];
  });
  afterEach(() => {
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
});
