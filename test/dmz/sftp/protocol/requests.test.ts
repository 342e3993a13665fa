import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sftpDataBytesMax } from '#dmz/sftp/limits.ts';
import { packetType } from '#dmz/sftp/protocol/constants.ts';
import { SftpPacket } from '#dmz/sftp/protocol/packet-assembler.ts';
import { parseRequest, readOpenFlags, RequestRefused } from '#dmz/sftp/protocol/requests.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';

function parse(bytes: Buffer) {
  return parseRequest(new SftpPacket([bytes], bytes.length));
}

function request(type: number, id = 9): WireWriter {
  return new WireWriter().byte(type).uint32(id);
}

function statusOf(bytes: Buffer): number | undefined {
  try {
    parse(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof RequestRefused) return error.status;
    throw error;
  }
}

/** Read, or refused in one of the two ways there are; anything else would be a crash. */
function isJudged(bytes: Buffer): boolean {
  try {
    parse(bytes);
    return true;
  } catch (error) {
    return error instanceof RequestRefused || error instanceof MalformedMessage;
  }
}

describe('SFTP requests as raw bytes', () => {
  it('reads OPEN with its flags and attributes', () => {
    const bytes = Buffer.from('0300000009000000022f610000001a00000004000081a4', 'hex');
    expect(parse(bytes)).toEqual({
      type: 'open',
      id: 9,
      path: '/a',
      flags: 0x1a,
      attributes: { changesOwner: false, change: { mode: 0o644 } },
    });
  });

  it('reads every attribute, and times as milliseconds', () => {
    const bytes = request(packetType.setstat)
      .string('/a')
      .uint32(0x8000_000f)
      .uint64(5)
      .uint32(1)
      .uint32(2)
      .uint32(0o100_600)
      .uint32(10)
      .uint32(20)
      .uint32(1)
      .string('x@y')
      .string('z');
    expect(parse(bytes.finish())).toMatchObject({
      attributes: {
        changesOwner: true,
        change: { size: 5, mode: 0o600, atimeMs: 10_000, mtimeMs: 20_000 },
      },
    });
  });

  it('clamps a READ of 4 GiB to one packet', () => {
    const bytes = request(packetType.read).string('00000001').uint64(0).uint32(0xffff_ffff).finish();
    expect(parse(bytes)).toMatchObject({ length: sftpDataBytesMax });
  });

  it('gives WRITE its data as pieces, and ignores what is behind the length', () => {
    const bytes = request(packetType.write).string('00000001').uint64(7).string('data').raw(Buffer.alloc(99));
    const parsed = parse(bytes.finish());
    expect(parsed).toMatchObject({ type: 'write', offset: 7, length: 4 });
    expect(Buffer.concat(parsed.type === 'write' ? parsed.data : []).toString()).toBe('data');
  });

  it('refuses a WRITE that claims more than it brings, or more than one packet may hold', () => {
    const lying = request(packetType.write).string('00000001').uint64(0).uint32(5).raw(Buffer.from('data'));
    expect(statusOf(lying.finish())).toBe(5);
    for (const [length, status] of [
      [sftpDataBytesMax - 1, undefined],
      [sftpDataBytesMax, undefined],
      [sftpDataBytesMax + 1, 5],
    ] as const)
      expect(
        statusOf(request(packetType.write).string('1').uint64(0).string(Buffer.alloc(length)).finish()),
      ).toBe(status);
  });

  it('answers PERMISSION_DENIED for a path with NUL, U+FFFD or bytes that are no UTF-8', () => {
    for (const path of ['/a\0b', '/a\ufffd', Buffer.from([0x2f, 0xff])])
      expect(statusOf(request(packetType.stat).string(path).finish())).toBe(3);
  });

  it('ignores what later versions of the protocol put behind a request', () => {
    expect(parse(request(packetType.stat).string('/a').uint32(0x4).finish())).toMatchObject({ path: '/a' });
    const change = request(packetType.setstat).string('/a').uint32(0x14).uint32(0o600).uint32(0);
    expect(parse(change.finish())).toMatchObject({ attributes: { change: { mode: 0o600 } } });
  });

  it('answers BAD_MESSAGE for missing fields, handles that are too long, offsets beyond 2^53', () => {
    const bad = [
      request(packetType.setstat).string('/a').uint32(4),
      request(packetType.read).string('1').raw(Buffer.from('ffffffffffffffff', 'hex')).uint32(1),
      request(packetType.open).string('/a'),
      request(packetType.extended).string('statvfs@openssh.com').uint32(0x8000_0000),
      request(packetType.fstat).string(Buffer.alloc(257)),
    ];
    for (const bytes of bad) expect(statusOf(bytes.finish())).toBe(5);
  });

  it('knows the extensions it announces, and only those', () => {
    const extended = (name: string) => request(packetType.extended).string(name);
    const kinds = [
      extended('posix-rename@openssh.com').string('/a').string('/b'),
      extended('statvfs@openssh.com').string('/'),
      extended('fstatvfs@openssh.com').string('1'),
      extended('fsync@openssh.com').string('1'),
      extended('lsetstat@openssh.com').string('/a').uint32(0),
      extended('limits@openssh.com'),
      extended('expand-path@openssh.com').string('~/x'),
      extended('home-directory').string('alice'),
      extended('copy-data').string('1').uint64(0).uint64(0).string('2').uint64(0),
      extended('hardlink@openssh.com').string('/a').string('/b'),
    ].map((bytes) => parse(bytes.finish()).type);
    expect(kinds).toEqual([
      'rename',
      'statvfs',
      'fstatvfs',
      'fsync',
      'lsetstat',
      'limits',
      'expand-path',
      'home-directory',
      'copy-data',
      'unsupported',
    ]);
  });

  it('throws only RequestRefused or MalformedMessage, whatever the bytes (fuzz)', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(packetType), 99),
        fc.uint8Array({ maxLength: 80 }),
        (type, rest) => {
          expect(isJudged(Buffer.concat([Buffer.from([type]), Buffer.from(rest)]))).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('survives every single bit flip of a good request', () => {
    const good = request(packetType.open).string('/dir/file').uint32(26).uint32(4).uint32(0o644).finish();
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bytes = Buffer.from(good);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isJudged(bytes)).toBe(true);
    }
  });
});

describe('open flags', () => {
  const table: [string, number, ReturnType<typeof readOpenFlags>][] = [
    ['r', 1, { read: true, write: false, create: 'never', truncate: false, append: false }],
    ['w', 0x1a, { read: false, write: true, create: 'if-missing', truncate: true, append: false }],
    ['a', 0x0e, { read: false, write: true, create: 'if-missing', truncate: false, append: true }],
    ['r+', 3, { read: true, write: true, create: 'never', truncate: false, append: false }],
    ['x', 0x2a, { read: false, write: true, create: 'exclusive', truncate: false, append: false }],
    ['append alone', 4, { read: true, write: false, create: 'never', truncate: false, append: false }],
    ['nothing', 0, { read: true, write: false, create: 'never', truncate: false, append: false }],
    ['w x', 0x22, { read: false, write: true, create: 'never', truncate: false, append: false }],
    ['r t', 0x11, { read: true, write: false, create: 'never', truncate: true, append: false }],
    ['r c', 0x09, { read: true, write: false, create: 'if-missing', truncate: false, append: false }],
    [
      'r and an unknown bit',
      0x41,
      { read: true, write: false, create: 'never', truncate: false, append: false },
    ],
  ];
  it.each(table)('%s', (_name, flags, expected) => {
    expect(readOpenFlags(flags)).toEqual(expected);
  });
});
