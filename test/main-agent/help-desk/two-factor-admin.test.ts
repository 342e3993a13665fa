import { runningChecks, type RunningFacts } from '#main-agent/doctor/running-checks.ts';
import { examine } from '#shared/health/check.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StoredAccountChange } from '#main-agent/state/name-records.ts';
import { passwordCredential } from '#main-agent/sessions/credential.ts';
import { SallyportError } from '#shared/error.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import {
  buildRig,
  buildUser,
  passwordHash,
  playSshKey,
  refusal,
  withFactor,
  type Rig,
} from '../login/rig.ts';

/** What admins do to a user's second factor, to logins, and to what came through a node. */

let rig: Rig;
let logged: ReturnType<typeof buildRecordedLog>;
const both = ['https', 'sftp'] as const;
const sftp = { protocol: 'sftp' } as const;
const why = { actor: 'socket:eva', reason: 'called back' };
const minute = 60_000;
beforeEach(async () => {
  logged = buildRecordedLog();
  rig = await buildRig({ log: logged.log, twoFactor: { remember_device: '1h' } });
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: both }, { email: 'a@example.com' })));
  rig.users.set('frank', buildUser('frank'));
  await rig.enrol('alice');
});
afterEach(() => rig.close());

const admin = () => rig.login.admin.twoFactor;
async function signIn(name: string, attempt: { protocol?: 'sftp'; rememberDevice?: true } = {}) {
  rig.advance(30_000);
  const view = await rig.begin(name, attempt);
  const result = await rig.answer(view, {
    ...attempt,
    ...(view.next === 'code' && { code: rig.code(name) }),
  });
  if (result.outcome !== 'admitted') throw new Error(result.reason);
  return result.view;
}

describe('the status of a second factor', () => {
  it('says since when and through what it is, what is outstanding, and what failed', async () => {
    const status = await admin().status('alice');
    expect(status).toStrictEqual({
      state: 'enrolled',
      confirmedAt: new Date(rig.now()).toISOString(),
      via: { node: 'dmz1', session: 'test' },
      requiredOn: ['https', 'sftp'],
      recoveryCodesLeft: 0,
      failures: 0,
      lockedOutOn: [],
      setupDueOn: [],
    });
    await admin().makeBypassCode('alice', { ...why, ttlMs: minute, reEnrol: false });
    const outstanding = await admin().status('alice');
    expect(outstanding.bypassExpiresAtMs).toBe(rig.now() + minute);
    expect(await admin().status('frank')).toStrictEqual({
      state: 'none',
      requiredOn: [],
      recoveryCodesLeft: 0,
      failures: 0,
      lockedOutOn: [],
      setupDueOn: [],
    });
    rig.enrolments.delete('alice');
    expect((await admin().status('alice')).problem).toContain('no file');
  });

  it('tells of a lock until its last moment, and where something is required of the doors that the user has', async () => {
    for (let tries = 0; tries < 10; tries += 1)
      await rig.answer(await rig.begin('alice'), { code: '000000' });
    const until = rig.now() + 15 * minute;
    expect(await admin().status('alice')).toMatchObject({ failures: 10, lockedUntilMs: until });
    rig.advance(15 * minute - 1);
    expect(await admin().status('alice')).toHaveProperty('lockedUntilMs', until);
    rig.advance(1);
    expect(await admin().status('alice')).not.toHaveProperty('lockedUntilMs');
    await rig.change('frank', withFactor({ requiredOn: ['https'] }, { protocols: ['sftp'] }));
    expect((await admin().status('frank')).requiredOn).toEqual([]);
    await rig.change('frank', withFactor({ requiredOn: ['https'] }, { protocols: ['sftp', 'https'] }));
    expect((await admin().status('frank')).requiredOn).toEqual(['https']);
  });

  it('is asked of, unlocked for, and given a code for somebody who is there', async () => {
    const makeFor = (name: string, ttlMs = minute) =>
      admin().makeBypassCode(name, { ...why, ttlMs, reEnrol: false });
    for (const work of [admin().status('nobody'), admin().unlock('nobody', why), makeFor('nobody')])
      expect((await refusal(work)).code).toBe('not-found');
    const error = await refusal(makeFor('alice', 25 * 60 * minute));
    expect(error.publicMessage).toBe('A bypass code lives at most 24 h');
    expect(rig.state.audit).toEqual([]);
    await makeFor('alice');
    await admin().unlock('alice', why);
    expect(rig.state.audit).toMatchObject([
      { event: 'two-factor.bypass-code', user: 'alice', actor: why.actor, detail: why.reason },
      { event: 'two-factor.unlocked', user: 'alice', actor: why.actor, detail: why.reason },
    ]);
  });
});

describe('a reset', () => {
  it('ends what the factor opened, in memory and in the state, and tells its user', async () => {
    await signIn('alice');
    await signIn('alice', sftp);
    await signIn('alice', { rememberDevice: true });
    await rig.answer(await rig.begin('alice'), { code: '000000' });
    const pending = await rig.begin('alice');
    await admin().reset('alice', why);
    expect(rig.login.sessions.list()).toEqual([]);
    expect(await rig.login.admin.leases.list()).toEqual([]);
    expect(await rig.state.read('leases')).toEqual([]);
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow).toBe(0);
    expect((await refusal(rig.answer(pending, { code: rig.code('alice', 1) }))).code).toBe('challenge-gone');
    expect(rig.notices).toMatchObject([{ kind: 'two-factor-reset', username: 'alice' }]);
    const ended = rig.state.audit.filter(({ event }) => event === 'session.ended');
    expect(new Set(ended.map(({ rule }) => rule))).toEqual(new Set(['two-factor was reset']));
  });

  it('leaves a set-up that was begun nothing to go on with, and needs nobody to be there', async () => {
    const { session: id } = await signIn('frank');
    const session = rig.login.sessions.require(id, rig.node.link);
    await rig.login.sessionHandlers['enrol.start']({ session: id }, session, rig.node.link);
    await admin().reset('frank', why);
    const confirm = rig.login.sessionHandlers['enrol.confirm']({ session: id }, session, rig.node.link);
    expect((await refusal(confirm)).code).toBe('setup-expired');
    await admin().reset('nobody', why);
    expect(rig.state.audit.at(-1)).toMatchObject({ event: 'two-factor.reset', user: 'nobody' });
    expect(rig.notices).toEqual([]);
  });

  it('of a user who was removed ends what is left of that user', async () => {
    const { session: id } = await signIn('frank');
    await admin().forget('frank', why);
    expect(() => rig.login.sessions.require(id, rig.node.link)).toThrow('signed out');
    const ended = rig.state.audit.find(({ event }) => event === 'session.ended');
    expect(ended?.rule).toBe('the user was removed');
  });
});

describe('what an admin ends', () => {
  it('S-14: is what a ban shuts out or what is of a node: logins, leases and sessions, and nothing else', async () => {
    for (const name of ['alice', 'frank']) await signIn(name);
    await signIn('alice', sftp);
    const [alices, franks] = [await rig.begin('alice'), await rig.begin('frank')];
    await rig.login.admin.endMatching((name) => name === 'alice', 'ban 7');
    expect(rig.login.sessions.list().map(({ username }) => username)).toEqual(['frank']);
    expect(await rig.state.read('leases')).toEqual([]);
    expect((await refusal(rig.answer(alices, { code: rig.code('alice', 1) }))).code).toBe('challenge-gone');
    expect(await rig.answer(franks)).toMatchObject({ outcome: 'admitted' });

    await signIn('alice', sftp);
    const pending = await rig.begin('alice');
    expect(await rig.login.admin.endNode('dmz2', 'revoked')).toBe(0);
    expect(await rig.state.read('leases')).toHaveLength(1);
    expect(await rig.login.admin.endNode('dmz1', 'revoked')).toBe(3);
    expect(await rig.state.read('leases')).toEqual([]);
    expect((await refusal(rig.answer(pending, { code: rig.code('alice', 1) }))).code).toBe('challenge-gone');
  });

  it('is told in round seconds of a clock that jumped, and confirms it with a record', async () => {
    rig.jump(120_400);
    const facts = { clockProblem: () => rig.login.admin.clockProblem() } as unknown as RunningFacts;
    const checks = runningChecks.filter(({ id }) => id === 'clock');
    expect((await examine(checks, facts)).findings).toMatchObject([
      {
        state: 'bad',
        detail: 'the clock jumped by 120 s: codes of authenticator apps wait',
        hint: expect.stringContaining('sallyport two-factor confirm-clock') as string,
      },
    ]);
    await rig.login.admin.confirmClock(why);
    expect(rig.login.admin.clockProblem()).toBeUndefined();
    expect(rig.state.audit).toMatchObject([
      { event: 'clock.confirmed', actor: why.actor, detail: why.reason },
    ]);
  });
});

describe('what came through a node', () => {
  const changes = () => rig.login.admin.nodeChanges;
  const note = (change: Partial<StoredAccountChange>) =>
    rig.state.commit([
      {
        kind: 'note-account-change',
        change: {
          kind: 'password',
          username: 'frank',
          node: 'dmz1',
          session: 's',
          clientIp: '203.0.113.9',
          atMs: rig.now(),
          subject: passwordCredential(passwordHash.expose()),
          ...change,
        },
      },
    ]);
  const list = async (fromMs = 0, toMs = rig.now() + 1, node = 'dmz1') =>
    (await changes().list(node, fromMs, toMs)).changes.map(({ kind, user, state }) => [kind, user, state]);
  const revoke = async (node = 'dmz1') => (await changes().revoke(node, 0, rig.now() + 1, why)).changes;

  it('S-15: is a factor of that node and session, a password and a key that the user still has', async () => {
    const { publicKey } = playSshKey();
    await rig.change('frank', { sshKeys: [publicKey] });
    const id = (await rig.login.vault.status('alice')).id ?? '';
    const enrolled = { kind: 'enrolled', username: 'alice' } as const;
    await note({ ...enrolled, session: 'test', subject: id });
    await note({ ...enrolled, session: 'another', subject: id });
    await note({ ...enrolled, username: 'frank', session: 'test', subject: id });
    await note({ kind: 'recovery-codes', username: 'alice', subject: id });
    await note({ kind: 'recovery-codes', username: 'alice', subject: 'another' });
    await note({});
    await note({ subject: 'password:another' });
    await note({ username: 'nobody' });
    await note({ kind: 'ssh-key-added', subject: publicKey.fingerprint });
    await note({ kind: 'ssh-key-added', subject: 'SHA256:another' });
    await note({ kind: 'ssh-key-removed', subject: publicKey.fingerprint });
    expect(await list()).toEqual([
      ['enrolled', 'alice', 'in force'],
      ['enrolled', 'alice', 'gone'],
      ['enrolled', 'frank', 'gone'],
      ['recovery-codes', 'alice', 'in force'],
      ['recovery-codes', 'alice', 'gone'],
      ['password', 'frank', 'in force'],
      ['password', 'frank', 'gone'],
      ['password', 'nobody', 'gone'],
      ['ssh-key-added', 'frank', 'in force'],
      ['ssh-key-added', 'frank', 'gone'],
      ['ssh-key-removed', 'frank', 'gone'],
    ]);
    expect(await list(0, rig.now() + 1, 'dmz2')).toEqual([]);
  });

  it('S-15: is found from its first moment on and before its last, devices and leases with it, while they live', async () => {
    await signIn('alice', sftp);
    const leaseAtMs = rig.now();
    await signIn('alice', { rememberDevice: true });
    const deviceAtMs = rig.now();
    const kinds = async (fromMs: number, toMs: number) => (await list(fromMs, toMs)).map(([kind]) => kind);
    expect(await kinds(leaseAtMs, deviceAtMs + 1)).toEqual(['lease', 'device']);
    expect(await kinds(leaseAtMs + 1, deviceAtMs + 1)).toEqual(['device']);
    expect(await kinds(leaseAtMs, deviceAtMs)).toEqual(['lease']);
    expect(await kinds(deviceAtMs + 1, deviceAtMs + 2)).toEqual([]);
    expect(await list(0, rig.now() + 1, 'dmz2')).toEqual([]);
    rig.jump(3_600_000 - 1);
    expect(await kinds(0, rig.now())).toEqual(['device']);
    rig.jump(1);
    expect(await kinds(0, rig.now())).toEqual([]);
  });

  it('S-15: is undone in the state, audited, and told once to each whom it touches', async () => {
    const { publicKey } = playSshKey();
    const other = playSshKey().publicKey;
    await rig.change('alice', { sshKeys: [publicKey, other] });
    const key = playSshKey();
    await rig.change('frank', { email: 'f@example.com', sshKeys: [key.publicKey] });
    await note({ kind: 'ssh-key-added', username: 'alice', subject: publicKey.fingerprint });
    await note({ kind: 'ssh-key-added', username: 'alice', subject: other.fingerprint });
    await note({});
    await note({ username: 'frank', kind: 'ssh-key-removed', subject: 'SHA256:x' });
    await signIn('alice', sftp);
    await signIn('alice', { rememberDevice: true });
    // By a key: what ends with the password is every session, not only those of the password.
    const attempt = { ...sftp, factor: key.signRequest('frank') };
    await rig.answer(await rig.begin('frank', attempt), { ...sftp, claims: { amr: ['key'] } });
    const done = await revoke();
    expect(done.map(({ kind, state, note: told }) => [kind, state, told])).toEqual([
      ['ssh-key-added', 'revoked', undefined],
      ['ssh-key-added', 'revoked', undefined],
      ['password', 'revoked', 'the password is gone; give a new one with: sallyport users passwd frank'],
      ['ssh-key-removed', 'gone', undefined],
      ['lease', 'revoked', undefined],
      ['device', 'revoked', undefined],
    ]);
    expect(rig.users.get('alice')?.sshKeys).toEqual([]);
    expect(rig.users.get('frank')?.passwordHash).toBeUndefined();
    expect(await rig.state.read('leases')).toEqual([]);
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
    const records = rig.state.audit.filter(({ actor }) => actor === why.actor);
    expect(records.map(({ event, user, detail }) => [event, user, detail])).toEqual([
      ['account.ssh-key-revoked', 'alice', `${publicKey.fingerprint}: ${why.reason}`],
      ['account.ssh-key-revoked', 'alice', `${other.fingerprint}: ${why.reason}`],
      ['account.password-revoked', 'frank', `set through the node: ${why.reason}`],
      ['lease.ended', 'alice', `issued through the node: ${why.reason}`],
      ['device.ended', 'alice', `remembered through the node: ${why.reason}`],
    ]);
    expect(rig.notices.map(({ kind, username, node }) => [kind, username, node])).toEqual([
      ['changes-revoked', 'alice', 'dmz1'],
      ['changes-revoked', 'frank', 'dmz1'],
    ]);
    const ended = rig.state.audit.find(({ event, user }) => event === 'session.ended' && user === 'frank');
    expect(ended?.rule).toBe('the password was revoked');
  });

  it('S-15: a key takes the leases that stand on it with it, and no others', async () => {
    const key = playSshKey();
    await rig.change('alice', { sshKeys: [key.publicKey] });
    await signIn('alice', sftp);
    rig.advance(30_000);
    const attempt = { ...sftp, factor: key.signRequest('alice'), node: rig.otherNode };
    const claims = { amr: ['key', 'otp'] as ('key' | 'otp')[] };
    await rig.answer(await rig.begin('alice', attempt), { ...attempt, code: rig.code('alice'), claims });
    await note({
      kind: 'ssh-key-added',
      username: 'alice',
      node: 'dmz2',
      subject: key.publicKey.fingerprint,
    });
    expect(await rig.state.read('leases')).toHaveLength(2);
    // What was opened through the other node is revoked as well; the one of the key goes with the key.
    const fromMs = rig.now() + 1;
    rig.advance(1);
    await note({
      kind: 'ssh-key-added',
      username: 'alice',
      node: 'dmz2',
      subject: key.publicKey.fingerprint,
    });
    await changes().revoke('dmz2', fromMs, rig.now() + 1, why);
    expect((await rig.state.read('leases')).map(({ node }) => node)).toEqual(['dmz1']);
  });

  it('S-15: what can not be undone says why, and nobody is told of it', async () => {
    await note({});
    for (const [error, told] of [
      [new SallyportError('conflict', 'no', { detail: 'the file is locked' }), 'the file is locked'],
      [new SallyportError('conflict', 'no'), 'conflict'],
      [new Error('disk full'), 'Error: disk full'],
    ] as const) {
      rig.beforeWrite = () => Promise.reject(error);
      expect(await revoke()).toMatchObject([{ kind: 'password', state: 'failed', note: told }]);
    }
    expect(rig.notices).toEqual([]);
  });
});

describe('main’s login as a whole', () => {
  it('warns at its start of what makes a second factor worth less', async () => {
    expect(logged.lines.join('')).not.toContain('validated_logins is off');
    await rig.restart({
      log: logged.log,
      twoFactor: {
        validated_logins: false,
        trusted_networks: [{ cidr: '10.0.0.0/8', nodes: ['dmz1'] }],
      },
    });
    expect(logged.lines.join('')).toContain('validated_logins is off');
    expect(logged.lines.join('')).toContain('no code is asked from a trusted network');
  });

  it('S-14: ends logins under way and leases of who is disabled or gone, and of nobody who only changed', async () => {
    await signIn('alice', sftp);
    const pending = await rig.begin('alice');
    await rig.change('alice', { displayName: 'Alice' });
    expect(await rig.state.read('leases')).toHaveLength(1);
    expect(await rig.answer(pending, { code: '000000' })).toMatchObject({ outcome: 'again' });
    await rig.change('alice', { status: 'disabled' });
    expect(await rig.state.read('leases')).toEqual([]);
    expect((await refusal(rig.answer(pending, { code: '000000' }))).code).toBe('challenge-gone');
    rig.state.beforeCommit = (some) => {
      if (some.some(({ kind }) => kind === 'end-leases')) throw new Error('disk full');
    };
    await rig.remove('frank');
    await vi.waitFor(() => expect(logged.lines.join('')).toContain('leases could not be ended'));
  });
});
