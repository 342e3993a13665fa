import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { probesBurst, wrongPasswordsPerNodeMax } from '#main-agent/login/limits.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { buildRig, buildUser, playSshKey, refusal, withFactor, type Rig } from './rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  rig.users.set('frank', buildUser('frank'));
});
afterEach(() => rig.close());

describe('the first factor', () => {
  const shut: [string, () => void, string][] = [
    ['an unknown user', () => rig.users.delete('frank'), 'no such user'],
    ['a user without a password', () => setUser({ passwordHash: undefined }), 'wrong password'],
    ['a disabled user', () => setUser({ status: 'disabled' }), 'status is disabled'],
    ['an expired user', () => setUser({ expires: '2026-11-23' }), 'expired after 2026-11-23'],
    ['a protocol the user has not', () => setUser({ protocols: ['sftp'] }), 'protocol https'],
    ['an address outside allow_from', () => setUser({ allowFrom: ['198.51.100.0/24'] }), 'allow_from'],
    ['an empty allow_from', () => setUser({ allowFrom: [] }), 'allow_from'],
    [
      'hours that are over',
      () => setUser({ hours: { days: [2], fromMinute: 0, toMinute: 60, zone: 'UTC' } }),
      'hours',
    ],
    [
      'a required factor that can not be asked',
      () => setUser(withFactor({ requiredOn: ['https'] })),
      'no factor can be asked',
    ],
  ];
  function setUser(change: Parameters<typeof buildUser>[1]): void {
    rig.users.set('frank', buildUser('frank', change));
  }

  for (const [name, arrange, rule] of shut) {
    it(`S-07: the right password of ${name} gets the one refusal; the admin finds the rule`, async () => {
      arrange();
      const error = await refusal(rig.begin('frank'));
      expect([error.code, error.publicMessage, error.data]).toEqual([
        'refused',
        'Sign-in refused',
        undefined,
      ]);
      const [found] = await rig.state.read('find-audit', { reference: error.reference ?? '' });
      expect(found).toMatchObject({ event: 'login.refused', user: 'frank', outcome: 'refused' });
      expect(found?.rule).toContain(rule);
    });
  }

  it('S-07: a name that folding makes longer than any is refused like one that nobody has, and counted', async () => {
    // 18 characters each under NFKC.
    const name = '\uFDFA'.repeat(255);
    const failure = await refusal(rig.begin(name));
    expect([failure.code, failure.publicMessage]).toEqual(['refused', 'Sign-in refused']);
    // As many as count, and the one that a throttle lets through.
    for (let tries = 1; tries < 21; tries += 1) await refusal(rig.begin(name));
    expect((await refusal(rig.begin(name, { patienceMs: 1 }))).code).toBe('rate-limited');
  });

  it('the last day of an account still works, and an address inside allow_from', async () => {
    setUser({ expires: '2026-11-24', allowFrom: ['203.0.113.0/24'] });
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    expect(await rig.begin('frank', { client: { ip: '::ffff:203.0.113.9' } })).toMatchObject({
      next: 'admit',
    });
  });

  it('S-07: the same commits are made for a name that exists and one that does not', async () => {
    const commits: string[][] = [];
    rig.state.beforeCommit = (changes) => void commits.push(changes.map((one) => one.kind));
    await refusal(rig.begin('frank', { password: 'wrong password' }));
    await refusal(rig.begin('nobody', { password: 'wrong password' }));
    await rig.change('frank', { status: 'disabled' });
    commits.splice(2);
    await refusal(rig.begin('frank'));
    const counted = ['count-failure', 'count-failure', 'audit'];
    expect(commits).toEqual([counted, counted, counted]);
  });

  it('S-13: after 20 wrong passwords strangers get one try per 10 s, known places go on', async () => {
    const home = { ip: '198.51.100.7' };
    await rig.answer(await rig.begin('frank', { client: home }), { client: home });
    for (let tries = 0; tries < 20; tries += 1)
      await refusal(rig.begin('frank', { password: 'wrong', client: { ip: `203.0.113.${tries}` } }));

    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    const error = await refusal(rig.begin('frank', { client: { ip: '203.0.113.200' } }));
    expect([error.code, error.data?.retryAfterMs]).toEqual(['rate-limited', 10_000]);
    expect(await rig.begin('frank', { client: home })).toMatchObject({ next: 'admit' });
    rig.advance(10_000);
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    rig.advance(15 * 60_000);
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
  });

  it('S-13: tries that were turned away are in the audit: the first at once, then one number a minute', async () => {
    for (let tries = 0; tries < 20; tries += 1) await refusal(rig.begin('frank', { password: 'wrong' }));
    await rig.begin('frank');
    const before = rig.state.audit.length;
    const turnAway = async (tries: number): Promise<void> => {
      for (let number = 0; number < tries; number += 1)
        expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
    };
    await turnAway(100);
    const told = (): unknown[] => rig.state.audit.slice(before).map(({ detail }) => detail);
    expect(rig.state.audit.slice(before)).toMatchObject([
      {
        event: 'login.throttled',
        outcome: 'refused',
        user: 'frank',
        node: 'dmz1',
        clientIp: '203.0.113.9',
        rule: 'this name throttled after too many wrong passwords',
        detail: 'one try',
      },
    ]);
    rig.advance(59_999);
    await rig.begin('frank');
    await turnAway(1);
    expect(told()).toEqual(['one try']);
    rig.advance(1);
    await turnAway(50);
    expect(told()).toEqual(['one try', '101 tries since the last record, this one the latest']);
  });

  describe('through a node that names whatever address it likes', () => {
    /** One wrong password for each of many users, each from another address: no user and no address stands out. */
    async function spray(tries: number, node = rig.node): Promise<void> {
      for (let number = 0; number < tries; number += 1)
        await refusal(
          rig.begin(`user-${number}`, {
            node,
            password: 'wrong',
            client: { ip: `198.18.${number % 250}.9` },
          }),
        );
    }
    beforeEach(async () => {
      for (let number = 0; number < wrongPasswordsPerNodeMax; number += 1)
        rig.users.set(`user-${number}`, buildUser(`user-${number}`));
    });

    it('S-13: a thousand wrong passwords over all users slow strangers down, of that node only, and not one less', async () => {
      const home = { ip: '198.51.100.7' };
      await rig.answer(await rig.begin('frank', { client: home }), { client: home });
      await spray(wrongPasswordsPerNodeMax - 1);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });

      await spray(1);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
      const error = await refusal(rig.begin('frank', { client: { ip: '203.0.113.200' } }));
      expect([error.code, error.data?.retryAfterMs]).toEqual(['rate-limited', 1_000]);
      expect((await refusal(rig.begin('user-7', { password: 'wrong' }))).code).toBe('rate-limited');
      expect(await rig.begin('frank', { client: home })).toMatchObject({ next: 'admit' });
      expect(await rig.begin('frank', { node: rig.otherNode })).toMatchObject({ next: 'admit' });
      rig.advance(1_000);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
      rig.advance(15 * 60_000);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    });

    it('says whom it slows down: one name, or a source from which nobody signs in', async () => {
      const home = { ip: '198.51.100.7' };
      await rig.answer(await rig.begin('frank', { client: home }), { client: home });
      for (let tries = 0; tries < 20; tries += 1) await refusal(rig.begin('user-1', { password: 'wrong' }));
      await rig.begin('user-1');
      expect((await refusal(rig.begin('user-1'))).data).toEqual({ retryAfterMs: 10_000, throttled: 'name' });
      await spray(wrongPasswordsPerNodeMax);
      await rig.begin('user-2').catch(() => undefined);
      const throttled = async (client: { ip: string }) =>
        (await refusal(rig.begin('user-2', { client }))).data?.throttled;
      expect(await throttled({ ip: '203.0.113.200' })).toBe('source');
      expect(await throttled(home)).toBe('name');
    });

    it('S-13: is an alarm once per throttled quarter of an hour, and none before', async () => {
      const logged = buildRecordedLog();
      const alarms = () =>
        logged.lines
          .map((line) => JSON.parse(line) as { alarm?: string; node?: string })
          .filter(({ alarm }) => alarm === 'many-wrong-passwords');
      rig = await rig.restart({ log: logged.log });
      await spray(wrongPasswordsPerNodeMax - 1);
      await rig.begin('frank');
      expect(alarms()).toEqual([]);
      await spray(1);
      await rig.begin('frank');
      await refusal(rig.begin('frank'));
      expect(alarms()).toEqual([expect.objectContaining({ node: 'dmz1' })]);
    });

    it('S-13: the count survives a restart', async () => {
      await spray(wrongPasswordsPerNodeMax);
      const after = await rig.restart();
      await after.begin('frank');
      expect((await refusal(after.begin('frank'))).code).toBe('rate-limited');
      after.close();
    });

    it("S-13: a try that the node's throttle refuses does not take the user's turn", async () => {
      await spray(wrongPasswordsPerNodeMax);
      for (let tries = 0; tries < 20; tries += 1) {
        rig.advance(1_000);
        await refusal(rig.begin('frank', { password: 'wrong' }));
      }
      rig.advance(10_000);
      await refusal(rig.begin('user-1', { password: 'wrong' }));
      expect((await refusal(rig.begin('frank'))).data?.retryAfterMs).toBe(1_000);
      rig.advance(1_000);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    });
  });

  describe('from a place that the node says is known', () => {
    const home = { ip: '198.51.100.7' };
    const wrong = (user: string) => refusal(rig.begin(user, { password: 'wrong', client: home }));
    const signIn = async (user: string, client = home) =>
      rig.answer(await rig.begin(user, { client }), { client });

    it('S-13: a hundred wrong passwords in 15 minutes, and then one try per 10 s, at that place only', async () => {
      const office = { ip: '198.51.100.8' };
      await signIn('frank');
      await signIn('frank', office);
      for (let tries = 0; tries < 99; tries += 1) expect((await wrong('frank')).code).toBe('refused');
      for (let tries = 0; tries < 2; tries += 1)
        expect(await rig.begin('frank', { client: home })).toMatchObject({ next: 'admit' });
      expect((await wrong('frank')).code).toBe('refused');
      expect(await rig.begin('frank', { client: home })).toMatchObject({ next: 'admit' });
      const error = await refusal(rig.begin('frank', { client: home }));
      expect([error.code, error.data?.retryAfterMs]).toEqual(['rate-limited', 10_000]);
      expect(await rig.begin('frank', { client: office })).toMatchObject({ next: 'admit' });
      const after = await rig.restart();
      await after.begin('frank', { client: home });
      expect((await refusal(after.begin('frank', { client: home }))).code).toBe('rate-limited');
      after.close();
      rig.advance(15 * 60_000);
      for (let tries = 0; tries < 2; tries += 1)
        expect(await rig.begin('frank', { client: home })).toMatchObject({ next: 'admit' });
    });

    it('S-13: an admin who unlocks the user lifts it, at every place', async () => {
      await signIn('frank');
      for (let tries = 0; tries < 101; tries += 1) await wrong('frank');
      expect((await wrong('frank')).code).toBe('rate-limited');
      await rig.login.admin.twoFactor.unlock('frank', { actor: 'test', reason: 'called' });
      expect((await wrong('frank')).code).toBe('refused');
    });

    it('S-13: a thousand through one node, over all users, slow known places too, and count for strangers', async () => {
      const names = Array.from({ length: 12 }, (_, number) => `user-${number}`);
      for (const name of names) {
        rig.users.set(name, buildUser(name));
        await signIn(name);
      }
      for (let tries = 0; tries < wrongPasswordsPerNodeMax; tries += 1)
        await wrong(names[tries % names.length] ?? '');
      expect(await rig.begin('user-1', { client: home })).toMatchObject({ next: 'admit' });
      const error = await refusal(rig.begin('user-2', { client: home }));
      expect([error.code, error.data?.retryAfterMs]).toEqual(['rate-limited', 1_000]);
      expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
      expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
      expect(await rig.begin('user-2', { client: home, node: rig.otherNode })).toMatchObject({
        next: 'admit',
      });
    });
  });

  it.each(['frank ', ' frank', 'Frank', 'ＦＲＡＮＫ', 'fra\u200bnk'])(
    'takes %j for the user it means, who is called by the right name from there on',
    async (typed) => {
      expect(await rig.begin(typed)).toMatchObject({ next: 'admit', username: 'frank' });
      await refusal(rig.begin(typed, { password: 'wrong' }));
      expect(rig.state.audit.at(-1)).toMatchObject({ event: 'login.refused', user: 'frank' });
    },
  );

  it('S-07: says of a name that attackers try first that it is a bait, whoever has it, except where somebody signs in', async () => {
    const isBait = async (user: string, ip: string, password?: string) =>
      (await refusal(rig.begin(user, { client: { ip }, password: password ?? 'wrong' }))).data?.bait;
    expect(await isBait('root', '198.51.100.7')).toBe(true);
    expect(await isBait(' ROOT', '198.51.100.7')).toBe(true);
    expect(await isBait('nobody', '198.51.100.7')).toBeUndefined();
    const client = { ip: '203.0.113.9' };
    await rig.answer(await rig.begin('frank', { client }), { client });
    expect(await isBait('root', '203.0.113.9')).toBeUndefined();
    expect(await isBait('root', '198.51.100.7')).toBe(true);
    rig.advance(30 * 24 * 3_600_000);
    expect(await isBait('root', '203.0.113.9')).toBe(true);
    rig.users.set('root', buildUser('root'));
    expect(await isBait('root', '198.51.100.7')).toBe(true);
  });

  it('S-13: another spelling of a name is no new row of tries', async () => {
    for (const typed of ['frank', 'Frank', 'FRANK', ' frank'])
      for (let tries = 0; tries < 5; tries += 1) await refusal(rig.begin(typed, { password: 'wrong' }));
    await refusal(rig.begin('frank', { password: 'wrong' }));
    expect((await refusal(rig.begin('fRANK'))).code).toBe('rate-limited');
  });

  it('S-07: tries at names that share a short hash with a name throttle neither one with a user nor one without', async () => {
    const bucketOf = (name: string) => createHash('sha256').update(name).digest().readUInt32BE(0) % 1_024;
    for (const name of ['frank', 'nobody']) {
      const alike = Array.from({ length: 60_000 }, (_, number) => `made-up-${number}`)
        .filter((one) => bucketOf(one) === bucketOf(name))
        .slice(0, 25);
      expect(alike).toHaveLength(25);
      for (const one of alike) await refusal(rig.begin(one, { password: 'wrong' }));
      expect([name, (await refusal(rig.begin(name, { password: 'wrong' }))).code]).toEqual([name, 'refused']);
    }
  });

  it('S-07: a name that does not exist is throttled just the same', async () => {
    for (let tries = 0; tries < 20; tries += 1) await refusal(rig.begin('nobody'));
    expect((await refusal(rig.begin('nobody'))).code).toBe('refused');
    expect((await refusal(rig.begin('nobody'))).code).toBe('rate-limited');
  });
});

describe('keys', () => {
  const key = playSshKey();

  beforeEach(() =>
    rig.users.set('erin', buildUser('erin', { passwordHash: undefined, sshKeys: [key.publicKey] })),
  );

  const beginWith = (
    user: string,
    factor: ReturnType<typeof key.signRequest>,
    protocol: 'sftp' | 'https' = 'sftp',
  ) =>
    rig.login.loginHandlers['login.begin'](
      {
        user,
        protocol,
        listener: protocol,
        client: { ip: '203.0.113.9', port: 1, agent: 'SSH-2.0-test' },
        factor,
      },
      rig.node.link,
    );

  it('a stored key that signed this login is a first factor', async () => {
    expect(await beginWith('erin', key.signRequest('erin'))).toMatchObject({ next: 'admit' });
  });

  it('S-03: a signature counts once per SSH session, also after a restart', async () => {
    const factor = key.signRequest('erin');
    await beginWith('erin', factor);
    expect((await refusal(beginWith('erin', factor))).code).toBe('refused');
    expect(rig.state.audit.at(-1)?.rule).toContain('used before');
  });

  it('S-07: refuses a foreign key, another name, a changed session, junk, and a key on the web, all alike', async () => {
    const stranger = playSshKey();
    const good = key.signRequest('erin');
    const other = key.signRequest('erin', randomBytes(32));
    for (const [user, factor, protocol] of [
      ['erin', stranger.signRequest('erin'), 'sftp'],
      ['erin', key.signRequest('frank'), 'sftp'],
      ['frank', key.signRequest('frank'), 'sftp'],
      ['nobody', key.signRequest('nobody'), 'sftp'],
      ['erin', { ...good, signed: other.signed }, 'sftp'],
      ['erin', { ...good, signature: 'AAAA' }, 'sftp'],
      ['erin', { ...good, signed: '' }, 'sftp'],
      ['erin', good, 'https'],
    ] as const) {
      const error = await refusal(beginWith(user, factor, protocol));
      expect([error.code, error.publicMessage]).toEqual(['refused', 'Sign-in refused']);
    }
    expect(await beginWith('erin', good)).toMatchObject({ next: 'admit' });
  });

  it('S-09: a probe of any of a user’s keys is answered, as many as a node may ask at once', async () => {
    const other = playSshKey();
    await rig.change('erin', { sshKeys: [key.publicKey, other.publicKey] });
    const client = { ip: '203.0.113.9', port: 1, agent: '' };
    const probe = (blob: Buffer, link = rig.node.link) =>
      rig.login.loginHandlers['login.probe']({ user: 'erin', key: blob.toString('base64url'), client }, link);
    for (const { blob } of [key.publicKey, other.publicKey])
      expect(await probe(blob)).toEqual({ acceptable: true });
    for (let number = 2; number < probesBurst; number += 1) await probe(key.publicKey.blob);
    expect((await refusal(probe(key.publicKey.blob))).code).toBe('rate-limited');
    expect(await probe(key.publicKey.blob, rig.otherNode.link)).toEqual({ acceptable: true });
  });

  it('S-07: a probe says yes only to a stored key of an account that works, and fails nobody', async () => {
    const probe = async (user: string, blob: Buffer) =>
      (
        await rig.login.loginHandlers['login.probe'](
          { user, key: blob.toString('base64url'), client: { ip: '203.0.113.9', port: 1, agent: '' } },
          rig.node.link,
        )
      ).acceptable;
    const { blob } = key.publicKey;
    expect(await probe('erin', blob)).toBe(true);
    expect(await probe('erin', playSshKey().publicKey.blob)).toBe(false);
    expect(await probe('frank', blob)).toBe(false);
    expect(await probe('nobody', blob)).toBe(false);
    expect(await probe('erin', Buffer.from('junk'))).toBe(false);
    expect(await probe(' Erin', blob)).toBe(true);
    await rig.change('erin', { status: 'disabled' });
    expect(await probe('erin', blob)).toBe(false);
    expect(rig.state.audit).toEqual([]);
    expect(parsePublicKeyBlob(blob).fingerprint).toBe(key.publicKey.fingerprint);
  });
});

describe('<password><code> for SFTP clients that can not prompt', () => {
  beforeEach(async () => {
    rig.users.set(
      'alice',
      buildUser('alice', withFactor({ requiredOn: ['sftp'], sftpPasswordWithCode: true })),
    );
    await rig.enrol('alice');
  });
  const sftp = { protocol: 'sftp' as const };
  const whole = (code: string) => ({ ...sftp, password: `correct horse battery${code}` });

  it('is checked like a code that was asked, and used up', async () => {
    const code = rig.code('alice');
    const view = await rig.begin('alice', whole(code));
    expect(view).toMatchObject({ next: 'admit', admitAs: 'none' });
    expect(await rig.answer(view, sftp)).toMatchObject({ outcome: 'admitted', view: { method: 'totp' } });
    const elsewhere = { ...whole(code), client: { agent: 'another' } };
    const again = await rig.begin('alice', elsewhere);
    expect((await refusal(rig.answer(again, { ...sftp, client: { agent: 'another' } }))).code).toBe(
      'refused',
    );
  });

  it('rides the lease on the next connection, though its code is used', async () => {
    const code = rig.code('alice');
    await rig.answer(await rig.begin('alice', whole(code)), sftp);
    const view = await rig.begin('alice', whole(code));
    expect(view).toMatchObject({ next: 'admit', admitAs: 'lease' });
    expect(await rig.answer(view, sftp)).toMatchObject({ outcome: 'admitted', view: { method: 'lease' } });
  });

  it('a wrong code refuses and counts; on the web, or without the switch, it is just a wrong password', async () => {
    const wrong = await rig.begin('alice', whole('000000'));
    expect((await refusal(rig.answer(wrong, sftp))).code).toBe('refused');
    expect((await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).recent).toBe(1);
    const onWeb = { ...whole(rig.code('alice')), protocol: 'https' as const };
    expect((await refusal(rig.begin('alice', onWeb))).code).toBe('refused');
    await rig.change('alice', withFactor({ requiredOn: ['sftp'] }));
    expect((await refusal(rig.begin('alice', whole(rig.code('alice'))))).code).toBe('refused');
  });
});
