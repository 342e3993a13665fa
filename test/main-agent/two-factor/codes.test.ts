import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeBase32, encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { buildOtpauthUri } from '#main-agent/two-factor/otpauth-uri.ts';
import { drawQr } from '#main-agent/two-factor/qr.ts';
import { defaultTotpSettings, matchingSteps, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import {
  canonicalCode,
  groupByFour,
  isBypassShaped,
  isRecoveryShaped,
  makeBypassCode,
  makeDeliveredCode,
  makeRecoveryCode,
} from '#main-agent/two-factor/typed-codes.ts';
import { Secret } from '#shared/secret.ts';

describe('TOTP', () => {
  // RFC 6238, appendix B; 8 digits.
  const vectors: [number, 'SHA1' | 'SHA256' | 'SHA512', string][] = [
    [59, 'SHA1', '94287082'],
    [59, 'SHA256', '46119246'],
    [59, 'SHA512', '90693936'],
    [1_111_111_109, 'SHA1', '07081804'],
    [1_111_111_109, 'SHA256', '68084774'],
    [1_111_111_109, 'SHA512', '25091201'],
    [20_000_000_000, 'SHA1', '65353130'],
    [20_000_000_000, 'SHA256', '77737706'],
    [20_000_000_000, 'SHA512', '47863826'],
  ];
  const keyBytes = { SHA1: 20, SHA256: 32, SHA512: 64 };
  for (const [seconds, algorithm, code] of vectors)
    it(`RFC 6238: ${algorithm} at ${seconds} is ${code}`, () => {
      const key = Buffer.from('1234567890'.repeat(7)).subarray(0, keyBytes[algorithm]);
      const settings = { ...defaultTotpSettings, digits: 8 as const, algorithm };
      expect(totpCodeAt(new Secret(key), Math.floor(seconds / 30), settings)).toBe(code);
    });

  it('finds the steps at which a code is right, within reach and not beyond', () => {
    const secret = new Secret(randomBytes(20));
    const nowMs = 1_000_000 * 30_000;
    for (const distance of [-10, -1, 0, 1, 10]) {
      const code = new Secret(totpCodeAt(secret, 1_000_000 + distance, defaultTotpSettings));
      expect(matchingSteps(secret, code, nowMs, 10, defaultTotpSettings)).toContain(1_000_000 + distance);
      const near = matchingSteps(secret, code, nowMs, Math.abs(distance) - 1, defaultTotpSettings);
      expect(near).not.toContain(1_000_000 + distance);
    }
    for (const malformed of ['', '12345', '1234567', 'abcdef', ' 23456', '１２３４５６'])
      expect(matchingSteps(secret, new Secret(malformed), nowMs, 10, defaultTotpSettings)).toEqual([]);
  });
});

describe('base32', () => {
  it('agrees with RFC 4648, without padding', () => {
    for (const [text, expected] of [
      ['', ''],
      ['f', 'MY'],
      ['fo', 'MZXQ'],
      ['foo', 'MZXW6'],
      ['foob', 'MZXW6YQ'],
      ['fooba', 'MZXW6YTB'],
      ['foobar', 'MZXW6YTBOI'],
    ] as const) {
      expect(encodeBase32(Buffer.from(text))).toBe(expected);
      expect(decodeBase32(expected.toLowerCase())?.toString()).toBe(text);
    }
    expect(decodeBase32('0189')).toBeUndefined();
  });

  it('takes a secret of which the last bits belong to no octet, whatever they are', () => {
    expect(decodeBase32('MZXW6YR')?.toString()).toBe('foob');
  });
});

describe('otpauth URI', () => {
  it('names issuer and account as authenticator apps expect, and escapes both', () => {
    const secret = new Secret(Buffer.from('12345678901234567890'));
    const name = { issuer: 'Example: Files', account: 'a b@example.com' };
    expect(buildOtpauthUri(secret, name, defaultTotpSettings)).toBe(
      'otpauth://totp/Example%20%20Files:a%20b%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ' +
        '&issuer=Example%20%20Files&algorithm=SHA1&digits=6&period=30',
    );
  });
});

describe('QR picture', () => {
  it('is a square PNG of at least 240 pixels with a quiet zone of four modules, also for a long name', async () => {
    for (const text of ['otpauth://totp/x', 'x'.repeat(700)]) {
      const png = Buffer.from((await drawQr(text)).split(',')[1] ?? '', 'base64');
      expect(png.subarray(1, 4).toString()).toBe('PNG');
      const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
      expect(width).toBe(height);
      expect(width).toBeGreaterThanOrEqual(240);
    }
  });
});

describe('codes that people type', () => {
  it('have their lengths and alphabets', () => {
    expect(makeRecoveryCode(randomBytes)).toMatch(/^[A-Z2-7]{16}$/);
    expect(makeBypassCode(randomBytes)).toMatch(/^[A-Z2-7]{12}$/);
    expect(makeDeliveredCode(6, 'digits', randomBytes)).toMatch(/^[0-9]{6}$/);
    expect(makeDeliveredCode(8, 'alphanumeric', randomBytes)).toMatch(/^[2-9A-HJ-NP-Z]{8}$/);
    expect(isRecoveryShaped(makeRecoveryCode(randomBytes))).toBe(true);
    expect(isBypassShaped(makeBypassCode(randomBytes))).toBe(true);
  });

  it('every digit is as likely: octets that would favour some are thrown away', () => {
    const octets = Buffer.from([250, 255, 251, 249, 9, 0, 10, 1]);
    expect(makeDeliveredCode(4, 'digits', () => octets)).toBe('9900');
  });

  it('are shown in groups of four and read in any spelling', () => {
    expect(groupByFour('ABCDEFGHIJKLMNOP')).toBe('ABCD-EFGH-IJKL-MNOP');
    expect(canonicalCode(' abcd-efgh ijkl-mnop ')).toBe('ABCDEFGHIJKLMNOP');
  });
});
