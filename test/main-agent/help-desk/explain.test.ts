import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainAddress, explainLogin, type ExplainFacts } from '#main-agent/help-desk/explain.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { findOrigins } from '#main-agent/users/origins.ts';
import type { Protocol } from '#shared/login.ts';
import { buildRig, buildUser, startMs, withFactor, type Rig } from '../login/rig.ts';

let rig: Rig;

beforeEach(async () => {
  rig = await buildRig();
  const both: Protocol[] = ['https', 'sftp'];
  const users = [
    buildUser('alice', withFactor({ requiredOn: both })),
    buildUser('bob', withFactor({ requiredOn: both }, { email: 'bob@example.com' })),
    buildUser('carol'),
    buildUser('dave', withFactor({ requiredOn: both, forceSetup: true })),
    buildUser('eve', { status: 'disabled' }),
    buildUser('mallory', withFactor({ requiredOn: both })),
  ];
  for (const user of users) rig.users.set(user.username, user);
  await rig.enrol('alice');
});
afterEach(() => rig.close());

const explain = (user: string, protocol: Protocol, ip = '203.0.113.9') =>
  rig.login.admin.explainer.explain({ user, protocol, ip });

describe('explain login', () => {
  for (const [user, onHttps, onSftp] of [
    ['alice', 'totp', 'totp'],
    ['bob', 'email', 'email'],
    ['carol', 'admitted', 'admitted'],
    ['dave', 'setup', 'refused'],
    ['eve', 'refused', 'refused'],
    ['mallory', 'refused', 'refused'],
    ['nobody', 'refused', 'refused'],
  ] as const) {
    it(`${user}: ${onHttps} on https, ${onSftp} on sftp, and why`, async () => {
      const [web, sftp] = [await explain(user, 'https'), await explain(user, 'sftp')];
      expect([web.outcome, sftp.outcome]).toEqual([onHttps, onSftp]);
      expect(web).toMatchObject({ user, protocol: 'https' });
      expect(web.chain.length).toBeGreaterThan(0);
    });
  }

  it('says the same as a login does, for every user and protocol', async () => {
    for (const user of rig.users.keys()) {
      for (const protocol of ['https', 'sftp'] as const) {
        const { outcome } = await explain(user, protocol);
        const view = await rig.begin(user, { protocol }).catch(() => undefined);
        const happened =
          view === undefined || view.next === 'instruct'
            ? 'refused'
            : view.next === 'admit'
              ? 'admitted'
              : (view.asked?.method ?? view.next);
        expect(happened, `${user} on ${protocol}`).toBe(outcome);
      }
    }
  });

  it('tells file and line of every value of the user, also where it was inherited or put together', async () => {
    rig.close();
    rig = await buildRig({
      explained: {
        originsOf: async () =>
          findOrigins([
            { file: '_default.yaml', text: 'protocols: [https]\ntwo_factor:\n  required_on: [sftp]\n' },
            {
              file: 'frank.yaml',
              text: [
                'username: frank',
                'email: frank@example.com',
                '+protocols: [sftp]',
                'expires: 2027-01-15',
                'hours:',
                '  days: [1]',
                '  zone: UTC',
                'two_factor:',
                '  force_setup: true',
                '',
              ].join('\n'),
            },
          ]),
      },
    });
    rig.users.set('frank', buildUser('frank', { email: 'frank@example.com' }));
    const { chain } = await explain('frank', 'sftp');
    const origins = Object.fromEntries(chain.map(({ rule, origin }) => [rule, origin]));
    expect(origins).toMatchObject({
      protocols: '_default.yaml:1, frank.yaml:3',
      expires: 'frank.yaml:4',
      hours: 'frank.yaml:6, frank.yaml:7',
      email: 'frank.yaml:2',
      'two_factor.required_on': '_default.yaml:3',
      'two_factor.force_setup': 'frank.yaml:9',
    });
    expect(chain).toContainEqual(
      expect.objectContaining({ rule: 'email', result: 'f…@example.com: where mails go' }),
    );
  });

  it('tells what throttles wrong passwords, and whether that counts for this place', async () => {
    await rig.answer(await rig.begin('carol'));
    for (let tries = 0; tries < 20; tries += 1)
      await rig.begin('carol', { password: 'wrong', client: { ip: '198.51.100.7' } }).catch(() => undefined);
    const result = async (ip: string) =>
      (await explain('carol', 'https', ip)).chain.find((one) => one.rule === 'wrong passwords')?.result;
    const until = new Date(rig.now() + 15 * 60_000).toISOString();
    const slowly = (of: string, place: string) =>
      `${of} throttled until ${until}: tries are let through slowly; ${place}; \`sallyport two-factor unlock carol\` lifts it`;
    const known = '203.0.113.9 is known, where more is allowed';
    expect(await result('198.51.100.7')).toBe(slowly('this name', '198.51.100.7 is not known'));
    expect(await result('203.0.113.9')).toBe(`not throttled: every try is looked at; ${known}`);
    for (let tries = 0; tries < 100; tries += 1)
      await rig.begin('carol', { password: 'wrong', client: { ip: '203.0.113.9' } }).catch(() => undefined);
    expect(await result('203.0.113.9')).toBe(slowly('this name from there', known));
    rig.advance(15 * 60_000);
    expect(await result('198.51.100.7')).toBe(
      'not throttled: every try is looked at; 198.51.100.7 is not known',
    );
  });

  it('ends every chain with the outcome, and begins it at the door', async () => {
    for (const user of [...rig.users.keys(), 'nobody']) {
      const { chain, outcome } = await explain(user, 'https');
      expect(chain[0]).toMatchObject({ rule: 'bans' });
      if (user === 'nobody') continue;
      expect(chain.at(-1)?.result).toMatch(new RegExp(`^${outcome}: `));
    }
  });

  it('shows a lock, a lease and who would be locked out', async () => {
    const sftp = { protocol: 'sftp' as const };
    await rig.answer(await rig.begin('alice', sftp), { ...sftp, code: rig.code('alice') });
    const { chain } = await explain('alice', 'sftp');
    expect(chain).toContainEqual({ rule: 'lease', result: expect.stringContaining('test client') as string });
    expect(await rig.login.admin.twoFactor.status('mallory')).toMatchObject({
      state: 'none',
      requiredOn: ['https', 'sftp'],
      lockedOutOn: ['https', 'sftp'],
    });
    expect(await rig.login.admin.twoFactor.status('dave')).toMatchObject({
      lockedOutOn: [],
      setupDueOn: ['https', 'sftp'],
    });
    expect(await rig.login.admin.twoFactor.status('alice')).toMatchObject({
      state: 'enrolled',
      lockedOutOn: [],
    });
  });

  it('says what a login through a node comes to whose own switch says otherwise', async () => {
    rig.close();
    rig = await buildRig({ explained: { nodeValidatedLogins: (node) => node !== 'dmz2' } });
    rig.users.set(
      'bob',
      buildUser('bob', withFactor({ requiredOn: ['https'] }, { email: 'bob@example.com' })),
    );
    const outcome = async (node: string): Promise<string> =>
      (await rig.login.admin.explainer.explain({ user: 'bob', protocol: 'https', ip: '192.0.2.1', node }))
        .outcome;
    expect(await outcome('dmz1')).toBe('email');
    expect(await outcome('dmz2')).toBe('refused');
  });
});

describe('the words of `explain login`', () => {
  type Facts = Extract<ExplainFacts, { readonly user: EffectiveUser }>;
  const input: Facts['assessment']['input'] = {
    protocol: 'https',
    validatedLogins: true,
    nodeValidatedLogins: true,
    required: false,
    enrolled: false,
    deliverable: false,
    forceSetup: false,
    bypass: false,
    overSftp: false,
    ticket: false,
  };
  const none: Facts['status'] = {
    state: 'none',
    requiredOn: [],
    recoveryCodesLeft: 0,
    firstLoginAtMs: undefined,
    bypass: undefined,
    wrongCodes: { inARow: 0, lockedUntilMs: undefined },
  };
  const frank = buildUser('frank');
  /** Nothing stands against anything. */
  const plain: Facts = {
    ban: undefined,
    doors: [],
    doorProblem: undefined,
    passwordThrottles: [],
    isKnownPlace: false,
    load: [],
    isBaitName: false,
    isSealed: false,
    isNeverBanned: false,
    username: 'frank',
    protocol: 'https',
    clientIp: '203.0.113.9',
    node: 'dmz1',
    nowMs: startMs,
    user: frank,
    status: none,
    assessment: { input, decision: { outcome: 'admit' } },
    sessions: { open: 0, most: 2 },
    checks: { waiting: 0, expectedMs: 0 },
    transports: [],
    lockedUntilMs: undefined,
    isDisabled: false,
    resendInMs: 0,
    trustedNetwork: undefined,
    leases: [],
    origins: [],
  };
  const linesOf = ({ chain }: { readonly chain: readonly { rule: string; result: string }[] }) =>
    chain.map(({ rule, result }) => `${rule}: ${result}`);
  const lines = (change: Partial<Facts> = {}): readonly string[] =>
    linesOf(explainLogin({ ...plain, ...change }));
  const withUser = (change: Partial<EffectiveUser>): Partial<Facts> => ({ user: { ...frank, ...change } });
  const withInput = (change: Partial<typeof input>): Partial<Facts> => ({
    assessment: { ...plain.assessment, input: { ...input, ...change } },
  });
  const whenDecided = (decision: Facts['assessment']['decision']): Partial<Facts> => ({
    assessment: { input, decision },
  });
  const asks = (ask: 'totp' | 'delivered' | 'bypass', leadsTo: 'admit' | 'setup' = 'admit') =>
    whenDecided({ outcome: 'ask', ask, leadsTo });
  const sftp = { protocol: 'sftp' } as const;
  const mail = { transports: [{ transport: 'email' as const, problem: undefined }] };

  it('tell every value that counts, in the order in which it is asked, the outcome last', () => {
    expect(explainLogin(plain)).toStrictEqual({
      user: 'frank',
      protocol: 'https',
      outcome: 'admitted',
      chain: [
        ['bans', 'none of an admin: what the nodes have against it follows'],
        ['status', 'active: may sign in'],
        ['protocols', 'https, sftp: https is among them'],
        ['expires', 'never: the last day the account works'],
        ['allow_from', 'anywhere: asked for 203.0.113.9'],
        ['hours', 'always: when the account works'],
        ['account', 'works: no rule shuts it'],
        ['wrong passwords', 'not throttled: every try is looked at; 203.0.113.9 is not known'],
        ['password checks', '0 wait: one more would wait about 0.0 s'],
        ['validated_logins', 'on: factors are asked where required'],
        ['node validated_logins', 'dmz1: on: agrees'],
        ['two_factor.required_on', 'nowhere: the admin’s wish'],
        ['two_factor.required_from', 'always: in force'],
        ['enrolment required_on', 'nowhere: switched on by the user’s own set-up (auto_enable)'],
        ['required', 'no: a second factor on https now'],
        ['enrolled', 'none: recovery codes left: 0'],
        ['email', 'none: where mails go'],
        ['phone', 'none: where text messages go'],
        ['delivery', 'none: how a code could be sent'],
        ['two_factor.force_setup', 'no: nothing else before set-up'],
        ['bypass code', 'no: accepted wherever a code is asked'],
        ['limits.sessions', '0 of 2 open over https: one more may be'],
        ['outcome', 'admitted: after the right password or key'],
      ].map(([rule, result]) => ({ rule, result })),
    });
  });

  const until = new Date(startMs + 1).toISOString();
  const differences: [string, Partial<Facts>, string][] = [
    ['a disabled account', withUser({ status: 'disabled' }), 'status: disabled: refused'],
    ['what shuts the account', withUser({ status: 'disabled' }), 'account: shut: status is disabled'],
    ['no protocol', withUser({ protocols: [] }), 'protocols: none: https is not among them'],
    [
      'the last day',
      withUser({ expires: '2027-01-15' }),
      'expires: 2027-01-15: the last day the account works',
    ],
    [
      'networks',
      withUser({ allowFrom: ['10.0.0.0/8', '::1'] }),
      'allow_from: 10.0.0.0/8, ::1: asked for 203.0.113.9',
    ],
    ['no network', withUser({ allowFrom: [] }), 'allow_from: nowhere: asked for 203.0.113.9'],
    [
      'hours',
      withUser({ hours: { days: [1], fromMinute: 0, toMinute: 1, zone: 'Europe/Berlin' } }),
      'hours: Europe/Berlin: when the account works',
    ],
    [
      'a known place',
      { isKnownPlace: true },
      'wrong passwords: not throttled: every try is looked at; 203.0.113.9 is known, where more is allowed',
    ],
    [
      'a throttle of the name, which an admin lifts',
      { passwordThrottles: ['this name throttled until noon'] },
      'wrong passwords: this name throttled until noon: tries are let through slowly; 203.0.113.9 is not known; `sallyport two-factor unlock frank` lifts it',
    ],
    [
      'a throttle of the node, which nobody lifts',
      { passwordThrottles: ['node dmz1 throttled until noon'] },
      'wrong passwords: node dmz1 throttled until noon: tries are let through slowly; 203.0.113.9 is not known; ends by itself',
    ],
    [
      'the line at the hash',
      { checks: { waiting: 7, expectedMs: 1_540 } },
      'password checks: 7 wait: one more would wait about 1.5 s',
    ],
    [
      'main’s switch',
      withInput({ validatedLogins: false }),
      'validated_logins: off: no factor is asked at all',
    ],
    [
      'a node that disagrees',
      withInput({ nodeValidatedLogins: false }),
      'node validated_logins: dmz1: off: disagrees',
    ],
    ['no node', { node: undefined }, 'node validated_logins: taken as main’s: agrees'],
    [
      'the admin’s wish',
      withUser(withFactor({ requiredOn: ['https', 'sftp'] })),
      'two_factor.required_on: https, sftp: the admin’s wish',
    ],
    [
      'a requirement that begins later',
      { ...withUser(withFactor({ requiredFrom: { date: '2026-11-25' } })) },
      'two_factor.required_from: 2026-11-25T00:00:00.000Z: not in force yet',
    ],
    [
      'a requirement that begins now',
      { ...withUser(withFactor({ requiredFrom: { date: '2026-11-25' } })), nowMs: Date.UTC(2026, 10, 25) },
      'two_factor.required_from: 2026-11-25T00:00:00.000Z: in force',
    ],
    [
      'what the set-up requires',
      { status: { ...none, requiredOn: ['sftp'] } },
      'enrolment required_on: sftp: switched on by the user’s own set-up (auto_enable)',
    ],
    ['what is required', withInput({ required: true }), 'required: yes: a second factor on https now'],
    [
      'recovery codes',
      { status: { ...none, state: 'enrolled', recoveryCodesLeft: 3 } },
      'enrolled: enrolled: recovery codes left: 3',
    ],
    [
      'a broken enrolment',
      { status: { ...none, state: 'broken', problem: 'no file' } },
      'enrolled: broken: no file',
    ],
    ['a mail address', withUser({ email: 'frank@example.com' }), 'email: f…@example.com: where mails go'],
    ['a phone', withUser({ phone: '+15551230042' }), 'phone: …42: where text messages go'],
    [
      'how codes go',
      { transports: [{ transport: 'sms', problem: undefined }, ...mail.transports] },
      'delivery: sms, email: how a code could be sent',
    ],
    [
      'a way in doubt',
      { transports: [{ transport: 'sms', problem: 'gateway: 500' }] },
      'delivery by sms: in doubt: gateway: 500',
    ],
    [
      'forced set-up',
      withInput({ forceSetup: true }),
      'two_factor.force_setup: yes: nothing else before set-up',
    ],
    ['a bypass code', withInput({ bypass: true }), 'bypass code: yes: accepted wherever a code is asked'],
    [
      'a lock',
      { lockedUntilMs: startMs + 1 },
      `factor lock: until ${until}: only a bypass code is accepted; \`sallyport two-factor unlock frank\` lifts it`,
    ],
    [
      'a disabled factor',
      { isDisabled: true },
      'factor: disabled: too many wrong codes in a row; `two-factor unlock`',
    ],
    [
      'a trusted network',
      { trustedNetwork: '203.0.113.0/24' },
      'trusted_networks: 203.0.113.0/24: a code is not asked from there',
    ],
    ['a lease', { leases: ['WinSCP'] }, 'lease: WinSCP: this client is not asked for a code again'],
    [
      'the next code',
      { resendInMs: 1_001 },
      'code sent: another in 2 s: the one that lives is good; asking for one sooner is refused',
    ],
    [
      'a never-banned address',
      { isNeverBanned: true },
      'bans: 203.0.113.9 is in never_ban: no node shuts it out',
    ],
    [
      'a bait',
      { isBaitName: true },
      'bans.bait_names: a bait: a wrong password for it counts as three failed logins, unless somebody signs in from there',
    ],
    [
      'full on the web',
      { sessions: { open: 2, most: 2 } },
      'limits.sessions: 2 of 2 open over https: the longest idle one ends for the next',
    ],
    [
      'full over SFTP',
      { ...sftp, sessions: { open: 2, most: 2 } },
      'limits.sessions: 2 of 2 open over sftp: the next is refused, in these words; `sallyport sessions kick` ends one',
    ],
  ];
  it.each(differences)('tell of %s', (_name, change, line) => {
    expect(lines(change)).toContain(line);
    expect(lines()).not.toContain(line);
  });

  it('leave out what is over, what is not there, and what is in no doubt', () => {
    expect(lines({ lockedUntilMs: startMs, resendInMs: 0, ...mail })).toHaveLength(lines().length);
  });

  const ends: [string, Partial<Facts>, string][] = [
    ['a node’s or admin’s ban', { ban: 'ban 7', doorProblem: 'never told' }, 'refused: ban 7'],
    [
      'an account that is shut',
      { ...withUser({ status: 'disabled' }), doorProblem: 'dmz1: full' },
      'refused: status is disabled',
    ],
    ['a door', { doorProblem: 'dmz1: full' }, 'refused: dmz1: full'],
    [
      'its sessions over SFTP',
      { ...sftp, sessions: { open: 2, most: 2 } },
      'refused: as many SFTP sessions of this user as may be',
    ],
    ['nothing, on the web', { sessions: { open: 2, most: 2 } }, 'admitted: after the right password or key'],
    [
      'nothing, with one session left',
      { ...sftp, sessions: { open: 1, most: 2 } },
      'admitted: after the right password or key',
    ],
    ['the table', whenDecided({ outcome: 'refuse', rule: 'no factor' }), 'refused: no factor'],
    ['set-up', whenDecided({ outcome: 'setup' }), 'setup: confined to set-up until it is confirmed'],
    [
      'an instruction',
      whenDecided({ outcome: 'instruct' }),
      'refused: told to set up two-factor authentication on the web first',
    ],
    ['the authenticator', asks('totp'), 'totp: authenticator code asked, then admitted'],
    [
      'the authenticator and set-up',
      asks('totp', 'setup'),
      'totp: authenticator code asked, then confined to set-up',
    ],
    ['a mailed code', { ...asks('delivered'), ...mail }, 'email: a code is sent and asked, then admitted'],
    [
      'a code without a way',
      asks('delivered'),
      'bypass: only the outstanding bypass code can be asked, then admitted',
    ],
    [
      'a bypass code',
      { ...asks('bypass'), ...mail },
      'bypass: only the outstanding bypass code can be asked, then admitted',
    ],
    [
      'a trusted network',
      { ...asks('totp'), trustedNetwork: '10.0.0.0/8' },
      'admitted: factor not asked: trusted network 10.0.0.0/8',
    ],
    [
      'set-up in a trusted network',
      { ...asks('delivered', 'setup'), ...mail, trustedNetwork: '10.0.0.0/8' },
      'email: a code is sent and asked, then confined to set-up',
    ],
  ];
  it.each(ends)('end with what decides: %s', (_name, change, end) => {
    expect(lines(change).at(-1)).toBe(`outcome: ${end}`);
    expect(end.startsWith(`${explainLogin({ ...plain, ...change }).outcome}: `)).toBe(true);
  });

  it('of a name that nobody has say no more than what anybody there would meet', () => {
    const throttled = ['this name throttled until noon'];
    const { user: _user, ...question } = plain;
    const told = explainLogin({ ...question, passwordThrottles: throttled, user: undefined });
    expect(told.outcome).toBe('refused');
    expect(linesOf(told)).toEqual([
      'bans: none of an admin: what the nodes have against it follows',
      'wrong passwords: this name throttled until noon: tries are let through slowly; 203.0.113.9 is not known; ends by itself',
      'user: not found: refused as a wrong password is',
    ]);
  });

  it('name the lines of a value and of its parts, and of no other', () => {
    const at = (key: string, line: number) => ({ key, value: '', file: 'frank.yaml', line });
    const origins = [at('hours.zone', 1), at('hour', 2), at('expires', 3), at('two_factor.+required_on', 4)];
    const { chain } = explainLogin({ ...plain, origins });
    expect(chain.flatMap(({ rule, origin }) => (origin === undefined ? [] : [[rule, origin]]))).toEqual([
      ['expires', 'frank.yaml:3'],
      ['hours', 'frank.yaml:1'],
      ['two_factor.required_on', 'frank.yaml:4'],
    ]);
  });

  it('of an address alone tell the doors and what shuts it out, at one protocol or at both', () => {
    const { ban, clientIp, doorProblem, doors, isNeverBanned } = plain;
    const asked = { ban, clientIp, doorProblem, doors, isNeverBanned, protocol: undefined };
    expect(explainAddress(asked)).toStrictEqual({
      outcome: 'open',
      chain: [
        { rule: 'bans', result: 'none of an admin: what the nodes have against it follows' },
        { rule: 'outcome', result: 'open: no door shuts it out' },
      ],
    });
    expect(explainAddress({ ...asked, protocol: 'sftp' })).toHaveProperty('protocol', 'sftp');
    const shut = explainAddress({ ...asked, doorProblem: 'dmz1: full' });
    expect([shut.outcome, linesOf(shut).at(-1)]).toEqual(['refused', 'outcome: refused: dmz1: full']);
    const banned = explainAddress({ ...asked, ban: 'ban 7', doorProblem: 'dmz1: full' });
    expect(linesOf(banned)).toEqual([
      'bans: ban 7: refused; `sallyport bans list` has its id for `bans remove`',
      'outcome: refused: ban 7',
    ]);
  });
});
