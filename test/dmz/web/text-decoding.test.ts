import { describe, expect, it } from 'vitest';
import { decodeText } from '#dmz/web/files/text-decoding.ts';

const utf16 = (text: string, isBig = false): Buffer => {
  const bytes = Buffer.from(text, 'utf16le');
  return isBig ? bytes.swap16() : bytes;
};
const whole = (...parts: (Buffer | number[])[]): string | undefined =>
  decodeText(Buffer.concat(parts.map((part) => Buffer.from(part))), false);

describe('a text in a preview', () => {
  it('is read as its byte order mark says, and the mark is not shown', () => {
    expect(whole([0xef, 0xbb, 0xbf], Buffer.from('Größe'))).toBe('Größe');
    expect(whole([0xff, 0xfe], utf16('Größe 大'))).toBe('Größe 大');
    expect(whole([0xfe, 0xff], utf16('Größe 大', true))).toBe('Größe 大');
  });

  it('is UTF-8 where it can be, and else the letters of Windows', () => {
    expect(whole(Buffer.from('請求書 – Größe'))).toBe('請求書 – Größe');
    expect(whole(Buffer.from('Größe', 'latin1'))).toBe('Größe');
    expect(whole(Buffer.from('5 '), [0x80], Buffer.from(' \u00e9', 'latin1'), [0x93])).toBe('5 € é“');
    expect(whole()).toBe('');
  });

  it('is UTF-16 without a mark where every other byte is zero', () => {
    expect(whole(utf16('Größe; Länge\r\n'))).toBe('Größe; Länge\r\n');
    expect(whole(utf16('Größe; Länge\r\n', true))).toBe('Größe; Länge\r\n');
  });

  it('may be cut in the middle of a letter', () => {
    const bytes = Buffer.from('ab 請求書');
    for (const end of [bytes.length, bytes.length - 1, bytes.length - 2])
      expect(decodeText(bytes.subarray(0, end), true)).toMatch(/^ab 請求/);
    expect(decodeText(bytes.subarray(0, bytes.length - 1), false)).toContain('è«');
    const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), utf16('abc')]);
    expect(decodeText(wide.subarray(0, wide.length - 1), true)).toBe('ab');
  });

  it('is none when it is no text', () => {
    expect(whole([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 1, 0xff])).toBeUndefined();
    expect(whole([0, 0, 0, 0])).toBeUndefined();
    expect(whole([0xff, 0xfe, 0x00, 0xd8])).toBeUndefined();
  });
});
