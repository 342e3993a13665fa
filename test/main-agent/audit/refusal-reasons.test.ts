import { describe, expect, it } from 'vitest';
import { reasonOf } from '#main-agent/audit/refusal-reasons.ts';
import { decide } from '#main-agent/login/policy.ts';
import { findAccountProblem } from '#main-agent/sessions/account-rules.ts';
import { buildUser } from '#test/main-agent/login/rig.ts';

describe('the reason of a refusal, for a monitor', () => {
  it('is the account’s for whatever shuts the account', () => {
    const at = {
      protocol: 'sftp',
      clientIp: '192.0.2.7',
      nowMs: Date.parse('2026-11-24T12:00:00Z'),
    } as const;
    const hours = { zone: 'UTC', days: [1, 2, 3, 4, 5, 6, 7], fromMinute: 0, toMinute: 1 };
    for (const change of [
      { status: 'disabled' },
      { expires: '2020-01-01' },
      { protocols: [] },
      { allowFrom: [] },
      { hours },
    ] as const) {
      const rule = findAccountProblem(buildUser('zoe', change), at);
      expect([rule, reasonOf({ rule: rule ?? '' })]).toEqual([expect.any(String), 'account']);
    }
  });

  it('is a word for each refusal of the policy', () => {
    const words = new Set<string>();
    for (let bits = 0; bits < 1 << 9; bits += 1) {
      const is = (bit: number): boolean => (bits & (1 << bit)) !== 0;
      const decision = decide({
        protocol: is(0) ? 'https' : 'sftp',
        validatedLogins: is(1),
        nodeValidatedLogins: is(2),
        required: is(3),
        enrolled: is(4),
        deliverable: is(5),
        forceSetup: is(6),
        bypass: is(7),
        overSftp: true,
        ticket: is(8),
      });
      if (decision.outcome === 'refuse') words.add(reasonOf({ rule: decision.rule }));
    }
    expect([...words].toSorted()).toEqual(['set-up-missing', 'switches-disagree']);
  });

  it.each([
    ['no such user', 'unknown-user'],
    ['no such user; offered key SHA256:abc', 'unknown-user'],
    ['wrong password', 'wrong-password'],
    ['key SHA256:abc is not the user’s', 'wrong-key'],
    ['this SSH signature was used before', 'wrong-key'],
    ['banned: zoe, since it was told', 'banned'],
    ['the password or key was changed meanwhile', 'changed-meanwhile'],
    ['set-up is forced and not done; told where', 'set-up-missing'],
    ['wrong-code', 'wrong-code'],
    ['used-code', 'used-code'],
    ['the factor is locked', 'locked'],
    ['this name and node dmz1 throttled after too many wrong passwords', 'throttled'],
    ['too many sessions: 4 of 4', 'too-many-sessions'],
    ['more password checks than main can make', 'no-capacity'],
    ['claim nonce is not what main recorded', 'assertion'],
    ['quota-exceeded', 'quota-exceeded'],
    ['a sentence nobody expects, about zoe', 'other'],
    [undefined, 'other'],
  ])('of "%s" is %s', (rule, word) => {
    expect(reasonOf({ ...(rule !== undefined && { rule }) })).toBe(word);
  });
});
