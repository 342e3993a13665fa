import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '#main-agent/state/state-store.ts';
import { buildRig, buildUser, refusal, withFactor, type Rig } from './rig.ts';

/** Rules of codes and challenges that stand on one number or one condition each. */

let rig: Rig;
const minute = 60_000;
const why = { actor: 'socket:test', reason: 'lost phone' };

beforeEach(async () => {
  rig = await buildRig({ twoFactor: { remember_device: '30d' } });
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] })));
  await rig.enrol('alice');
});
afterEach(() => rig.close());

const sftp = { protocol: 'sftp' as const };
const makeBypassCode = async (): Promise<string> =>
  (
    await rig.login.admin.twoFactor.makeBypassCode('alice', { ...why, ttlMs: 15 * minute, reEnrol: false })
  ).expose();

describe('the life of a challenge', () => {
  it('is 120 s where an authenticator’s code is asked', async () => {
    const view = await rig.begin('alice');
    rig.advance(119_999);
    expect(await rig.answer(view, { code: '000000' })).toMatchObject({ reason: 'wrong-code' });
    rig.advance(1);
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
  });

  it('is 120 s where nothing is asked, and on the way to set-up', async () => {
    rig.users.set('carol', buildUser('carol'));
    rig.users.set('dave', buildUser('dave', withFactor({ forceSetup: true })));
    for (const name of ['carol', 'dave']) {
      const views = [await rig.begin(name), await rig.begin(name)] as const;
      rig.advance(119_999);
      expect(await rig.answer(views[0])).toMatchObject({ outcome: 'admitted' });
      rig.advance(1);
      expect((await refusal(rig.answer(views[1]))).code).toBe('challenge-gone');
    }
  });

  it('S-14: ends when main starts again', async () => {
    const view = await rig.begin('alice');
    const after = await rig.restart();
    expect((await refusal(after.answer(view, { code: rig.code('alice') }))).code).toBe('challenge-gone');
    after.close();
  });
});

describe('a locked factor', () => {
  it('ends no live session, only the leases; the next login hears that it waits', async () => {
    const first = await rig.answer(await rig.begin('alice', sftp), { code: rig.code('alice'), ...sftp });
    expect(first.outcome).toBe('admitted');
    expect(await rig.state.read('leases')).toHaveLength(1);
    for (let logins = 0; logins < 5; logins += 1) {
      const view = await rig.begin('alice');
      await rig.answer(view, { code: '000000' });
      await rig.answer(view, { code: '000000' });
    }
    expect(rig.login.sessions.list()).toMatchObject([{ username: 'alice', method: 'totp' }]);
    expect(await rig.state.read('leases')).toEqual([]);
    const view = await rig.begin('alice', sftp);
    expect((await refusal(rig.answer(view, { code: rig.code('alice', 1), ...sftp }))).code).toBe(
      'rate-limited',
    );
  });
});

describe('a bypass code', () => {
  it('has 60 bit, in groups that can be read out on the phone', async () => {
    expect(await makeBypassCode()).toMatch(/^[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}$/);
  });

  it('S-02: is stored as an HMAC only, in no change and no record as it is', async () => {
    const changes: Change[] = [];
    rig.state.beforeCommit = (some) => void changes.push(...some);
    const code = await makeBypassCode();
    await rig.answer(await rig.begin('alice'), { code, method: 'bypass' });
    const stored = JSON.stringify([
      changes,
      rig.state.audit,
      await rig.state.read('two-factor-state', { user: 'alice' }),
    ]);
    expect(changes.map((one) => one.kind)).toContain('set-bypass-code');
    expect(stored).not.toContain(code);
    expect(stored).not.toContain(code.replaceAll('-', ''));
  });

  it('one is outstanding: a new one voids the one before', async () => {
    const [first, second] = [await makeBypassCode(), await makeBypassCode()];
    const view = await rig.begin('alice');
    expect(await rig.answer(view, { code: first, method: 'bypass' })).toMatchObject({ reason: 'wrong-code' });
    expect(await rig.answer(view, { code: second, method: 'bypass' })).toMatchObject({ outcome: 'admitted' });
  });

  it('lives as long as the admin said, to the millisecond', async () => {
    const code = await makeBypassCode();
    rig.advance(15 * minute - 1);
    const view = await rig.begin('alice');
    rig.advance(1);
    expect(await rig.answer(view, { code, method: 'bypass' })).toMatchObject({ reason: 'wrong-code' });
    const second = await makeBypassCode();
    rig.advance(15 * minute - 1);
    expect(await rig.answer(await rig.begin('alice'), { code: second, method: 'bypass' })).toMatchObject({
      outcome: 'admitted',
    });
  });

  for (const protocol of ['https', 'sftp'] as const)
    it(`opens a session of an hour at most on ${protocol}, however busy it is`, async () => {
      const code = await makeBypassCode();
      const view = await rig.begin('alice', { protocol });
      const result = await rig.answer(view, { code, method: 'bypass', protocol });
      const id = 'view' in result ? result.view.session : '';
      const use = () => rig.login.sessions.require(id, rig.node.link).method;
      for (let minutes = 1; minutes < 60; minutes += 1) {
        rig.advance(minute);
        expect(use()).toBe('bypass');
      }
      rig.advance(minute - 1);
      expect(use()).toBe('bypass');
      rig.advance(1);
      expect(use).toThrow(/session/i);
    });

  it('works while the factor is locked, and while it is disabled', async () => {
    for (let round = 0; round < 10; round += 1) {
      for (let logins = 0; logins < 5; logins += 1) {
        const view = await rig.begin('alice');
        await rig.answer(view, { code: '000000' });
        await rig.answer(view, { code: '000000' });
      }
      const locked = await rig.begin('alice');
      expect(await rig.answer(locked, { code: await makeBypassCode(), method: 'bypass' })).toMatchObject({
        outcome: 'admitted',
      });
      rig.advance(24 * 60 * minute);
    }
    const code = await makeBypassCode();
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow).toBe(100);
    const view = await rig.begin('alice');
    expect((await refusal(rig.answer(view, { code: rig.code('alice') }))).code).toBe('refused');
    expect(await rig.answer(view, { code, method: 'bypass' })).toMatchObject({ outcome: 'admitted' });
  }, 30_000);

  it('S-01: remembers no browser and gives no lease', async () => {
    const web = await rig.answer(await rig.begin('alice'), {
      code: await makeBypassCode(),
      method: 'bypass',
      rememberDevice: true,
    });
    expect(web).not.toHaveProperty('device');
    const overSftp = { code: await makeBypassCode(), method: 'bypass' as const, ...sftp };
    await rig.answer(await rig.begin('alice', sftp), overSftp);
    expect(await rig.begin('alice', sftp)).toMatchObject({ next: 'code' });
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect(await rig.state.read('leases')).toEqual([]);
  });
});

describe('a code of a clock that is off', () => {
  for (const [steps, isBurned] of [
    [2, true],
    [10, true],
    [11, false],
  ] as const) {
    it(`S-03: ${steps} steps ahead it is ${isBurned ? 'burned' : 'just wrong, and good when its time comes'}`, async () => {
      const early = rig.code('alice', steps);
      expect(await rig.answer(await rig.begin('alice'), { code: early })).toMatchObject({
        reason: 'wrong-code',
      });
      expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).recent).toBe(1);
      rig.advance(steps * 30_000);
      expect(rig.code('alice')).toBe(early);
      const result = await rig.answer(await rig.begin('alice'), { code: early });
      expect('reason' in result ? result.reason : result.outcome).toBe(isBurned ? 'used-code' : 'admitted');
    });
  }

  it('is told at ten steps behind, and not at eleven', async () => {
    for (const [steps, reason] of [
      [-10, 'clock-drift'],
      [-11, 'wrong-code'],
    ] as const) {
      const view = await rig.begin('alice');
      await rig.answer(view, { code: rig.code('alice', steps) });
      rig.advance(30_000);
      expect(await rig.answer(view, { code: rig.code('alice', steps) })).toMatchObject({ reason });
    }
  });
});
