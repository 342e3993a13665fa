import { describe, expect, it } from 'vitest';
import { findAccountProblem, isWithinHours } from '#main-agent/sessions/account-rules.ts';
import { buildUser } from '../login/rig.ts';

describe('an account', () => {
  const here = { protocol: 'https', clientIp: '203.0.113.9', nowMs: Date.UTC(2027, 11, 31) } as const;

  it('works through the whole last day it expires on, in UTC, and not a millisecond longer', () => {
    const user = buildUser('alice', { expires: '2027-12-31' });
    const at = (nowMs: number) => findAccountProblem(user, { ...here, nowMs });
    expect(at(Date.UTC(2027, 11, 31))).toBeUndefined();
    expect(at(Date.UTC(2028, 0, 1) - 1)).toBeUndefined();
    expect(at(Date.UTC(2028, 0, 1))).toBe('expired after 2027-12-31');
  });

  it('works from the first to the last address of its networks; [] is nowhere and absent is anywhere', () => {
    const from = (clientIp: string, allowFrom: readonly string[] | undefined) =>
      findAccountProblem(buildUser('alice', { allowFrom }), { ...here, clientIp });
    for (const ip of ['10.1.2.0', '10.1.2.127', '2001:db8::', '2001:db8::ffff'])
      expect(from(ip, ['10.1.2.0/25', '2001:db8::/112'])).toBeUndefined();
    for (const ip of ['10.1.1.255', '10.1.2.128', '2001:db7:ffff::', '2001:db8::1:0'])
      expect(from(ip, ['10.1.2.0/25', '2001:db8::/112'])).toContain('allow_from');
    expect(from('10.1.2.0', [])).toContain('allow_from');
    expect(from('10.1.2.0', undefined)).toBeUndefined();
  });

  it('works through its protocols only, and disabled through none', () => {
    const sftpOnly = buildUser('alice', { protocols: ['sftp'] });
    expect(findAccountProblem(sftpOnly, here)).toContain('protocol https');
    expect(findAccountProblem(sftpOnly, { ...here, protocol: 'sftp' })).toBeUndefined();
    expect(findAccountProblem(buildUser('alice', { status: 'disabled' }), here)).toBe('status is disabled');
  });
});

describe('login hours', () => {
  const office = { days: [1, 2, 3, 4, 5], fromMinute: 7 * 60, toMinute: 20 * 60, zone: 'Europe/Berlin' };
  const night = { days: [5], fromMinute: 22 * 60, toMinute: 6 * 60, zone: 'UTC' };
  const weekend = { ...night, days: [7] };
  const cases: [string, typeof office, string, boolean][] = [
    ['over midnight: Monday morning is Sunday’s', weekend, '2026-11-23T05:00:00Z', true],
    ['over midnight: Sunday morning is Saturday’s', weekend, '2026-11-22T05:00:00Z', false],
    ['first minute', office, '2026-11-24T06:00:00Z', true],
    ['just before', office, '2026-11-24T05:59:59Z', false],
    ['last minute', office, '2026-11-24T18:59:59Z', true],
    ['just after', office, '2026-11-24T19:00:00Z', false],
    ['summer time moves with the zone', office, '2026-07-14T05:00:00Z', true],
    ['Sunday', office, '2026-11-22T12:00:00Z', false],
    ['over midnight: the day it begins', night, '2026-11-27T23:00:00Z', true],
    ['over midnight: just before the first minute', night, '2026-11-27T21:59:59Z', false],
    ['over midnight: the first minute', night, '2026-11-27T22:00:00Z', true],
    ['over midnight: just after the last minute', night, '2026-11-28T06:00:00Z', false],
    ['over midnight: the morning after', night, '2026-11-28T05:59:00Z', true],
    ['over midnight: the evening after', night, '2026-11-28T23:00:00Z', false],
    ['over midnight: the morning of its day', night, '2026-11-27T05:00:00Z', false],
  ];
  for (const [name, hours, at, expected] of cases)
    it(`are judged right: ${name}`, () => {
      expect(isWithinHours(hours, Date.parse(at))).toBe(expected);
    });
});
