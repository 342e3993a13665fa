import { init, rawBytes, rawPacket, stat, text, uint32, uint64 } from '../requests.ts';
import { here, row, type Row, type Table } from '../row.ts';

/** A session of its own: what breaks it may not break other rows. */
function alone(title: string, steps: Row['steps']): Row {
  return row(title, [init(3), ...steps], { breaks: true });
}

/** The session goes on. */
const stillThere = here('answered', 'ATTRS file 644 5 bytes at 1000000000', stat('five'));

/** Types that are no request's are left out: OpenSSH stays silent then, and takes the next request only with more input. */
export const messages: Table = {
  title: 'Messages that are wrong',
  rows: [
    row('INIT of version 4', [init(4), stat('five')], { breaks: true }),
    row('INIT of version 6', [init(6), stat('five')], { breaks: true }),
    row('INIT of version 2', [init(2), stat('five')], { breaks: true }),
    row('INIT twice', [init(3), init(3), stat('five')], { breaks: true }),
    row('a request before INIT', [stat('five')], { breaks: true }),
    alone('a packet of no bytes', [rawBytes('a length of 0', uint32(0)), stat('five')]),
    alone('a packet without an id', [
      rawBytes('a length of 1, STAT', uint32(1), Buffer.of(17)),
      stat('five'),
    ]),
    alone('a packet longer than limits@ names', [
      rawBytes('a length of 262145', uint32(262_145), Buffer.alloc(100)),
      stat('five'),
    ]),
    alone('a packet of 4 GiB', [
      rawBytes('a length of 2^32 - 1', uint32(2 ** 32 - 1), Buffer.alloc(100)),
      stat('five'),
    ]),
    alone('STAT without a path', [here('answered', 'BAD_MESSAGE', rawPacket(17, 'STAT')), stillThere]),
    alone('STAT whose path is longer than the packet', [
      here('answered', 'BAD_MESSAGE', rawPacket(17, 'STAT', uint32(100), Buffer.from('short'))),
      stillThere,
    ]),
    alone('STAT whose path is said to be 4 GiB', [
      here('answered', 'BAD_MESSAGE', rawPacket(17, 'STAT', uint32(2 ** 32 - 1), Buffer.from('short'))),
      stillThere,
    ]),
    alone('OPEN without attributes', [
      here('answered', 'BAD_MESSAGE', rawPacket(3, 'OPEN', text('x'), uint32(1))),
      stillThere,
    ]),
    alone('MKDIR without attributes', [
      here('answered', 'BAD_MESSAGE', rawPacket(14, 'MKDIR', text('x'))),
      stillThere,
    ]),
    alone('READ without a length', [
      here('answered', 'BAD_MESSAGE', rawPacket(5, 'READ', text('x'), uint64(0))),
      stillThere,
    ]),
    alone('WRITE whose data is longer than the packet', [
      here(
        'answered',
        'BAD_MESSAGE',
        rawPacket(6, 'WRITE', text('x'), uint64(0), uint32(100), Buffer.from('short')),
      ),
      stillThere,
    ]),
    alone('RENAME with one path', [
      here('answered', 'BAD_MESSAGE', rawPacket(18, 'RENAME', text('x'))),
      stillThere,
    ]),
    alone('an extension whose name is longer than the packet', [
      here('answered', 'BAD_MESSAGE', rawPacket(200, 'EXTENDED', uint32(50), Buffer.from('x'))),
      stillThere,
    ]),
    row('STAT with bytes left over', [
      rawPacket(17, 'STAT no + 4 bytes', text('no-such-name-anywhere'), uint32(7)),
      stat('five'),
    ]),
    row('CLOSE with bytes left over', [
      rawPacket(4, 'CLOSE + 4 bytes', text('none'), uint32(7)),
      stat('five'),
    ]),
    row('READ with bytes left over', [
      rawPacket(5, 'READ + 4 bytes', text('none'), uint64(0), uint32(5), uint32(7)),
      stat('five'),
    ]),
    row('WRITE with bytes left over', [
      rawPacket(6, 'WRITE + 4 bytes', text('none'), uint64(0), text('x'), uint32(7)),
      stat('five'),
    ]),
    row('SETSTAT with a flag that version 3 does not know', [
      rawPacket(9, 'SETSTAT flags=10 (hexadecimal)', text('no-such-name-anywhere'), uint32(0x10)),
      rawPacket(9, 'SETSTAT flags=14 mode=600', text('no-such-name-anywhere'), uint32(0x14), uint32(0o600)),
      stat('five'),
    ]),
    row('OPEN with an attribute flag that version 3 does not know', [
      rawPacket(3, 'OPEN flags=10', text('no-such-name-anywhere'), uint32(1), uint32(0x10)),
      stat('five'),
    ]),
    row('forty extended attributes', [
      rawPacket(
        3,
        'OPEN extended=40',
        text('no-such-name-anywhere'),
        uint32(1),
        uint32(0x8000_0000),
        uint32(40),
        ...Array.from({ length: 80 }, () => text('x')),
      ),
      stat('five'),
    ]),
    alone('a million extended attributes that are not there', [
      here(
        'answered',
        'BAD_MESSAGE',
        rawPacket(
          3,
          'OPEN extended=1000000',
          text('no-such-name-anywhere'),
          uint32(1),
          uint32(0x8000_0000),
          uint32(1_000_000),
        ),
      ),
      stillThere,
    ]),
    row('RENAME with flags of later versions', [
      rawPacket(18, 'RENAME + flags', text('no-such-name-anywhere'), text('x'), uint32(1)),
      stat('five'),
    ]),
    row('REALPATH with the fields of later versions', [
      rawPacket(16, 'REALPATH + byte', text('.'), Buffer.of(1)),
      stat('five'),
    ]),
    row('STAT with the flags of later versions', [
      rawPacket(17, 'STAT + flags', text('no-such-name-anywhere'), uint32(0)),
      stat('five'),
    ]),
  ],
};
