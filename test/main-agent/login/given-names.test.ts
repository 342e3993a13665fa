import { afterEach, describe, expect, it } from 'vitest';
import { returnGraceMs } from '#main-agent/users/limits.ts';
import { Secret } from '#shared/secret.ts';
import { buildRig, buildUser, refusal, settle, withFactor, type Rig, type RigOptions } from './rig.ts';

/**
 * S-16: what hangs at a name does not pass to the next person who is given it. The old person is asked for nothing here:
 * their authenticator is the rig's.
 */

let rig: Rig;
afterEach(() => rig.close());

const why = { actor: 'socket:admin', reason: 'seen in person' };
const required = withFactor({ requiredOn: ['https', 'sftp'], forceSetup: true });

/** Alice with an authenticator, and one sign-in behind her. */
async function start(options: RigOptions = {}): Promise<void> {
  rig = await buildRig(options);
  await rig.change('alice', required);
  await rig.enrol('alice');
  await signIn('alice');
  rig.advance(60_000);
}
/** How far it came: with a code, when one is asked. */
async function signIn(user: string, code?: string): Promise<string> {
  const view = await rig.begin(user);
  if (view.next !== 'code') return view.next;
  return (await rig.answer(view, { code: code ?? rig.code(user) })).outcome;
}
async function giveAgain(user = 'alice'): Promise<void> {
  await rig.change(user, required);
  await rig.departures.settled();
}
async function goFor(ms: number): Promise<void> {
  await rig.remove('alice');
  await rig.departures.settled();
  rig.advance(ms);
}
/** Lives longer than the grace. */
const makeBypassCode = (): Promise<Secret> =>
  rig.login.admin.twoFactor.makeBypassCode('alice', { ...why, ttlMs: 24 * 3_600_000, reEnrol: true });
const events = (user = 'alice'): readonly string[] =>
  rig.state.audit
    .filter((one) => one.user === user && one.event.startsWith('two-factor.'))
    .map((one) => one.event);

describe('a name that is given again', () => {
  it('S-16: within the grace is the same person’s', async () => {
    await start();
    await goFor(returnGraceMs);
    await giveAgain();
    expect(await signIn('alice')).toBe('admitted');
    expect(events()).toEqual(['two-factor.orphaned', 'two-factor.orphan-back']);
    expect(rig.departures.list()).toEqual([]);
  });

  it('S-16: after the grace opens nothing with the old factor, and nothing without one', async () => {
    await start();
    const bypass = await makeBypassCode();
    await goFor(returnGraceMs + 1);
    await giveAgain();
    const error = await refusal(rig.begin('alice'));
    const wrong = await refusal(rig.begin('alice', { password: 'not her password' }));
    expect([error.code, error.publicMessage]).toEqual([wrong.code, wrong.publicMessage]);
    expect(error.detail).toContain('the name was given again');
    expect(error.detail).toContain('two-factor keep alice');
    expect(
      (await (await rig.login.vault.load('alice')).verify(bypass, ['bypass', 'recovery', 'totp'])).kind,
    ).toBe('wrong');
    expect(events()).toEqual(['two-factor.bypass-code', 'two-factor.orphaned', 'two-factor.returned']);
    expect(rig.departures.list()).toMatchObject([{ username: 'alice', returnedAtMs: rig.now() }]);
    await expect(makeBypassCode()).rejects.toMatchObject({ code: 'conflict' });
    expect(await rig.login.admin.twoFactor.status('alice')).toMatchObject({
      state: 'broken',
      lockedOutOn: ['https', 'sftp'],
    });
  });

  it('S-16: added by an admin is somebody else’s, however soon', async () => {
    await start();
    await goFor(1_000);
    rig.login.admin.twoFactor.expectAnother('alice');
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    rig = await rig.restart();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: is refused from the first moment, before its return was written down', async () => {
    await start();
    const bypass = await makeBypassCode();
    await goFor(returnGraceMs + 1);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    rig.state.beforeCommit = (changes) =>
      changes.some((one) => one.kind === 'note-return') ? held : undefined;
    await rig.change('alice', required);
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    expect((await (await rig.login.vault.load('alice')).verify(bypass, ['bypass'])).kind).toBe('wrong');
    release();
    await rig.departures.settled();
    expect(rig.departures.list()).toHaveLength(1);
  });

  it('S-16: kept, the old factor and its spent codes count as before', async () => {
    await start();
    const spent = rig.code('alice', 1);
    rig.advance(30_000);
    expect(await signIn('alice', spent)).toBe('admitted');
    await goFor(returnGraceMs + 1);
    await giveAgain();
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(true);
    expect(await signIn('alice')).toBe('admitted');
    expect(events().slice(-2)).toEqual(['two-factor.returned', 'two-factor.kept']);
    expect(rig.state.audit.at(-2)).toMatchObject({ event: 'two-factor.kept', actor: why.actor });
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(false);
  });

  it('S-16: reset, the new person sets one up, and the old one’s is nothing', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    await giveAgain();
    await rig.login.admin.twoFactor.reset('alice', why);
    expect(await signIn('alice')).toBe('setup');
    expect(
      (await (await rig.login.vault.load('alice')).verify(new Secret(rig.code('alice')), ['totp'])).kind,
    ).toBe('wrong');
    expect((await rig.state.read('two-factor-state', { user: 'alice' })).firstLoginAtMs).toBeUndefined();
    expect(rig.departures.formerUntilMs('alice')).toBe(rig.now());
    expect(rig.departures.list()).toEqual([]);
  });

  it('S-16: comes and goes without becoming anybody’s, and no kept decision covers the next return', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    for (let times = 0; times < 3; times += 1) {
      await giveAgain();
      expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
      await goFor(1_000);
      expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(false);
    }
    await giveAgain();
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(true);
    await goFor(returnGraceMs + 1);
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: that goes again while it is being kept is not kept for the next', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    await giveAgain();
    rig.state.beforeCommit = async (changes) => {
      if (!changes.some((one) => one.kind === 'settle-departure')) return;
      rig.state.beforeCommit = undefined;
      await rig.remove('alice');
    };
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(true);
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    rig = await rig.restart();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: a clock that is set back stretches no grace', async () => {
    await start();
    await rig.remove('alice');
    await rig.departures.settled();
    rig.advance(returnGraceMs + 1);
    rig.jump(-returnGraceMs);
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: a user who was deleted through the API leaves nothing to decide', async () => {
    await start();
    await rig.remove('alice');
    await rig.login.admin.twoFactor.forget('alice', why);
    expect(rig.departures.formerUntilMs('alice')).toBe(rig.now());
    expect((await rig.state.read('two-factor-state', { user: 'alice' })).firstLoginAtMs).toBeUndefined();
    await giveAgain();
    rig.advance(returnGraceMs * 2);
    expect(await signIn('alice')).toBe('setup');
    rig = await rig.restart();
    expect(await signIn('alice')).toBe('setup');
    expect(rig.departures.list()).toEqual([]);
  });

  it('S-16: a leaver’s factor can be reset while nobody has the name', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    await rig.login.admin.twoFactor.reset('alice', why);
    expect(rig.departures.list()).toEqual([]);
    await giveAgain();
    expect(await signIn('alice')).toBe('setup');
  });

  it('S-16: of a user without a factor asks for no decision, and an outstanding bypass code is void', async () => {
    rig = await buildRig();
    await rig.change('alice', {});
    expect(await signIn('alice')).toBe('admit');
    const view = await rig.begin('alice');
    await rig.answer(view);
    const code = await makeBypassCode();
    await goFor(returnGraceMs + 1);
    await rig.change('alice', {});
    await rig.departures.settled();
    expect((await (await rig.login.vault.load('alice')).verify(code, ['bypass'])).kind).toBe('wrong');
    expect(await signIn('alice')).toBe('admit');
    expect(rig.departures.list()).toEqual([]);
    expect(rig.departures.formerUntilMs('alice')).toBe(rig.now());
  });

  it('S-16: another spelling of a name is another name', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    await giveAgain('Alice');
    expect(await signIn('Alice')).toBe('setup');
    expect(rig.departures.list()).toMatchObject([{ username: 'alice', returnedAtMs: undefined }]);
  });
});

describe('a restart of main', () => {
  it('S-16: finds whose users went while it was down, and gives them the grace from then on', async () => {
    await start();
    await rig.departures.close();
    rig.users.delete('alice');
    rig.advance(3_600_000);
    rig = await rig.restart();
    expect(rig.departures.list()).toMatchObject([{ username: 'alice', goneAtMs: rig.now() }]);
    expect(events()).toEqual(['two-factor.orphaned']);
    rig.advance(returnGraceMs + 1);
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: keeps the time that was noted, and what is not decided yet', async () => {
    await start();
    await goFor(returnGraceMs - 1);
    rig = await rig.restart();
    rig.advance(2);
    await giveAgain();
    expect(rig.departures.list()).toHaveLength(1);
    rig = await rig.restart();
    rig.advance(returnGraceMs);
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(true);
    rig = await rig.restart();
    expect(await signIn('alice')).toBe('admitted');
  });

  it('S-16: a name that came back late while main was down waits for a decision', async () => {
    await start();
    await goFor(0);
    await rig.departures.close();
    rig.advance(returnGraceMs + 1);
    rig.users.set('alice', buildUser('alice', required));
    rig = await rig.restart();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    expect(rig.departures.list()).toMatchObject([{ username: 'alice', returnedAtMs: rig.now() }]);
  });

  it('S-16: finds the file of a set-up whose commit was lost, before it is taken over for somebody else', async () => {
    await start();
    const file = rig.enrolments.get('alice');
    await rig.login.admin.twoFactor.reset('alice', why);
    if (file !== undefined) rig.enrolments.set('bob', { ...file, id: `${file.id.slice(0, -1)}Z` });
    rig = await rig.restart();
    expect(rig.departures.list()).toMatchObject([{ username: 'bob', returnedAtMs: undefined }]);
    rig.advance(returnGraceMs + 1);
    await giveAgain('bob');
    expect((await refusal(rig.begin('bob'))).detail).toContain('the name was given again');
  });

  it('S-16: a note that could not be written counts all the same', async () => {
    await start();
    rig.state.beforeCommit = (changes) => {
      if (changes.some((one) => one.kind === 'note-departure')) throw new Error('no space left');
    };
    await goFor(returnGraceMs + 1);
    await giveAgain();
    await settle();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
  });

  it('S-16: a return that could not be written down can be decided all the same', async () => {
    await start();
    await goFor(returnGraceMs + 1);
    rig.state.beforeCommit = (changes) => {
      if (changes.some((one) => one.kind === 'note-return')) throw new Error('no space left');
    };
    await giveAgain();
    expect((await refusal(rig.begin('alice'))).detail).toContain('the name was given again');
    expect(await rig.login.admin.twoFactor.keep('alice', why)).toBe(true);
    expect(await signIn('alice')).toBe('admitted');
  });
});
