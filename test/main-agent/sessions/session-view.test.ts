import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { buildRig, buildUser, startMs, withFactor, type Attempt, type Rig } from '../login/rig.ts';

/** What a session's own user may know of it and of the account. */

let rig: Rig;
const day = 24 * 3_600_000;
const inTenDays = { date: new Date(startMs + 10 * day).toISOString().slice(0, 10) };
beforeEach(async () => {
  rig = await buildRig();
});
afterEach(() => rig.close());

async function signIn(user: Partial<EffectiveUser>, attempt: Attempt = {}) {
  rig.users.set('frank', buildUser('frank', user));
  const view = await rig.begin('frank', attempt);
  const code = view.next === 'code' ? { code: rig.code('frank') } : {};
  const result = await rig.answer(view, { ...code, ...attempt });
  if (result.outcome !== 'admitted') throw new Error(result.reason);
  return result.view;
}
async function viewAccount(user: Partial<EffectiveUser>, attempt: Attempt = {}) {
  const { session: id } = await signIn(user, attempt);
  const session = rig.login.sessions.require(id, rig.node.link);
  return rig.login.sessionHandlers['account.view']({ session: id }, session, rig.node.link);
}

describe('the notice of a requirement that begins later', () => {
  const noticeOf = async (user: Partial<EffectiveUser>): Promise<string | undefined> =>
    (await signIn(user)).notice;
  const required = { requiredOn: ['https'], requiredFrom: inTenDays } as const;

  it('names the day, and what to do: oneself, where that is possible', async () => {
    const own = 'Set it up on the web before, in User options.';
    expect(await noticeOf(withFactor(required))).toContain(own);
    expect(await noticeOf(withFactor({ ...required, registration: false, forceSetup: false }))).toContain(
      'Ask your administrator how to set it up.',
    );
    expect(await noticeOf(withFactor({ ...required, registration: false, forceSetup: false }))).toContain(
      inTenDays.date,
    );
  });

  it('is left out where nothing begins, nothing is required, or all is set up', async () => {
    expect(await signIn({})).not.toHaveProperty('notice');
    expect(
      await noticeOf(withFactor({ requiredOn: ['https'] }, { protocols: ['https'] })).catch(() => undefined),
    ).toBeUndefined();
    expect(await noticeOf(withFactor({ requiredFrom: inTenDays }))).toBeUndefined();
    await rig.enrol('frank');
    expect(await noticeOf(withFactor(required))).toBeUndefined();
  });

  it('is given until the first moment of the day, on the door where nothing is required as well', async () => {
    const onSftp = withFactor({ requiredOn: ['sftp'], requiredFrom: inTenDays });
    const fromMs = Date.parse(`${inTenDays.date}T00:00:00Z`);
    rig.jump(fromMs - 1 - rig.now());
    expect(await noticeOf(onSftp)).toContain(inTenDays.date);
    rig.jump(1);
    expect(await noticeOf(onSftp)).toBeUndefined();
  });
});

describe('the view of an account', () => {
  it('tells what is required by the admin and by the set-up, from when, and whether it is set up', async () => {
    const view = await viewAccount(withFactor({ requiredOn: ['sftp'], requiredFrom: inTenDays }));
    expect(view.twoFactor).toEqual({
      enrolled: false,
      requiredOn: ['sftp'],
      registration: true,
      maySetUp: true,
      recoveryCodesLeft: 0,
      requiredFrom: `${inTenDays.date}T00:00:00.000Z`,
    });
    await rig.enrol('frank');
    const after = await viewAccount({});
    expect(after.twoFactor).toMatchObject({ enrolled: true, requiredOn: [], maySetUp: false });
    expect(after.twoFactor).not.toHaveProperty('requiredFrom');
  });

  it('tells of a bin where this door has it', async () => {
    const inbox = { path: ['inbox'], storage: 'local', root: [], allow: new Set(['list'] as const) };
    const mountWith = (bin: EffectiveUser['mounts'][number]['bin']): Partial<EffectiveUser> => ({
      mounts: [{ ...inbox, uploads: 'atomic', bin }],
    });
    const told = { path: ['inbox'], allow: ['list'] };
    const bin = { keepMs: day, isCounted: true, sftp: false };
    const sftp = { protocol: 'sftp' } as const;
    expect((await viewAccount(mountWith(undefined))).mounts).toStrictEqual([told]);
    expect((await viewAccount(mountWith(bin))).mounts).toStrictEqual([{ ...told, binMs: day }]);
    expect((await viewAccount(mountWith(bin), sftp)).mounts).toStrictEqual([told]);
    expect((await viewAccount(mountWith({ ...bin, sftp: true }), sftp)).mounts).toStrictEqual([
      { ...told, binMs: day },
    ]);
  });

  it('tells a quota where there is one', async () => {
    expect((await viewAccount({})).quota).toStrictEqual({ usedBytes: 42 });
    expect((await viewAccount({ quotaBytes: 0 })).quota).toStrictEqual({ usedBytes: 42, limitBytes: 0 });
  });
});
