import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { DoorStanding } from '#main-agent/link/links.ts';
import { doorFindings, type DoorFinding, type DoorQuestion } from '#shared/link/messages.ts';
import { sessionsPerUserMax } from '#main-agent/sessions/limits.ts';
import { buildRig, buildUser, type Rig } from '../login/rig.ts';

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
  'dmz/login/conversation.ts rate-limited Too many tries; wait a little': 'login-pace',
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
  'main-agent/login/login-parts.ts refused Sign-in refused': 'outcome',
  'main-agent/login/passage.ts challenge-gone This sign-in is over; start again': 'outcome',
  'main-agent/login/probe-budget.ts rate-limited Too many tries; wait a little': 'key probes',
  'main-agent/sessions/sessions.ts busy More people are signed in than can be served; try again later':
    'sessions',
  'main-agent/sessions/sessions.ts too-many-sessions As many of your SFTP sessions are open as may be (${ownMax}); close one, then connect again':
    'limits.sessions',
  'main-agent/account/step-up-check.ts refused Refused': 'outcome',
  'main-agent/login/throttle-lines.ts rate-limited Too many tries; wait a little': 'wrong passwords',
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
