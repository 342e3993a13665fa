import { isIPv4, isIPv6 } from 'node:net';

/**
 * The PROXY protocol's header, version 1 (text) and 2 (binary): what a balancer says of the client whose connection it
 * passes on. Source: HAProxy's "The PROXY protocol", sections 2.1 and 2.2.
 *
 * Trust: bytes of a balancer that the configuration lists, which anybody may reach who can reach the balancer. Strict:
 * what is not exactly a header is none, because whoever may write this line says who they are.
 */
export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

export type ProxyHeader =
  /** Not all there; what is there may still become a header. */
  | { readonly state: 'incomplete' }
  | { readonly state: 'invalid'; readonly why: string }
  /**
   * The first `bytes` were the header. `client` is undefined where the balancer speaks for itself: its health checks
   * (LOCAL in version 2, UNKNOWN in version 1).
   */
  | { readonly state: 'complete'; readonly bytes: number; readonly client: Endpoint | undefined };

/** Section 2.1: the longest line that can be, `PROXY UNKNOWN` with two IPv6 addresses included. */
const textBytesMax = 107;
/** Bytes after the fixed 16 that we wait for: addresses take 36, the rest is TLVs, of which TLS ones run to some KiB. */
const bodyBytesMax = 4096 - 16;
/** No header is longer; who has sent so many bytes and no header never will. */
export const proxyHeaderBytesMax = 4096;

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const textStart = Buffer.from('PROXY ', 'latin1');
const incomplete: ProxyHeader = { state: 'incomplete' };

export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0 || startsAlike(bytes, signature)) return parseBinary(bytes);
  if (startsAlike(bytes, textStart)) return parseText(bytes);
  return invalid('no PROXY header');
}

function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, textBytesMax).indexOf('\r\n', 0, 'latin1');
  if (end === -1) return bytes.length < textBytesMax ? incomplete : invalid('a line without an end');
  const length = end + 2;
  const [, family, ...words] = bytes.toString('latin1', 0, end).split(' ');
  // What follows UNKNOWN is to be ignored.
  if (family === 'UNKNOWN') return { state: 'complete', bytes: length, client: undefined };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : undefined;
  const [from = '', to = '', fromPort = '', toPort = ''] = words;
  const isWhole =
    words.length === 4 && isAddress?.(from) === true && isAddress(to) && isPort(fromPort) && isPort(toPort);
  if (!isWhole || from.includes('%')) return invalid('a line that is no header');
  const ip = family === 'TCP4' ? from : asKernelShows(from);
  return { state: 'complete', bytes: length, client: { ip, port: Number(fromPort) } };
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 0xffff;
}

/** Addresses of a family, both ends, and their ports. */
const addressBytes: Readonly<Record<number, number>> = { 1: 4, 2: 16 };

function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < 16) return incomplete;
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 0x0f;
  const family = bytes.readUInt8(13) >> 4;
  const transport = bytes.readUInt8(13) & 0x0f;
  const bodyBytes = bytes.readUInt16BE(14);
  if (version !== 2) return invalid(`version ${version}`);
  if (command > 1) return invalid(`command ${command}`);
  if (bodyBytes > bodyBytesMax) return invalid(`${bodyBytes} bytes of addresses and TLVs`);
  const length = 16 + bodyBytes;
  const local: ProxyHeader = { state: 'complete', bytes: length, client: undefined };
  if (command === 0) return bytes.length < length ? incomplete : local;
  const each = addressBytes[family];
  // AF_UNSPEC, a Unix socket or UDP is nobody that we can count, ban or write down: a balancer that passes on clients
  // must say who they are.
  if (each === undefined || transport !== 1) return invalid(`family ${family}, transport ${transport}`);
  if (bodyBytes < 2 * each + 4) return invalid(`${bodyBytes} bytes for two addresses of ${each}`);
  if (bytes.length < length) return incomplete;
  const address = bytes.subarray(16, 16 + each);
  const ip = each === 4 ? address.join('.') : groupsOf(address);
  return { state: 'complete', bytes: length, client: { ip, port: bytes.readUInt16BE(16 + 2 * each) } };
}

function groupsOf(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16));
  return asKernelShows(groups.join(':'));
}

/**
 * RFC 5952, or every spelling would be another client. A balancer that listens on one socket for both families says
 * `::ffff:192.0.2.7` of an IPv4 client: all of those would be one source, the /64 they have in common.
 */
function asKernelShows(ipv6: string): string {
  const ip = new URL(`http://[${ipv6}]/`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(ip) ?? [];
  if (high === undefined || low === undefined) return ip;
  return [high, low]
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 0xff])
    .join('.');
}

function invalid(why: string): ProxyHeader {
  return { state: 'invalid', why };
}
