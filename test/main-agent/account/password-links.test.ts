import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { strayLinksBurst } from '#main-agent/account/limits.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import {
  buildRig,
  buildUser,
  password,
  refusal,
  withFactor,
  type PlayedNode,
  type Rig,
} from '#test/main-agent/login/rig.ts';

/** Links by which users set a password. */

let rig: Rig;
const why = { actor: 'socket:eva', reason: 'welcome' };
const day = 24 * 3_600_000;
const next = 'a new and long one';

const newcomer: Partial<EffectiveUser> = { passwordHash: undefined, email: 'frank@example.com' };

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('frank', buildUser('frank', newcomer));
});
afterEach(() => rig.close());

async function issue(main = rig, username = 'frank', ttlMs = 7 * day): Promise<string> {
  await main.login.admin.passwordLinks.issue(username, { ...why, ttlMs });
  return main.links.at(-1)?.url.expose().split('#')[1] ?? '';
}

function redeem(
  token: string,
  changes: { main?: Rig; node?: PlayedNode; password?: string; ip?: string } = {},
) {
  const { main = rig, node = main.node, password: text = next, ip = '203.0.113.9' } = changes;
  const client = { ip, port: 4000, agent: 'x' };
  return main.login.loginHandlers['login.set-password']({ token, password: text, client }, node.link);
}

/** It is refused in the one word, and the audit says why; the password stays. */
async function refused(token: string, changes: Parameters<typeof redeem>[1] = {}): Promise<string> {
  const { users, state } = changes.main ?? rig;
  const before = users.get('frank')?.passwordHash;
  const error = await refusal(redeem(token, changes));
  expect(error).toMatchObject({ code: 'refused', publicMessage: 'Sign-in refused' });
  const record = state.audit.findLast(({ event }) => event === 'account.password-link');
  expect(record).toMatchObject({ outcome: 'refused', reference: error.reference });
  expect(users.get('frank')?.passwordHash).toBe(before);
  return record?.rule ?? '';
}

describe('a mailed link', () => {
  it('sets a password once, opens nothing by itself, and stands in the audit at both ends', async () => {
    const token = await issue();
    expect(rig.links).toMatchObject([
      { username: 'frank', address: 'frank@example.com', expiresAtMs: rig.now() + 7 * day },
    ]);
    expect(rig.links[0]?.url.expose()).toBe(`https://files.example.com/set-password#${token}`);
    expect(await redeem(token)).toEqual({ username: 'frank' });
    expect(rig.login.sessions.list()).toHaveLength(0);
    expect(await rig.begin('frank', { password: next })).toMatchObject({ next: 'admit' });
    expect(await refused(token)).toMatch(/no such link/);
    expect(rig.state.audit.filter(({ event }) => event.startsWith('account.'))).toMatchObject([
      { event: 'account.password-link', actor: 'socket:eva', user: 'frank', outcome: 'ok' },
      { event: 'account.password', user: 'frank', node: 'dmz1', rule: 'a mailed link', outcome: 'ok' },
      { event: 'account.password-link', outcome: 'refused' },
    ]);
    expect(JSON.stringify(rig.state.audit)).not.toContain(token);
    expect(rig.notices).toMatchObject([{ kind: 'password-changed', username: 'frank' }]);
  });

  it('is not spent by a password that is too weak', async () => {
    const token = await issue();
    await expect(redeem(token, { password: 'short' })).rejects.toMatchObject({ code: 'too-weak' });
    expect(await redeem(token)).toEqual({ username: 'frank' });
  });

  it('sets one password when two open it at the same moment', async () => {
    const token = await issue();
    const tries = await Promise.allSettled([redeem(token), redeem(token, { password: 'another long one' })]);
    expect(tries.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(await rig.begin('frank', { password: next })).toMatchObject({ next: 'admit' });
  });

  it('does not work any more when its time is over, or a newer one was mailed', async () => {
    const token = await issue();
    const newer = await issue();
    expect(await refused(token)).toMatch(/no such link/);
    rig.advance(7 * day);
    expect(await refused(newer)).toMatch(/too old/);
    const last = await issue();
    rig.advance(7 * day - 1);
    expect(await redeem(last)).toEqual({ username: 'frank' });
  });

  it.each([
    ['the password was set otherwise', { passwordHash: buildUser('x').passwordHash }, /password was set/],
    ['the account was disabled', { status: 'disabled' }, /disabled/],
    ['the account expired', { expires: '2026-11-23' }, /expired/],
    ['the address was wrong and was changed', { email: 'other@example.com' }, /address was changed/],
    ['it is opened from a place where the user may not sign in', { allowFrom: ['10.0.0.0/8'] }, /allow_from/],
  ] as const)('does not work when %s', async (_what, change, rule) => {
    const token = await issue();
    await rig.change('frank', change);
    expect(await refused(token)).toMatch(rule);
  });

  it('is not of the next person who has the name', async () => {
    const token = await issue();
    await rig.remove('frank');
    expect(await refused(token)).toMatch(/gone/);
    await rig.login.admin.twoFactor.forget('frank', why);
    await rig.change('frank', newcomer);
    expect(await refused(token)).toMatch(/had the name before/);
  });

  it('works after a restart and through another node, and is spent for both', async () => {
    const token = await issue();
    const again = await rig.restart();
    expect(await redeem(token, { main: again, node: again.otherNode })).toEqual({ username: 'frank' });
    const third = await again.restart();
    expect(await refused(token, { main: third })).toMatch(/no such link/);
    third.close();
    again.close();
  });

  it('works only through nodes that may change passwords, and is not mailed where none may', async () => {
    const main = await rig.restart({ twoFactor: { self_service: { password: { nodes: ['dmz2'] } } } });
    const token = await issue(main);
    expect(await refused(token, { main })).toMatch(/does not allow node dmz1/);
    expect(await redeem(token, { main, node: main.otherNode })).toEqual({ username: 'frank' });
    const off = await main.restart({ twoFactor: { self_service: { password: 'off' } } });
    await expect(issue(off)).rejects.toMatchObject({
      code: 'conflict',
      detail: 'self_service.password is off',
    });
    off.close();
    main.close();
  });

  it('ends what the old password had opened, and leaves the second factor as it is', async () => {
    await rig.change('frank', {
      passwordHash: buildUser('x').passwordHash,
      ...withFactor({ requiredOn: ['https'] }),
    });
    await rig.enrol('frank');
    const view = await rig.begin('frank', { password });
    await rig.answer(view, { code: rig.code('frank'), method: 'totp' });
    const live = rig.login.sessions.list().length;
    expect(live).toBeGreaterThan(0);
    await redeem(await issue());
    expect(rig.login.sessions.list()).toHaveLength(0);
    expect(await rig.begin('frank', { password: next })).toMatchObject({ next: 'code' });
  });

  it('is there for users of SFTP alone, too', async () => {
    await rig.change('frank', { protocols: ['sftp'] });
    expect(await redeem(await issue())).toEqual({ username: 'frank' });
  });

  it('is not made when it could not be mailed', async () => {
    rig.mailLink = () => Promise.reject(new SallyportError('delivery-failed', 'no'));
    await expect(issue()).rejects.toMatchObject({ code: 'delivery-failed' });
    expect(await rig.state.read('kept-password-link')).toEqual([]);
    rig.mailLink = undefined;
    await rig.change('frank', { email: undefined });
    await expect(issue()).rejects.toMatchObject({ code: 'conflict', detail: 'frank has no email' });
    await rig.change('frank', { ...newcomer, status: 'disabled' });
    await expect(issue()).rejects.toMatchObject({ code: 'conflict' });
    await expect(issue(rig, 'nobody')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('says that nothing was saved when an admin changes the file at the same moment', async () => {
    const token = await issue();
    rig.beforeWrite = () => Promise.reject(new SallyportError('precondition-failed', 'changed'));
    await expect(redeem(token)).rejects.toMatchObject({ code: 'conflict' });
    expect(rig.state.audit.at(-1)).toMatchObject({ event: 'account.not-written', user: 'frank' });
  });

  it('that nobody has is answered slower and slower, and real ones are not held up by that', async () => {
    const token = await issue();
    for (let count = 0; count < strayLinksBurst; count += 1) await refusal(redeem('A'.repeat(43)));
    await expect(redeem('A'.repeat(43))).rejects.toMatchObject({ code: 'rate-limited' });
    expect(await redeem(token)).toEqual({ username: 'frank' });
  });
});
