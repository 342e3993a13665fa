import { isIP } from 'node:net';
import { z } from 'zod';

/**
 * Values that people write with their unit, as schema pieces. Each is text in the file and a plain number or a small
 * object in the program; a bare number with a hidden unit is never accepted, nor is 0 for "unlimited" (`none`).
 */

/** Text that `parse` understands; anything else is "expected <expectation>". `pattern` is what editors are told. */
export function parsedText<T>(expectation: string, pattern: RegExp, parse: (text: string) => T | undefined) {
  return z
    .string({ error: expectation })
    .regex(pattern, { error: expectation, abort: true })
    .transform((text, context) => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.addIssue({ code: 'custom', message: expectation, input: text });
      return z.NEVER;
    });
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `30s`, `5m`, `12h`, `400d` → milliseconds. */
export function parseDuration(text: string): number | undefined {
  const [, amount, name] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = durationUnits[name ?? ''];
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor;
}

/** A duration of at least `min` and at most `max` (both as people write them) → milliseconds. */
export function duration(min: string, max: string) {
  const minMs = parseDuration(min) ?? 0;
  const maxMs = parseDuration(max) ?? Number.MAX_SAFE_INTEGER;
  return parsedText(
    `a duration from ${min} to ${max}, such as 30s, 5m, 12h or 7d`,
    /^\d{1,9}(ms|s|m|h|d)$/,
    (text) => {
      const value = parseDuration(text);
      return value !== undefined && value >= minMs && value <= maxMs ? value : undefined;
    },
  );
}

const off = z.literal('off').transform(() => null);

/** How long what is deleted is kept → milliseconds; null: not at all. A name's earlier holder is told apart for longer. */
export const binLife = z.union([off, duration('1m', '365d')]);

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};
const sizePattern = /^(\d{1,6}(?:\.\d{1,3})?) ?(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$/;

/** `20GiB` → bytes. */
function parseSize(text: string): number | undefined {
  const [, amount, name] = sizePattern.exec(text) ?? [];
  const factor = sizeUnits[name ?? ''];
  if (amount === undefined || factor === undefined) return undefined;
  const bytes = Math.round(Number(amount) * factor);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

export const size = parsedText('a size with its unit, such as 500MiB or 20GiB', sizePattern, parseSize);

/** `50MiB/s` → bytes per second. */
export const rate = parsedText(
  'a rate with its unit, such as 50MiB/s',
  /^\d{1,6}(?:\.\d{1,3})? ?(B|KiB|MiB|GiB|kB|MB|GB)\/s$/,
  (text) => parseSize(text.replace(/\/s$/, '')),
);

/** `10 in 15m` → how many in which time. */
export const countWithin = parsedText(
  'a count and a time, such as `10 in 15m`',
  /^[1-9]\d{0,5} in \d{1,9}(s|m|h|d)$/,
  (text) => {
    const [count, within] = text.split(' in ');
    const windowMs = parseDuration(within ?? '');
    return windowMs === undefined || windowMs === 0 ? undefined : { count: Number(count), windowMs };
  },
);

/** `none`: the limit or the thing does not exist. */
export const none = z.literal('none').transform(() => undefined);

/** `on`/`off` (or true/false) → boolean. */
export const onOff = z
  .union([z.boolean(), z.enum(['on', 'off'])])
  .transform((value) => value === true || value === 'on');

interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

function parseAddress(text: string): TcpAddress | undefined {
  const [, v6, name, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = v6 ?? name;
  if (host === undefined || port > 65_535) return undefined;
  return v6 !== undefined && isIP(v6) !== 6 ? undefined : { host, port };
}

/** Where to dial: host name or address, and port. */
export const dialAddress = parsedText(
  'an address and port, such as 10.0.1.5:8444 or [fd00::5]:8444',
  /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/,
  parseAddress,
);

/** Where to listen: an address of this machine, or a socket that systemd opened and hands over by name. */
export type Listen =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'systemd'; readonly name: string };

/** Port 0 takes a free one (tests, demo). */
export const listen = parsedText(
  'an IP address and port, such as 0.0.0.0:443, or systemd:<name>',
  /^(systemd:[A-Za-z0-9._-]{1,64}|(\[[0-9A-Fa-f:.]+\]|[0-9.]+):\d{1,5})$/,
  (text): Listen | undefined => {
    if (text.startsWith('systemd:')) return { type: 'systemd', name: text.slice('systemd:'.length) };
    const address = parseAddress(text);
    return address === undefined || isIP(address.host) === 0 ? undefined : { type: 'tcp', ...address };
  },
);

/** A network or one address, kept as written once it is known to be one. */
function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  if (bits === undefined) return true;
  return /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

export const cidr = parsedText(
  'an IP address or network, such as 203.0.113.9 or 203.0.113.0/24',
  /^[0-9A-Fa-f:.]+(\/\d{1,3})?$/,
  (text) => (isCidr(text) ? text : undefined),
);

/** Name of a node, storage or bait: short, plain, safe in logs, paths and certificates. */
export const plainName = word('a short name of letters, digits, - and _', /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/);

/** An Ed25519 fingerprint or public key as the pairing commands print it: 32 octets in base64, with or without prefix. */
export const keyText = word(
  'a key or fingerprint as `sallyport node init` and `sallyport main init` print it',
  /^(?:[A-Za-z0-9]{1,16}:)?[A-Za-z0-9+/_-]{43}=?$/,
);

function word(expectation: string, pattern: RegExp) {
  return z.string({ error: expectation }).regex(pattern, { error: expectation });
}

/** Absolute http(s) address without credentials, query or fragment. */
export function httpUrl(...schemes: readonly ('http' | 'https')[]) {
  return parsedText(`an address starting with ${schemes.join(':// or ')}://`, /^https?:\/\/\S+$/, (text) => {
    if (!URL.canParse(text)) return undefined;
    const url = new URL(text);
    const allowed = schemes.some((scheme) => url.protocol === `${scheme}:`);
    return allowed && url.username === '' && url.password === '' && url.hash === '' ? text : undefined;
  });
}

/** Least severe record that is written. */
export const logLevel = z
  .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
  .default('info');
