import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { reminderLooksPerSweep, reminderSweepMs } from '#main-agent/help-desk/limits.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildRig, buildUser, startMs, withFactor, type Rig } from '../login/rig.ts';

const day = 24 * 3_600_000;
const both = ['https', 'sftp'] as const;
const inThirtyDays = new Date(startMs + 30 * day).toISOString().slice(0, 10);

let rig: Rig;
beforeEach(async () => {
  rig = await buildRig();
});
afterEach(() => rig.close());

function add(name: string, change: Parameters<typeof withFactor>[0] = {}, email = `${name}@example.com`) {
  const factor = { requiredOn: both, requiredFrom: { date: inThirtyDays }, ...change };
  rig.users.set(name, buildUser(name, withFactor(factor, { email })));
}
const sweep = () => rig.login.reminders.sweep();
const reminded = () => rig.notices.map(({ username }) => username).toSorted();
/** One sweep a day, as the timer would at least. */
async function pass(days: number): Promise<void> {
  for (let count = 0; count < days; count += 1) {
    rig.advance(day);
    await sweep();
  }
}

describe('a requirement that begins later', () => {
  it('is told by mail, with the day, once a week until it begins', async () => {
    add('anna');
    await sweep();
    expect(rig.notices).toEqual([
      {
        username: 'anna',
        address: 'anna@example.com',
        kind: 'two-factor-due',
        atMs: startMs,
        requiredFromMs: Date.parse(`${inThirtyDays}T00:00:00Z`),
      },
    ]);
    await pass(6);
    expect(rig.notices).toHaveLength(1);
    await pass(1);
    expect(rig.notices).toHaveLength(2);
    await pass(40);
    expect(rig.notices).toHaveLength(5);
    expect(rig.state.audit.filter(({ event }) => event === 'two-factor.reminded')).toHaveLength(5);
  });

  it('is told nobody who has set it up, cannot, has no address, or need not', async () => {
    add('enrolled');
    await rig.enrol('enrolled');
    add('closed', { registration: false });
    add('nowhere', { requiredOn: [] });
    add('at once', { requiredFrom: undefined });
    rig.users.set(
      'no-address',
      buildUser('no-address', withFactor({ requiredOn: both, requiredFrom: { date: inThirtyDays } })),
    );
    add('new', { requiredFrom: { graceMs: 14 * day } });
    add('off');
    await rig.change('off', { status: 'disabled' });
    await pass(20);
    expect(reminded()).toEqual([]);
  });

  it('begins with the first login where it is a grace period', async () => {
    add('new', { requiredFrom: { graceMs: 14 * day } });
    await rig.answer(await rig.begin('new'));
    await sweep();
    expect(rig.notices).toMatchObject([{ username: 'new', requiredFromMs: startMs + 14 * day }]);
  });

  it('is told few at a time, and all in the end', async () => {
    const many = Array.from({ length: 3 * reminderLooksPerSweep - 1 }, (_, index) => `user${index}`);
    for (const name of many) add(name);
    for (const count of [1, 2, 3]) {
      await sweep();
      expect(rig.notices).toHaveLength(Math.min(many.length, count * reminderLooksPerSweep));
    }
    await sweep();
    expect(reminded()).toEqual(many.toSorted());
  });

  it('is not told again after a restart of main', async () => {
    add('anna');
    await sweep();
    const again = await rig.restart();
    await again.login.reminders.sweep();
    expect(again.notices).toEqual([]);
    again.close();
  });
});

describe('the reminders of a requirement that begins later', () => {
  const due = (name: string, change: Parameters<typeof buildUser>[1]) =>
    rig.users.set(
      name,
      buildUser(name, {
        ...withFactor({ requiredOn: both, requiredFrom: { date: inThirtyDays } }, { email: `${name}@x` }),
        ...change,
      }),
    );

  it('go to who is active, and to who is forced where registration is off', async () => {
    due('active', {});
    due('disabled', { status: 'disabled' });
    const closed = { requiredOn: both, requiredFrom: { date: inThirtyDays }, registration: false };
    due('forced', withFactor({ ...closed, forceSetup: true }));
    due('closed', withFactor(closed));
    await sweep();
    expect(reminded()).toEqual(['active', 'forced']);
  });

  it('end with the first moment of the day', async () => {
    const fromMs = Date.parse(`${inThirtyDays}T00:00:00Z`);
    due('anna', {});
    rig.advance(fromMs - rig.now());
    await sweep();
    expect(rig.notices).toEqual([]);
    rig.advance(-1);
    due('berta', {});
    await sweep();
    expect(reminded()).toEqual(['berta']);
  });

  it('look at a user again after a day, and at a new user of the same name at once', async () => {
    due('anna', {});
    await rig.enrol('anna');
    await sweep();
    await rig.login.admin.twoFactor.reset('anna', { actor: 'test', reason: 'test' });
    rig.notices.length = 0;
    rig.advance(day - 1);
    await sweep();
    expect(rig.notices).toEqual([]);
    rig.advance(1);
    await sweep();
    expect(reminded()).toEqual(['anna']);

    due('berta', { email: undefined });
    await rig.change('berta', { email: 'b@example.com' });
    await rig.enrol('berta');
    await sweep();
    const berta = rig.users.get('berta');
    rig.users.delete('berta');
    await sweep();
    await rig.login.admin.twoFactor.reset('berta', { actor: 'test', reason: 'test' });
    if (berta !== undefined) rig.users.set('berta', berta);
    await sweep();
    expect(reminded()).toEqual(['anna', 'berta']);
  });

  it('S-14: are sent where they were written down, and by nobody who has gone meanwhile', async () => {
    due('anna', {});
    due('berta', {});
    rig.state.beforeCommit = () => void rig.users.delete('berta');
    await sweep();
    expect(reminded()).toEqual(['anna']);
  });

  it('go by themselves each minute, one round at a time, and stop when main does', async () => {
    rig.close();
    vi.useFakeTimers();
    try {
      const logged = buildRecordedLog();
      const timers = vi.spyOn(globalThis, 'setInterval');
      rig = await buildRig({ log: logged.log });
      expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).not.toContain(true);
      due('anna', {});
      const held = Promise.withResolvers<void>();
      const rounds: unknown[] = [];
      rig.state.beforeCommit = (changes) => {
        rounds.push(changes);
        return held.promise;
      };
      await vi.advanceTimersByTimeAsync(reminderSweepMs);
      expect(rounds).toHaveLength(1);
      due('berta', {});
      await vi.advanceTimersByTimeAsync(reminderSweepMs);
      expect(rounds).toHaveLength(1);
      held.resolve();
      await vi.advanceTimersByTimeAsync(reminderSweepMs);
      expect(reminded()).toEqual(['anna', 'berta']);
      rig.state.beforeCommit = () => Promise.reject(new Error('disk full'));
      due('carol', {});
      await vi.advanceTimersByTimeAsync(reminderSweepMs);
      expect(logged.lines.join('')).toContain('reminders not sent');
      rig.state.beforeCommit = undefined;
      due('dora', {});
      await vi.advanceTimersByTimeAsync(reminderSweepMs);
      expect(reminded()).toContain('dora');
      await rig.login.close();
      due('emma', {});
      await vi.advanceTimersByTimeAsync(2 * reminderSweepMs);
      expect(reminded()).not.toContain('emma');
    } finally {
      vi.restoreAllMocks();
      vi.useRealTimers();
    }
  });
});
