import { describe, expect, it } from 'vitest';
import { householdOf, isInNetworks, Networks, networksOf, sourceOf } from '#shared/networks.ts';

describe('a source', () => {
  const sources: [string, string][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['2001:0DB8:0:0001::9', '2001:db8:0:1::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::1:2:3:4:5:6', '0:0:1:2::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ];
  for (const [ip, source] of sources)
    it(`of ${ip} is ${source}`, () => {
      expect(sourceOf(ip)).toBe(source);
    });

  it('lies in networks that one owner may have', () => {
    expect(networksOf('192.0.2.1')).toEqual(['192.0.2.1', '192.0.2.0/24']);
    expect(networksOf('2001:db8:3:abcd::1')).toEqual([
      '2001:db8:3:abcd::/64',
      '2001:db8:3:ab00::/56',
      '2001:db8:3::/48',
    ]);
  });
});

describe('a household', () => {
  it('is an IPv4 address, or a /56', () => {
    expect(['192.0.2.1', '::ffff:192.0.2.1', '2001:db8:3:abcd::1', 'nonsense'].map(householdOf)).toEqual([
      '192.0.2.1',
      '192.0.2.1',
      '2001:db8:3:ab00::/56',
      'nonsense',
    ]);
  });
});

describe('ranges', () => {
  it('are addresses and networks of any width; what is neither is told and protects nobody', () => {
    const good = [
      '10.0.0.0/8',
      '192.0.2.1',
      '198.51.100.7/32',
      '2001:db8::/32',
      '2001:db9::1',
      'fd00::1/128',
    ];
    const bad = [
      'nonsense',
      '',
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.0.0.0/1.5',
      '10.0.0.0/x',
      '10.0.0.0/',
      'fd00::/129',
    ];
    const networks = new Networks([...good, ...bad]);
    expect(networks.bad).toEqual(bad);
    for (const ip of [
      '10.255.0.1',
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '198.51.100.7',
      '2001:db8:9::1',
      '2001:db9::1',
      'fd00::1',
    ])
      expect([ip, networks.has(ip)]).toEqual([ip, true]);
    for (const ip of [
      '11.0.0.1',
      '192.0.2.2',
      '198.51.100.8',
      '2001:dba::1',
      '2001:db9::2',
      'fd00::2',
      'nonsense',
      '',
    ])
      expect([ip, networks.has(ip)]).toEqual([ip, false]);
  });

  it('of width 0 are every address of their family', () => {
    const [v4, v6] = [new Networks(['0.0.0.0/0']), new Networks(['::/0'])];
    expect([v4.bad, v6.bad]).toEqual([[], []]);
    expect([v4.has('203.0.113.9'), v4.has('2001:db8::1')]).toEqual([true, false]);
    expect([v6.has('203.0.113.9'), v6.has('2001:db8::1')]).toEqual([false, true]);
  });
});

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
