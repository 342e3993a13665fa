import { describe, expect, it } from 'vitest';
import { isGivenOnly, recogniseCode } from '#dmz/login/code-shape.ts';
import type { ChallengeView } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';

type Asked = NonNullable<ChallengeView['asked']>;
const base: Asked = { method: 'totp', hint: '', recovery: true, attemptsLeft: 5, shapes: [] };

function recognise(code: string, asked: Partial<Asked>) {
  const found = recogniseCode(new Secret(code), { ...base, ...asked });
  return found === undefined ? undefined : [found.code.expose(), found.method];
}

describe('the shape of a code', () => {
  it('is what was asked for, however people space it', () => {
    const shapes: Asked['shapes'] = ['digits6', 'recovery', 'bypass'];
    expect(recognise('123456', { shapes })).toEqual(['123456', 'totp']);
    expect(recognise(' 123 456\n', { shapes })).toEqual(['123456', 'totp']);
    expect(recognise('123\u2013456', { shapes })).toEqual(['123456', 'totp']);
    expect(recognise('abcd-efgh-ijkl-2345', { shapes })).toEqual(['ABCDEFGHIJKL2345', 'recovery']);
    expect(recognise('ABCD-EFGH-IJ23', { shapes })).toEqual(['ABCDEFGHIJ23', 'bypass']);
  });

  it('is the same in full-width characters and with characters that are not seen', () => {
    const shapes: Asked['shapes'] = ['digits6', 'recovery'];
    const unseen = ['\u200b', '\u200e', '\u2060', '\ufeff', '\u00ad', '\u00a0', '\u3000'];
    expect(recognise('１２３４５６', { shapes })).toEqual(['123456', 'totp']);
    expect(recognise('ａｂｃｄ－ｅｆｇｈ－ｉｊｋｌ－２３４５', { shapes })).toEqual([
      'ABCDEFGHIJKL2345',
      'recovery',
    ]);
    for (const one of unseen)
      expect([one, recognise(`${one}123${one}456${one}`, { shapes })]).toEqual([one, ['123456', 'totp']]);
  });

  it('of a delivered code has its own length and method', () => {
    const asked: Partial<Asked> = { method: 'sms', shapes: ['alphanumeric'], deliveredLength: 8 };
    expect(recognise('ab2d ef6h', asked)).toEqual(['AB2DEF6H', 'sms']);
    expect(recognise('AB2DEF6', asked)).toBeUndefined();
    expect(recognise('AB2DEF6H9', asked)).toBeUndefined();
  });

  it('is nothing else', () => {
    const shapes: Asked['shapes'] = ['digits6', 'recovery', 'bypass'];
    for (const code of [
      '',
      '12345',
      '1234567',
      '12345a',
      '١٢٣٤٥٦',
      'ABCDEFGHIJKLMNO1',
      'ABCDEFGHIJKLMNOPQ',
      'secret!',
      ' '.repeat(65),
    ])
      expect([code, recognise(code, { shapes })]).toEqual([code, undefined]);
    expect(recognise('ABCDEFGHIJKLMNOP', { shapes: ['digits6'] })).toBeUndefined();
    expect(recognise('12345678', { shapes: ['digits6'] })).toBeUndefined();
    expect(recognise('12345678', { shapes: ['digits8'] })).toEqual(['12345678', 'totp']);
  });

  it('is not looked for in more characters than a code with spaces has', () => {
    const shapes: Asked['shapes'] = ['digits6'];
    expect(recognise(`123456${' '.repeat(58)}`, { shapes })).toEqual(['123456', 'totp']);
    expect(recognise(`123456${' '.repeat(59)}`, { shapes })).toBeUndefined();
  });

  it('of a delivered code has digits and letters only', () => {
    const asked: Partial<Asked> = { method: 'sms', shapes: ['alphanumeric'], deliveredLength: 8 };
    expect(recognise('AB2DEF6!', asked)).toBeUndefined();
  });

  it('is given only where nothing else may be typed', () => {
    expect(isGivenOnly({ shapes: ['bypass'] })).toBe(true);
    expect(isGivenOnly({ shapes: ['digits6', 'bypass'] })).toBe(false);
    expect(isGivenOnly({ shapes: ['digits6'] })).toBe(false);
  });
});
