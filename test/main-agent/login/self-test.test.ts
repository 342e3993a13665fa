import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type * as NextStep from '#main-agent/login/next-step.ts';
import type * as Policy from '#main-agent/login/policy.ts';
import type { Decision, DecisionInput } from '#main-agent/login/policy.ts';
import type * as Assessments from '#main-agent/login/assessment.ts';
import type * as AccountRules from '#main-agent/sessions/account-rules.ts';
import type { ChallengeNext } from '#main-agent/login/challenges.ts';
import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { SallyportError } from '#shared/error.ts';
import type { Protocol } from '#shared/login.ts';
import { buildRig, buildUser, refusal, startMs, withFactor, type Rig } from './rig.ts';

/** Holes that a change of the program could tear; each replaces one answer of the real code. */
const holes = vi.hoisted(() => ({
  decide: undefined as ((input: DecisionInput) => Decision | undefined) | undefined,
  required: undefined as ((protocol: Protocol) => boolean | undefined) | undefined,
  accepted: undefined as ((next: ChallengeNext) => ReadonlySet<string> | undefined) | undefined,
  assessed: undefined as ((status: FactorStatus) => Decision | undefined) | undefined,
}));
vi.mock('#main-agent/login/assessment.ts', async (original) => {
  const real = await original<typeof Assessments>();
  const assess: typeof real.assess = (user, status, at) => {
    const found = real.assess(user, status, at);
    return { ...found, decision: holes.assessed?.(status) ?? found.decision };
  };
  return { ...real, assess };
});
vi.mock('#main-agent/login/policy.ts', async (original) => {
  const real = await original<typeof Policy>();
  return { ...real, decide: (input: DecisionInput) => holes.decide?.(input) ?? real.decide(input) };
});
vi.mock('#main-agent/sessions/account-rules.ts', async (original) => {
  const real = await original<typeof AccountRules>();
  const isFactorRequired: typeof real.isFactorRequired = (user, own, protocol, times) =>
    holes.required?.(protocol) ?? real.isFactorRequired(user, own, protocol, times);
  return { ...real, isFactorRequired };
});
vi.mock('#main-agent/login/next-step.ts', async (original) => {
  const real = await original<typeof NextStep>();
  return {
    ...real,
    acceptedMethods: (next: ChallengeNext) => holes.accepted?.(next) ?? real.acceptedMethods(next),
  };
});

describe('start-up self-test', () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = await buildRig();
    const both: Protocol[] = ['https', 'sftp'];
    for (const requiredOn of [[], ['https'], ['sftp'], both] as Protocol[][])
      for (const forceSetup of [false, true])
        for (const email of [undefined, 'x@example.com'])
          for (const requiredFrom of [
            undefined,
            { date: '2026-11-24' },
            { date: '2026-11-25' },
            { graceMs: 1000 },
          ]) {
            const name = `user${rig.users.size}`;
            rig.users.set(
              name,
              buildUser(name, withFactor({ requiredOn, forceSetup, requiredFrom }, { email })),
            );
          }
  });
  afterEach(() => {
    holes.decide = holes.required = holes.accepted = holes.assessed = undefined;
    rig.close();
  });

  it('S-01: finds no way past a required factor, whatever users and switches', async () => {
    const switches = [
      { validated_logins: false },
      ...[false, true].flatMap((over_sftp) =>
        ['none', 'required'].flatMap((ticket) =>
          ['smtp', ['smtp', 'sms']].map((transport) => ({
            enrolment: { over_sftp, ticket },
            delivered: { transport },
          })),
        ),
      ),
    ];
    for (const twoFactor of switches) {
      const started = await rig.restart({ twoFactor });
      expect(started.login.sessions.list()).toEqual([]);
      started.close();
    }
  });

  for (const [name, make] of [
    [
      'one protocol asks nobody',
      () => {
        holes.decide = ({ protocol, required }) =>
          protocol === 'sftp' && required ? { outcome: 'admit' } : undefined;
      },
    ],
    [
      'who is enrolled is admitted',
      () => {
        holes.decide = ({ enrolled }) => (enrolled ? { outcome: 'admit' } : undefined);
      },
    ],
    [
      'an outstanding bypass code opens without being asked',
      () => {
        holes.decide = ({ bypass }) => (bypass ? { outcome: 'admit' } : undefined);
      },
    ],
    [
      'a forced user without a requirement is admitted',
      () => {
        holes.decide = ({ forceSetup, enrolled }) =>
          forceSetup && !enrolled ? { outcome: 'admit' } : undefined;
      },
    ],
    [
      'a forced user gets to files by a mailed code',
      () => {
        holes.decide = ({ forceSetup, enrolled, deliverable }) =>
          forceSetup && !enrolled && deliverable
            ? { outcome: 'ask', ask: 'delivered', leadsTo: 'admit' }
            : undefined;
      },
    ],
    [
      'who is enrolled is led into a second set-up',
      () => {
        holes.decide = ({ enrolled }) => (enrolled ? { outcome: 'setup' } : undefined);
      },
    ],
    [
      'the requirement is forgotten on one protocol',
      () => {
        holes.required = (protocol) => (protocol === 'https' ? false : undefined);
      },
    ],
    [
      'an answer without a code is accepted where one is asked',
      () => {
        holes.accepted = (next) => (next.kind === 'code' ? new Set(['totp', 'none']) : undefined);
      },
    ],
  ] as const) {
    it(`S-14: main does not start when ${name}`, async () => {
      make();
      const error = await refusal(rig.restart());
      expect([error.code, error.publicMessage]).toEqual([
        'config',
        'The self-test found a way past a required second factor',
      ]);
      expect(error.detail).toMatch(/user\d+ on (https|sftp)/);
    });
  }

  describe('with one user and a hole', () => {
    /** How often each problem was found, over the states that a user can be in. */
    async function find(change: Partial<EffectiveUser>, twoFactor = {}): Promise<Record<string, number>> {
      rig.users.clear();
      rig.users.set('carol', buildUser('carol', change));
      const detail = await rig.restart({ twoFactor }).then(
        (started) => {
          started.close();
          return undefined;
        },
        (error: SallyportError) => error.detail,
      );
      const counts: Record<string, number> = {};
      for (const one of detail?.split('; ') ?? []) counts[one] = (counts[one] ?? 0) + 1;
      return counts;
    }
    const admitted = (where: string): string => `carol on ${where}: admitted without the factor it needs`;
    const today = new Date(startMs).toISOString().slice(0, 10);
    const tomorrow = new Date(startMs + 86_400_000).toISOString().slice(0, 10);
    const onWeb = { requiredOn: ['https'] } as const;
    /** Enrolled: with what the set-up requires on both, and without. None: a bypass code or not, signed in once or not. */
    const own = { [admitted('https, enrolled')]: 4, [admitted('sftp, enrolled')]: 4 };
    const always = { ...own, [admitted('https, enrolled')]: 8, [admitted('https, none')]: 4 };

    for (const [name, change, expected] of [
      ['nothing of the admin', {}, own],
      ['the web', withFactor(onWeb), always],
      ['the web from today', withFactor({ ...onWeb, requiredFrom: { date: today } }), always],
      ['the web from tomorrow', withFactor({ ...onWeb, requiredFrom: { date: tomorrow } }), own],
      [
        'the web after a grace that is over since now',
        withFactor({ ...onWeb, requiredFrom: { graceMs: startMs } }),
        { ...own, [admitted('https, enrolled')]: 6, [admitted('https, none')]: 2 },
      ],
      [
        'the web after a grace that is not over',
        withFactor({ ...onWeb, requiredFrom: { graceMs: startMs + 1 } }),
        own,
      ],
      [
        'set-up',
        withFactor({ forceSetup: true }),
        { ...own, [admitted('https, none')]: 4, [admitted('sftp, none')]: 4 },
      ],
    ] as const)
      it(`S-14: knows who needs a factor that is asked of nobody: where it is required by ${name}`, async () => {
        holes.decide = () => ({ outcome: 'admit' });
        expect(await find(change)).toEqual(expected);
      });

    it('S-14: one way past a factor is one too many', async () => {
      holes.decide = ({ protocol, enrolled, bypass }) =>
        protocol === 'https' && !enrolled && !bypass ? { outcome: 'admit' } : undefined;
      const graceOver = withFactor({ ...onWeb, requiredFrom: { graceMs: startMs } });
      expect(await find(graceOver)).toEqual({ [admitted('https, none')]: 1 });
    });

    it('S-14: finds nothing where the configuration asks nobody for a factor', async () => {
      holes.decide = () => ({ outcome: 'admit' });
      expect(await find(withFactor(onWeb), { validated_logins: false })).toEqual({});
    });

    it('S-14: knows that a broken enrolment lets nobody in, whatever is required', async () => {
      holes.assessed = () => ({ outcome: 'admit' });
      expect(await find({})).toEqual({
        ...own,
        [admitted('https, broken')]: 4,
        [admitted('sftp, broken')]: 4,
      });
    });

    it('S-14: knows a second set-up, whether a code leads to it or nothing', async () => {
      const twice = (where: string): string => `carol on ${where}: may set up a second time`;
      const expected = { [twice('https, enrolled')]: 8, [twice('sftp, enrolled')]: 8 };
      holes.decide = ({ enrolled }) => (enrolled ? { outcome: 'setup' } : undefined);
      expect(await find({})).toEqual(expected);
      holes.decide = ({ enrolled }) =>
        enrolled ? { outcome: 'ask', ask: 'totp', leadsTo: 'setup' } : undefined;
      expect(await find({})).toEqual(expected);
    });

    it('S-14: knows a set-up by the first factor alone, where a code could be sent', async () => {
      holes.decide = ({ forceSetup, enrolled }) =>
        forceSetup && !enrolled ? { outcome: 'setup' } : undefined;
      const alone = (where: string): string =>
        `carol on ${where}: sets up with a first factor alone, and a code could be sent`;
      const forced = withFactor({ forceSetup: true });
      expect(await find({ ...forced, email: 'c@example.com' })).toEqual({
        [alone('https, none')]: 4,
        [alone('sftp, none')]: 4,
      });
      expect(await find(forced)).toEqual({});
    });

    it('S-14: knows a code that leads past a forced set-up, and an answer without a code', async () => {
      const forced = withFactor({ forceSetup: true }, { email: 'c@example.com' });
      const past = (where: string): string =>
        `carol on ${where}: reaches files before the set-up it is held to`;
      holes.decide = ({ enrolled }) =>
        enrolled ? undefined : { outcome: 'ask', ask: 'delivered', leadsTo: 'admit' };
      expect(await find(forced)).toEqual({ [past('https, none')]: 4, [past('sftp, none')]: 4 });
      expect(await find({})).toEqual({});
      holes.decide = undefined;
      holes.accepted = () => new Set(['totp', 'none']);
      const bare = (where: string): string =>
        `carol on ${where}: a code is asked, and an answer without one accepted`;
      expect(await find({})).toEqual({ [bare('https, enrolled')]: 4, [bare('sftp, enrolled')]: 4 });
    });
  });
});
