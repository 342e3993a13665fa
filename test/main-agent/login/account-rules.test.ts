import { describe, expect, it } from 'vitest';
import { isInNetworks, isWithinHours } from '#main-agent/login/account-rules.ts';

describe('networks', () => {
  const cases: [string, string[], boolean][] = [
    ['203.0.113.9', ['203.0.113.0/24'], true],
    ['203.0.114.9', ['203.0.113.0/24'], false],
    ['203.0.113.9', ['203.0.113.9'], true],
    ['203.0.113.9', ['198.51.100.0/24', '203.0.113.8/31'], true],
    ['::ffff:203.0.113.9', ['203.0.113.0/24'], true],
    ['2001:db8::1', ['2001:db8::/32'], true],
    ['2001:db9::1', ['2001:db8::/32'], false],
    ['203.0.113.9', ['::/0'], false],
    ['203.0.113.9', ['0.0.0.0/0'], true],
    ['203.0.113.9', ['nonsense', '203.0.113.0/33', '203.0.113.0/x'], false],
    ['not an address', ['0.0.0.0/0'], false],
    ['203.0.113.9', [], false],
  ];
  for (const [address, networks, expected] of cases)
    it(`${address} is ${expected ? '' : 'not '}in [${networks.join(', ')}]`, () => {
      expect(isInNetworks(address, networks)).toBe(expected);
    });
});

describe('login hours', () => {
  const office = { days: [1, 2, 3, 4, 5], fromMinute: 7 * 60, toMinute: 20 * 60, zone: 'Europe/Berlin' };
  const night = { days: [5], fromMinute: 22 * 60, toMinute: 6 * 60, zone: 'UTC' };
  const cases: [string, typeof office, string, boolean][] = [
    ['first minute', office, '2026-11-24T06:00:00Z', true],
    ['just before', office, '2026-11-24T05:59:59Z', false],
    ['last minute', office, '2026-11-24T18:59:59Z', true],
    ['just after', office, '2026-11-24T19:00:00Z', false],
    ['summer time moves with the zone', office, '2026-07-14T05:00:00Z', true],
    ['Sunday', office, '2026-11-22T12:00:00Z', false],
    ['over midnight: the day it begins', night, '2026-11-27T23:00:00Z', true],
    ['over midnight: the morning after', night, '2026-11-28T05:59:00Z', true],
    ['over midnight: the evening after', night, '2026-11-28T23:00:00Z', false],
    ['over midnight: the morning of its day', night, '2026-11-27T05:00:00Z', false],
  ];
  for (const [name, hours, at, expected] of cases)
    it(`are judged right: ${name}`, () => {
      expect(isWithinHours(hours, Date.parse(at))).toBe(expected);
    });
});
