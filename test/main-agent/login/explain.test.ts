import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Protocol } from '#shared/login.ts';
import { buildRig, buildUser, withFactor, type Rig } from './rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  const both: Protocol[] = ['https', 'sftp'];
  const users = [
    buildUser('alice', withFactor({ requiredOn: both })),
    buildUser('bob', withFactor({ requiredOn: both }, { email: 'bob@example.com' })),
    buildUser('carol'),
    buildUser('dave', withFactor({ requiredOn: both, forceSetup: true })),
    buildUser('eve', { status: 'disabled' }),
    buildUser('mallory', withFactor({ requiredOn: both })),
  ];
  for (const user of users) rig.users.set(user.username, user);
  await rig.enrol('alice');
});
afterEach(() => rig.close());

const explain = (user: string, protocol: Protocol, ip = '203.0.113.9') =>
  rig.login.admin.explainer.explain({ user, protocol, ip });

describe('explain login', () => {
  for (const [user, onHttps, onSftp] of [
    ['alice', 'totp', 'totp'],
    ['bob', 'email', 'email'],
    ['carol', 'admitted', 'admitted'],
    ['dave', 'setup', 'refused'],
    ['eve', 'refused', 'refused'],
    ['mallory', 'refused', 'refused'],
    ['nobody', 'refused', 'refused'],
  ] as const) {
    it(`${user}: ${onHttps} on https, ${onSftp} on sftp, and why`, async () => {
      const [web, sftp] = [await explain(user, 'https'), await explain(user, 'sftp')];
      expect([web.outcome, sftp.outcome]).toEqual([onHttps, onSftp]);
      expect(web).toMatchObject({ user, protocol: 'https' });
      expect(web.chain.length).toBeGreaterThan(0);
    });
  }

  it('says the same as a login does, for every user and protocol', async () => {
    for (const user of rig.users.keys()) {
      for (const protocol of ['https', 'sftp'] as const) {
        const { outcome } = await explain(user, protocol);
        const view = await rig.begin(user, { protocol }).catch(() => undefined);
        const happened =
          view === undefined || view.next === 'instruct'
            ? 'refused'
            : view.next === 'admit'
              ? 'admitted'
              : (view.asked?.method ?? view.next);
        expect(happened, `${user} on ${protocol}`).toBe(outcome);
      }
    }
  });

  it('shows a lock, a lease and who would be locked out', async () => {
    const sftp = { protocol: 'sftp' as const };
    await rig.answer(await rig.begin('alice', sftp), { ...sftp, code: rig.code('alice') });
    const { chain } = await explain('alice', 'sftp');
    expect(chain).toContainEqual({ rule: 'lease', result: expect.stringContaining('test client') as string });
    expect(await rig.login.admin.twoFactor.status('mallory')).toMatchObject({
      state: 'none',
      requiredOn: ['https', 'sftp'],
      lockedOutOn: ['https', 'sftp'],
    });
    expect(await rig.login.admin.twoFactor.status('dave')).toMatchObject({ lockedOutOn: ['sftp'] });
    expect(await rig.login.admin.twoFactor.status('alice')).toMatchObject({
      state: 'enrolled',
      lockedOutOn: [],
    });
  });
});
