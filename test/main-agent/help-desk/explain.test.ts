import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findOrigins } from '#main-agent/users/origins.ts';
import type { Protocol } from '#shared/login.ts';
import { buildRig, buildUser, withFactor, type Rig } from '../login/rig.ts';

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

  it('tells file and line of every value of the user, also where it was inherited or put together', async () => {
    rig.close();
    rig = await buildRig({
      explained: {
        originsOf: async () =>
          findOrigins([
            { file: '_default.yaml', text: 'protocols: [https]\ntwo_factor:\n  required_on: [sftp]\n' },
            {
              file: 'frank.yaml',
              text: [
                'username: frank',
                'email: frank@example.com',
                '+protocols: [sftp]',
                'expires: 2027-01-15',
                'hours:',
                '  days: [1]',
                '  zone: UTC',
                'two_factor:',
                '  force_setup: true',
                '',
              ].join('\n'),
            },
          ]),
      },
    });
    rig.users.set('frank', buildUser('frank', { email: 'frank@example.com' }));
    const { chain } = await explain('frank', 'sftp');
    const origins = Object.fromEntries(chain.map(({ rule, origin }) => [rule, origin]));
    expect(origins).toMatchObject({
      protocols: '_default.yaml:1, frank.yaml:3',
      expires: 'frank.yaml:4',
      hours: 'frank.yaml:6, frank.yaml:7',
      email: 'frank.yaml:2',
      'two_factor.required_on': '_default.yaml:3',
      'two_factor.force_setup': 'frank.yaml:9',
    });
    expect(chain).toContainEqual(
      expect.objectContaining({ rule: 'email', result: 'f…@example.com: where mails go' }),
    );
  });

  it('tells what throttles wrong passwords, and whether that counts for this place', async () => {
    await rig.answer(await rig.begin('carol'));
    for (let tries = 0; tries < 20; tries += 1)
      await rig.begin('carol', { password: 'wrong', client: { ip: '198.51.100.7' } }).catch(() => undefined);
    const result = async (ip: string) =>
      (await explain('carol', 'https', ip)).chain.find((one) => one.rule === 'wrong passwords')?.result;
    const until = new Date(rig.now() + 15 * 60_000).toISOString();
    const slowly = (of: string, place: string) =>
      `${of} throttled until ${until}: tries are let through slowly; ${place}; \`sallyport two-factor unlock carol\` lifts it`;
    const known = '203.0.113.9 is known, where more is allowed';
    expect(await result('198.51.100.7')).toBe(slowly('this name', '198.51.100.7 is not known'));
    expect(await result('203.0.113.9')).toBe(`not throttled: every try is looked at; ${known}`);
    for (let tries = 0; tries < 100; tries += 1)
      await rig.begin('carol', { password: 'wrong', client: { ip: '203.0.113.9' } }).catch(() => undefined);
    expect(await result('203.0.113.9')).toBe(slowly('this name from there', known));
    rig.advance(15 * 60_000);
    expect(await result('198.51.100.7')).toBe(
      'not throttled: every try is looked at; 198.51.100.7 is not known',
    );
  });

  it('ends every chain with the outcome, and begins it at the door', async () => {
    for (const user of [...rig.users.keys(), 'nobody']) {
      const { chain, outcome } = await explain(user, 'https');
      expect(chain[0]).toMatchObject({ rule: 'bans' });
      if (user === 'nobody') continue;
      expect(chain.at(-1)?.result).toMatch(new RegExp(`^${outcome}: `));
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
    expect(await rig.login.admin.twoFactor.status('dave')).toMatchObject({
      lockedOutOn: [],
      setupDueOn: ['https', 'sftp'],
    });
    expect(await rig.login.admin.twoFactor.status('alice')).toMatchObject({
      state: 'enrolled',
      lockedOutOn: [],
    });
  });

  it('says what a login through a node comes to whose own switch says otherwise', async () => {
    rig.close();
    rig = await buildRig({ explained: { nodeValidatedLogins: (node) => node !== 'dmz2' } });
    rig.users.set(
      'bob',
      buildUser('bob', withFactor({ requiredOn: ['https'] }, { email: 'bob@example.com' })),
    );
    const outcome = async (node: string): Promise<string> =>
      (await rig.login.admin.explainer.explain({ user: 'bob', protocol: 'https', ip: '192.0.2.1', node }))
        .outcome;
    expect(await outcome('dmz1')).toBe('email');
    expect(await outcome('dmz2')).toBe('refused');
  });
});
