import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { twoFactorSchema } from '#main-agent/config-two-factor.ts';
import { encodeBase32 } from '#main-agent/two-factor/base32.ts';
import { totpSecretBytes } from '#main-agent/two-factor/limits.ts';
import { buildOtpauthUri } from '#main-agent/two-factor/otpauth-uri.ts';
import { drawQr } from '#main-agent/two-factor/qr.ts';
import { matchingSteps, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import { Secret } from '#shared/secret.ts';
import { oathtoolCode, pngOfDataUrl, readQrCode } from '#test/harness/qr-code.ts';

/**
 * What Google Authenticator and Microsoft Authenticator both read: Google's Key Uri Format, with the values that
 * neither lets an issuer change. Read here as they do, from the picture, by programs that know nothing of ours.
 */

const { totp } = twoFactorSchema.parse({});

/** As an app reads a scanned text; the names are the format's own. */
function readAsApp(text: string) {
  const uri = new URL(text);
  const label = decodeURIComponent(uri.pathname.replace(/^\/+(totp\/)?/, ''));
  const [prefix = '', ...account] = label.split(':');
  return {
    type: text.slice('otpauth://'.length, text.indexOf('/', 'otpauth://'.length)),
    prefix,
    account: account.join(':').trimStart(),
    parameters: Object.fromEntries(uri.searchParams),
  };
}

const names = [
  { issuer: 'Sallyport', account: 'alice' },
  { issuer: 'Files at Example', account: 'alice+files@example.com' },
  { issuer: 'Dateien & Mehr 100%', account: 'jürgen.groß?#1' },
  { issuer: '会社のファイル', account: '山田' },
];

describe('an authenticator app', () => {
  it.each(names)('shows $issuer and $account from the picture, and the right codes', async (name) => {
    const secret = new Secret(randomBytes(totpSecretBytes));
    const picture = pngOfDataUrl(await drawQr(buildOtpauthUri(secret, name, totp)));
    const read = readAsApp(await readQrCode(picture));
    expect(read).toEqual({
      type: 'totp',
      prefix: name.issuer,
      account: name.account,
      parameters: {
        secret: encodeBase32(secret.expose()),
        issuer: name.issuer,
        algorithm: 'SHA1',
        digits: '6',
        period: '30',
      },
    });
    // 160 bit without padding, which some apps refuse.
    expect(read.parameters['secret']).toMatch(/^[A-Z2-7]{32}$/);

    for (const at of ['1970-01-01 00:00:30', '2026-11-24 12:00:29', '2038-01-19 03:14:08']) {
      const nowMs = Date.parse(`${at.replace(' ', 'T')}Z`);
      const code = await oathtoolCode(read.parameters['secret'] ?? '', `${at} UTC`);
      expect(code).toBe(totpCodeAt(secret, stepAt(nowMs, totp), totp));
      expect(matchingSteps(secret, new Secret(code), nowMs, totp.skewSteps, totp)).toEqual([
        stepAt(nowMs, totp),
      ]);
    }
  });
});
