import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import {
  cidr,
  countWithin,
  dialAddress,
  duration,
  httpUrl,
  keyText,
  listen,
  onOff,
  plainName,
  rate,
  size,
} from '#shared/config/value-types.ts';

const day = 86_400_000;

describe.each<[string, z.ZodType, readonly (readonly [unknown, unknown])[], readonly unknown[]]>([
  [
    'a duration',
    duration('1s', '10d'),
    [
      ['1s', 1_000],
      ['1000ms', 1_000],
      ['5m', 300_000],
      ['10d', 10 * day],
      ['240h', 10 * day],
    ],
    [
      '0s',
      '999ms',
      '10001m1',
      '241h',
      '11d',
      30,
      '30',
      '1.5s',
      '-1s',
      ' 1s',
      '1 s',
      '1S',
      '',
      null,
      '9999999999s',
    ],
  ],
  [
    'a size',
    size,
    [
      ['1B', 1],
      ['1KiB', 1_024],
      ['20GiB', 20 * 2 ** 30],
      ['1.5 MiB', 1.5 * 2 ** 20],
      ['1kB', 1_000],
      ['2TB', 2e12],
    ],
    ['0B', '20', 20, '20G', '20gib', '-1B', '1e3B', 'none', '', '99999999TiB', '0.0001B'],
  ],
  [
    'a rate',
    rate,
    [
      ['50MiB/s', 50 * 2 ** 20],
      ['1B/s', 1],
    ],
    ['50MiB', '50/s', '0B/s', '50MiB/m', 50],
  ],
  [
    'a count in a time',
    countWithin,
    [
      ['10 in 15m', { count: 10, windowMs: 900_000 }],
      ['1 in 1d', { count: 1, windowMs: day }],
    ],
    ['10', '0 in 15m', '10 in 0s', '10 in 15', '10  in 15m', '-1 in 5m', 10],
  ],
  [
    'a switch',
    onOff,
    [
      ['on', true],
      ['off', false],
      [true, true],
      [false, false],
    ],
    ['yes', 'ON', 1, null],
  ],
  [
    'a place to listen',
    listen,
    [
      ['0.0.0.0:443', { type: 'tcp', host: '0.0.0.0', port: 443 }],
      ['127.0.0.1:0', { type: 'tcp', host: '127.0.0.1', port: 0 }],
      ['[::1]:65535', { type: 'tcp', host: '::1', port: 65_535 }],
      ['systemd:https', { type: 'systemd', name: 'https' }],
    ],
    [
      '443',
      ':443',
      'localhost:443',
      '0.0.0.0',
      '0.0.0.0:65536',
      '256.0.0.1:1',
      '::1:443',
      '[::1]',
      'systemd:',
      'systemd:a b',
      443,
    ],
  ],
  [
    'a place to dial',
    dialAddress,
    [
      ['10.0.1.5:8444', { host: '10.0.1.5', port: 8_444 }],
      ['dmz.example.com:1', { host: 'dmz.example.com', port: 1 }],
      ['[fd00::5]:8444', { host: 'fd00::5', port: 8_444 }],
    ],
    ['dmz', 'dmz:', 'http://dmz:1', 'dmz:99999', '[zz]:1', 'a b:1', 'a:1:2'],
  ],
  [
    'a network',
    cidr,
    ['203.0.113.0/24', '203.0.113.9', '::/0', '2001:db8::/32', '0.0.0.0/0'].map(
      (text) => [text, text] as const,
    ),
    [
      '203.0.113.0/33',
      '203.0.113',
      '203.0.113.0/',
      '203.0.113.0/-1',
      '203.0.113.0/024',
      '::/129',
      'fe80::1%eth0',
      'any',
      '',
      '1.2.3.4/8/8',
    ],
  ],
  [
    'a plain name',
    plainName,
    [
      ['dmz1', 'dmz1'],
      ['a'.repeat(63), 'a'.repeat(63)],
    ],
    ['', 'a'.repeat(64), '-a', 'a.b', 'a b', 'ä', '../a', 'a\n'],
  ],
  [
    'a key or fingerprint',
    keyText,
    ['A'.repeat(43), `SHA256:${'a+/'.repeat(14)}b`, `ed25519:${'-_'.repeat(21)}c`, `${'A'.repeat(43)}=`].map(
      (text) => [text, text] as const,
    ),
    ['', 'A'.repeat(42), 'A'.repeat(44), `SHA256 ${'A'.repeat(43)}`, `${'A'.repeat(43)}\n`],
  ],
  [
    'an address on the web',
    httpUrl('https'),
    [['https://files.example.com/x?y=1', 'https://files.example.com/x?y=1']],
    [
      'http://a',
      'ftp://a',
      'https://',
      'https://user:pw@a',
      'https://a/#x',
      'https://a b',
      'javascript:1',
      '',
    ],
  ],
])('%s', (_name, schema, good, bad) => {
  test('is read', () => {
    for (const [text, value] of good) expect(schema.parse(text)).toEqual(value);
  });
  test.each(bad)('is not %j', (text) => {
    expect(schema.safeParse(text).success).toBe(false);
  });
});
