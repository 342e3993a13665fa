import { describe, expect, it } from 'vitest';
import { parseImportedSecret } from '#main-agent/two-factor/imported-secret.ts';
import { buildOtpauthUri } from '#main-agent/two-factor/otpauth-uri.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { defaultTotpSettings } from '#main-agent/two-factor/totp.ts';
import { Secret } from '#shared/secret.ts';

const octets = Buffer.from('12345678901234567890');
const base32 = encodeBase32(octets);
const parse = (text: string, settings = defaultTotpSettings) =>
  parseImportedSecret(new Secret(text), settings);
const bytesOf = (text: string): string => {
  const read = parse(text);
  return typeof read === 'string' ? read : read.secret.expose().toString();
};

describe('a secret of another system', () => {
  it('is read as base32, however it is written', () => {
    for (const text of [base32, base32.toLowerCase(), base32.replaceAll(/(.{4})/g, '$1 '), `${base32}====`])
      expect(bytesOf(text)).toBe(octets.toString());
  });

  it('is read as the otpauth URI that apps read, and as others write it, with whom it names', () => {
    const own = buildOtpauthUri(
      new Secret(octets),
      { issuer: 'Old: System', account: 'alice@example.com' },
      defaultTotpSettings,
    );
    expect(parse(own)).toMatchObject({ account: 'alice@example.com' });
    expect(bytesOf(own)).toBe(octets.toString());
    expect(parse(`otpauth://totp/bob?secret=${base32}`)).toMatchObject({ account: 'bob' });
    expect(parse(`OTPAUTH://TOTP/Old%3A%20bob?secret=${base32}&algorithm=sha1`)).toMatchObject({
      account: 'bob',
    });
  });

  it.each([
    ['too short by a byte', encodeBase32(octets.subarray(0, 15)), 'fewer than 128 bits'],
    ['too long by a byte', encodeBase32(Buffer.alloc(129, 7)), 'more than 1024 bits'],
    ['no base32', 'not base32 at all!', 'not base32'],
    ['counting codes', `otpauth://hotp/bob?secret=${base32}&counter=1`, 'by the time'],
    ['another algorithm', `otpauth://totp/bob?secret=${base32}&algorithm=SHA256`, 'algorithm is not SHA1'],
    ['more digits', `otpauth://totp/bob?secret=${base32}&digits=8`, 'digits is not 6'],
    ['another period', `otpauth://totp/bob?secret=${base32}&period=60`, 'period is not 30'],
    ['no secret', 'otpauth://totp/bob', 'fewer than 128 bits'],
    ['a broken label', `otpauth://totp/%ZZ?secret=${base32}`, 'label'],
  ])('is refused and not quoted: %s', (_what, text, why) => {
    const read = parse(text);
    expect(read).toContain(why);
    expect(read).not.toContain(base32);
  });

  it('takes 128 bits and no less', () => {
    expect(parse(encodeBase32(octets.subarray(0, 16)))).toHaveProperty('secret');
    expect(parse(encodeBase32(Buffer.alloc(128, 7)))).toHaveProperty('secret');
  });
});
