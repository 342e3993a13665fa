import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sessionKey } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { passwordCredential } from '#main-agent/sessions/credential.ts';
import { sessionsMax, sessionsPerUserMax, touchIntervalMs } from '#main-agent/sessions/limits.ts';
import { Sessions } from '#main-agent/sessions/sessions.ts';
import type { StoredSession } from '#main-agent/state/session-records.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';
import { buildMemoryUsers } from '#test/harness/memory-users.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import {
  buildRig,
  buildUser,
  cheapHash,
  passwordHash,
  refusal,
  settle,
  startMs,
  withFactor,
  type Attempt,
  type Rig,
} from '../login/rig.ts';

let rig: Rig;
const minute = 60_000;
const at = (node: string, worker: number) => ({ node, worker });

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('frank', buildUser('frank'));
});
afterEach(() => rig.close());

async function signIn(attempt: Attempt = {}, here = rig): Promise<string> {
  const result = await here.answer(await here.begin('frank', attempt), attempt);
  if (result.outcome !== 'admitted') throw new Error(result.reason);
  return result.view.session;
}
/** With the next code of the user's authenticator. */
async function signInWithCode(attempt: Attempt): Promise<void> {
  rig.advance(30_000);
  const answer = { ...attempt, code: rig.code('frank') };
  const result = await rig.answer(await rig.begin('frank', attempt), answer);
  if (result.outcome !== 'admitted') throw new Error(result.reason);
}
const sweep = async (here = rig) => (here.login.sessions as Sessions).sweep();

describe('sessions', () => {
  it('S-02: the id is known to the node only; main keeps its hash', async () => {
    const id = await signIn();
    expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const [stored] = await rig.state.read('sessions');
    expect(stored?.key).toBe(sessionKey(id));
    expect(JSON.stringify([stored, rig.state.audit])).not.toContain(id);
  });

  it('S-14: whoever ends a session that is being ended hears of it when that is durable', async () => {
    const key = sessionKey(await signIn());
    const { promise: disk, resolve: letGo } = Promise.withResolvers<void>();
    rig.state.beforeCommit = () => disk;
    let isSecondAnswered = false;
    const first = rig.login.sessions.end(key, 'killed');
    const second = rig.login.sessions.end(key, 'killed').finally(() => (isSecondAnswered = true));
    await settle();
    expect(isSecondAnswered).toBe(false);
    letGo();
    expect(await Promise.all([first, second])).toEqual([true, false]);
    expect(await rig.state.read('sessions')).toEqual([]);
  });

  it('S-04: a web session is any worker’s of its node, an SFTP session only its own worker’s', async () => {
    const web = await signIn();
    const sftp = await signIn({ protocol: 'sftp' });
    const { sessions } = rig.login;
    expect(sessions.require(web, at('dmz1', 3)).username).toBe('frank');
    expect(sessions.require(sftp, at('dmz1', 0)).username).toBe('frank');
    for (const [id, from] of [
      [web, at('dmz2', 0)],
      [sftp, at('dmz2', 0)],
      [sftp, at('dmz1', 1)],
      ['A'.repeat(43), at('dmz1', 0)],
    ] as const)
      expect(() => sessions.require(id, from)).toThrow('signed out');
  });

  it('end after 15 min without use, and after 12 h in any case', async () => {
    const idle = await signIn();
    rig.advance(15 * minute - 1);
    rig.login.sessions.require(idle, at('dmz1', 0));
    rig.advance(15 * minute);
    expect(() => rig.login.sessions.require(idle, at('dmz1', 0))).toThrow('signed out');

    const busy = await signIn();
    const session = rig.login.sessions.require(busy, at('dmz1', 0));
    for (let minutes = 0; minutes < 12 * 60 - 10; minutes += 10) {
      rig.advance(10 * minute);
      rig.login.sessions.require(busy, at('dmz1', 0));
    }
    rig.advance(10 * minute);
    await sweep();
    expect(session.ended.aborted).toBe(true);
    expect(rig.state.audit.at(-1)).toMatchObject({
      event: 'session.ended',
      rule: 'as long as a session may be',
    });
  });

  it('one that takes another’s place ends when that one would have: stepping up is no way to stay for ever', async () => {
    const sessions = rig.login.sessions as Sessions;
    let session = sessions.require(await signIn(), at('dmz1', 0));
    for (let hours = 1; hours <= 11; hours += 1) {
      rig.advance(60 * minute);
      const facts = sessions.stored(session.key);
      if (facts === undefined) throw new Error('no session');
      session = sessions.prepare(facts, { instead: session }).open();
      expect(sessions.timesOf(session.key).leftMs).toBe((12 - hours) * 60 * minute);
      expect(session.openedAtMs).toBe(startMs);
    }
    rig.advance(60 * minute);
    expect(() => session.ended.throwIfAborted()).not.toThrow();
    await sweep();
    expect(session.ended.aborted).toBe(true);
  });

  it('signing out is durable, aborts what runs and tells the node', async () => {
    const id = await signIn();
    const session = rig.login.sessions.require(id, at('dmz1', 0));
    await rig.login.sessionHandlers['session.end']({ session: id }, session, rig.node.link);
    expect(session.ended.aborted).toBe(true);
    expect(await rig.state.read('sessions')).toEqual([]);
    expect(rig.node.ended).toEqual([{ sessionKey: sessionKey(id), reason: 'signed out' }]);
  });

  it('whose ends overlap are written down once each', async () => {
    const ids = [await signIn(), await signIn(), await signIn()];
    await Promise.all(ids.map((id) => (rig.login.sessions as Sessions).end(sessionKey(id), 'signed-out')));
    const ends = rig.state.audit.filter(({ event }) => event === 'session.ended');
    expect(ends).toHaveLength(3);
    expect(new Set(ends.map((one) => one.sessionKey))).toEqual(new Set(ids.map(sessionKey)));
  });

  it('S-14: a session ends at once even when the disk does not take it, and is written later', async () => {
    const id = await signIn();
    rig.state.beforeCommit = () => {
      throw new Error('disk full');
    };
    await expect(rig.login.sessions.end(sessionKey(id), 'kicked')).rejects.toThrow('disk full');
    expect(() => rig.login.sessions.require(id, at('dmz1', 0))).toThrow('signed out');
    rig.state.beforeCommit = undefined;
    await sweep();
    expect(await rig.state.read('sessions')).toEqual([]);
  });

  const tightenings: [string, () => Promise<void>][] = [
    ['disabled', () => rig.change('frank', { status: 'disabled' })],
    ['deleted', () => rig.remove('frank')],
    ['expired', () => rig.change('frank', { expires: '2026-11-01' })],
    ['kept from the protocol', () => rig.change('frank', { protocols: ['sftp'] })],
    ['kept from the address', () => rig.change('frank', { allowFrom: ['198.51.100.0/24'] })],
    [
      'given another password',
      () => rig.change('frank', { passwordHash: new Secret(cheapHash('another one')) }),
    ],
    ['required to give a second factor', () => rig.change('frank', withFactor({ requiredOn: ['https'] }))],
    ['forced into set-up', () => rig.change('frank', withFactor({ forceSetup: true }))],
  ];
  for (const [name, tighten] of tightenings) {
    it(`S-14: a user who is ${name} loses the live session at once`, async () => {
      const id = await signIn();
      const session = rig.login.sessions.require(id, at('dmz1', 0));
      await tighten();
      await settle();
      expect(session.ended.aborted).toBe(true);
      expect(rig.node.ended).toHaveLength(1);
    });
  }

  it('a change that tightens nothing ends nothing', async () => {
    const id = await signIn();
    await rig.change('frank', { displayName: 'Franklin' });
    await settle();
    expect(rig.login.sessions.require(id, at('dmz1', 0)).user().displayName).toBe('Franklin');
  });

  it('S-14: expiry reaches a live session without anybody touching the file', async () => {
    rig.users.set('frank', buildUser('frank', { expires: '2026-11-24' }));
    const id = await signIn();
    const session = rig.login.sessions.require(id, at('dmz1', 0));
    for (let hours = 0; hours < 11; hours += 1) {
      rig.advance(10 * minute);
      rig.login.sessions.require(id, at('dmz1', 0));
    }
    rig.advance(14 * 60 * minute);
    await sweep();
    expect(session.ended.aborted).toBe(true);
  });

  it('survive a restart of main with their times; judged anew before their first operation (S-14)', async () => {
    const id = await signIn();
    const gone = await signIn({ protocol: 'sftp' });
    rig.users.set('frank', buildUser('frank', { protocols: ['https'] }));
    rig.advance(5 * minute);
    const after = await rig.restart();
    const session = after.login.sessions.require(id, at('dmz1', 0));
    expect(session.username).toBe('frank');
    expect(() => after.login.sessions.require(gone, at('dmz1', 0))).toThrow('signed out');
    const view = await after.login.sessionHandlers['session.attach'](
      { session: id, client: { ip: '203.0.113.9', port: 1, agent: '' } },
      session,
      after.node.link,
    );
    expect(view).toMatchObject({ session: id, leftMs: 12 * 60 * minute - 5 * minute });
    after.close();
  });

  it('S-04: an SFTP session is no web session, whatever a node calls it', async () => {
    const id = await signIn({ protocol: 'sftp' });
    const session = rig.login.sessions.require(id, at('dmz1', 0));
    const client = { ip: '203.0.113.9', port: 1, agent: '' };
    const attached = rig.login.sessionHandlers['session.attach'](
      { session: id, client },
      session,
      rig.node.link,
    );
    await expect(attached).rejects.toMatchObject({ code: 'no-session' });
  });

  it('S-14: a restart that switches factors on ends sessions opened without one', async () => {
    rig.close();
    rig = await buildRig({ twoFactor: { validated_logins: false } });
    rig.node.link.validatedLogins satisfies boolean;
    rig.users.set('frank', buildUser('frank', withFactor({ requiredOn: ['https'] })));
    const off = { ...rig.node, link: { ...rig.node.link, validatedLogins: false } };
    const result = await rig.answer(await rig.begin('frank', { node: off }), { node: off });
    if (result.outcome !== 'admitted') throw new Error(result.reason);
    const after = await rig.restart({ twoFactor: {} });
    expect(() => after.login.sessions.require(result.view.session, at('dmz1', 0))).toThrow('signed out');
    after.close();
  });

  it('S-14: a kick while a login waits for the disk ends that login’s session too', async () => {
    const view = await rig.begin('frank');
    const reached = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    rig.state.beforeCommit = (changes) => {
      if (!changes.some((one) => one.kind === 'open-session')) return undefined;
      reached.resolve();
      return held.promise;
    };
    const answer = rig.answer(view);
    await reached.promise;
    await rig.login.sessions.endAllOf('frank', 'kicked');
    held.resolve();
    expect((await refusal(answer)).code).toBe('challenge-gone');
    await settle();
    expect(rig.login.sessions.list()).toEqual([]);
    expect(await rig.state.read('sessions')).toEqual([]);
  });

  it('S-14: a factor that becomes required while a login without one waits for the disk ends that session', async () => {
    const view = await rig.begin('frank');
    const reached = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    rig.state.beforeCommit = (changes) => {
      if (!changes.some((one) => one.kind === 'open-session')) return undefined;
      reached.resolve();
      return held.promise;
    };
    const answer = refusal(rig.answer(view));
    await reached.promise;
    await rig.change('frank', withFactor({ requiredOn: ['https'] }));
    held.resolve();
    expect((await answer).code).toBe('challenge-gone');
    expect(rig.login.sessions.list()).toEqual([]);
  });

  describe('more than may be of one user', () => {
    const sftp = { protocol: 'sftp' as const };
    const limits = { sessions: 2, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined };
    beforeEach(() => rig.change('frank', { limits }));

    it('on the web the longest idle one ends for the new one, is audited, and its node is told', async () => {
      const first = await signIn();
      rig.advance(1_000);
      const second = await signIn();
      rig.advance(1_000);
      rig.login.sessions.require(first, at('dmz1', 0));
      const third = await signIn();
      await settle();
      expect(() => rig.login.sessions.require(second, at('dmz1', 0))).toThrow('signed out');
      for (const live of [first, third])
        expect(rig.login.sessions.require(live, at('dmz1', 0)).username).toBe('frank');
      const reason = 'the longest idle of 2 web sessions, a newer sign-in needed its place';
      expect(rig.node.ended).toEqual([{ sessionKey: sessionKey(second), reason }]);
      expect(rig.state.audit.at(-1)).toMatchObject({
        event: 'session.ended',
        sessionKey: sessionKey(second),
        rule: reason,
      });
    });

    it('over SFTP the new one is refused in words of its own, with a record, and its code is not spent', async () => {
      await rig.enrol('frank');
      await rig.change('frank', withFactor({ requiredOn: ['sftp'] }));
      const attempt = (port: number) => ({ ...sftp, client: { port, agent: `client ${port}` } });
      await signInWithCode(attempt(1));
      await signInWithCode(attempt(2));
      const error = await refusal(signInWithCode(attempt(3)));
      expect(error).toMatchObject({
        code: 'too-many-sessions',
        hint: expect.stringContaining('limits.sessions') as string,
        publicMessage: 'As many of your SFTP sessions are open as may be (2); close one, then connect again',
      });
      expect(rig.state.audit.at(-1)).toMatchObject({
        event: 'login.refused',
        user: 'frank',
        protocol: 'sftp',
        reference: error.reference,
        rule: 'too many sessions: 2 SFTP sessions of frank',
      });
      await rig.login.sessions.end(rig.login.sessions.list()[0]?.key ?? '', 'closed');
      // The very code of the refused one.
      rig.advance(-30_000);
      await signInWithCode(attempt(3));
    });

    it('are counted apart at the two doors', async () => {
      for (const attempt of [sftp, sftp, {}, {}]) await signIn(attempt);
      expect(rig.login.sessions.list()).toHaveLength(4);
      expect((await refusal(signIn(sftp))).code).toBe('too-many-sessions');
      await signIn();
      expect(rig.login.sessions.list()).toHaveLength(4);
    });

    it('`explain` knows it', async () => {
      const explain = async (protocol: 'https' | 'sftp') => {
        const question = { user: 'frank', protocol, ip: '203.0.113.9', node: 'dmz1' };
        const { chain, outcome } = await rig.login.admin.explainer.explain(question);
        return [outcome, chain.find(({ rule }) => rule === 'limits.sessions')?.result];
      };
      expect(await explain('sftp')).toEqual(['admitted', '0 of 2 open over sftp: one more may be']);
      for (const attempt of [sftp, sftp, {}, {}]) await signIn(attempt);
      expect(await explain('sftp')).toEqual([
        'refused',
        '2 of 2 open over sftp: the next is refused, in these words; `sallyport sessions kick` ends one',
      ]);
      expect(await explain('https')).toEqual([
        'admitted',
        '2 of 2 open over https: the longest idle one ends for the next',
      ]);
    });
  });

  it('a login whose commit the disk refuses takes no session’s place', async () => {
    await rig.change('frank', {
      limits: { sessions: 1, uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
    });
    const view = await rig.begin('frank');
    rig.state.beforeCommit = () => {
      throw new Error('disk full');
    };
    await expect(rig.answer(view)).rejects.toThrow('disk full');
    rig.state.beforeCommit = undefined;
    expect((rig.login.sessions as Sessions).countOf('frank', 'https')).toBe(0);
    await signIn();
    expect(rig.login.sessions.list()).toHaveLength(1);
  });

  it('a revoked node’s sessions and logins are gone, the other node’s go on', async () => {
    const id = await signIn();
    const other = await signIn({ node: rig.otherNode });
    const view = await rig.begin('frank');
    await rig.login.admin.endNode('dmz1', 'revoked');
    expect(() => rig.login.sessions.require(id, at('dmz1', 0))).toThrow('signed out');
    expect(rig.login.sessions.require(other, at('dmz2', 0)).username).toBe('frank');
    expect((await refusal(rig.answer(view))).code).toBe('challenge-gone');
  });

  it('a worker that started anew holds none of its old SFTP connections', async () => {
    const web = await signIn();
    const sftp = await signIn({ protocol: 'sftp' });
    expect(await rig.login.admin.endConnectionsOf('dmz1', 0)).toBe(1);
    expect(() => rig.login.sessions.require(sftp, at('dmz1', 0))).toThrow('signed out');
    expect(rig.login.sessions.require(web, at('dmz1', 0)).username).toBe('frank');
  });

  it('the account view says what the user may know', async () => {
    const inbox = { path: ['inbox'], storage: 'local', root: ['frank'], uploads: 'atomic' } as const;
    await rig.change('frank', { mounts: [{ ...inbox, allow: new Set(['list', 'write']) }] });
    const id = await signIn();
    const session = rig.login.sessions.require(id, at('dmz1', 0));
    const view = await rig.login.sessionHandlers['account.view']({ session: id }, session, rig.node.link);
    expect(view).toEqual({
      username: 'frank',
      displayName: 'frank',
      state: 'signed-in',
      twoFactor: {
        enrolled: false,
        requiredOn: [],
        registration: true,
        maySetUp: true,
        recoveryCodesLeft: 0,
      },
      may: { password: true, sshKeys: false },
      mounts: [{ path: ['inbox'], allow: ['list', 'write'] }],
      quota: { usedBytes: 42 },
      session: {
        startedAt: '2026-11-24T12:00:00.000Z',
        method: 'none',
        idleMs: 15 * minute,
        leftMs: 12 * 60 * minute,
      },
    });
  });

  it('reminds of a requirement that is still to come', async () => {
    await rig.change('frank', withFactor({ requiredOn: ['https'], requiredFrom: { date: '2027-01-15' } }));
    const result = await rig.answer(await rig.begin('frank'));
    expect(result).toMatchObject({ view: { notice: expect.stringContaining('2027-01-15') as string } });
  });
});

describe('the registry of sessions', () => {
  type Facts = Parameters<Sessions['prepare']>[0];
  const hour = 60 * minute;
  const clock = { wall: 0, steady: 0 };
  const pass = (ms: number): void => {
    clock.wall += ms;
    clock.steady += ms;
  };
  const open: Sessions[] = [];
  beforeEach(() => {
    clock.wall = startMs;
    clock.steady = 1_000;
  });
  afterEach(() => {
    for (const sessions of open.splice(0)) sessions.close();
  });

  /** Of alice and bob, with what their nodes are told. */
  function build(state = buildMemoryState()) {
    const users = buildMemoryUsers();
    for (const name of ['alice', 'bob']) users.put(buildUser(name));
    const told: string[] = [];
    const logged = buildRecordedLog();
    const limits = { idleMs: 15 * minute, maxMs: 12 * hour };
    const sessions = new Sessions({
      state,
      users,
      limits: { https: limits, sftp: limits },
      mayLiveWithoutFactor: async () => true,
      tellEnded: (node, key, reason) => void told.push(`${node} ${key} ${reason}`),
      clock: { now: () => clock.wall, monotonic: () => clock.steady },
      log: logged.log,
    });
    open.push(sessions);
    const facts = (change: Partial<Facts> = {}): Facts => ({
      username: 'alice',
      node: 'dmz1',
      worker: 0,
      protocol: 'https',
      state: 'signed-in',
      method: 'totp',
      clientIp: '203.0.113.9',
      agent: 'test',
      credential: passwordCredential(passwordHash.expose()),
      ...change,
    });
    const add = async (change: Partial<Facts> = {}, sessionsMaxOfUser?: number) => {
      const prepared = sessions.prepare(facts(change), { sessionsMax: sessionsMaxOfUser });
      await state.commit([prepared.change]);
      const session = prepared.open();
      return { id: prepared.id, key: session.key, session };
    };
    return { sessions, users, state, told, facts, add, lines: logged.lines };
  }

  it('has room for so many in all, those about to be opened among them, and for one more when one is not', async () => {
    const { sessions, facts, add } = build();
    await add();
    const prepared = Array.from({ length: sessionsMax - 1 }, () => sessions.prepare(facts()));
    expect(() => sessions.prepare(facts())).toThrow('More people are signed in than can be served');
    prepared[0]?.cancel();
    expect(() => sessions.prepare(facts()).cancel()).not.toThrow();
  });

  it('gives a user whose file says nothing so many at once over SFTP, those about to be opened among them', () => {
    const { sessions, facts } = build();
    for (let number = 0; number < sessionsPerUserMax; number += 1)
      sessions.prepare(facts({ protocol: 'sftp' }));
    expect(() => sessions.prepare(facts({ protocol: 'sftp' }))).toThrow('As many of your SFTP sessions');
    expect(() => sessions.prepare(facts({ protocol: 'sftp', username: 'bob' }))).not.toThrow();
  });

  it('makes room on the web only, of the same user only, and only where there are too many', async () => {
    const { sessions, add } = build();
    const bobs = await add({ username: 'bob' });
    const opened = [];
    for (let number = 0; number < 4; number += 1) {
      pass(1_000);
      opened.push(await add({}, 5));
    }
    expect(sessions.list()).toHaveLength(5);
    opened.push(await add({}, 5));
    expect(sessions.list()).toHaveLength(6);
    await add({ protocol: 'sftp' }, 5);
    expect(opened.filter(({ session }) => session.ended.aborted)).toEqual([]);
    pass(1_000);
    await add({}, 5);
    expect(opened.map(({ session }) => session.ended.aborted)).toEqual([true, false, false, false, false]);
    expect(bobs.session.ended.aborted).toBe(false);
  });

  it('tells the old id of a renewed session late and once, so that the new one is there before', async () => {
    const { sessions, facts, add, told } = build();
    const { key, session } = await add();
    sessions.prepare(facts(), { instead: session }).open();
    expect(session.ended.aborted).toBe(true);
    expect(told).toEqual([]);
    await sessions.sweep();
    await sessions.sweep();
    expect(told).toEqual([`dmz1 ${key} renewed`]);
  });

  it('S-14: one that takes the place of a session that ended meanwhile ends as it begins', async () => {
    const { sessions, facts, add } = build();
    const { key, session } = await add();
    const prepared = sessions.prepare(facts(), { instead: session });
    await sessions.end(key, 'kicked');
    expect(prepared.open().ended.aborted).toBe(true);
    expect(sessions.list()).toEqual([]);
  });

  it('S-14: an end reaches what is about to be opened where it is meant, and nothing else', async () => {
    const { sessions, facts } = build();
    const [alices, bobs] = [sessions.prepare(facts()), sessions.prepare(facts({ username: 'bob' }))];
    expect(await sessions.endAllOf('bob', 'kicked')).toBe(0);
    expect(alices.open().ended.aborted).toBe(false);
    expect(bobs.open().ended.aborted).toBe(true);
  });

  it('ends what is of a node, of a worker’s connections, of a user’s way in, and says how many', async () => {
    const { sessions, add } = build();
    const kinds: Record<string, Partial<Facts>> = {
      web: {},
      sftp: { protocol: 'sftp' },
      'other worker': { protocol: 'sftp', worker: 1 },
      'other node': { protocol: 'sftp', node: 'dmz2' },
      none: { method: 'none' },
      'this one': { method: 'none' },
      'bob’s': { method: 'none', username: 'bob' },
    };
    const opened = new Map<string, Awaited<ReturnType<typeof add>>>();
    for (const [name, change] of Object.entries(kinds)) opened.set(name, await add(change));
    const live = (): string[] =>
      [...opened].filter(([, { session }]) => !session.ended.aborted).map(([name]) => name);
    await sessions.endWhereMethod('alice', new Set(['none']), 'required', opened.get('this one')?.key);
    expect(live()).toEqual(['web', 'sftp', 'other worker', 'other node', 'this one', 'bob’s']);
    expect(await sessions.endConnectionsOf('dmz1', 0, 'restart')).toBe(1);
    expect(live()).toEqual(['web', 'other worker', 'other node', 'this one', 'bob’s']);
    expect(await sessions.endAllOf('alice', 'kicked', opened.get('web')?.key)).toBe(3);
    expect(live()).toEqual(['web', 'bob’s']);
    expect(await sessions.endNode('dmz2', 'revoked')).toBe(0);
    expect(await sessions.endNode('dmz1', 'revoked')).toBe(2);
    expect(live()).toEqual([]);
  });

  it('says of an end whether there was one, and writes it down once', async () => {
    const { sessions, add, state } = build();
    const { key } = await add();
    expect(await sessions.end(key, 'signed out')).toBe(true);
    expect(await sessions.end(key, 'signed out')).toBe(false);
    expect(state.audit).toMatchObject([{ event: 'session.ended', sessionKey: key, rule: 'signed out' }]);
  });

  it('knows how long a session still has, and nothing of one that is not there', async () => {
    const { sessions, add } = build();
    const { key } = await add();
    pass(hour);
    expect(sessions.timesOf(key)).toEqual({ idleMs: 15 * minute, leftMs: 11 * hour });
    pass(12 * hour);
    expect(sessions.timesOf(key)).toEqual({ idleMs: 15 * minute, leftMs: 0 });
    await sessions.sweep();
    expect(sessions.timesOf(key)).toEqual({ idleMs: 0, leftMs: 0 });
  });

  it('S-14: judges the sessions of whom it is asked about, and ends them with the reason', async () => {
    const { sessions, users, add, told } = build();
    const [alices, bobs] = [await add(), await add({ username: 'bob' })];
    // Not told of: as a file that is read while it is looked at.
    (users.find('alice') as { status: string }).status = 'disabled';
    (users.find('bob') as { status: string }).status = 'disabled';
    pass(minute);
    await sessions.rejudge('alice');
    expect([alices.session.ended.aborted, bobs.session.ended.aborted]).toEqual([true, false]);
    expect(told).toEqual([`dmz1 ${alices.key} status is disabled`]);
  });

  it('S-14: one that is used after its end is none, and is ended by that', async () => {
    const { sessions, add } = build();
    const { id, session } = await add();
    pass(15 * minute);
    expect(() => sessions.require(id, at('dmz1', 0))).toThrow('signed out');
    expect(session.ended.aborted).toBe(true);
  });

  it('a user who is gone is nobody’s, also for what still holds the session', async () => {
    const { users, add } = build();
    const { session } = await add();
    expect(session.user().username).toBe('alice');
    users.remove('alice');
    expect(() => session.user()).toThrow('signed out');
  });

  it('writes down once a minute of use when a session was used last', async () => {
    const { sessions, add, state } = build();
    const { id, key } = await add();
    const written = async (): Promise<number | undefined> => {
      await sessions.sweep();
      return (await state.read('sessions')).find((one) => one.key === key)?.usedAtMs;
    };
    const useAfter = (ms: number): void => {
      pass(ms);
      sessions.require(id, at('dmz1', 0));
    };
    useAfter(touchIntervalMs - 1);
    expect(await written()).toBe(startMs);
    useAfter(1);
    pass(5_000);
    expect(await written()).toBe(startMs + touchIntervalMs);
    useAfter(touchIntervalMs - 5_001);
    expect(await written()).toBe(startMs + touchIntervalMs);
    const touches: unknown[] = [];
    state.beforeCommit = (changes) => void touches.push(...changes);
    useAfter(1);
    expect(await written()).toBe(startMs + 2 * touchIntervalMs);
    await sessions.sweep();
    expect(touches).toEqual([{ kind: 'touch-session', key, usedAtMs: startMs + 2 * touchIntervalMs }]);
  });

  it('S-14: takes over over a restart how long each was idle, and one that is over not at all', async () => {
    const { facts, state } = build();
    const times = { openedAtMs: startMs - hour, usedAtMs: startMs - 10 * minute };
    const store = (key: string, change: Partial<StoredSession>) =>
      state.commit([
        {
          kind: 'open-session',
          session: { ...facts(), key, ...times, expiresAtMs: startMs + hour, ...change },
        },
      ]);
    await store('live', {});
    await store('of a clock that went back', { usedAtMs: startMs + hour });
    await store('over', { expiresAtMs: startMs });
    await store('idle', { usedAtMs: startMs - 15 * minute });
    const { sessions, told } = build(state);
    await sessions.start();
    const live = (): string[] => sessions.list().map(({ key }) => key);
    expect(live()).toEqual(['live', 'of a clock that went back']);
    expect(told).toEqual(['dmz1 idle idle']);
    pass(5 * minute - 1);
    await sessions.sweep();
    expect(live()).toEqual(['live', 'of a clock that went back']);
    pass(1);
    await sessions.sweep();
    expect(live()).toEqual(['of a clock that went back']);
    pass(10 * minute);
    await sessions.sweep();
    expect(live()).toEqual([]);
  });

  it('S-14: looks every second by itself, keeps no process alive for it, and stops when it is closed', async () => {
    vi.useFakeTimers();
    try {
      const timers = vi.spyOn(globalThis, 'setInterval');
      const { sessions, users, add, lines, state } = build();
      const [timer] = timers.mock.results.map(({ value }) => value as NodeJS.Timeout);
      expect(timer?.hasRef()).toBe(false);
      const { session } = await add();
      pass(15 * minute);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(session.ended.aborted).toBe(true);
      const second = await add();
      state.beforeCommit = () => Promise.reject(new Error('disk full'));
      pass(15 * minute);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(second.session.ended.aborted).toBe(true);
      expect(lines.join('')).toContain('session sweep failed');
      expect(lines.join('')).toContain('the end of a session is not written yet');
      state.beforeCommit = undefined;
      const third = await add();
      sessions.close();
      expect(vi.getTimerCount()).toBe(0);
      users.put(buildUser('alice', { status: 'disabled' }));
      await vi.advanceTimersByTimeAsync(0);
      expect(third.session.ended.aborted).toBe(false);
    } finally {
      vi.restoreAllMocks();
      vi.useRealTimers();
    }
  });

  it('a confined session is no session without a factor: a change of its user’s file leaves it', async () => {
    await rig.change('frank', withFactor({ forceSetup: true }));
    const id = await signIn();
    await rig.change('frank', { displayName: 'Franklin' });
    expect(rig.login.sessions.require(id, at('dmz1', 0)).state).toBe('setup-required');
  });
});
