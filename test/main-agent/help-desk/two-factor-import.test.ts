import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '#shared/secret.ts';
import { oathtoolCode } from '#test/harness/qr-code.ts';
import type { TwoFactorImport } from '#main-agent/help-desk/two-factor-import.ts';
import { buildRig, buildUser, refusal, withFactor, type Rig } from '../login/rig.ts';

const base32 = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
const other = 'KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU';

let rig: Rig;
beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] })));
});
afterEach(() => rig.close());

const importSecret = (change: Partial<TwoFactorImport> = {}) =>
  rig.login.admin.twoFactor.importSecret({
    user: 'alice',
    secret: new Secret(base32),
    replace: false,
    isDryRun: false,
    actor: 'eva',
    reason: 'from the old gateway',
    ...change,
  });

/** As the user's app shows it, by another program's reckoning. */
const appCode = (secret: string): Promise<string> =>
  oathtoolCode(secret, `${new Date(rig.now()).toISOString().slice(0, 19).replace('T', ' ')} UTC`);

async function signIn(secret: string): Promise<string> {
  const view = await rig.begin('alice');
  const result = await rig.answer(view, { code: await appCode(secret) });
  return result.outcome === 'again' ? result.reason : result.outcome;
}

describe('a second factor from another system', () => {
  it('lets its user in with the codes of the app they have, and leaves no trace of the secret', async () => {
    expect(await importSecret()).toEqual({ username: 'alice', isReplaced: false });
    // The code of this moment may have been used over there.
    expect(await signIn(base32)).toBe('used-code');
    rig.advance(30_000);
    expect(await signIn(base32)).toBe('admitted');
    expect(await signIn(base32)).toBe('used-code');
    const record = rig.state.audit.find(({ event }) => event === 'two-factor.imported');
    expect(record).toMatchObject({ user: 'alice', actor: 'eva', detail: 'from the old gateway' });
    for (const kept of [rig.state.audit, [...rig.enrolments.values()]])
      expect(JSON.stringify(kept)).not.toContain(base32);
  });

  it('is found by the otpauth URI alone, whatever the case of the name', async () => {
    const uri = `otpauth://totp/Old:ALICE?secret=${base32}&issuer=Old`;
    const named = await importSecret({ user: undefined, secret: new Secret(uri) });
    expect(named).toEqual({ username: 'alice', isReplaced: false });
    expect(await importSecret({ user: undefined })).toEqual({ problem: 'no user is named' });
    expect(await importSecret({ user: 'nobody' })).toEqual({ problem: 'there is no such user' });
    expect(await importSecret({ secret: new Secret('JBSWY3DP') })).toMatchObject({
      problem: expect.stringContaining('128 bits'),
    });
  });

  it('changes nothing when it is only tried out', async () => {
    expect(await importSecret({ isDryRun: true })).toEqual({ username: 'alice', isReplaced: false });
    expect(rig.enrolments.size).toBe(0);
    expect(rig.state.audit).toEqual([]);
  });

  it('takes no other one away unless it is told to; then sessions and leases of before are over', async () => {
    await importSecret();
    rig.advance(30_000);
    expect(await signIn(base32)).toBe('admitted');
    expect(await importSecret({ secret: new Secret(other) })).toMatchObject({
      username: 'alice',
      problem: expect.stringContaining('--replace'),
    });
    expect(rig.login.sessions.list()).toHaveLength(1);
    expect(await importSecret({ secret: new Secret(other), replace: true, isDryRun: true })).toEqual({
      username: 'alice',
      isReplaced: true,
    });
    rig.advance(30_000);
    expect(await signIn(base32)).toBe('admitted');
    expect(await importSecret({ secret: new Secret(other), replace: true })).toMatchObject({
      isReplaced: true,
    });
    expect(rig.login.sessions.list()).toEqual([]);
    rig.advance(60_000);
    expect(await signIn(base32)).toBe('wrong-code');
    expect(await signIn(other)).toBe('admitted');
  });

  it('ends sessions without a factor of a user who needs one, and outlives a restart of main', async () => {
    rig.users.set('bea', buildUser('bea'));
    await rig.answer(await rig.begin('bea'));
    rig.users.set('bea', buildUser('bea', withFactor({ requiredOn: ['https'] })));
    await importSecret({ user: 'bea' });
    expect(rig.login.sessions.list()).toEqual([]);
    await importSecret();
    rig = await rig.restart();
    rig.advance(30_000);
    expect(await signIn(base32)).toBe('admitted');
  });

  it('leaves the sessions of a user who needs none, and notices where one is required from now on', async () => {
    rig.users.set('bea', buildUser('bea', { email: 'b@example.com' }));
    await rig.answer(await rig.begin('bea'));
    await importSecret({ user: 'bea' });
    expect(rig.login.sessions.list()).toHaveLength(1);
    expect(rig.notices.map(({ kind, username }) => [kind, username])).toEqual([
      ['two-factor-enrolled', 'bea'],
    ]);
    rig = await rig.restart({ twoFactor: { auto_enable: true, auto_enable_protocols: ['https'] } });
    rig.users.set('dora', buildUser('dora'));
    await rig.answer(await rig.begin('dora'));
    await importSecret({ user: 'dora', secret: new Secret(other) });
    expect(rig.login.sessions.list().map(({ username }) => username)).toEqual(['bea']);
  });

  it('S-16: waits for the decision about a name that came back', async () => {
    await importSecret();
    await rig.remove('alice');
    rig.advance(3_600_000);
    rig.users.set('alice', buildUser('alice'));
    await rig.change('alice', withFactor({ requiredOn: ['https'] }));
    expect(await importSecret({ secret: new Secret(other), replace: true })).toHaveProperty('problem');
    expect((await refusal(rig.begin('alice'))).code).toBe('refused');
  });
});
