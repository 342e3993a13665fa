import type { Secret } from '#shared/secret.ts';
import { encodeBase32 } from './base32.ts';
import type { TotpSettings } from './totp.ts';

/**
 * The otpauth URI an authenticator app reads (Google's Key Uri Format): label `issuer:account`, the issuer again as a
 * parameter, the secret as base32 without padding. Every parameter is written out, so that no app
 * guesses; otplib's own URI leaves out what is the default.
 */
export function buildOtpauthUri(
  secret: Secret<Buffer>,
  name: { readonly issuer: string; readonly account: string },
  settings: TotpSettings,
): string {
  // A colon inside would be read as the separator.
  const issuer = encodeURIComponent(name.issuer.replaceAll(':', ' '));
  const account = encodeURIComponent(name.account);
  const parameters = [
    `secret=${encodeBase32(secret.expose())}`,
    `issuer=${issuer}`,
    `algorithm=${settings.algorithm}`,
    `digits=${settings.digits}`,
    `period=${settings.periodSeconds}`,
  ];
  return `otpauth://totp/${issuer}:${account}?${parameters.join('&')}`;
}
