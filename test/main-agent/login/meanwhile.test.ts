import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Passwords } from '#main-agent/passwords/password.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Change } from '#main-agent/state/state-store.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { Asker } from '#shared/link/asker.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import {
  buildRig,
  buildUser,
  cheapHash,
  password,
  playSshKey,
  refusal,
  withFactor,
  type Answer,
  type Attempt,
  type Rig,
  type RigOptions,
} from './rig.ts';

/**
 * What changes between the steps of a login, what its commit may find, and what only an admin sees of it: alarms, rules,
 * references, what was not sent and not counted.
 */

let rig: Rig;
let logged: ReturnType<typeof buildRecordedLog>;
const sftp = { protocol: 'sftp' } as const;
const both = ['https', 'sftp'] as const;
const mailed = { email: 'x@example.com' };
const why = { actor: 'socket:test', reason: 'test' };

async function start(options: RigOptions = {}): Promise<void> {
  rig?.close();
  logged = buildRecordedLog();
  rig = await buildRig({ log: logged.log, ...options });
  rig.users.set('alice', buildUser('alice', withFactor({ requiredOn: both })));
  rig.users.set('frank', buildUser('frank'));
  await rig.enrol('alice');
}
beforeEach(() => start());
afterEach(() => {
  vi.restoreAllMocks();
  rig.close();
});

const alarms = (): unknown[] =>
  logged.lines
    .map((line) => JSON.parse(line) as { alarm?: string; node?: string; user?: string; detail?: string })
    .filter(({ alarm }) => alarm !== undefined)
    .map(({ alarm, node, user, detail }) => ({ alarm, node, user, detail }));
const bypassOf = async (username: string): Promise<string> =>
  (
    await rig.login.admin.twoFactor.makeBypassCode(username, { ...why, ttlMs: 900_000, reEnrol: false })
  ).expose();
const outcomeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    (result) => {
      const { outcome, reason } = result as { outcome: string; reason?: string };
      return reason ?? outcome;
    },
    (error: { code: string }) => error.code,
  );

describe('an account that changes between the steps of a login', () => {
  let ban: string | undefined;
  beforeEach(async () => {
    ban = undefined;
    await start({ findBan: (_user, ip) => (ip === '203.0.113.9' ? ban : undefined) });
  });

  const changes: [string, () => unknown, string][] = [
    ['removed', () => rig.users.delete('frank'), 'the user is gone'],
    [
      'given another password',
      () => rig.users.set('frank', buildUser('frank', { passwordHash: new Secret(cheapHash('other')) })),
      'the password or key was changed meanwhile',
    ],
    [
      'disabled',
      () => rig.users.set('frank', buildUser('frank', { status: 'disabled' })),
      'status is disabled',
    ],
    ['banned', () => (ban = 'ban 7'), 'ban 7'],
  ];
  it.each(changes)(
    'S-14: %s, it is refused, with the reason in the audit, and over',
    async (_name, change, rule) => {
      const view = await rig.begin('frank');
      change();
      const error = await refusal(rig.answer(view));
      expect([error.code, error.publicMessage, error.detail]).toEqual(['refused', 'Sign-in refused', rule]);
      expect(rig.state.audit.at(-1)).toMatchObject({
        event: 'login.refused',
        outcome: 'refused',
        user: 'frank',
        node: 'dmz1',
        protocol: 'https',
        clientIp: '203.0.113.9',
        agent: 'test client',
        rule,
        reference: error.reference,
      });
      rig.users.set('frank', buildUser('frank'));
      ban = undefined;
      expect(await outcomeOf(rig.answer(view))).toBe('challenge-gone');
      expect(await outcomeOf(rig.answer(await rig.begin('frank')))).toBe('admitted');
    },
  );

  type Setting = [
    name: string,
    options: { readonly before?: Partial<EffectiveUser>; readonly after: Partial<EffectiveUser> } & Attempt,
    twoFactor?: object,
  ];
  const trusted = { trusted_networks: [{ cidr: '203.0.113.0/24', nodes: ['dmz1'] }] };
  const settings: Setting[] = [
    ['nothing was asked, and a code is due now', { after: withFactor({ requiredOn: both }, mailed) }],
    ['nothing was asked, and set-up is due now', { after: withFactor({ forceSetup: true }) }],
    [
      'the code was waived, and none is due any more',
      { before: withFactor({ requiredOn: both }, mailed), after: {} },
      trusted,
    ],
    [
      'the code was waived, and a set-up comes before it now',
      {
        before: withFactor({ requiredOn: both }, mailed),
        after: withFactor({ requiredOn: both, forceSetup: true }, mailed),
      },
      trusted,
    ],
    ['it led to set-up, and none is due any more', { before: withFactor({ forceSetup: true }), after: {} }],
    [
      'a code was asked for files, and set-up comes after it now',
      {
        before: withFactor({ requiredOn: both }, mailed),
        after: withFactor({ requiredOn: both, forceSetup: true }, mailed),
      },
    ],
    [
      'a code was sent, and there is nowhere to send one now',
      { before: withFactor({ requiredOn: both }, mailed), after: withFactor({ requiredOn: both }) },
    ],
  ];
  it.each(settings)(
    'S-14: where %s it is over, and a new one begins',
    async (_name, setting, twoFactor = {}) => {
      await start({ twoFactor });
      await rig.change('frank', { ...buildUser('frank'), ...setting.before });
      const view = await rig.begin('frank');
      const code = rig.sent.at(-1)?.code.expose();
      rig.users.set('frank', buildUser('frank', setting.after));
      const answer = view.next === 'code' && code !== undefined ? { code } : {};
      expect(await outcomeOf(rig.answer(view, answer))).toBe('challenge-gone');
      rig.users.set('frank', buildUser('frank', setting.before));
      expect(await outcomeOf(rig.answer(view, answer))).toBe('challenge-gone');
      expect(rig.login.sessions.list()).toEqual([]);
    },
  );

  it('S-14: an authenticator that was set up meanwhile is asked for, not the mailed code', async () => {
    await rig.change('frank', withFactor({ requiredOn: both }, mailed));
    const view = await rig.begin('frank');
    await rig.enrol('frank');
    const code = rig.sent.at(-1)?.code.expose() ?? '';
    expect(await outcomeOf(rig.answer(view, { code }))).toBe('challenge-gone');
  });

  const twice = async (username: string, attempt: Attempt = {}): Promise<string> => {
    const code = await bypassOf(username);
    const views = [await rig.begin(username, attempt), await rig.begin(username, attempt)] as const;
    const answer: Answer = { ...attempt, code, method: 'bypass' };
    expect(await outcomeOf(rig.answer(views[0], answer))).toBe('admitted');
    return outcomeOf(rig.answer(views[1], answer));
  };

  it('says of a bypass code that was used meanwhile that it is wrong, whether it leads to files or to set-up', async () => {
    await start({ twoFactor: { enrolment: { ticket: 'required', over_sftp: true } } });
    await rig.change('frank', withFactor({ requiredOn: both }));
    expect(await twice('frank')).toBe('wrong-code');
    await rig.change('dave', withFactor({ forceSetup: true }));
    expect(await twice('dave')).toBe('wrong-code');
    expect(await twice('dave', sftp)).toBe('wrong-code');
  });

  it('S-14: a login that waits for a bypass code is over when set-up on the web is due first', async () => {
    await rig.change('frank', withFactor({ requiredOn: both }));
    const code = await bypassOf('frank');
    const view = await rig.begin('frank', sftp);
    await rig.change('frank', withFactor({ requiredOn: both, forceSetup: true }));
    const answer = { ...sftp, code, method: 'bypass' } as const;
    expect(await outcomeOf(rig.answer(view, answer))).toBe('challenge-gone');
  });
});

describe('the name of a code', () => {
  it.each([
    ['an authenticator’s', 'bypass', 'totp'],
    ['a recovery code', 'totp', 'recovery'],
    ['a recovery code', 'bypass', 'recovery'],
    ['a bypass code', 'totp', 'bypass'],
  ] as const)('S-01: of %s is not %s: the node is told of', async (_of, claimed, found) => {
    const result = await rig.login.vault.enrol({
      username: 'frank',
      secret: rig.secrets.get('alice') ?? new Secret(Buffer.alloc(20)),
      step: 0,
      requiredOn: ['https'],
      recoveryCodes: 1,
      via: { node: 'dmz1', session: 'test' },
      replace: true,
      alongside: () => [],
    });
    if (!result.ok) throw new Error(result.reason);
    const codes: Record<typeof found, string> = {
      totp: rig.code('alice'),
      recovery: result.recoveryCodes[0]?.expose() ?? '',
      bypass: await bypassOf('frank'),
    };
    const view = await rig.begin('frank');
    const answer = { code: codes[found], method: claimed };
    const error = await refusal(rig.answer(view, answer));
    const detail = `claim method ${claimed} is not what the code is: ${found}`;
    expect([error.code, error.detail]).toEqual(['refused', detail]);
    expect(alarms()).toEqual([{ alarm: 'assertion-refused', node: 'dmz1', user: 'frank', detail }]);
    expect(rig.state.audit.at(-1)).toMatchObject({ event: 'login.refused', rule: detail });
    expect(rig.login.sessions.list()).toEqual([]);
    // It was not spent.
    expect(await outcomeOf(rig.answer(await rig.begin('frank'), { ...answer, method: found }))).toBe(
      'admitted',
    );
  });

  it.each([
    ['email', 'sms'],
    ['email', 'bypass'],
    ['sms', 'email'],
    ['sms', 'bypass'],
  ] as const)('may be another where an %s code was sent and looks like %s', async (way, claimed) => {
    await start({ sms: true, twoFactor: { delivered: { transport: way === 'sms' ? 'sms' : 'smtp' } } });
    await rig.change('frank', withFactor({ requiredOn: both }, { ...mailed, phone: '+15551230042' }));
    const view = await rig.begin('frank');
    const answer = { code: rig.sent.at(-1)?.code.expose() ?? '', method: claimed };
    expect(await rig.answer(view, answer)).toMatchObject({ outcome: 'admitted', view: { method: way } });
  });

  it('S-01: an assertion that does not fit is an alarm with what was wrong, and ends the login', async () => {
    const view = await rig.begin('alice');
    await refusal(rig.answer(view, { code: rig.code('alice'), claims: { nonce: 'A'.repeat(43) } }));
    expect(alarms()).toEqual([
      {
        alarm: 'assertion-refused',
        node: 'dmz1',
        user: 'alice',
        detail: 'assertion: claim nonce is not what main recorded',
      },
    ]);
  });

  it('S-01: there is nothing to assert for who was told to set up on the web', async () => {
    await rig.change('dave', withFactor({ forceSetup: true }));
    const view = await rig.begin('dave', sftp);
    expect(rig.state.audit.at(-1)).toMatchObject({
      event: 'login.refused',
      user: 'dave',
      rule: 'set-up is forced and not done; told where',
    });
    expect((await refusal(rig.answer(view, { ...sftp, method: 'none' }))).detail).toBe('nothing to assert');
  });
});

describe('the commit of a login', () => {
  /** The next login's commit finds that this was done by somebody else. */
  function failOnceAt(failed: Change['kind']): void {
    const commit = rig.state.commit.bind(rig.state);
    rig.state.commit = async (changes) => {
      if (!changes.some(({ kind }) => kind === 'open-session')) return commit(changes);
      rig.state.commit = commit;
      return { ok: false, failed };
    };
  }

  it.each([
    ['use-time-step', 'used-code'],
    ['use-code', 'used-code'],
    ['use-bypass-code', 'used-code'],
    ['use-lease', 'challenge-gone'],
    ['rotate-device', 'challenge-gone'],
    ['require-enrolment', 'challenge-gone'],
    ['open-session', 'internal'],
  ] as const)('S-03: that fails at %s ends as %s, and opens nothing', async (failed, end) => {
    const view = await rig.begin('alice');
    failOnceAt(failed);
    expect(await outcomeOf(rig.answer(view, { code: rig.code('alice') }))).toBe(end);
    expect(rig.login.sessions.list()).toEqual([]);
    expect(await rig.state.read('sessions')).toEqual([]);
    expect((rig.login.sessions as Sessions).countOf('alice', 'https')).toBe(0);
    const goesOn = await outcomeOf(rig.answer(view, { code: rig.code('alice') }));
    expect(goesOn).toBe(end === 'challenge-gone' ? 'challenge-gone' : 'admitted');
  });

  it('S-03: of a code inside the password that somebody spent first refuses and ends that login', async () => {
    await rig.change('alice', withFactor({ requiredOn: both, sftpPasswordWithCode: true }));
    const attempt = { ...sftp, password: `${password}${rig.code('alice')}` };
    const view = await rig.begin('alice', attempt);
    failOnceAt('use-time-step');
    const error = await refusal(rig.answer(view, sftp));
    expect([error.code, error.detail]).toEqual(['refused', 'the code inside the password was used before']);
    expect(await outcomeOf(rig.answer(view, sftp))).toBe('challenge-gone');
  });

  it('S-13: forgives wrong codes for a code of the user’s own, and for no bypass code', async () => {
    const wrong = async (): Promise<number> => {
      await rig.answer(await rig.begin('alice'), { code: '000000' });
      return inARow();
    };
    const inARow = async (): Promise<number> =>
      (await rig.state.read('failures', { scope: 'code:alice', nowMs: rig.now() })).inARow;
    expect(await wrong()).toBe(1);
    await rig.answer(await rig.begin('alice'), { code: await bypassOf('alice'), method: 'bypass' });
    expect(await wrong()).toBe(2);
    await rig.answer(await rig.begin('alice'), { code: rig.code('alice') });
    expect(await inARow()).toBe(0);
    await rig.change('bob', withFactor({ requiredOn: both }, mailed));
    const view = await rig.begin('bob');
    await rig.answer(view, { code: '000000' });
    const spent: Change[] = [];
    rig.state.beforeCommit = (changes) => void spent.push(...changes);
    await rig.answer(view, { code: rig.sent.at(-1)?.code.expose() ?? '' });
    expect(spent).toContainEqual({ kind: 'clear-failures', scope: 'code:bob' });
    expect(spent.find(({ kind }) => kind === 'use-code')).toMatchObject({
      expiresAtMs: rig.now() + 24 * 3_600_000,
    });
  });

  const rememberAsked = async (view: ChallengeView, answer: Answer) => {
    const result = await rig.answer(view, { ...answer, rememberDevice: true });
    return [result.outcome, 'device' in result];
  };
  it('S-01: remembers a browser for a code of the user’s own, on the web, with all of the account open', async () => {
    await start({ twoFactor: { remember_device: '30d', enrolment: { over_sftp: true } } });
    await rig.change('dave', withFactor({ forceSetup: true }, mailed));
    const code = (): string => rig.sent.at(-1)?.code.expose() ?? '';
    const confined = await rig.begin('dave');
    expect(confined.asked).not.toHaveProperty('rememberDevice');
    expect(await rememberAsked(confined, { code: code() })).toEqual(['admitted', false]);
    expect(await rememberAsked(await rig.begin('frank'), {})).toEqual(['admitted', false]);
    const overSftp = { ...sftp, code: rig.code('alice') };
    expect(await rememberAsked(await rig.begin('alice', sftp), overSftp)).toEqual(['admitted', false]);
    await rig.change('bob', withFactor({ requiredOn: both }, mailed));
    const view = await rig.begin('bob');
    expect(await rememberAsked(view, { code: code() })).toEqual(['admitted', true]);
    // Only a confined session came of the other one, so it earns no lease either.
    const pending = await rig.begin('dave', sftp);
    await rig.answer(pending, { ...sftp, code: code() });
    expect((await rig.state.read('leases')).map(({ username }) => username)).toEqual(['alice']);
  });

  it('S-01: writes of a session what it rides on, and that it may replace a factor only if a bypass code says so', async () => {
    await rig.answer(await rig.begin('alice', sftp), { ...sftp, code: rig.code('alice') });
    await rig.answer(await rig.begin('alice', sftp), sftp);
    await rig.answer(await rig.begin('frank'));
    const [lease] = await rig.state.read('leases');
    const stored = await rig.state.read('sessions');
    expect(stored.map((one) => [one.method, one.lease, one.reEnrol])).toEqual([
      ['totp', lease?.id, undefined],
      ['lease', lease?.id, undefined],
      ['none', undefined, undefined],
    ]);
  });
});

describe('a first factor', () => {
  it('S-07: of a key counts no wrong password and is no bait', async () => {
    const key = playSshKey();
    const error = await refusal(rig.begin('root', { ...sftp, factor: key.signRequest('root') }));
    expect([error.code, error.data]).toEqual(['refused', undefined]);
    expect(rig.state.audit.at(-1)?.rule).toBe(`no such user; offered key ${key.publicKey.fingerprint}`);
    const commits: Change[] = [];
    rig.state.beforeCommit = (changes) => void commits.push(...changes);
    await refusal(rig.begin('frank', { ...sftp, factor: key.signRequest('frank') }));
    expect(commits.map(({ kind }) => kind)).toEqual(['audit']);
    expect(rig.state.audit.at(-1)?.rule).toBe(`key ${key.publicKey.fingerprint} is not the user's`);
  });

  it('S-07: tells an admin what was wrong with a key, and raises an alarm for one that was shown again', async () => {
    const key = playSshKey();
    await rig.change('erin', { sshKeys: [key.publicKey] });
    const factor = key.signRequest('erin');
    const rule = async (attempt: Attempt): Promise<string | undefined> => {
      await refusal(rig.begin('erin', attempt));
      return rig.state.audit.at(-1)?.rule;
    };
    expect(await rule({ factor })).toBe('a key on a protocol without keys');
    const malformed = await rule({ ...sftp, factor: { ...factor, signed: '' } });
    expect(malformed).toMatch(/^malformed signature: \w/);
    expect(malformed).not.toContain('Error');
    const other = key.signRequest('erin');
    expect(await rule({ ...sftp, factor: { ...factor, signed: other.signed } })).toBe('wrong signature');
    expect(await rule({ ...sftp, factor: key.signRequest('frank') })).toBe('the signed user name is another');
    await rig.begin('erin', { ...sftp, factor });
    expect(alarms()).toEqual([]);
    expect(await rule({ ...sftp, factor })).toBe('this SSH signature was used before');
    expect(alarms()).toEqual([
      { alarm: 'signature-replayed', node: 'dmz1', user: 'erin', detail: undefined },
    ]);
  });

  it('S-07: a bait is refused in the same words, with the same reference in the audit', async () => {
    const error = await refusal(rig.begin('root', { password: 'wrong' }));
    expect(error.data).toEqual({ bait: true });
    expect(error.detail).toBe('no such user');
    expect(rig.state.audit.at(-1)).toMatchObject({ rule: 'no such user', reference: error.reference });
  });

  it('looks for a code at the end of a password that is longer than one', async () => {
    const compared = vi.spyOn(Passwords.prototype, 'compare');
    const hashes = async (text: string): Promise<number> => {
      compared.mockClear();
      await refusal(rig.begin('frank', { ...sftp, password: text }));
      return compared.mock.calls.length;
    };
    expect(await hashes('12345')).toBe(1);
    expect(await hashes('123456')).toBe(1);
    expect(await hashes('1234567')).toBe(2);
    expect(await hashes('12345x')).toBe(1);
    expect(await hashes('x12345x')).toBe(1);
  });

  it('S-09: is not looked at a second time for who has gone, and takes nobody’s turn at a throttle then', async () => {
    for (let tries = 0; tries < 20; tries += 1) await refusal(rig.begin('frank', { password: 'wrong' }));
    const clock = { monotonic: () => rig.now() };
    const asker = new Asker(clock, 20_000);
    const compared = vi.spyOn(Passwords.prototype, 'compare').mockImplementation(async () => {
      asker.giveUp();
      return false;
    });
    const client = { ip: '203.0.113.9', port: 1, agent: 'test' };
    const factor = { type: 'password' as const, password: 'wrong 123456' };
    const gone = rig.login.loginHandlers['login.begin'](
      { user: 'frank', ...sftp, listener: 'sftp', client, factor },
      rig.node.link,
      asker,
    );
    expect((await refusal(gone)).code).toBe('deadline');
    expect(compared).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
    expect(await rig.begin('frank')).toMatchObject({ next: 'admit' });
    expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
  });
});

describe('a code', () => {
  const lock = async (username: string): Promise<void> => {
    for (let tries = 0; tries < 10; tries += 1) {
      const view = await rig.begin(username);
      await rig.answer(view, { code: '000000' });
    }
  };

  it('S-13: is not sent while none could be used, to the moment', async () => {
    await rig.change('bob', withFactor({ requiredOn: both }, mailed));
    const lockedAtMs = rig.now();
    await lock('bob');
    const sent = rig.sent.length;
    rig.advance(15 * 60_000 - 1);
    expect(await rig.begin('bob')).toMatchObject({ next: 'code' });
    expect(rig.sent).toHaveLength(sent);
    rig.advance(1);
    expect(rig.now()).toBe(lockedAtMs + 15 * 60_000);
    await rig.begin('bob');
    expect(rig.sent).toHaveLength(sent + 1);
  });

  it('S-13: of a locked factor uses up the login like any other, and is told to the admin and the log', async () => {
    await lock('alice');
    expect(alarms()).toEqual([{ alarm: 'factor-locked', node: undefined, user: 'alice', detail: undefined }]);
    const view = await rig.begin('alice');
    for (let tries = 0; tries < 5; tries += 1) {
      const error = await refusal(rig.answer(view, { code: '000000' }));
      expect([error.code, error.detail]).toEqual(['rate-limited', 'the factor is locked']);
      expect(rig.state.audit.at(-1)).toMatchObject({
        event: 'login.code-refused',
        rule: 'the factor is locked',
        reference: error.reference,
      });
    }
    expect(await outcomeOf(rig.answer(view, { code: '000000' }))).toBe('challenge-gone');
  });

  it('of a clock that is off by less and less, or by more and more, is no drift', async () => {
    for (const [first, second, reason] of [
      [-9, -3, 'wrong-code'],
      [-3, -9, 'wrong-code'],
      [-5, -4, 'clock-drift'],
      [-5, -6, 'clock-drift'],
      [-4, -6, 'wrong-code'],
    ] as const) {
      rig.advance(3_600_000);
      const view = await rig.begin('alice');
      await rig.answer(view, { code: rig.code('alice', first) });
      rig.advance(60_000);
      const end = await outcomeOf(rig.answer(view, { code: rig.code('alice', second) }));
      expect([first, second, end]).toEqual([first, second, reason]);
      await rig.login.admin.twoFactor.unlock('alice', why);
    }
  });

  it('S-01: that was mailed does not let anybody replace a factor, or set one up where registration is off', async () => {
    await rig.change('bob', withFactor({ requiredOn: both, registration: false }, mailed));
    const view = await rig.begin('bob');
    await rig.answer(view, { code: rig.sent.at(-1)?.code.expose() ?? '' });
    expect((await rig.state.read('sessions'))[0]).not.toHaveProperty('reEnrol');
  });

  it('S-01: a browser’s cookie stands for none over SFTP; one that was copied is an alarm and in the audit', async () => {
    await start({ twoFactor: { remember_device: '30d' } });
    const result = await rig.answer(await rig.begin('alice'), {
      code: rig.code('alice'),
      rememberDevice: true,
    });
    const device = 'device' in result ? (result.device?.value ?? '') : '';
    expect(await rig.begin('alice', { ...sftp, device })).toMatchObject({ next: 'code' });
    expect(await rig.begin('alice', { device })).toMatchObject({ admitAs: 'device' });
    const copy = `${device.slice(0, 43)}${'A'.repeat(43)}`;
    expect(await rig.begin('alice', { device: copy })).toMatchObject({ next: 'code' });
    expect(alarms()).toEqual([{ alarm: 'device-copied', node: 'dmz1', user: 'alice', detail: undefined }]);
    expect(rig.state.audit.at(-1)).toMatchObject({ event: 'device.revoked', user: 'alice', node: 'dmz1' });
    expect(await rig.state.read('devices', { user: 'alice' })).toEqual([]);
  });
});

describe('a throttled name', () => {
  beforeEach(async () => {
    for (let tries = 0; tries < 20; tries += 1) await refusal(rig.begin('frank', { password: 'wrong' }));
  });

  it('is told when its next turn comes, not how long an interval is', async () => {
    await rig.begin('frank');
    rig.advance(4_000);
    expect((await refusal(rig.begin('frank'))).data).toMatchObject({ retryAfterMs: 6_000 });
  });

  it('S-13: has had its turn where it was looked at, whatever came of that', async () => {
    rig.users.set('frank', buildUser('frank', { passwordHash: new Secret('no hash') }));
    expect((await refusal(rig.begin('frank'))).code).toBe('internal');
    expect((await refusal(rig.begin('frank'))).code).toBe('rate-limited');
  });
});

describe('what is asked', () => {
  it.each([
    [6, 'digits6'],
    [7, 'alphanumeric'],
    [8, 'digits8'],
    [9, 'alphanumeric'],
  ] as const)('of a sent code of %i digits is %s', async (length, shape) => {
    await start({ twoFactor: { delivered: { length } } });
    await rig.change('bob', withFactor({ requiredOn: both }, mailed));
    const { asked } = await rig.begin('bob');
    expect(asked).toMatchObject({ recovery: false, shapes: [shape, 'bypass'], deliveredLength: length });
  });

  it('of an authenticator is as many digits as it shows, and a recovery code where there is one', async () => {
    await start({ twoFactor: { totp: { digits: 8 }, remember_device: '1h' } });
    expect((await rig.begin('alice')).asked).toMatchObject({
      recovery: false,
      shapes: ['digits8', 'bypass'],
    });
    await rig.login.vault.enrol({
      username: 'alice',
      secret: rig.secrets.get('alice') ?? new Secret(Buffer.alloc(20)),
      step: 0,
      requiredOn: [],
      recoveryCodes: 1,
      via: { node: 'dmz1', session: 'test' },
      replace: true,
      alongside: () => [],
    });
    expect((await rig.begin('alice')).asked).toMatchObject({
      recovery: true,
      shapes: ['digits8', 'recovery', 'bypass'],
    });
  });

  it('where only a bypass code can be is that alone, with no browser to remember', async () => {
    await start({ twoFactor: { remember_device: '1h' } });
    await rig.change('frank', withFactor({ requiredOn: both }));
    await bypassOf('frank');
    expect((await rig.begin('frank')).asked).toStrictEqual({
      method: 'totp',
      hint: '',
      recovery: false,
      attemptsLeft: 5,
      shapes: ['bypass'],
    });
  });

  it('of a code that was sent elsewhere says nothing of when', async () => {
    await rig.change('bob', withFactor({ requiredOn: both }, mailed));
    await rig.begin('bob');
    const elsewhere = await rig.begin('bob', { client: { ip: '203.0.113.10' } });
    expect(elsewhere.asked).not.toHaveProperty('sentAgoMs');
  });

  it('is nothing that would go a way which main does not have', async () => {
    const ways = { ...mailed, phone: '+15551230042' };
    for (const [options, way] of [
      [{ smtp: false, sms: false }, undefined],
      [{ smtp: false, sms: true }, 'sms'],
      [{ smtp: true, sms: false }, 'email'],
    ] as const) {
      await start({ ...options, twoFactor: { delivered: { transport: ['sms', 'smtp'] } } });
      await rig.change('bob', withFactor({ requiredOn: both }, ways));
      const view = await rig.begin('bob').catch(() => undefined);
      expect(view?.asked?.method).toBe(way);
    }
  });

  it('lives on with a code that is sent again, but never for more than half an hour', async () => {
    const { loginHandlers } = rig.login;
    await rig.change('bob', withFactor({ requiredOn: both, deliveredTtlMs: 20 * 60_000 }, mailed));
    const { challenge } = await rig.begin('bob');
    const client = { ip: '203.0.113.9', port: 50_000, agent: 'test client' };
    const left = async (): Promise<number> =>
      (await loginHandlers['login.resume']({ challenge, client }, rig.node.link)).expiresInMs;
    const resend = (of: string) => loginHandlers['login.resend']({ challenge: of }, rig.node.link);
    rig.advance(5 * 60_000);
    await resend(challenge);
    expect(await left()).toBe(20 * 60_000);
    rig.advance(10 * 60_000);
    await resend(challenge);
    expect(await left()).toBe(15 * 60_000);
    expect((await refusal(resend('x'))).code).toBe('challenge-gone');
    expect((await refusal(resend((await rig.begin('alice')).challenge))).code).toBe('not-allowed');
  });
});

describe('a broken enrolment', () => {
  it('S-14: lets nobody in, unless no factor is asked of anybody', async () => {
    rig.enrolments.delete('alice');
    expect((await refusal(rig.begin('alice'))).detail).toContain('no file');
    rig = await rig.restart({ twoFactor: { validated_logins: false } });
    const node = { ...rig.node, link: { ...rig.node.link, validatedLogins: false } };
    expect(await rig.begin('alice', { node })).toMatchObject({ next: 'admit' });
  });
});
