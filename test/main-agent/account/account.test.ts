import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Change } from '#main-agent/state/state-store.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import { SallyportError } from '#shared/error.ts';
import { Asker } from '#shared/link/asker.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import type { AnySession, FullSession } from '#main-agent/sessions/session.ts';
import { passwordScope } from '#main-agent/login/first-factor.ts';
import { commitToChange, purposeOf } from '#shared/assertion/account-change.ts';
import type { AccountChange, Result } from '#shared/link/messages.ts';
import { sessionKey } from '#shared/random-id.ts';
import { formatPublicKeyLine } from '#shared/ssh-key/parse.ts';
import { stepUpPasswordsMax } from '#main-agent/account/limits.ts';
import {
  buildRig,
  buildUser,
  password,
  playSshKey,
  refusal,
  settle,
  signAnswer,
  startMs,
  withFactor,
  type Answer,
  type Attempt,
  type PlayedNode,
  type Rig,
} from '../login/rig.ts';

let rig: Rig;
let id: string;

const anywhere = { self_service: { ssh_keys: 'anywhere' } };

beforeEach(async () => {
  rig = await buildRig({ twoFactor: { ...anywhere, remember_device: '30d' } });
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: ['https', 'sftp'] }, { email: 'a@x' })));
  rig.users.set('frank', buildUser('frank'));
  await rig.enrol('alice');
  id = await signIn('alice');
});
afterEach(() => rig.close());

async function signIn(username: string, attempt: Attempt & Answer = {}): Promise<string> {
  const view = await rig.begin(username, attempt);
  const code = view.next === 'code' ? { code: rig.code(username) } : {};
  const result = await rig.answer(view, { ...code, ...attempt });
  if (result.outcome !== 'admitted') throw new Error(result.reason);
  if (view.next === 'code') rig.advance(30_000);
  return result.view.session;
}
function find(sessionId: string, node: PlayedNode = rig.node): FullSession {
  const session: AnySession = rig.login.sessions.require(sessionId, node.link);
  if (session.state !== 'signed-in') throw new Error('confined');
  return session;
}

interface Wish {
  readonly session?: string;
  readonly user?: string;
  readonly current?: string;
  /** Undefined: the next one; null: none. */
  readonly code?: string | null;
  readonly method?: 'totp' | 'recovery';
  /** What is signed instead of the change. */
  readonly signed?: AccountChange;
  readonly node?: PlayedNode;
  readonly claims?: Answer['claims'];
}

async function prepare(change: AccountChange, wish: Wish = {}) {
  const session = wish.session ?? id;
  const node = wish.node ?? rig.node;
  const user = wish.user ?? 'alice';
  const found = find(session, node);
  const purpose = purposeOf(wish.signed ?? change);
  const opened = await rig.login.accountHandlers['account.step-up']({ session, purpose }, found, node.link);
  const { salt, commitment } = commitToChange(wish.signed ?? change);
  const code = wish.code === null || opened.shapes.length === 0 ? undefined : (wish.code ?? rig.code(user));
  const signed = await signAnswer(
    { ...opened, username: user, next: code === undefined ? 'admit' : 'code' },
    {
      ...(code !== undefined && { code }),
      method: code === undefined ? 'none' : (wish.method ?? 'totp'),
      claims: { purpose, change: commitment, ...wish.claims },
    },
    node,
    rig.now(),
  );
  return { session, change, changeSalt: salt, current: wish.current ?? password, ...signed };
}

async function send(
  params: Awaited<ReturnType<typeof prepare>>,
  node: PlayedNode = rig.node,
): Promise<Result<'account.change'>> {
  return rig.login.accountHandlers['account.change'](params, find(params.session, node), node.link);
}

const ask = async (change: AccountChange, wish: Wish = {}) => send(await prepare(change, wish), wish.node);

async function done(change: AccountChange, wish: Wish = {}) {
  const result = await ask(change, wish);
  if (result.outcome !== 'changed') throw new Error(result.reason);
  if (wish.session === undefined) id = result.view.session;
  return result;
}

const next = 'a wholly different phrase';
const toNext: AccountChange = { kind: 'password', value: next };
const newKey = (): { change: AccountChange; fingerprint: string } => {
  const { publicKey } = playSshKey();
  return {
    change: { kind: 'add-ssh-key', value: formatPublicKeyLine(publicKey) },
    fingerprint: publicKey.fingerprint,
  };
};
const audited = (event: string) => rig.state.audit.filter((record) => record.event === event);

describe('changing the password', () => {
  it('takes the old one away and the new one works', async () => {
    await done(toNext);
    expect((await refusal(rig.begin('alice'))).code).toBe('refused');
    expect(await rig.begin('alice', { password: next })).toMatchObject({ next: 'code' });
    expect(rig.notices.map((one) => one.kind)).toEqual(['password-changed']);
    expect(audited('account.password')).toMatchObject([
      { user: 'alice', node: 'dmz1', sessionKey: find(id).key, method: 'totp', outcome: 'ok' },
    ]);
    expect(JSON.stringify(rig.state.audit)).not.toContain(next);
  });

  it('goes on in this session under a new id, and ends every other session, lease and device', async () => {
    const other = await signIn('alice', { node: rig.otherNode });
    const remembered = await signIn('alice', { rememberDevice: true });
    await signIn('alice', { protocol: 'sftp' });
    expect(await rig.state.read('devices', { user: 'alice' })).toHaveLength(1);
    expect(await rig.state.read('leases')).toHaveLength(1);
    const old = id;
    await done(toNext);
    expect(id).not.toBe(old);
    await settle();
    expect(find(id).username).toBe('alice');
    for (const dead of [old, remembered]) expect(() => find(dead)).toThrow('signed out');
    expect(() => find(other, rig.otherNode)).toThrow('signed out');
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect(await rig.state.read('leases')).toEqual([]);
    expect((await rig.state.read('sessions')).map((one) => one.key)).toEqual([sessionKey(id)]);
  });

  it('the session that changed it lives through the next judgement and through a restart of main', async () => {
    await done(toNext);
    await rig.change('alice', { displayName: 'Alice' });
    rig = await rig.restart();
    expect(find(id).username).toBe('alice');
  });

  it('S-14: a judgement between commit and file ends neither the session nor the change', async () => {
    rig.beforeWrite = () => rig.change('alice', { displayName: 'Alice' });
    await done(toNext);
    expect(find(id).username).toBe('alice');
    expect(await rig.begin('alice', { password: next })).toMatchObject({ next: 'code' });
  });

  it('ends a session that an SSH key opened, too', async () => {
    const key = playSshKey();
    await rig.change('alice', { sshKeys: [key.publicKey] });
    const sftp = { protocol: 'sftp' as const, listener: 'sftp' };
    const client = { ip: '203.0.113.9', port: 50_000, agent: 'test client' };
    const factor = key.signRequest('alice');
    const begin = { user: 'alice', ...sftp, client, factor };
    const view = await rig.login.loginHandlers['login.begin'](begin, rig.node.link);
    const result = await rig.answer(view, {
      code: rig.code('alice'),
      protocol: 'sftp',
      claims: { amr: ['key', 'otp'] },
    });
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    rig.advance(30_000);
    await done(toNext);
    expect(() => find(result.view.session)).toThrow('signed out');
  });

  it('refuses a weak one, and the one there is, before a code is spent', async () => {
    const weak = {
      short: { weakness: 'too-short', minimum: 12 },
      ['x'.repeat(1025)]: { weakness: 'too-long' },
      passwordpassword: { weakness: 'common' },
      'alice alice 1': { weakness: 'user-name' },
      [password]: { weakness: 'unchanged' },
    };
    for (const [value, data] of Object.entries(weak)) {
      const error = await refusal(ask({ kind: 'password', value }));
      expect([error.code, error.data]).toEqual(['too-weak', data]);
    }
    expect(await done(toNext)).toMatchObject({ outcome: 'changed' });
  });

  it('needs no code from who has no authenticator', async () => {
    const session = await signIn('frank');
    const result = await done(toNext, { session, user: 'frank' });
    expect(find(result.view.session).username).toBe('frank');
    expect((await refusal(rig.begin('frank'))).code).toBe('refused');
  });

  it('is refused where it is off, through other nodes, and to who has no password', async () => {
    rig = await rig.restart({ twoFactor: { self_service: { password: { nodes: ['dmz2'] } } } });
    expect((await refusal(ask(toNext))).code).toBe('not-allowed');
    rig = await rig.restart({ twoFactor: { self_service: { password: 'off' } } });
    expect((await refusal(ask(toNext))).code).toBe('not-allowed');
    const view = () => rig.login.sessionHandlers['account.view']({ session: id }, find(id), rig.node.link);
    expect((await view()).may).toEqual({ password: false, sshKeys: false });
    rig = await rig.restart({ twoFactor: anywhere });
    expect((await view()).may).toEqual({ password: true, sshKeys: true });
  });

  it('does not write over what an admin changed meanwhile', async () => {
    const params = await prepare(toNext);
    rig.state.beforeCommit = async (changes) => {
      if (!changes.some(({ kind }) => kind === 'note-account-change')) return;
      rig.state.beforeCommit = undefined;
      await rig.change('alice', { displayName: 'Renamed' });
    };
    expect((await refusal(send(params))).code).toBe('conflict');
    expect(audited('account.not-written')).toHaveLength(1);
    expect(await rig.begin('alice')).toMatchObject({ next: 'code' });
  });
});

describe('step-up', () => {
  it('S-03: a code that opened a session changes nothing, and one that changed something opens nothing', async () => {
    const used = rig.code('alice', -1);
    expect(await ask(toNext, { code: used })).toMatchObject({ reason: 'used-code' });
    const fresh = rig.code('alice');
    await done(newKey().change, { code: fresh });
    expect(await ask(newKey().change, { code: fresh })).toMatchObject({ reason: 'used-code' });
    expect(await rig.answer(await rig.begin('alice'), { code: fresh })).toMatchObject({
      reason: 'used-code',
    });
  });

  it('S-03: of two changes at once with one code one is made', async () => {
    const second = await signIn('alice');
    const code = rig.code('alice');
    const results = await Promise.all([
      ask(newKey().change, { code }),
      ask(newKey().change, { code, session: second }),
    ]);
    expect(results.map((one) => (one.outcome === 'again' ? one.reason : one.outcome)).toSorted()).toEqual([
      'changed',
      'used-code',
    ]);
    expect(rig.users.get('alice')?.sshKeys).toHaveLength(1);
  });

  it('S-03: a login and a change at once with one code: one of them', async () => {
    const code = rig.code('alice');
    const view = await rig.begin('alice');
    const results = await Promise.all([rig.answer(view, { code }), ask(newKey().change, { code })]);
    expect(results.filter(({ outcome }) => outcome !== 'again')).toHaveLength(1);
  });

  it('S-01: what is done is what was signed: another password, key or kind of change is refused', async () => {
    const cases: [AccountChange, AccountChange][] = [
      [{ kind: 'password', value: 'the attacker picked this' }, toNext],
      [newKey().change, newKey().change],
      [newKey().change, { kind: 'remove-ssh-key', value: 'A'.repeat(43) }],
    ];
    for (const [change, signed] of cases)
      expect((await refusal(ask(change, { signed }))).code).toBe('refused');
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
    expect(audited('account.step-up-refused')).toHaveLength(cases.length);
    expect(await done(toNext)).toMatchObject({ outcome: 'changed' });
  });

  it('S-01: an assertion for another purpose, or for none, is refused', async () => {
    for (const claims of [
      { purpose: 'login' },
      { purpose: 'ssh-key' },
      { purpose: 'enrol' },
      { change: undefined },
      { sub: 'frank' },
      { nonce: 'A'.repeat(43) },
      { challenge: 'A'.repeat(43) },
      { link: 'A'.repeat(43) },
      { protocol: 'sftp' },
      { method: 'none' },
      { method: 'bypass' },
    ] as const)
      expect((await refusal(ask(toNext, { claims }))).code).toBe('refused');
  });

  it('S-01: no login takes an assertion that asks for a change', async () => {
    const view = await rig.begin('alice');
    const { commitment } = commitToChange(toNext);
    const code = rig.code('alice');
    expect((await refusal(rig.answer(view, { code, claims: { change: commitment } }))).code).toBe('refused');
  });

  it('S-03: an assertion is good once', async () => {
    const { change } = newKey();
    const params = await prepare(change);
    const result = await send(params);
    if (result.outcome !== 'changed') throw new Error(result.reason);
    id = result.view.session;
    expect((await refusal(send({ ...params, session: id }))).code).toBe('exists');
    rig.advance(30_000);
    const again = await prepare({ kind: 'remove-ssh-key', value: result.sshKey?.id ?? '' });
    await send(again).then((one) => one.outcome === 'changed' && (id = one.view.session));
    expect((await refusal(send({ ...params, session: id }))).code).toBe('conflict');
    await prepare(change);
    expect((await refusal(send({ ...params, session: id }))).code).toBe('refused');
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
  });

  it('S-04: one session’s step-up is nothing for another, of the same user or not', async () => {
    const second = await signIn('alice');
    const params = await prepare(toNext);
    expect((await refusal(send({ ...params, session: second }))).code).toBe('conflict');
    await prepare(toNext, { session: second, code: null });
    expect((await refusal(send({ ...params, session: second }))).code).toBe('refused');
    const frank = await signIn('frank');
    await prepare(toNext, { session: frank, user: 'frank' });
    expect((await refusal(send({ ...params, session: frank }))).code).toBe('refused');
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
  });

  it('a newer step-up takes the place of the one before; none lives longer than its request', async () => {
    const params = await prepare(toNext);
    await prepare(toNext);
    expect((await refusal(send(params))).code).toBe('refused');
    const late = await prepare(toNext);
    rig.advance(30_000);
    expect((await refusal(send(late))).code).toBe('conflict');
  });

  it('S-13: wrong passwords count for the user and for the session, and the last of five ends it', async () => {
    for (let left = stepUpPasswordsMax - 1; left > 0; left -= 1)
      expect(await ask(toNext, { current: 'not the password' })).toEqual({
        outcome: 'again',
        reason: 'wrong-password',
        attemptsLeft: left,
      });
    expect((await refusal(ask(toNext, { current: 'not the password' }))).code).toBe('no-session');
    expect(() => find(id)).toThrow('signed out');
    expect(
      await rig.state.read('failures', { scope: passwordScope('alice'), nowMs: rig.now() }),
    ).toMatchObject({ recent: stepUpPasswordsMax });
    expect(await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).toMatchObject({
      recent: 0,
    });
  });

  it('a right password between wrong ones forgives them', async () => {
    for (let tries = 1; tries < stepUpPasswordsMax; tries += 1)
      await ask(newKey().change, { current: 'not the password' });
    await done(newKey().change);
    rig.advance(30_000);
    expect(await ask(newKey().change, { current: 'not the password' })).toMatchObject({
      attemptsLeft: stepUpPasswordsMax - 1,
    });
  });

  it('S-13: wrong codes count for the user as at login, and the last of five ends the session', async () => {
    for (const attemptsLeft of [4, 3, 2, 1])
      expect(await ask(toNext, { code: '000000' })).toMatchObject({ reason: 'wrong-code', attemptsLeft });
    expect((await refusal(ask(toNext, { code: '000000' }))).code).toBe('no-session');
    expect(() => find(id)).toThrow('signed out');
    expect(await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).toMatchObject({
      recent: 5,
    });
  });

  it('a wrong password asks for no code and counts none', async () => {
    expect(await ask(toNext, { current: 'not the password', code: rig.code('alice') })).toMatchObject({
      reason: 'wrong-password',
    });
    expect(await done(toNext, { code: rig.code('alice') })).toMatchObject({ outcome: 'changed' });
  });

  it('asks a session that came in without a code for one all the same', async () => {
    const cookie = await rig.answer(await rig.begin('alice'), {
      code: rig.code('alice'),
      rememberDevice: true,
    });
    if (cookie.outcome !== 'admitted') throw new Error(cookie.reason);
    const view = await rig.begin('alice', { device: cookie.device?.value ?? '' });
    expect(view).toMatchObject({ next: 'admit', admitAs: 'device' });
    const result = await rig.answer(view);
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    const { session } = result.view;
    expect((await refusal(ask(toNext, { session, code: null }))).code).toBe('refused');
    rig.advance(30_000);
    expect(await done(toNext, { session })).toMatchObject({ outcome: 'changed' });
  });

  it('an admin’s bypass code changes nothing', async () => {
    const why = { actor: 'socket:root', reason: 'lost phone' };
    const bypass = await rig.login.admin.twoFactor.makeBypassCode('alice', {
      ...why,
      ttlMs: 900_000,
      reEnrol: false,
    });
    expect(await ask(toNext, { code: bypass.expose() })).toMatchObject({ reason: 'wrong-code' });
  });

  it('a session that ended while its change waited changes nothing', async () => {
    const params = await prepare(toNext);
    const session = find(id);
    await rig.login.sessions.end(session.key, 'kicked');
    const late = rig.login.accountHandlers['account.change'](params, session, rig.node.link);
    expect((await refusal(late)).code).toBe('no-session');
  });

  it('S-14: a session that another change ended while this one waited for its turn changes nothing', async () => {
    const other = await signIn('alice');
    const first = await prepare(toNext);
    const second = await prepare(newKey().change, { session: other });
    const held = Promise.withResolvers<void>();
    rig.state.beforeCommit = () => held.promise;
    const changing = send(first);
    const waiting = refusal(send(second));
    rig.state.beforeCommit = undefined;
    held.resolve();
    await changing;
    expect((await waiting).code).toBe('no-session');
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
  });

  it('S-03: a commit that the disk refuses changes nothing and leaves the session', async () => {
    const { change } = newKey();
    const params = await prepare(change);
    rig.state.beforeCommit = (changes) => {
      if (changes.some(({ kind }) => kind === 'note-account-change')) throw new Error('disk full');
    };
    await expect(send(params)).rejects.toThrow('disk full');
    rig.state.beforeCommit = undefined;
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
    expect(await done(change)).toMatchObject({ outcome: 'changed' });
  });
});

describe('SSH keys', () => {
  const list = async () =>
    (await rig.login.accountHandlers['account.ssh-keys']({ session: id }, find(id), rig.node.link)).sshKeys;

  it('are added, listed with where and when they came from, and removed', async () => {
    const { change, fingerprint } = newKey();
    const { sshKey } = await done(change);
    expect(await list()).toEqual([
      {
        id: sshKey?.id,
        type: 'ssh-ed25519',
        fingerprint,
        comment: '',
        removable: true,
        added: { atMs: rig.now(), node: 'dmz1' },
      },
    ]);
    rig.advance(30_000);
    await done({ kind: 'remove-ssh-key', value: sshKey?.id ?? '' });
    expect(await list()).toEqual([]);
    expect(rig.notices.map((one) => one.kind)).toEqual(['ssh-key-added', 'ssh-key-removed']);
  });

  it('one that is there, one too many and one that is weak or none are refused before a code is spent', async () => {
    const { change } = newKey();
    await done(change);
    rig.advance(30_000);
    expect((await refusal(ask(change))).code).toBe('exists');
    const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
    const part = (octets: Buffer): Buffer => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(octets.length);
      return Buffer.concat([length, octets]);
    };
    const n = Buffer.concat([Buffer.from([0]), Buffer.from(weak.n ?? '', 'base64url')]);
    const e = Buffer.from(weak.e ?? '', 'base64url');
    const blob = Buffer.concat([part(Buffer.from('ssh-rsa')), part(e), part(n)]);
    const rsa = await refusal(ask({ kind: 'add-ssh-key', value: `ssh-rsa ${blob.toString('base64')}` }));
    expect([rsa.code, rsa.publicMessage]).toEqual(['too-weak', expect.stringContaining('at least 3072')]);
    expect(rsa.data).toEqual({ weakness: 'key-too-short', minimum: 3072 });
    const unreadable = ['', 'ssh-ed25519', 'command="sh" ssh-ed25519 AAAA'];
    const otherType = ['sk-ssh-ed25519@openssh.com AAAA', 'ssh-dss AAAA'];
    const long = `${(change as { value: string }).value} ${'c'.repeat(129)}`;
    for (const [values, weakness] of [
      [unreadable, 'key-unreadable'],
      [otherType, 'key-type'],
      [[long], 'key-comment'],
    ] as const)
      for (const value of values) {
        const error = await refusal(ask({ kind: 'add-ssh-key', value }));
        expect([value, error.code, error.data]).toEqual([value, 'too-weak', { weakness }]);
      }
    await rig.change('alice', { sshKeys: Array.from({ length: 64 }, () => playSshKey().publicKey) });
    expect((await refusal(ask(newKey().change))).code).toBe('too-many');
    const unknown: AccountChange = { kind: 'remove-ssh-key', value: 'A'.repeat(43) };
    expect((await refusal(ask(unknown))).code).toBe('not-found');
  });

  it('one that the administrator gave stays', async () => {
    const { publicKey } = playSshKey();
    rig.given.add(publicKey.fingerprint);
    await rig.change('alice', { sshKeys: [publicKey] });
    const [key] = await list();
    expect(key?.removable).toBe(false);
    const remove = ask({ kind: 'remove-ssh-key', value: key?.id ?? '' });
    expect((await refusal(remove)).code).toBe('not-allowed');
  });

  it('are off unless the administrator says so', async () => {
    rig = await rig.restart({ twoFactor: {} });
    expect((await refusal(ask(newKey().change))).code).toBe('not-allowed');
  });
});

describe('new recovery codes', () => {
  const renew: AccountChange = { kind: 'recovery-codes' };

  it('void the old ones, work themselves, and leave the authenticator as it is', async () => {
    const first = await done(renew);
    expect(first.recoveryCodes).toHaveLength(10);
    rig.advance(30_000);
    const second = await done(renew);
    const login = async (code: string | undefined) =>
      rig.answer(await rig.begin('alice'), { code: code?.replaceAll('-', '') ?? '', method: 'recovery' });
    expect(await login(first.recoveryCodes?.[0])).toMatchObject({ reason: 'wrong-code' });
    expect(await login(second.recoveryCodes?.[0])).toMatchObject({ outcome: 'admitted' });
    expect(await login(second.recoveryCodes?.[0])).toMatchObject({ reason: 'used-code' });
    rig.advance(30_000);
    await expect(signIn('alice')).resolves.toBeTypeOf('string');
    expect(rig.notices.map((one) => one.kind)).toContain('recovery-codes-renewed');
  });

  it('S-03: what was spent before stays spent under the enrolment’s new id', async () => {
    const burned = rig.code('alice', 5);
    expect(await rig.answer(await rig.begin('alice'), { code: burned })).toMatchObject({
      reason: 'wrong-code',
    });
    const code = rig.code('alice');
    await done(renew, { code });
    expect(await rig.answer(await rig.begin('alice'), { code })).toMatchObject({ reason: 'used-code' });
    rig.advance(5 * 30_000);
    const answer = await rig.answer(await rig.begin('alice'), { code: burned });
    expect(answer).toMatchObject({ outcome: 'again' });
  });

  it('S-14: the file of before is an older one and brings no old code back', async () => {
    const before = rig.enrolments.get('alice');
    if (before === undefined) throw new Error('not enrolled');
    await done(renew);
    rig.enrolments.set('alice', before);
    expect(await rig.login.vault.status('alice')).toMatchObject({ state: 'broken' });
  });

  it('are not made with a recovery code, nor without an authenticator', async () => {
    const { recoveryCodes } = await done(renew);
    const code = recoveryCodes?.[0]?.replaceAll('-', '') ?? '';
    expect((await refusal(ask(renew, { code, method: 'recovery' }))).code).toBe('refused');
    const frank = await signIn('frank');
    expect((await refusal(ask(renew, { session: frank, user: 'frank' }))).code).toBe('conflict');
  });

  it('are refused before a code is spent where the administrator gives none', async () => {
    rig = await rig.restart({ twoFactor: { enrolment: { recovery_codes: 0 } } });
    const code = rig.code('alice');
    expect((await refusal(ask(renew, { code }))).code).toBe('not-allowed');
    expect(await rig.answer(await rig.begin('alice'), { code })).toMatchObject({ outcome: 'admitted' });
  });

  it('a recovery code proves other changes, once', async () => {
    const { recoveryCodes } = await done(renew);
    const code = recoveryCodes?.[0]?.replaceAll('-', '') ?? '';
    await done(newKey().change, { code, method: 'recovery' });
    expect(await ask(newKey().change, { code, method: 'recovery' })).toMatchObject({ reason: 'used-code' });
  });

  it('a commit that fails leaves the old ones in force', async () => {
    const { recoveryCodes } = await done(renew);
    rig.advance(30_000);
    const params = await prepare(renew);
    rig.state.beforeCommit = (changes) => {
      if (changes.some(({ kind }) => kind === 'note-account-change')) throw new Error('disk full');
    };
    await expect(send(params)).rejects.toThrow('disk full');
    rig.state.beforeCommit = undefined;
    const code = recoveryCodes?.[0]?.replaceAll('-', '') ?? '';
    expect(await rig.answer(await rig.begin('alice'), { code, method: 'recovery' })).toMatchObject({
      outcome: 'admitted',
    });
  });
});

describe('own sessions, leases and devices', () => {
  const handlers = () => rig.login.accountHandlers;
  const end = (what: 'session' | 'lease' | 'device', name: string) =>
    handlers()['account.end']({ session: id, what, id: name }, find(id), rig.node.link);

  it('are listed, the current session marked, and nobody else’s', async () => {
    await signIn('frank');
    const other = await signIn('alice', { node: rig.otherNode });
    const { sessions } = await handlers()['account.sessions']({ session: id }, find(id), rig.node.link);
    expect(sessions.map(({ id: name, current, node }) => [name, current, node])).toEqual([
      [sessionKey(id), true, 'dmz1'],
      [sessionKey(other), false, 'dmz2'],
    ]);
  });

  it('are ended by their user and by nobody else', async () => {
    const frank = await signIn('frank');
    const other = await signIn('alice');
    await signIn('alice', { protocol: 'sftp' });
    await signIn('alice', { rememberDevice: true });
    expect((await refusal(end('session', sessionKey(frank)))).code).toBe('not-found');
    await end('session', sessionKey(other));
    expect(() => find(other)).toThrow('signed out');
    expect(find(frank).username).toBe('frank');

    const params = { session: id };
    const { leases } = await handlers()['account.leases'](params, find(id), rig.node.link);
    const { devices } = await handlers()['account.devices'](params, find(id), rig.node.link);
    const stored = [
      ...(await rig.state.read('leases')),
      ...(await rig.state.read('devices', { user: 'alice' })),
    ];
    for (const { id: secret } of stored) expect(JSON.stringify({ leases, devices })).not.toContain(secret);
    await end('lease', leases[0]?.id ?? '');
    await end('device', devices[0]?.id ?? '');
    expect((await refusal(end('lease', leases[0]?.id ?? ''))).code).toBe('not-found');
    expect((await refusal(end('device', devices[0]?.id ?? ''))).code).toBe('not-found');
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect(await rig.begin('alice', { protocol: 'sftp' })).toMatchObject({ next: 'code' });
    expect(audited('lease.ended')).toMatchObject([{ user: 'alice', detail: 'by the user' }]);
    expect(audited('device.ended')).toHaveLength(1);
  });
});

describe('remembering the browser', () => {
  it('is offered where it is switched on, on the web, with a code of the user’s own', async () => {
    expect((await rig.begin('alice')).asked?.rememberDevice).toBe(true);
    expect((await rig.begin('alice', { protocol: 'sftp' })).asked?.rememberDevice).toBeUndefined();
    rig = await rig.restart({ twoFactor: {} });
    expect((await rig.begin('alice')).asked?.rememberDevice).toBeUndefined();
  });
});

describe('what users changed through a node (S-15)', () => {
  it('S-15: is noted with node, session and time', async () => {
    await done(newKey().change);
    rig.advance(30_000);
    await done({ kind: 'recovery-codes' });
    rig.advance(30_000);
    await done(toNext);
    const noted = await rig.state.read('account-changes', {
      node: 'dmz1',
      fromMs: startMs,
      toMs: rig.now() + 1,
      limit: 100,
    });
    expect(noted.map(({ kind, username }) => [kind, username])).toEqual([
      ['ssh-key-added', 'alice'],
      ['recovery-codes', 'alice'],
      ['password', 'alice'],
    ]);
    expect(noted.at(-1)).toMatchObject({ session: sessionKey(id), atMs: rig.now(), clientIp: '203.0.113.9' });
    expect(
      await rig.state.read('account-changes', { node: 'dmz2', fromMs: 0, toMs: rig.now() + 1, limit: 100 }),
    ).toEqual([]);
  });

  const why = { actor: 'socket:root', reason: 'dmz1 was broken into' };
  const admin = () => rig.login.admin.nodeChanges;
  const statesOf = async (from = 0) =>
    (await admin().list('dmz1', from, rig.now() + 1)).changes.map(({ kind, user, state }) => [
      kind,
      user,
      state,
    ]);

  it('S-15: one command undoes keys, passwords, factors, devices and leases that came through the node', async () => {
    const { change, fingerprint } = newKey();
    await done(change);
    rig.advance(30_000);
    await done({ kind: 'recovery-codes' });
    rig.advance(30_000);
    await signIn('alice', { protocol: 'sftp' });
    await signIn('alice', { rememberDevice: true });
    const frank = await signIn('frank');
    await done({ kind: 'password', value: next }, { session: frank, user: 'frank' });
    expect(await statesOf()).toEqual([
      ['ssh-key-added', 'alice', 'in force'],
      ['recovery-codes', 'alice', 'in force'],
      ['lease', 'alice', 'in force'],
      ['device', 'alice', 'in force'],
      ['password', 'frank', 'in force'],
    ]);
    const { changes } = await admin().revoke('dmz1', 0, rig.now() + 1, why);
    expect(new Set(changes.map(({ state }) => state))).toEqual(new Set(['revoked']));
    expect(changes.find(({ kind }) => kind === 'password')?.note).toContain('sallyport users passwd frank');
    expect(rig.users.get('alice')?.sshKeys.map((key) => key.fingerprint)).not.toContain(fingerprint);
    expect(await rig.login.vault.status('alice')).toMatchObject({ state: 'none' });
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect(await rig.state.read('leases')).toEqual([]);
    expect((await refusal(rig.begin('frank', { password: next }))).code).toBe('refused');
    await settle();
    expect(rig.login.sessions.list()).toEqual([]);
    expect(await statesOf()).toEqual([
      ['ssh-key-added', 'alice', 'gone'],
      ['recovery-codes', 'alice', 'gone'],
      ['password', 'frank', 'gone'],
    ]);
    expect(rig.state.audit.filter(({ actor }) => actor === why.actor).map(({ event }) => event)).toEqual(
      expect.arrayContaining(['two-factor.reset', 'account.password-revoked', 'account.ssh-key-revoked']),
    );
  });

  it('S-15: leaves what came through other nodes, at other times, or was replaced since', async () => {
    await done(newKey().change);
    const from = rig.now() + 1;
    rig.advance(30_000);
    const other = await signIn('alice', { node: rig.otherNode });
    await done(newKey().change, { session: other, node: rig.otherNode });
    rig.advance(30_000);
    await done(toNext);
    await rig.change('alice', { passwordHash: rig.users.get('frank')?.passwordHash });
    expect(await statesOf(from)).toEqual([['password', 'alice', 'gone']]);
    await admin().revoke('dmz1', from, rig.now() + 1, why);
    expect(rig.users.get('alice')?.sshKeys).toHaveLength(2);
    expect(await rig.begin('alice')).toMatchObject({ next: 'code' });
  });

  it('S-15: what can not be undone does not keep the rest', async () => {
    await done(newKey().change);
    rig.advance(30_000);
    await done({ kind: 'recovery-codes' });
    rig.state.beforeCommit = (changes) => {
      if (changes.some(({ kind }) => kind === 'set-enrolment')) throw new Error('disk full');
    };
    const { changes } = await admin().revoke('dmz1', 0, rig.now() + 1, why);
    expect(changes.map(({ kind, state }) => [kind, state])).toEqual([
      ['ssh-key-added', 'revoked'],
      ['recovery-codes', 'failed'],
    ]);
  });
});

describe('a user who was removed', () => {
  it('leaves nothing for a new user of the same name: factor, lease, device, counters, known addresses', async () => {
    await signIn('alice', { protocol: 'sftp' });
    await signIn('alice', { rememberDevice: true });
    await ask(toNext, { current: 'not the password' });
    await ask(toNext, { code: '000000' });
    await rig.remove('alice');
    await rig.login.admin.twoFactor.forget('alice', { actor: 'socket:root', reason: 'left' });
    rig.users.set('alice', buildUser('alice'));
    expect(await rig.login.vault.status('alice')).toMatchObject({ state: 'none', firstLoginAtMs: undefined });
    expect(rig.enrolments.has('alice')).toBe(false);
    expect(await rig.begin('alice')).toMatchObject({ next: 'admit' });
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect(await rig.state.read('leases')).toEqual([]);
    expect(await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).toMatchObject({
      inARow: 0,
    });
    expect(
      await rig.state.read('failures', { scope: passwordScope('alice'), nowMs: rig.now() }),
    ).toMatchObject({ inARow: 0 });
    expect(
      await rig.state.read('last-good-login', { user: 'alice', clientIp: '203.0.113.9', nowMs: rig.now() }),
    ).toBeUndefined();
    expect(audited('user.forgotten')).toMatchObject([
      { user: 'alice', actor: 'socket:root', detail: 'left' },
    ]);
    expect(() => find(id)).toThrow('signed out');
  });
});

describe('a change that goes wrong', () => {
  const open = (purpose: 'password' | 'ssh-key' | 'recovery-codes' = 'password') =>
    rig.login.accountHandlers['account.step-up']({ session: id, purpose }, find(id), rig.node.link);
  const count = (): number => (rig.login.sessions as Sessions).countOf('alice', 'https');
  /** The next change's commit finds that this was done by somebody else. */
  function failOnceAt(failed: Change['kind']): void {
    const commit = rig.state.commit.bind(rig.state);
    rig.state.commit = async (changes) => {
      if (!changes.some(({ kind }) => kind === 'replace-session')) return commit(changes);
      rig.state.commit = commit;
      return { ok: false, failed };
    };
  }

  it.each([
    ['replace-session', 'no-session'],
    ['note-account-change', 'conflict'],
  ] as const)('S-03: at %s is a %s, and leaves no session behind', async (failed, code) => {
    for (const change of [newKey().change, toNext, { kind: 'recovery-codes' } as const]) {
      const params = await prepare(change);
      failOnceAt(failed);
      expect((await refusal(send(params))).code).toBe(code);
      expect(count()).toBe(1);
      rig.advance(30_000);
    }
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
  });

  it('S-03: at what its code was for is a used code, and leaves no session behind', async () => {
    for (const change of [newKey().change, { kind: 'recovery-codes' } as const]) {
      const params = await prepare(change);
      failOnceAt('use-time-step');
      expect(await send(params)).toMatchObject({ outcome: 'again', reason: 'used-code' });
      expect(count()).toBe(1);
      rig.advance(30_000);
    }
  });

  it('S-14: at the disk leaves no session behind, of whatever kind it is', async () => {
    for (const change of [newKey().change, { kind: 'recovery-codes' } as const]) {
      const params = await prepare(change);
      rig.state.beforeCommit = (changes) => {
        if (changes.some(({ kind }) => kind === 'replace-session')) throw new Error('disk full');
      };
      await expect(send(params)).rejects.toThrow('disk full');
      rig.state.beforeCommit = undefined;
      expect(count()).toBe(1);
      rig.advance(30_000);
    }
  });

  it('at the user’s file says so in the audit, in the words of what failed', async () => {
    for (const [error, detail] of [
      [new SallyportError('conflict', 'no', { detail: 'the file is locked' }), 'the file is locked'],
      [new SallyportError('conflict', 'no'), 'conflict'],
      [new Error('disk full'), 'Error: disk full'],
    ] as const) {
      id = await signIn('alice');
      rig.beforeWrite = () => Promise.reject(error);
      const refused = await refusal(ask(toNext));
      expect([refused.code, refused.detail]).toEqual(['conflict', detail]);
      expect(audited('account.not-written').at(-1)).toMatchObject({
        outcome: 'failed',
        user: 'alice',
        detail,
      });
      rig.advance(30_000);
    }
  });

  it('S-09: is none for who has gone: nothing is spent', async () => {
    const params = await prepare(toNext);
    const asker = new Asker({ monotonic: () => rig.now() }, 1_000);
    asker.giveUp();
    const gone = rig.login.accountHandlers['account.change'](params, find(id), rig.node.link, asker);
    expect((await refusal(gone)).code).toBe('deadline');
    expect((await send(params)).outcome).toBe('changed');
  });

  it('S-01: is refused where it is off before it is opened, and whatever is shown for it', async () => {
    const params = await prepare(toNext);
    rig = await rig.restart({ twoFactor: { self_service: { password: 'off' } } });
    expect((await refusal(open())).code).toBe('not-allowed');
    expect((await refusal(send(params))).code).toBe('not-allowed');
  });

  it('S-14: is not opened while the enrolment is broken', async () => {
    rig.enrolments.delete('alice');
    const error = await refusal(open());
    expect([error.code, error.detail]).toEqual(['not-allowed', expect.stringContaining('no file')]);
  });

  it('asks for a code of as many digits as the authenticator shows, and for a recovery code if there is one', async () => {
    expect((await open()).shapes).toEqual(['digits6']);
    await done({ kind: 'recovery-codes' });
    expect((await open()).shapes).toEqual(['digits6', 'recovery']);
    expect((await open('recovery-codes')).shapes).toEqual(['digits6']);
    rig = await rig.restart({ twoFactor: { totp: { digits: 8 } } });
    expect((await open()).shapes).toEqual(['digits8', 'recovery']);
  });

  it('S-01: under another name of its code is an alarm, in the audit, and costs no code', async () => {
    const logged = buildRecordedLog();
    await done({ kind: 'recovery-codes' });
    rig = await rig.restart({ log: logged.log });
    const code = rig.code('alice', 1);
    const error = await refusal(ask(toNext, { code, method: 'recovery' }));
    const detail = 'claim method recovery is not what the code is: totp';
    expect([error.code, error.detail]).toEqual(['refused', detail]);
    expect(audited('account.step-up-refused').at(-1)).toMatchObject({
      rule: detail,
      reference: error.reference,
      sessionKey: find(id).key,
    });
    expect(logged.lines.join('')).toContain('step-up refused');
    expect((await ask(toNext, { code })).outcome).toBe('changed');
  });

  it('to a weak password says so before it looks at the old one; of a wrong one no reference is told', async () => {
    const weak = { kind: 'password', value: 'short' } as const;
    expect((await refusal(ask(weak, { current: 'not the password' }))).code).toBe('too-weak');
    await ask(toNext, { current: 'not the password' });
    expect(audited('account.step-up-refused')).toHaveLength(1);
    expect(audited('account.step-up-refused')[0]).not.toHaveProperty('reference');
  });

  it('S-09: has its turn at the hash among those who were here before', async () => {
    const turns = vi.spyOn(rig.login.passwords.queue, 'run');
    await ask(toNext, { current: 'not the password' });
    expect(turns.mock.calls.map(([turn]) => turn)).toMatchObject([
      { node: 'dmz1', clientIp: '203.0.113.9', known: true },
    ]);
    turns.mockRestore();
  });

  it('S-13: forgives wrong codes once it was proven', async () => {
    const inARow = async (): Promise<number> =>
      (await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow;
    await ask(toNext, { code: '000000' });
    expect(await inARow()).toBe(1);
    await done(newKey().change);
    expect(await inARow()).toBe(0);
  });

  it('S-14: of the last code, at the disk, ends no session', async () => {
    for (const attemptsLeft of [4, 3, 2, 1])
      expect(await ask(toNext, { code: '000000' })).toMatchObject({ attemptsLeft });
    const params = await prepare(toNext, { code: '000000' });
    rig.state.beforeCommit = () => Promise.reject(new Error('disk full'));
    await expect(send(params)).rejects.toThrow('disk full');
    rig.state.beforeCommit = undefined;
    expect(find(id).username).toBe('alice');
  });

  it('of recovery codes without an authenticator says that before it looks at the password', async () => {
    const session = await signIn('frank');
    const renew = ask({ kind: 'recovery-codes' }, { session, user: 'frank', current: 'not the password' });
    expect((await refusal(renew)).publicMessage).toBe('Two-factor authentication is not set up');
  });
});

describe('what a user sees of the own account', () => {
  it('is what is alive, of nobody else, and until when', async () => {
    const handlers = rig.login.accountHandlers;
    await rig.change('bob', withFactor({ requiredOn: ['https', 'sftp'] }));
    await rig.enrol('bob');
    for (const name of ['alice', 'bob']) await signIn(name, { protocol: 'sftp' });
    const opened = rig.now() - 60_000;
    await signIn('alice', { rememberDevice: true });
    const leases = async () =>
      (await handlers['account.leases']({ session: id }, find(id), rig.node.link)).leases;
    const devices = async () =>
      (await handlers['account.devices']({ session: id }, find(id), rig.node.link)).devices;
    expect(await leases()).toMatchObject([
      { agent: 'test client', startedAtMs: opened, usedAtMs: opened, expiresAtMs: opened + 10 * 60_000 },
    ]);
    expect(await devices()).toMatchObject([{ node: 'dmz1', startedAtMs: rig.now() - 30_000 }]);
    const lifeMs = 30 * 24 * 3_600_000;
    rig.jump(lifeMs - 30_000 - 1);
    expect(await devices()).toHaveLength(1);
    rig.jump(1);
    expect(await devices()).toEqual([]);
  });

  it('ends the leases that stand on a key with the key, and no others', async () => {
    const key = playSshKey();
    await rig.change('alice', { sshKeys: [key.publicKey] });
    await signIn('alice', { protocol: 'sftp' });
    const attempt = { protocol: 'sftp', factor: key.signRequest('alice') } as const;
    await signIn('alice', { ...attempt, claims: { amr: ['key', 'otp'] } });
    expect(await rig.state.read('leases')).toHaveLength(2);
    const [listed] = (
      await rig.login.accountHandlers['account.ssh-keys']({ session: id }, find(id), rig.node.link)
    ).sshKeys;
    await done({ kind: 'remove-ssh-key', value: listed?.id ?? '' });
    expect((await rig.state.read('leases')).map(({ credential }) => credential)).toEqual([
      expect.stringMatching(/^password:/),
    ]);
  });
});
