import { describe, expect, it } from 'vitest';
import { isInRanges, networksOf, parseRanges, sourceOf } from '#dmz/guard/source.ts';

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
    const bad = ['nonsense', '', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/1.5', '10.0.0.0/x', 'fd00::/129'];
    const { set, bad: told } = parseRanges([...good, ...bad]);
    expect(told).toEqual(bad);
    for (const ip of [
      '10.255.0.1',
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '198.51.100.7',
      '2001:db8:9::1',
      '2001:db9::1',
      'fd00::1',
    ])
      expect([ip, isInRanges(set, ip)]).toEqual([ip, true]);
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
      expect([ip, isInRanges(set, ip)]).toEqual([ip, false]);
  });

  it('of width 0 are every address of their family', () => {
    const { set, bad } = parseRanges(['0.0.0.0/0']);
    expect(bad).toEqual([]);
    expect([isInRanges(set, '203.0.113.9'), isInRanges(set, '2001:db8::1')]).toEqual([true, false]);
  });
});
