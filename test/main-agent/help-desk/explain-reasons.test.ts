import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { doorProblem, doorSteps } from '#main-agent/help-desk/explain-doors.ts';
import type { LoginQuestion } from '#main-agent/help-desk/login-explainer.ts';
import type { DoorStanding } from '#main-agent/link/links.ts';
import { sessionsPerUserMax } from '#main-agent/sessions/limits.ts';
import { doorFindings, type DoorFinding, type DoorQuestion } from '#shared/link/messages.ts';
import { buildRig, buildUser, withFactor, type Rig } from '../login/rig.ts';

/**
 * Whoever is refused can be told why: each place that turns somebody away over logins is known to `explain login`.
 */

const folders = [
  'dmz/guard',
  'dmz/login',
  'main-agent/account',
  'main-agent/help-desk',
  'main-agent/login',
  'main-agent/passwords',
  'main-agent/sessions',
  'main-agent/two-factor',
];
/** Words for a refusal that has to do with counts, times and room, and the one word for all else. */
const refusing = ['refused', 'rate-limited', 'busy', 'too-many', 'too-many-sessions', 'challenge-gone'];

/** Where each is explained: the rule of the answer. What is the one refusal has a rule for each of its reasons. */
const explainedBy: Readonly<Record<string, string>> = {
  'dmz/guard too-many-from-source': 'unauthenticated',
  'dmz/guard too-many-from-network': 'connections',
  'dmz/guard too-many': 'door-full',
  'dmz/guard banned': 'banned-failures',
  'dmz/login/conversation.ts busy Too many requests at once; try again': 'session-questions',
  'dmz/login/refusal.ts rate-limited Too many tries; wait a little': 'login-pace',
  'dmz/login/refusal.ts refused Sign-in refused': 'outcome',
  'main-agent/login/assertions.ts busy Too many sign-ins; try again': 'assertions',
  'main-agent/login/assertions.ts refused Sign-in refused': 'outcome',
  'main-agent/login/challenge-check.ts challenge-gone This sign-in is over; start again': 'outcome',
  'main-agent/login/challenge-check.ts refused Sign-in refused': 'outcome',
  'main-agent/login/challenges.ts busy Too many sign-ins at the moment; try again': 'logins under way',
  'main-agent/login/challenges.ts challenge-gone This sign-in is over; start again': 'outcome',
  'main-agent/login/code-check.ts rate-limited Too many wrong codes; wait, or ask your administrator':
    'factor lock',
  'main-agent/login/first-factor.ts rate-limited Too many tries; wait a little': 'wrong passwords',
  'main-agent/passwords/hash-queue.ts busy Too many people are signing in at the moment; try again in a moment':
    'password checks',
  'main-agent/login/refusal.ts refused Sign-in refused': 'outcome',
  'main-agent/login/passage.ts challenge-gone This sign-in is over; start again': 'outcome',
  'main-agent/login/probe-budget.ts rate-limited Too many tries; wait a little': 'key probes',
  'main-agent/sessions/sessions.ts busy More people are signed in than can be served; try again later':
    'sessions',
  'main-agent/sessions/sessions.ts too-many-sessions As many of your SFTP sessions are open as may be (${ownMax}); close one, then connect again':
    'limits.sessions',
  'main-agent/account/step-up-check.ts refused Refused': 'outcome',
  'main-agent/login/throttle-lines.ts rate-limited Too many tries; wait a little': 'wrong passwords',
  'main-agent/login/login-handlers.ts rate-limited A code was sent just now': 'code sent',
  'main-agent/two-factor/delivered-codes.ts rate-limited A code was sent just now': 'code sent',
};

function findRefusals(): string[] {
  const found = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const text = readFileSync(`${folder}/${name}`, 'utf8');
        const thrown = [...text.matchAll(/new SallyportError\(\s*'([\w-]+)',\s*['`]([^'`]*)['`]/g)]
          .filter(([, code = '']) => refusing.includes(code))
          .map(([, code, words]) => `${folder}/${name} ${code} ${words}`);
        // The guard says no by a word of a union.
        const reasons = /interface Refusal \{[^}]*reason: ([^;]+);/.exec(text)?.[1] ?? '';
        return [...thrown, ...[...reasons.matchAll(/'([\w-]+)'/g)].map(([, word]) => `${folder} ${word}`)];
      }),
  );
  return [...new Set(found)].toSorted();
}

let rig: Rig;
afterEach(() => rig?.close());

const door = (...findings: DoorFinding[]): DoorStanding[] => [{ node: 'dmz1', worker: 0, findings }];
const where = { protocol: 'sftp', ip: '203.0.113.9', node: 'dmz1' } as const;

async function ask(standings: DoorStanding[], asked: DoorQuestion[] = []) {
  rig = await buildRig({
    explained: {
      askDoors: async (question) => {
        asked.push(question);
        return standings;
      },
    },
  });
  rig.users.set('carol', buildUser('carol', { email: 'carol@example.com' }));
  return rig.login.admin.explainer;
}

describe('explain login', () => {
  it('knows every place that turns somebody away', () => {
    expect(findRefusals()).toEqual(Object.keys(explainedBy).toSorted());
  });

  it('has a rule for each of them', async () => {
    const all = doorFindings.map((what) => ({ what, acts: true, count: 1 }));
    const explainer = await ask(door(...all));
    for (let tries = 0; tries < 10; tries += 1)
      await rig.login.admin.explainer.explain({ user: 'carol', ...where });
    const known = new Set(doorFindings as readonly string[]);
    // Told only while they last; each has a test of its own.
    for (const rule of ['factor lock', 'code sent']) known.add(rule);
    for (const { rule } of (await explainer.explain({ user: 'carol', ...where })).chain) known.add(rule);
    expect(Object.values(explainedBy).filter((rule) => !known.has(rule))).toEqual([]);
  });

  it.each(doorFindings)(
    '%s: tells which node and door, how much, until when, and what lifts it',
    async (what) => {
      const untilMs = Date.UTC(2026, 10, 24, 12);
      const explainer = await ask(
        door({ what, protocol: 'sftp', of: '203.0.113.9', count: 3, max: 8, untilMs, acts: true }),
      );
      const { chain } = await explainer.explainAddress(where);
      const step = chain.find(({ rule }) => rule === `dmz1 sftp ${what}`);
      expect(step?.result).toMatch(/^203\.0\.113\.9, 3 of 8, until 2026-11-24T12:00:00\.000Z: /);
      expect(/`sallyport bans remove .*` lifts it$/.test(step?.result ?? '')).toBe(
        what.startsWith('banned-'),
      );
    },
  );

  it('a ban at a node refuses, and is told for an address alone', async () => {
    const ban = { what: 'banned-failures', protocol: 'sftp', untilMs: 1, acts: true } as const;
    const explainer = await ask(door(ban));
    expect((await explainer.explain({ user: 'carol', ...where })).outcome).toBe('refused');
    expect(await explainer.explainAddress({ ip: where.ip })).toMatchObject({ outcome: 'refused' });
  });

  it('what only makes room at a neighbour’s cost, or does not act, refuses nobody', async () => {
    const explainer = await ask(
      door(
        { what: 'unauthenticated', protocol: 'sftp', of: '203.0.113.0/24', count: 32, max: 32, acts: true },
        { what: 'stage-full', protocol: 'sftp', of: 'silent, strangers', count: 256, max: 256, acts: true },
        { what: 'failed-logins', count: 14, max: 15, untilMs: 1, acts: false },
      ),
    );
    expect((await explainer.explainAddress(where)).outcome).toBe('open');
    expect((await explainer.explain({ user: 'carol', ...where })).outcome).toBe('admitted');
  });

  it('a node that can not be asked is named', async () => {
    const explainer = await ask([{ node: 'dmz2', worker: 1, findings: undefined }]);
    const { chain } = await explainer.explainAddress({ ip: where.ip });
    expect(chain).toContainEqual(expect.objectContaining({ rule: 'dmz2/1' }));
  });

  it('asks the doors for the user too, unless the name is one that no node may be sent', async () => {
    const asked: DoorQuestion[] = [];
    const explainer = await ask([], asked);
    await explainer.explain({ user: 'carol', ...where });
    await explainer.explain({ user: 'car\u0007ol', ...where });
    expect(asked.map(({ user }) => user)).toEqual(['carol', undefined]);
  });

  it('too many sessions of the user refuse, with the command that ends one', async () => {
    const explainer = await ask([]);
    for (let number = 0; number < sessionsPerUserMax; number += 1)
      await rig.answer(await rig.begin('carol', { protocol: 'sftp', client: { port: 2000 + number } }), {
        protocol: 'sftp',
        client: { port: 2000 + number },
      });
    const { outcome, chain } = await explainer.explain({ user: 'carol', ...where });
    expect(outcome).toBe('refused');
    expect(chain.find(({ rule }) => rule === 'limits.sessions')?.result).toMatch(/^64 of 64 .*sessions kick/);
  });
});

describe('what the doors say', () => {
  const question = { ip: '203.0.113.9' };
  const said = (finding: DoorFinding, worker = 0): string[] =>
    doorSteps(question, [{ node: 'dmz1', worker, findings: [finding] }]).map(
      ({ rule, value, effect }) => `${rule}: ${value}: ${effect}`,
    );

  it('is told of each with its worker, door, measure and end, as far as the node named them', () => {
    const idle = 'failed logins and baits that count towards a ban; a good login takes back its user’s';
    const what = 'failed-logins' as const;
    expect(said({ what, count: 2, acts: false })).toEqual([`dmz1 failed-logins: 2: ${idle}`]);
    expect(said({ what, protocol: 'https', count: 2, max: 15, acts: false }, 3)).toEqual([
      `dmz1/3 https failed-logins: 2 of 15: ${idle}`,
    ]);
    expect(said({ what, of: '::1', count: 1, untilMs: Number.NaN, acts: false })).toEqual([
      `dmz1 failed-logins: ::1, 1, until an unknown time: ${idle}`,
    ]);
    expect(said({ what: 'never-ban', acts: false })).toEqual([
      'dmz1 never-ban: noted: no ban or count by source stops it',
    ]);
    expect(said({ what: 'session-questions', acts: true })).toEqual([
      'dmz1 session-questions: yes: too many questions about cookies at once: requests get 503; ends by itself',
    ]);
  });

  it('leaves out what is at nothing and stops nobody, but for how full the door is', () => {
    expect(said({ what: 'breaches', count: 0, acts: false })).toEqual([]);
    expect(said({ what: 'breaches', count: 1, acts: false })).toHaveLength(1);
    expect(said({ what: 'breaches', count: 0, acts: true })).toHaveLength(1);
    expect(said({ what: 'door-full', count: 0, acts: false })).toHaveLength(1);
  });

  it('names a node that could not be asked by its worker', () => {
    const silent = (worker: number) => doorSteps(question, [{ node: 'dmz1', worker, findings: undefined }]);
    const told = { value: 'not connected', effect: 'what its doors count can not be asked' };
    expect([...silent(0), ...silent(1)]).toEqual([
      { rule: 'dmz1', ...told },
      { rule: 'dmz1/1', ...told },
    ]);
  });

  it('refuses by the first that acts on this address itself, at any node', () => {
    const problem = (...findings: DoorFinding[]) =>
      doorProblem(question, [
        { node: 'silent', worker: 0, findings: undefined },
        { node: 'open', worker: 0, findings: [] },
        { node: 'dmz1', worker: 0, findings },
      ]);
    const connections = { what: 'connections', count: 8, max: 8, acts: true } as const;
    const effect =
      'as many connections as may be: one more is refused, or takes a neighbour’s place; falls as connections close; no count stops 203.0.113.9 once it is in bans.never_ban';
    expect(problem(connections)).toBe(`dmz1: connections, ${effect}`);
    expect(problem({ ...connections, acts: false })).toBeUndefined();
    expect(problem({ what: 'door-full', acts: true })).toBeUndefined();
    for (const of of ['203.0.113.0/24', '2001:db8::/56', '2001:db8::/48'])
      expect(problem({ ...connections, of })).toBeUndefined();
    expect(problem({ ...connections, of: '203.0.113.9' })).toBe(`dmz1: connections, ${effect}`);
    expect(problem({ ...connections, of: '203.0.113.0/24' }, { what: 'login-pace', acts: true })).toBe(
      'dmz1: login-pace, this user signs in from there faster than a person does: the next try waits; no count stops 203.0.113.9 once it is in bans.never_ban',
    );
  });
});

describe('what `explain login` looks up', () => {
  const resultOf = async (rule: string, question: Partial<LoginQuestion> = {}) =>
    (await rig.login.admin.explainer.explain({ user: 'carol', ...where, ...question })).chain
      .filter((one) => one.rule === rule)
      .map(({ result }) => result);

  it('is asked of the door and for the user that the question names, and of nothing else', async () => {
    const asked: DoorQuestion[] = [];
    const explainer = await ask([], asked);
    await explainer.explainAddress({ ip: where.ip });
    await explainer.explainAddress({ ip: where.ip, protocol: 'https' });
    await explainer.explain({ user: 'carol', ...where });
    await explainer.explain({ user: 'car\u0007ol', ...where });
    expect(asked).toStrictEqual([
      { ip: where.ip },
      { ip: where.ip, protocol: 'https' },
      { ip: where.ip, protocol: 'sftp', user: 'carol' },
      { ip: where.ip, protocol: 'sftp' },
    ]);
  });

  it('is main’s own ban first, and what a node told before only while some node is silent', async () => {
    const bansWith = async (standings: DoorStanding[], ban?: string) => {
      rig = await buildRig({
        findBan: (user, ip) => (user === 'carol' && ip === where.ip ? ban : undefined),
        explained: { askDoors: async () => standings, findEdgeBan: () => 'told before' },
      });
      rig.users.set('carol', buildUser('carol'));
      const [bans = ''] = await resultOf('bans');
      const address = (await rig.login.admin.explainer.explainAddress({ ip: where.ip })).outcome;
      rig.close();
      return [bans.split(':')[0], address];
    };
    const speaking = { node: 'dmz1', worker: 0, findings: [] };
    const silent = { node: 'dmz2', worker: 0, findings: undefined };
    expect(await bansWith([speaking])).toEqual(['none of an admin', 'open']);
    expect(await bansWith([speaking, silent])).toEqual(['told before', 'refused']);
    expect(await bansWith([speaking, silent], 'ban 7')).toEqual(['ban 7', 'refused']);
    expect(await bansWith([speaking], 'ban 7')).toEqual(['ban 7', 'open']);
  });

  it('is how full main is, and what is left to the node that the question names', async () => {
    await ask([]);
    await rig.begin('carol');
    expect(await resultOf('logins under way')).toEqual(['1 of 20000: first factors that wait for a code']);
    await rig.answer(await rig.begin('carol'));
    expect(await resultOf('sessions')).toEqual(['1 of 20000: open in all']);
    expect(await resultOf('assertions')).toEqual(['1 of 50000: of node dmz1 in a minute']);
    await rig.login.loginHandlers['login.probe'](
      { user: 'carol', key: '', client: { ip: where.ip, port: 1, agent: '' } },
      rig.node.link,
    );
    rig.advance(1);
    expect((await resultOf('key probes'))[0]).toMatch(/^1999 left: /);
    const nowhere = { protocol: 'sftp', ip: where.ip, user: 'carol' } as const;
    const { chain } = await rig.login.admin.explainer.explain(nowhere);
    expect(chain.map(({ rule }) => rule)).not.toContain('assertions');
    expect(chain.map(({ rule }) => rule)).not.toContain('key probes');
  });

  it('is the lease of this user, protocol and address, of the node or of any', async () => {
    rig = await buildRig();
    for (const name of ['alice', 'bob']) {
      rig.users.set(name, buildUser(name, withFactor({ requiredOn: ['https', 'sftp'] })));
      await rig.enrol(name);
      const client = { agent: `client of ${name}` };
      const answer = { protocol: 'sftp', client, code: rig.code(name) } as const;
      await rig.answer(await rig.begin(name, { protocol: 'sftp', client }), answer);
    }
    const leases = (question: Partial<LoginQuestion> = {}) =>
      resultOf('lease', { user: 'alice', ...question });
    const told = ['client of alice: this client is not asked for a code again'];
    expect(await leases()).toEqual(told);
    expect(await leases({ node: 'dmz2' })).toEqual([]);
    expect(await leases({ protocol: 'https' })).toEqual([]);
    expect(await leases({ ip: '203.0.113.10' })).toEqual([]);
    const { node: _node, ...anywhere } = where;
    const { chain } = await rig.login.admin.explainer.explain({ user: 'alice', ...anywhere });
    expect(chain.filter(({ rule }) => rule === 'lease').map(({ result }) => result)).toEqual(told);
  });

  it('is the trusted network of the node that is named, or of any node', async () => {
    rig = await buildRig({
      twoFactor: {
        trusted_networks: [
          { cidr: '203.0.113.0/24', nodes: ['dmz2'] },
          { cidr: '10.0.0.0/8', nodes: ['dmz1'] },
        ],
      },
    });
    rig.users.set('carol', buildUser('carol'));
    const of = async (ip: string, node?: string): Promise<string | undefined> => {
      const question = { user: 'carol', protocol: 'sftp', ip, ...(node !== undefined && { node }) } as const;
      const { chain } = await rig.login.admin.explainer.explain(question);
      return chain.find(({ rule }) => rule === 'trusted_networks')?.result.split(':')[0];
    };
    expect([await of(where.ip, 'dmz1'), await of(where.ip, 'dmz2'), await of(where.ip)]).toEqual([
      undefined,
      '203.0.113.0/24',
      '203.0.113.0/24',
    ]);
    expect([await of('10.1.1.1', 'dmz1'), await of('10.1.1.1', 'dmz2'), await of('192.0.2.1')]).toEqual([
      '10.0.0.0/8',
      undefined,
      undefined,
    ]);
  });

  it('is the lock until it ends, and the disabled factor from its last wrong code on', async () => {
    rig = await buildRig();
    rig.users.set('carol', buildUser('carol', { limits: { ...buildUser('x').limits, sessions: 3 } }));
    const fail = (limit: number) =>
      rig.state.commit([
        {
          kind: 'count-failure',
          scope: 'code:carol',
          atMs: rig.now(),
          windowMs: 60_000,
          limit,
          lockMs: 1_000,
          lockMaxMs: 1_000,
        },
      ]);
    for (let tries = 1; tries < 100; tries += 1) await fail(1_000);
    expect(await resultOf('factor')).toEqual([]);
    await fail(1);
    expect(await resultOf('factor')).toHaveLength(1);
    expect(await resultOf('factor lock')).toHaveLength(1);
    rig.advance(1_000);
    expect(await resultOf('factor lock')).toEqual([]);
    expect(await resultOf('limits.sessions')).toEqual(['0 of 3 open over sftp: one more may be']);
  });

  it('finds a name by how it is written, and a throttle by what it means', async () => {
    rig = await buildRig({ twoFactor: { validated_logins: false } });
    rig.users.set('Carol', buildUser('Carol'));
    await rig.answer(await rig.begin('Carol', { node: off() }), { node: off() });
    const known = async (user: string) => (await resultOf('wrong passwords', { user, ip: where.ip }))[0];
    expect(await known('Carol')).toContain('203.0.113.9 is known');
    expect(await known('carol')).toContain('203.0.113.9 is not known');
    // Of a node that is not there main's own switch is taken.
    expect(await resultOf('node validated_logins', { user: 'Carol' })).toEqual(['dmz1: off: agrees']);
  });
});

const off = () => ({ ...rig.node, link: { ...rig.node.link, validatedLogins: false } });
