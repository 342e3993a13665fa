import type { OutboundClient } from '#main-agent/outbound/http-client.ts';
import { whyUnreachable } from '#main-agent/outbound/reach.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import {
  asJsonString,
  asLine,
  asPlainText,
  asUrlPart,
  checkTemplate,
  fillTemplate,
  type Escape,
} from './template.ts';

/**
 * Sends a code as a text message through an HTTP gateway that the admin described as a template. Scheme and host are
 * the template's, whatever stands in the values; nothing of URL, headers or body is ever logged (S-11).
 */

export interface SmsOptions {
  /** May hold credentials (`https://user:password@…`) and placeholders, the latter not in scheme and host. */
  readonly url: string;
  readonly method: 'POST' | 'PUT' | 'GET';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
  readonly from: string;
  /** What a yes looks like; where a list is empty, a status of 2xx and any text. */
  readonly success?: AnswerPatterns;
  /** What a no looks like, whatever else the answer says. */
  readonly failure?: AnswerPatterns;
}

/** `*` in a text stands for anything; case makes no difference. */
interface AnswerPatterns {
  readonly status: readonly number[];
  readonly body: readonly string[];
}

export interface SmsGateway {
  /** Resolves when the gateway's answer is a yes; rejects `delivery-failed`. */
  send(message: { readonly to: string; readonly token: Secret }): Promise<void>;
  /** Why it can't be reached; undefined: somebody takes connections there. */
  check(): Promise<string | undefined>;
}

/** Gateways answer with a receipt, in which the configured texts are looked for; nothing of it is told or kept. */
const answerBytesMax = 64 * 1024;

const known = ['otp_to', 'otp_from', 'otp_token', 'otp_username', 'otp_password'];
const urlParts = /^(https?:\/\/)(?:([^/?#@]*)@)?([^/?#@{}]+)([/?].*)?$/;

/** Throws `config` when the template can't work. */
export function buildSmsGateway(options: SmsOptions, outbound: OutboundClient): SmsGateway {
  const [, scheme, credentials, host, rest = '/'] = urlParts.exec(options.url) ?? [];
  if (scheme === undefined || host === undefined || !URL.canParse(`${scheme}${host}`)) {
    throw new SallyportError('config', 'The SMS gateway is wrong', {
      detail: 'sms.url: not an http(s) address with a fixed host',
      hint: 'placeholders may stand after the host only',
    });
  }
  const { origin } = new URL(`${scheme}${host}`);
  checkTemplate('sms.url', `${credentials ?? ''}${rest}`, known);
  checkTemplate('sms.body', options.body, known);
  for (const [name, value] of Object.entries(options.headers))
    checkTemplate(`sms.headers.${name}`, value, known);
  const everywhere = [
    rest,
    ...Object.values(options.headers),
    ...(options.method === 'GET' ? [] : [options.body]),
  ];
  if (!everywhere.some((text) => text.includes('{otp_token}'))) {
    throw new SallyportError('config', 'The SMS gateway is wrong', {
      detail: 'sms: {otp_token} stands nowhere in what is sent',
    });
  }
  const escapeBody = bodyEscape(options.headers);

  return {
    check: async () => {
      const { hostname, port } = new URL(origin);
      const why = await whyUnreachable(
        hostname.replace(/^\[|\]$/g, ''),
        Number(port) || (scheme === 'https://' ? 443 : 80),
      );
      return why === undefined ? undefined : `${hostname}: ${why}`;
    },
    send: async ({ to, token }) => {
      const values = {
        otp_to: to,
        otp_from: options.from,
        otp_token: token.expose(),
        otp_username: options.username ?? '',
        otp_password: options.password?.expose() ?? '',
      };
      const url = new URL(fillTemplate(rest, values, asUrlPart), origin);
      if (url.origin !== origin) throw failed(`${host}: the address left the configured host`);
      const headers = Object.fromEntries(
        Object.entries(options.headers).map(([name, value]) => [name, fillTemplate(value, values, asLine)]),
      );
      const authorization = basicCredentials(options, credentials, everywhere, values);
      if (authorization !== undefined && !hasHeader(headers, 'authorization')) {
        headers['Authorization'] = authorization;
      }
      const answer = await outbound
        .send({
          url,
          method: options.method,
          headers,
          answerBytesMax,
          ...(options.method !== 'GET' && { body: fillTemplate(options.body, values, escapeBody) }),
        })
        .catch((cause: unknown) => {
          throw failed(describeOutbound(host, cause), cause);
        });
      if (answer.status >= 300 && answer.status < 400)
        throw failed(`${host}: redirect (${answer.status}) refused`);
      const no = findRefusal(answer, options);
      if (no !== undefined) throw failed(`${host}: ${no}`);
    },
  };
}

/** Why an answer is a no, in words of the configuration: the answer itself may repeat number and code. */
function findRefusal(
  { status, body }: { readonly status: number; readonly body: string },
  { success, failure }: SmsOptions,
): string | undefined {
  if (failure?.status.includes(status) === true) return `status ${status} is one of sms.failure`;
  const found = failure?.body.find((pattern) => stands(pattern, body));
  if (found !== undefined) return `status ${status}, and the answer has "${found}" of sms.failure`;
  const wanted = success?.status ?? [];
  const isGood = wanted.length > 0 ? wanted.includes(status) : status >= 200 && status < 300;
  if (!isGood) return `status ${status}`;
  const texts = success?.body ?? [];
  if (texts.length === 0 || texts.some((pattern) => stands(pattern, body))) return undefined;
  return `status ${status}, and the answer has nothing of sms.success`;
}

/** The parts between the `*` stand in the text, in this order: one pass, however the pattern was made. */
function stands(pattern: string, text: string): boolean {
  const lower = text.toLowerCase();
  let from = 0;
  for (const part of pattern.toLowerCase().split('*')) {
    const at = lower.indexOf(part, from);
    if (at === -1) return false;
    from = at + part.length;
  }
  return true;
}

/**
 * Credentials written into the URL, or else `username` and `password` where no placeholder uses them, go where
 * proxies and logs don't look.
 */
function basicCredentials(
  options: SmsOptions,
  inUrl: string | undefined,
  templates: readonly string[],
  values: Readonly<Record<string, string>>,
): string | undefined {
  if (inUrl !== undefined) {
    const [user = '', ...password] = inUrl.split(':');
    const plain = (text: string): string => fillTemplate(decodePercent(text), values, asPlainText);
    return toBasic(plain(user), plain(password.join(':')));
  }
  const used = templates.some((text) => /\{otp_(username|password)\}/.test(text));
  if (options.username === undefined || used) return undefined;
  return toBasic(options.username, options.password?.expose() ?? '');
}

function toBasic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function bodyEscape(headers: Readonly<Record<string, string>>): Escape {
  const type = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  if (/^application\/x-www-form-urlencoded/i.test(type)) return asUrlPart;
  if (/^application\/([a-z.+-]+\+)?json/i.test(type)) return asJsonString;
  return asLine;
}

function hasHeader(headers: Readonly<Record<string, string>>, name: string): boolean {
  return Object.keys(headers).some((one) => one.toLowerCase() === name);
}

/** Names no more of the request than its host. */
function describeOutbound(host: string, cause: unknown): string {
  if (isSallyportError(cause, 'deadline')) return `${host}: no answer in time`;
  if (isSallyportError(cause)) return cause.detail ?? cause.publicMessage;
  return `${host}: ${cause instanceof Error ? cause.message : String(cause)}`;
}

function failed(detail: string, cause?: unknown): SallyportError {
  return new SallyportError('delivery-failed', 'The text message could not be sent', { detail, cause });
}
