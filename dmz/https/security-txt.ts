import { finish, type Exchange } from './exchange/exchange.ts';
import { pageHeaders } from './exchange/headers.ts';

/**
 * `/.well-known/security.txt` (RFC 9116): where somebody who found a weakness of this service writes to. There is none
 * where nobody is named: an address that is not read is worse.
 */

export const securityTxtPath = '/.well-known/security.txt';

export interface SecurityTxt {
  /** `mailto:`, `https:` or `tel:`, the preferred one first. */
  readonly contact: readonly string[];
  /** What is read there, such as `en`; empty: not said. */
  readonly languages: readonly string[];
}

/** Renewed with every answer: who took it a quarter ago asks again (RFC 9116 §2.5.5 wants less than a year). */
const goodForMs = 90 * 24 * 3_600_000;

export function renderSecurityTxt(
  { contact, languages }: SecurityTxt,
  { publicUrl, nowMs }: { readonly publicUrl: string; readonly nowMs: number },
): string {
  const expires = new Date(nowMs + goodForMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return [
    ...contact.map((one) => `Contact: ${one}`),
    `Expires: ${expires}`,
    ...(languages.length === 0 ? [] : [`Preferred-Languages: ${languages.join(', ')}`]),
    `Canonical: ${publicUrl}${securityTxtPath}`,
    '',
  ].join('\r\n');
}

export function sendSecurityTxt(exchange: Exchange, text: string): Promise<void> {
  const body = Buffer.from(text);
  const type = ['Content-Type', 'text/plain; charset=utf-8', 'Content-Length', String(body.length)];
  return finish(exchange, 200, [...pageHeaders, 'Cache-Control', 'max-age=3600', ...type], body);
}
