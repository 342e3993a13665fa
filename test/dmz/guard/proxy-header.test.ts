import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProxyHeader, proxyHeaderBytesMax } from '#dmz/guard/proxy-header.ts';

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** Version 2: signature, version and command, family and transport, length, body. */
function binary(
  versionAndCommand: number,
  familyAndTransport: number,
  body: Buffer,
  lengthBytes = body.length,
) {
  const head = Buffer.from([versionAndCommand, familyAndTransport, lengthBytes >> 8, lengthBytes & 0xff]);
  return Buffer.concat([signature, head, body]);
}

const v4Body = Buffer.from([192, 0, 2, 7, 10, 0, 0, 1, 0xd9, 0x03, 0x01, 0xbb]);
const v6Body = Buffer.concat([
  Buffer.from('20010db8000000000000000000000009', 'hex'),
  Buffer.from('fd000000000000000000000000000001', 'hex'),
  Buffer.from([0x00, 0x50, 0x01, 0xbb]),
]);
const text = (line: string) => Buffer.from(line, 'latin1');

const complete: readonly [string, Buffer, unknown][] = [
  ['TCP4 line', text('PROXY TCP4 192.0.2.7 10.0.0.1 55555 443\r\n'), { ip: '192.0.2.7', port: 55555 }],
  ['TCP6 line', text('PROXY TCP6 2001:db8::9 fd00::1 80 443\r\n'), { ip: '2001:db8::9', port: 80 }],
  [
    'a line with the highest port',
    text('PROXY TCP4 192.0.2.7 10.0.0.1 65535 65535\r\n'),
    { ip: '192.0.2.7', port: 65_535 },
  ],
  ['a line of 107 bytes', text(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`), undefined],
  ['UNKNOWN line', text('PROXY UNKNOWN\r\n'), undefined],
  ['UNKNOWN line with addresses', text('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), undefined],
  ['binary IPv4', binary(0x21, 0x11, v4Body), { ip: '192.0.2.7', port: 55555 }],
  ['binary IPv6', binary(0x21, 0x21, v6Body), { ip: '2001:db8::9', port: 80 }],
  [
    'a TCP6 line of an IPv4 client',
    text('PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 55555 443\r\n'),
    { ip: '192.0.2.7', port: 55555 },
  ],
  [
    'binary IPv6 of an IPv4 client',
    binary(
      0x21,
      0x21,
      Buffer.concat([
        Buffer.from('00000000000000000000ffffc0000207', 'hex'),
        Buffer.from('00000000000000000000ffff0a000001', 'hex'),
        Buffer.from([0xd9, 0x03, 0x01, 0xbb]),
      ]),
    ),
    { ip: '192.0.2.7', port: 55555 },
  ],
  [
    'a TCP6 line in another spelling',
    text('PROXY TCP6 2001:0DB8:0:0:0:0:0:0009 fd00::1 80 443\r\n'),
    { ip: '2001:db8::9', port: 80 },
  ],
  [
    'binary with TLVs nobody knows',
    binary(0x21, 0x11, Buffer.concat([v4Body, Buffer.from([0xee, 0, 3, 1, 2, 3])])),
    { ip: '192.0.2.7', port: 55555 },
  ],
  ['LOCAL, a health check', binary(0x20, 0x00, Buffer.alloc(0)), undefined],
  ['LOCAL with addresses', binary(0x20, 0x11, v4Body), undefined],
  [
    'a body of the longest size',
    binary(0x21, 0x11, Buffer.concat([v4Body, Buffer.alloc(4080 - 12)])),
    { ip: '192.0.2.7', port: 55555 },
  ],
];

const invalid: readonly [string, Buffer][] = [
  ['TLS', Buffer.from([0x16, 3, 1, 2, 0])],
  ['SSH', text('SSH-2.0-OpenSSH_9.2\r\n')],
  ['lower case', text('proxy TCP4 192.0.2.7 10.0.0.1 55555 443\r\n')],
  ['an address of the other family', text('PROXY TCP4 2001:db8::9 fd00::1 80 443\r\n')],
  ['a name', text('PROXY TCP4 localhost 10.0.0.1 80 443\r\n')],
  ['a family of its own', text('PROXY TCP5 2001:db8::9 fd00::1 80 443\r\n')],
  ['a destination of the other family', text('PROXY TCP4 192.0.2.7 fd00::1 80 443\r\n')],
  ['a destination port above 65535', text('PROXY TCP4 192.0.2.7 10.0.0.1 80 65536\r\n')],
  ['107 bytes without an end', text('PROXY UNKNOWN '.padEnd(107, 'x'))],
  ['a zone', text('PROXY TCP6 fe80::1%eth0 fd00::1 80 443\r\n')],
  ['an octet above 255', text('PROXY TCP4 192.0.2.256 10.0.0.1 80 443\r\n')],
  ['a port above 65535', text('PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n')],
  ['a port with a leading zero', text('PROXY TCP4 192.0.2.7 10.0.0.1 080 443\r\n')],
  ['two blanks', text('PROXY TCP4  192.0.2.7 10.0.0.1 80 443\r\n')],
  ['one word too many', text('PROXY TCP4 192.0.2.7 10.0.0.1 80 443 1\r\n')],
  ['one word too few', text('PROXY TCP4 192.0.2.7 10.0.0.1 80\r\n')],
  ['a bare line feed', text(`PROXY TCP4 192.0.2.7 10.0.0.1 80 443\n${'x'.repeat(80)}`)],
  ['a line of 108 bytes', text(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['version 1 in binary', binary(0x11, 0x11, v4Body)],
  ['version 3', binary(0x31, 0x11, v4Body)],
  ['command 2', binary(0x22, 0x11, v4Body)],
  ['a family without addresses', binary(0x21, 0x00, v4Body)],
  ['UDP', binary(0x21, 0x12, v4Body)],
  ['a Unix socket', binary(0x21, 0x31, Buffer.alloc(216))],
  ['addresses cut short', binary(0x21, 0x11, v4Body.subarray(0, 11))],
  ['IPv6 with a body for IPv4', binary(0x21, 0x21, v4Body)],
  ['a body one byte too long', binary(0x21, 0x11, Buffer.alloc(0), 4081)],
];

describe('the PROXY header', () => {
  it.each(complete)('%s is read, whatever follows it and however it is cut', (_, header, client) => {
    const whole = { state: 'complete', bytes: header.length, client };
    expect(parseProxyHeader(header)).toEqual(whole);
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('SSH-2.0-x\r\n')]))).toEqual(whole);
    for (let length = 0; length < header.length; length += 1)
      expect(parseProxyHeader(header.subarray(0, length)), `${length} bytes`).toEqual({
        state: 'incomplete',
      });
  });

  it.each(invalid)('%s is no header', (_, bytes) => {
    expect(parseProxyHeader(bytes)).toMatchObject({ state: 'invalid' });
  });

  it('never throws, never waits for more than a header can have, and never changes its mind', () => {
    const valid = fc.constantFrom(...complete.map(([, header]) => header));
    const changed = fc
      .tuple(
        valid,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 5000 }),
      )
      .map(([header, changes, rest]) => {
        const bytes = Buffer.concat([header, rest]);
        for (const [at, value] of changes) bytes[at % header.length] = value;
        return bytes;
      });
    const anything = fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes));
    const judge = (bytes: Buffer, cut: number): boolean => {
      const all = parseProxyHeader(bytes);
      const part = parseProxyHeader(bytes.subarray(0, cut));
      const waits = bytes.length >= proxyHeaderBytesMax && all.state === 'incomplete';
      return !waits && (part.state === 'incomplete' || isDeepStrictEqual(part, all));
    };
    const { failed, counterexample } = fc.check(
      fc.property(fc.oneof(changed, anything), fc.nat(5000), judge),
      {
        numRuns: 2000,
      },
    );
    expect(failed, JSON.stringify(counterexample)).toBe(false);
  });
});
