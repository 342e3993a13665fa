import { passwordAloneLooksMax, passwordAloneNamedMax } from '#main-agent/help-desk/limits.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildRig, buildUser, startMs, withFactor, type Rig } from '../login/rig.ts';

const day = 24 * 3_600_000;
const both = ['https', 'sftp'] as const;
const inTenDays = new Date(startMs + 10 * day).toISOString().slice(0, 10);

let rig: Rig;
beforeEach(async () => {
  rig = await buildRig({ twoFactor: { trusted_networks: [{ cidr: '10.0.0.0/8', nodes: ['dmz1'] }] } });
});
afterEach(() => rig.close());

const status = (name: string) => rig.login.admin.twoFactor.status(name);

describe('whom the second factor would stop', () => {
  it('tells who is locked out today, and who has a way out by themselves', async () => {
    rig.users.set('nobody', buildUser('nobody', withFactor({ requiredOn: both })));
    rig.users.set('forced', buildUser('forced', withFactor({ requiredOn: both, forceSetup: true })));
    const sftpOnly = withFactor({ requiredOn: ['sftp'], forceSetup: true }, { protocols: ['sftp'] });
    rig.users.set('sftp-only', buildUser('sftp-only', sftpOnly));
    const mailed = withFactor({ requiredOn: both }, { email: 'm@example.com' });
    rig.users.set('mailed', buildUser('mailed', mailed));
    rig.users.set('gone', buildUser('gone', { ...withFactor({ requiredOn: both }), status: 'disabled' }));
    expect(await status('nobody')).toMatchObject({ lockedOutOn: both, setupDueOn: [] });
    expect(await status('forced')).toMatchObject({ lockedOutOn: [], setupDueOn: both });
    expect(await status('sftp-only')).toMatchObject({ lockedOutOn: ['sftp'], setupDueOn: [] });
    for (const name of ['mailed', 'gone'])
      expect(await status(name)).toMatchObject({ lockedOutOn: [], setupDueOn: [] });
  });

  it('tells who will be, once the requirement begins, until they set something up', async () => {
    rig.users.set(
      'later',
      buildUser('later', withFactor({ requiredOn: both, requiredFrom: { date: inTenDays } })),
    );
    const fromMs = Date.parse(`${inTenDays}T00:00:00Z`);
    expect(await status('later')).toMatchObject({
      requiredOn: [],
      requiredFromMs: fromMs,
      lockedOutOn: [],
      lockedOutThenOn: both,
    });
    await rig.enrol('later');
    expect(await status('later')).toMatchObject({ requiredFromMs: fromMs, lockedOutThenOn: [] });
    rig.users.set(
      'grace',
      buildUser('grace', withFactor({ requiredOn: both, requiredFrom: { graceMs: 3 * day } })),
    );
    expect(await status('grace')).toMatchObject({ requiredFromMs: rig.now() + 3 * day });
    rig.advance(11 * day);
    expect(await status('later')).not.toHaveProperty('requiredFromMs');
  });

  it('warns of the switches that make a second factor worth less', async () => {
    expect(rig.login.admin.twoFactor.warnings()).toEqual([
      expect.stringContaining('10.0.0.0/8 through dmz1') as string,
    ]);
    const off = await buildRig({ twoFactor: { validated_logins: false } });
    expect(off.login.admin.twoFactor.warnings()).toEqual([
      expect.stringContaining('validated_logins is off') as string,
    ]);
    off.close();
  });

  it('names whom a password alone lets in, and nobody else', async () => {
    rig.close();
    rig = await buildRig();
    const required = withFactor({ requiredOn: ['https', 'sftp'] });
    const people: Record<string, Parameters<typeof buildUser>[1]> = {
      open: {},
      halfway: withFactor({ requiredOn: ['https'] }),
      later: withFactor({ requiredOn: ['https', 'sftp'], requiredFrom: { date: '2027-01-15' } }),
      enrolled: {},
      required,
      forced: withFactor({ forceSetup: true }),
      'forced-by-mail': withFactor({ forceSetup: true }, { email: 'f@example.com' }),
      keys: { passwordHash: undefined },
      disabled: { status: 'disabled' },
      expired: { expires: '2020-01-01' },
    };
    for (const [name, change] of Object.entries(people)) rig.users.set(name, buildUser(name, change));
    await rig.enrol('enrolled');
    expect(await rig.login.admin.passwordAlone()).toEqual({
      count: 4,
      names: ['enrolled', 'halfway', 'later', 'open'],
      isComplete: true,
    });
    expect(await rig.login.admin.factorCounts()).toEqual({
      enrolled: 1,
      delivered: 1,
      none: 7,
      broken: 0,
      unknown: 0,
    });
  });

  it('of many whom a password alone lets in a few are named, and as many looked at as can be at once', async () => {
    rig.close();
    rig = await buildRig();
    for (let number = 0; number <= passwordAloneLooksMax; number += 1)
      rig.users.set(`u${number}`, buildUser(`u${number}`));
    const alone = await rig.login.admin.passwordAlone();
    expect(alone).toMatchObject({ count: passwordAloneLooksMax, isComplete: false });
    expect(alone.names).toHaveLength(passwordAloneNamedMax);
  });
});

describe('whom a password alone lets in', () => {
  beforeEach(async () => {
    rig.close();
    rig = await buildRig();
  });
  const alone = () => rig.login.admin.passwordAlone();

  it('is told of everybody that there are where as many are looked at as there are', async () => {
    for (let number = 0; number < passwordAloneLooksMax; number += 1)
      rig.users.set(`u${number}`, buildUser(`u${number}`));
    expect(await alone()).toMatchObject({ count: passwordAloneLooksMax, isComplete: true });
  });

  it('is told of nobody where main asks nobody for a factor', async () => {
    rig.close();
    rig = await buildRig({ twoFactor: { validated_logins: false } });
    rig.users.set('frank', buildUser('frank'));
    expect(await alone()).toEqual({ count: 0, names: [], isComplete: true });
  });

  it('looks at the doors a user has, wherever and whenever the login comes from', async () => {
    const nowhere = { allowFrom: [], hours: { days: [], fromMinute: 0, toMinute: 1, zone: 'UTC' } };
    const people: Record<string, Parameters<typeof buildUser>[1]> = {
      elsewhere: nowhere,
      'other door': withFactor({ requiredOn: ['https'] }, { protocols: ['https'] }),
      'this door': withFactor({ requiredOn: ['https'] }, { protocols: ['sftp'] }),
      'no door': { protocols: [] },
      expired: { ...withFactor({ requiredOn: ['https'] }), expires: '2020-01-01' },
    };
    for (const [name, change] of Object.entries(people)) rig.users.set(name, buildUser(name, change));
    expect((await alone()).names).toEqual(['elsewhere', 'this door']);
  });
});

describe('whom the second factor would stop once it is required', () => {
  it('is asked until the requirement begins, and not in its first moment', async () => {
    const fromMs = Date.parse(`${inTenDays}T00:00:00Z`);
    rig.users.set(
      'later',
      buildUser('later', withFactor({ requiredOn: both, requiredFrom: { date: inTenDays } })),
    );
    rig.jump(fromMs - 1 - rig.now());
    expect(await status('later')).toMatchObject({ lockedOutOn: [], lockedOutThenOn: both });
    rig.jump(1);
    const begun = await status('later');
    expect(begun).toMatchObject({ lockedOutOn: both });
    expect(begun).not.toHaveProperty('lockedOutThenOn');
  });

  it('is asked for the doors that work today: an expired account is stopped by that already', async () => {
    rig.users.set('gone', buildUser('gone', { ...withFactor({ requiredOn: both }), expires: '2020-01-01' }));
    expect(await status('gone')).toMatchObject({ lockedOutOn: [], setupDueOn: [] });
    const elsewhere = { ...withFactor({ requiredOn: both }), allowFrom: [] };
    rig.users.set('elsewhere', buildUser('elsewhere', elsewhere));
    expect(await status('elsewhere')).toMatchObject({ lockedOutOn: both });
  });
});
