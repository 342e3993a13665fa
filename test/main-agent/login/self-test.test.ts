import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type * as NextStep from '#main-agent/login/next-step.ts';
import type * as Policy from '#main-agent/login/policy.ts';
import type { Decision, DecisionInput } from '#main-agent/login/policy.ts';
import type * as AccountRules from '#main-agent/sessions/account-rules.ts';
import type { ChallengeNext } from '#main-agent/login/challenges.ts';
import type { Protocol } from '#shared/login.ts';
import { buildRig, buildUser, refusal, withFactor, type Rig } from './rig.ts';

/** Holes that a change of the program could tear; each replaces one answer of the real code. */
const holes = vi.hoisted(() => ({
  decide: undefined as ((input: DecisionInput) => Decision | undefined) | undefined,
  required: undefined as ((protocol: Protocol) => boolean | undefined) | undefined,
  accepted: undefined as ((next: ChallengeNext) => ReadonlySet<string> | undefined) | undefined,
}));
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
    holes.decide = holes.required = holes.accepted = undefined;
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
});
