import { Secret } from '#shared/secret.ts';
import { decodeBase32 } from './base32.ts';
import type { TotpSettings } from './totp.ts';

/**
 * A TOTP secret from another system, as base32 or as the otpauth URI that its users' apps have read (Google's Key Uri
 * Format). Nothing of the text is ever quoted: what can't be read may be a secret with a typing mistake.
 */

/** RFC 4226 §4 R6 wants 128 bits at least; longer than SHA-512's block is hashed first and gains nothing. */
const secretBytesMin = 16;
const secretBytesMax = 128;

interface ImportedSecret {
  readonly secret: Secret<Buffer>;
  /** Whose it is, as the URI's label says. */
  readonly account: string | undefined;
}

/** A text: why it can't be taken. */
export function parseImportedSecret(text: Secret, settings: TotpSettings): ImportedSecret | string {
  const plain = text.expose().trim();
  return /^otpauth:/i.test(plain) ? parseUri(plain, settings) : toImported(plain, undefined);
}

function parseUri(text: string, settings: TotpSettings): ImportedSecret | string {
  if (!URL.canParse(text)) return 'the otpauth URI can not be read';
  const { hostname, pathname, searchParams } = new URL(text);
  if (hostname.toLowerCase() !== 'totp') return 'only codes by the time are taken (otpauth://totp/…)';
  const said = {
    algorithm: (searchParams.get('algorithm') ?? 'SHA1').toUpperCase(),
    digits: searchParams.get('digits') ?? '6',
    period: searchParams.get('period') ?? '30',
  };
  const ours = {
    algorithm: settings.algorithm,
    digits: String(settings.digits),
    period: String(settings.periodSeconds),
  };
  for (const key of ['algorithm', 'digits', 'period'] as const)
    if (said[key] !== ours[key]) return `its ${key} is not ${ours[key]}, as two_factor.totp has it`;
  const account = decodeLabel(pathname);
  if (account === undefined) return 'the label of the otpauth URI can not be read';
  return toImported(searchParams.get('secret') ?? '', account);
}

/** `/Issuer:account` or `/account`. */
function decodeLabel(pathname: string): string | undefined {
  try {
    const label = decodeURIComponent(pathname.slice(1));
    return label.slice(label.indexOf(':') + 1).trim();
  } catch {
    return undefined;
  }
}

function toImported(base32: string, account: string | undefined): ImportedSecret | string {
  const octets = decodeBase32(base32);
  if (octets === undefined) return 'the secret is not base32';
  if (octets.length < secretBytesMin) return `the secret has fewer than ${8 * secretBytesMin} bits`;
  if (octets.length > secretBytesMax) return `the secret has more than ${8 * secretBytesMax} bits`;
  return { secret: new Secret(octets), account };
}
