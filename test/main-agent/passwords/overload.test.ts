import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HashQueue } from '#main-agent/passwords/hash-queue.ts';
import { overloadSourcesMax, overloadToldEveryMs } from '#main-agent/passwords/limits.ts';
import { Overload } from '#main-agent/passwords/overload.ts';
import { buildMemoryState, type MemoryState } from '#test/harness/memory-state.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { throttleScopes } from '#main-agent/login/first-factor.ts';
import { buildRig, password, refusal, settle, type Rig } from '../login/rig.ts';

/** Sign-ins that main has no time for. */
describe('a login that there is no capacity for', () => {
  let rig: Rig;
  let free: (() => void)[];
  beforeEach(async () => {
    rig = await buildRig();
    await rig.change('frank', {});
    free = [];
  });
  afterEach(() => {
    for (const end of free) end();
    rig.close();
  });

  /** Both places at the hash are taken, by work that has taken a minute already. */
  function takeAllPlaces(): void {
    const turn = { node: 'dmz1', clientIp: '198.51.100.1', known: true };
    for (let place = 0; place < 2; place += 1)
      void rig.login.passwords.inTurn(turn, () => new Promise<void>((resolve) => free.push(resolve)));
    rig.advance(60_000);
  }

  const attempt = (user: string, text: string) => rig.begin(user, { password: text, patienceMs: 20_000 });
  const events = (): unknown[] => rig.state.audit.map(({ event }) => event);

  it('S-07: is told the same whoever it is, and counts as a wrong password nowhere', async () => {
    takeAllPlaces();
    const told = [];
    for (let time = 0; time < 30; time += 1)
      for (const [user, text] of [
        ['frank', password],
        ['frank', 'wrong'],
        ['nobody', 'wrong'],
      ] as const) {
        const { code, publicMessage, reference } = await refusal(attempt(user, text));
        told.push({ code, publicMessage, reference });
      }
    for (const one of told) expect(one).toEqual(told[0]);
    expect(told[0]).toMatchObject({ code: 'busy', reference: undefined });
    for (const name of ['frank', 'nobody'])
      for (const known of [true, false])
        for (const { scope } of throttleScopes(name, '203.0.113.9', 'dmz1', known))
          expect((await rig.state.read('failures', { scope, nowMs: rig.now() })).inARow).toBe(0);
    expect(events()).not.toContain('login.refused');
  });

  it('is in the audit as one number a minute and node, and in status while it goes on', async () => {
    takeAllPlaces();
    for (let time = 0; time < 7; time += 1) await refusal(attempt('frank', password));
    expect(rig.login.admin.overloadProblems().join()).toContain('for want of capacity');
    const { chain } = await rig.login.admin.explainer.explain({
      user: 'frank',
      protocol: 'https',
      ip: '203.0.113.9',
      node: 'dmz1',
    });
    expect(chain.find(({ rule }) => rule === 'password checks')?.result).toBe(
      '0 wait: one more would wait about 60.0 s',
    );
    expect(rig.login.admin.capacity().refused).toEqual(new Map([['dmz1', 7]]));
    expect(events()).not.toContain('login.overloaded');
    await rig.login.close();
    expect(rig.state.audit.filter(({ event }) => event === 'login.overloaded')).toEqual([
      expect.objectContaining({
        node: 'dmz1',
        outcome: 'refused',
        detail: '7 turned away, 0 no longer waited for, from 1 addresses',
      }),
    ]);
    rig.advance(60_001);
    expect(rig.login.admin.overloadProblems().join()).not.toContain('capacity');
  });

  it('has taken nobody’s turn at a throttle', async () => {
    for (let tries = 0; tries < 20; tries += 1)
      await refusal(rig.begin('frank', { password: 'wrong', client: { ip: `192.0.2.${tries}` } }));
    takeAllPlaces();
    for (let time = 0; time < 3; time += 1)
      expect((await refusal(attempt('frank', password))).code).toBe('busy');
    for (const end of free.splice(0)) end();
    await settle();
    expect(await attempt('frank', password)).toMatchObject({ next: 'admit' });
    expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
  });

  it('is let in once there is capacity, at the first try', async () => {
    takeAllPlaces();
    expect((await refusal(attempt('frank', password))).code).toBe('busy');
    for (const end of free.splice(0)) end();
    await settle();
    expect(await attempt('frank', password)).toMatchObject({ next: 'admit' });
  });
});

describe('what is told of it', () => {
  const time = { ms: 0 };
  const clock = { now: () => time.ms, monotonic: () => time.ms };
  const turn = (node: string, clientIp: string) => ({ node, clientIp, known: false });
  let state: MemoryState;
  let overload: Overload;
  let logged: ReturnType<typeof buildRecordedLog>;
  beforeEach(() => {
    time.ms = 0;
    vi.useFakeTimers();
    state = buildMemoryState();
    logged = buildRecordedLog();
    overload = new Overload({ state, clock, log: logged.log });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await overload.close();
    vi.useRealTimers();
  });
  const told = (): unknown[] => state.audit.map(({ node, detail }) => [node, detail]);

  it('is counted by node and by what became of it, with the addresses it came from, and told once', async () => {
    await overload.tell();
    expect(told()).toEqual([]);
    for (const ip of ['a', 'b', 'b']) overload.note(turn('dmz1', ip), 'refused');
    overload.note(turn('dmz1', 'b'), 'gone');
    overload.note(turn('dmz2', 'a'), 'gone');
    await overload.tell();
    await overload.tell();
    expect(told()).toEqual([
      ['dmz1', '3 turned away, 1 no longer waited for, from 2 addresses'],
      ['dmz2', '0 turned away, 1 no longer waited for, from 1 addresses'],
    ]);
    expect(logged.lines.join('')).toContain('sign-ins refused for capacity');
    const queue = new HashQueue({ atOnceMax: 2, clock });
    expect(overload.capacity(queue)).toEqual({
      waiting: 0,
      expectedMs: 0,
      turnMs: 0,
      served: 0,
      refused: new Map([['dmz1', 3]]),
      gone: new Map([
        ['dmz1', 1],
        ['dmz2', 1],
      ]),
    });
  });

  it('names so many addresses, and says then that there may be more', async () => {
    for (let number = 1; number < overloadSourcesMax; number += 1)
      overload.note(turn('dmz1', `${number}`), 'refused');
    await overload.tell();
    for (let number = 0; number <= overloadSourcesMax; number += 1)
      overload.note(turn('dmz1', `${number}`), 'refused');
    await overload.tell();
    expect(told()).toEqual([
      ['dmz1', '999 turned away, 0 no longer waited for, from 999 addresses'],
      ['dmz1', '1001 turned away, 0 no longer waited for, from at least 1000 addresses'],
    ]);
  });

  it('is written each minute, keeps no process alive, and a disk that does not take it is told to the log', async () => {
    const timers = vi.spyOn(globalThis, 'setInterval');
    const other = new Overload({ state, clock, log: logged.log });
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([false]);
    other.note(turn('dmz1', 'a'), 'refused');
    await vi.advanceTimersByTimeAsync(overloadToldEveryMs);
    expect(told()).toHaveLength(1);
    state.beforeCommit = () => Promise.reject(new Error('disk full'));
    other.note(turn('dmz1', 'a'), 'refused');
    await vi.advanceTimersByTimeAsync(overloadToldEveryMs);
    expect(logged.lines.join('')).toContain('refusals for capacity are not audited');
    await other.close();
    await overload.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is a problem for a minute after the last, with how many passwords a second main checks', async () => {
    const queue = new HashQueue({ atOnceMax: 2, clock });
    const problems = () => overload.problems(queue);
    expect(problems()).toEqual([]);
    overload.note(turn('dmz1', 'a'), 'refused');
    const slow = (perSecond: string): string[] => [
      `sign-ins are refused for want of capacity: main checks about ${perSecond} passwords a second, 0 wait`,
    ];
    expect(problems()).toEqual(slow('2000.0'));
    await queue.run(turn('dmz1', 'a'), async () => void (time.ms += 500));
    expect(problems()).toEqual(slow('4.0'));
    time.ms = overloadToldEveryMs;
    expect(problems()).toEqual(slow('4.0'));
    time.ms += 1;
    expect(problems()).toEqual([]);
  });
});
