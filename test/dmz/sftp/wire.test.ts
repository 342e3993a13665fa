import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';

describe('SSH data types', () => {
  it('reads back what was written', () => {
    const bytes = new WireWriter()
      .byte(7)
      .boolean(true)
      .uint32(0xffff_ffff)
      .uint64(2 ** 53 - 1)
      .string('héllo');
    const reader = new WireReader(bytes.finish());
    expect([reader.byte(), reader.boolean(), reader.uint32(), reader.uint64(), reader.text(6)]).toEqual([
      7,
      true,
      0xffff_ffff,
      2 ** 53 - 1,
      'héllo',
    ]);
    reader.requireEnd();
  });

  it('refuses a string one byte longer than allowed, and takes one of exactly the limit', () => {
    const of = (length: number) => new WireReader(new WireWriter().string(Buffer.alloc(length)).finish());
    expect(of(9).string(10)).toHaveLength(9);
    expect(of(10).string(10)).toHaveLength(10);
    expect(() => of(11).string(10)).toThrow(MalformedMessage);
  });

  it('refuses a length with the top bit set, or beyond the buffer', () => {
    for (const length of ['80000001', 'ffffffff', '00000002'])
      expect(() => new WireReader(Buffer.from(`${length}61`, 'hex')).string(0xffff_ffff)).toThrow(
        MalformedMessage,
      );
  });

  it('refuses a uint64 that a number can not hold', () => {
    const of = (hex: string) => new WireReader(Buffer.from(hex, 'hex'));
    expect(of('001fffffffffffff').uint64()).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => of('0020000000000000').uint64()).toThrow(MalformedMessage);
    expect(() => of('ffffffffffffffff').uint64()).toThrow(MalformedMessage);
  });

  it('refuses text that is not UTF-8', () => {
    for (const hex of ['ff', 'c080', 'eda080', 'f8888080'])
      expect(() => new WireReader(new WireWriter().string(Buffer.from(hex, 'hex')).finish()).text(9)).toThrow(
        MalformedMessage,
      );
  });

  it('throws nothing but MalformedMessage, whatever the bytes', () => {
    expect.assertions(0); // the property itself judges
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new WireReader(Buffer.from(bytes));
        try {
          while (reader.left > 0) {
            reader.text(16);
            reader.uint64();
            reader.byte();
          }
          return true;
        } catch (error) {
          return error instanceof MalformedMessage;
        }
      }),
    );
  });
});
