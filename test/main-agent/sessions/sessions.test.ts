import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sessionKey } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import {
  buildRig,
  buildUser,
  cheapHash,
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
