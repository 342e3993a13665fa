import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commitToChange, purposeOf } from '#shared/assertion/account-change.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isSallyportError } from '#shared/error.ts';
import type { AccountChange, ChallengeView } from '#shared/link/messages.ts';
import { type EvilDmz, startEvilDmz } from '#test/harness/evil-dmz.ts';

/** What the user of a session wants, and what somebody who owns the node makes of it. */
describe('a broken-into node and its users’ accounts', () => {
  let evil: EvilDmz;
  /** One for all tests that change nothing: her authenticator shows a new code every 30 s only. */
  let alice: { readonly session: string; readonly code: string | undefined };
  beforeAll(async () => {
    evil = await startEvilDmz();
    alice = await signIn('alice');
  });
  afterAll(() => evil.close());

  const fileOf = (user: string): string => readFileSync(join(evil.files.main.users, `${user}.yaml`), 'utf8');
  const passwordOf = (user: string): string => evil.users[user]?.password ?? '';
  const wanted: AccountChange = { kind: 'password', value: 'what the user typed' };
  const swapped: AccountChange = { kind: 'password', value: 'what the attacker wants' };

  async function signIn(user: string): Promise<{ session: string; code: string | undefined }> {
    const challenge = await evil.begin(user);
    const code = challenge.next === 'code' ? await evil.authenticator(user).next() : undefined;
    const params = await evil.assert(challenge, code === undefined ? {} : { code });
    const result = await evil.link.request('login.assert', params);
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    return { session: result.view.session, code };
  }

  /** A change with everything that goes with it; `signed` is what the assertion is about. */
  async function prepare(
    who: { readonly user: string; readonly session: string; readonly code: string | undefined },
    change: AccountChange,
    more: { readonly signed?: AccountChange; readonly claims?: Partial<AssertionClaims> } = {},
  ) {
    const { user, session, code } = who;
    const signed = more.signed ?? change;
    const purpose = purposeOf(signed);
    const opened = await evil.link.request('account.step-up', { session, purpose });
    const { salt, commitment } = commitToChange(signed);
    const view: ChallengeView = { ...opened, username: user, expiresInMs: 0, next: 'code' };
    const changes = { purpose, change: commitment, ...more.claims };
    const { challenge: _challenge, ...evidence } = await evil.assert(view, {
      ...(code !== undefined && { code }),
      changes,
    });
    return { session, change, changeSalt: salt, current: passwordOf(user), ...evidence };
  }

  /** `changed`, the reason for another try, or the code of the error. */
  async function send(params: Awaited<ReturnType<typeof prepare>>): Promise<string> {
    try {
      const result = await evil.link.request('account.change', params);
      return result.outcome === 'again' ? result.reason : result.outcome;
    } catch (error) {
      return isSallyportError(error) ? error.code : String(error);
    }
  }

  it('S-03: the code that signed a user in changes nothing', async () => {
    const before = fileOf('alice');
    expect(await send(await prepare({ user: 'alice', ...alice }, wanted))).toBe('used-code');
    expect(fileOf('alice')).toBe(before);
  });

  it('S-01: a signature for one change makes no other, whichever half is swapped', async () => {
    const { session } = alice;
    const before = fileOf('alice');
    const code = await evil.authenticator('alice').next();
    const who = { user: 'alice', session, code };
    expect(await send(await prepare(who, swapped, { signed: wanted }))).toBe('refused');
    expect(await send({ ...(await prepare(who, wanted)), change: swapped })).toBe('refused');
    expect(await send({ ...(await prepare(who, wanted)), change: { kind: 'recovery-codes' } })).toBe(
      'conflict',
    );
    const other = commitToChange(swapped);
    expect(await send({ ...(await prepare(who, wanted)), changeSalt: other.salt })).toBe('refused');
    for (const claims of [{ purpose: 'login' }, { purpose: 'enrol' }, { purpose: 'ssh-key' }] as const)
      expect(await send(await prepare(who, wanted, { claims }))).toBe('refused');
    expect(fileOf('alice')).toBe(before);
  });

  it('S-04: what one session’s user proved is nothing in another session, of the same user or of another', async () => {
    const [frank, carol] = [await signIn('frank'), await signIn('carol')];
    const [franks, carols] = [fileOf('frank'), fileOf('carol')];
    const params = await prepare({ user: 'frank', ...frank }, wanted);
    expect(await send({ ...params, session: carol.session })).toBe('conflict');
    await evil.link.request('account.step-up', { session: carol.session, purpose: 'password' });
    expect(await send({ ...params, session: carol.session })).toBe('refused');
    const asFrank = await prepare({ user: 'frank', ...carol }, wanted);
    expect(await send(asFrank)).toBe('refused');
    expect([fileOf('frank'), fileOf('carol')]).toEqual([franks, carols]);
  });

  it('S-01: a user who must give a code is not changed without one, whatever the node says stands for it', async () => {
    const { session } = alice;
    const before = fileOf('alice');
    for (const method of ['none', 'device', 'lease', 'trusted-network', 'bypass'] as const) {
      const params = await prepare({ user: 'alice', session, code: undefined }, wanted, {
        claims: { method },
      });
      expect(await send(params), method).toBe('refused');
    }
    expect(fileOf('alice')).toBe(before);
  });

  it('no SSH key is added where the administrator did not allow it', async () => {
    const { session } = await signIn('frank');
    await expect(evil.link.request('account.step-up', { session, purpose: 'ssh-key' })).rejects.toMatchObject(
      { code: 'not-allowed' },
    );
  });

  it('a session is no place to try passwords: the fifth wrong one ends it', async () => {
    const { session } = await signIn('carol');
    const tries: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      const params = await prepare({ user: 'carol', session, code: undefined }, wanted);
      tries.push(await send({ ...params, current: `guess number ${count}` }));
    }
    expect(tries).toEqual([...Array.from({ length: 4 }, () => 'wrong-password'), 'no-session']);
    await expect(evil.link.request('account.view', { session })).rejects.toMatchObject({
      code: 'no-session',
    });
  });

  it('S-03: one proof makes one change, however often it is sent', async () => {
    const { session } = await signIn('frank');
    const params = await prepare({ user: 'frank', session, code: undefined }, wanted);
    const outcomes = await Promise.all([send(params), send(params), send(params)]);
    expect(outcomes.toSorted((one, other) => one.localeCompare(other))).toEqual([
      'changed',
      'no-session',
      'no-session',
    ]);
  });
});
