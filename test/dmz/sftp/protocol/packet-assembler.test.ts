import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sftpPacketBytesMax } from '#dmz/sftp/limits.ts';
import { PacketAssembler } from '#dmz/sftp/protocol/packet-assembler.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';

function packetOf(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

describe('cutting a byte stream into SFTP packets', () => {
  it('gives the same packets however the bytes are cut', () => {
    const bodies = fc.array(fc.uint8Array({ minLength: 5, maxLength: 90 }), { maxLength: 8 });
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (parts, cuts) => {
        const stream = Buffer.concat(parts.map((part) => packetOf(Buffer.from(part))));
        const assembler = new PacketAssembler();
        const found: string[] = [];
        for (let position = 0, turn = 0; position < stream.length; turn++) {
          const end = position + (cuts[turn % cuts.length] ?? 1);
          assembler.push(stream.subarray(position, end));
          position = end;
          for (let packet = assembler.next(); packet !== undefined; packet = assembler.next())
            found.push(packet.whole().subarray(0, packet.length).toString('hex'));
        }
        expect(found).toEqual(parts.map((part) => Buffer.from(part).toString('hex')));
        expect(assembler.bufferedBytes).toBe(0);
      }),
    );
  });

  it('takes a packet of exactly the limit and refuses one byte more, or a length with the top bit', () => {
    const lengths = (length: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(length);
      return bytes;
    };
    const take = (length: number) => {
      const assembler = new PacketAssembler();
      assembler.push(lengths(length));
      return assembler.next();
    };
    expect(take(sftpPacketBytesMax)).toBeUndefined();
    expect(take(5)).toBeUndefined();
    for (const length of [sftpPacketBytesMax + 1, 0x8000_0000, 0xffff_ffff, 4, 0])
      expect(() => take(length)).toThrow(MalformedMessage);
  });

  it('keeps a flood of one-byte pieces small', () => {
    const assembler = new PacketAssembler();
    const stream = packetOf(Buffer.alloc(100_000, 1));
    for (const byte of stream) assembler.push(Buffer.from([byte]));
    const packet = assembler.next();
    expect(packet?.slice(0, 100_000).length).toBeLessThan(1024);
    expect(Buffer.concat(packet?.slice(0, 100_000) ?? []).equals(Buffer.alloc(100_000, 1))).toBe(true);
  });

  it('slices across pieces without taking more than asked', () => {
    const assembler = new PacketAssembler();
    const body = Buffer.from('abcdefghijklmnop');
    const stream = packetOf(body);
    for (let at = 0; at < stream.length; at += 3) assembler.push(stream.subarray(at, at + 3));
    const packet = assembler.next();
    expect(Buffer.concat(packet?.slice(2, 11) ?? []).toString()).toBe('cdefghijk');
    expect(packet?.head(4).subarray(0, 4).toString()).toBe('abcd');
  });
});
