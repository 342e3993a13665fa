import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { BoundedMap } from './bounded-map.ts';

/**
 * Addresses, the networks they are in, and who is one client: the same at the edge and inside.
 *
 * A source is an IPv4 address, or the /64 of an IPv6 address: a single customer has at least that many, so counting by
 * address would count nothing.
 *
 * Trust: addresses come from the kernel or from a node; networks from configuration, policy and bans.
 */

/** `::ffff:192.0.2.1` (an IPv4 client on a dual-stack socket) is 192.0.2.1; a link's zone is no part of an address. */
export function plainAddress(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip);
  return mapped?.[1] ?? ip.replace(/%.*$/, '');
}

/** The name scores and bans are kept under: `192.0.2.1` or `2001:db8:0:1::/64`. */
export function sourceOf(ip: string): string {
  const [source = ip] = networksOf(ip);
  return source;
}

/**
 * Who takes turns with whom: an IPv4 address, or the /56 of an IPv6 address. A household or a small office is given a
 * /56, so whoever changes addresses within one stays one.
 */
export function householdOf(ip: string): string {
  const [source = ip, household] = networksOf(ip);
  return source.endsWith('/64') && household !== undefined ? household : source;
}

/**
 * The source and the networks around it, narrowest first. IPv6: /64 (one customer's), /56 (what a household is given),
 * /48 (what a site, or a rented server, is given). IPv4: the address and its /24, the smallest that is routed by itself.
 */
export function networksOf(ip: string): readonly string[] {
  const address = plainAddress(ip);
  if (!isIPv6(address)) return [address, `${address.split('.').slice(0, 3).join('.')}.0/24`];
  const [one = '0', two = '0', three = '0', four = '0'] = firstGroups(address);
  const upperHalf = (Number.parseInt(four, 16) & 0xff00).toString(16);
  return [
    `${one}:${two}:${three}:${four}::/64`,
    `${one}:${two}:${three}:${upperHalf}::/56`,
    `${one}:${two}:${three}::/48`,
  ];
}

/** The four groups that name the /64. */
function firstGroups(ipv6: string): string[] {
  const [head = '', tail] = ipv6.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
}

/** `10.0.0.0/8`, `2001:db8::/32` and single addresses as one set. A network holds addresses of its own family only. */
export class Networks {
  readonly #families = { ipv4: new BlockList(), ipv6: new BlockList() };
  /** What can't be read; it holds nobody. */
  readonly bad: readonly string[];

  constructor(texts: readonly string[]) {
    this.bad = texts.filter((text) => !this.#add(text));
  }

  has(ip: string): boolean {
    const address = plainAddress(ip);
    const family = familyOf(address);
    return family !== undefined && this.#families[family].check(address, family);
  }

  #add(text: string): boolean {
    const [address = '', bits] = text.split('/');
    const family = familyOf(address);
    if (family === undefined) return false;
    const bitsMax = family === 'ipv4' ? 32 : 128;
    const prefix = bits === undefined ? bitsMax : /^\d+$/.test(bits) ? Number(bits) : Number.NaN;
    if (!(prefix <= bitsMax)) return false;
    this.#families[family].addSubnet(address, prefix, family);
    return true;
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  if (isIPv4(address)) return 'ipv4';
  return isIPv6(address) ? 'ipv6' : undefined;
}

/** All bans that there may be, and what the configuration and some thousand users name. */
const readNetworksMax = 10_000;
/** A network is asked again and again, and reading it costs more than asking it. */
const readNetworks = new BoundedMap<Networks>(readNetworksMax);

/** Is the address in one of these? What can't be read holds nobody. */
export function isInNetworks(ip: string, texts: readonly string[]): boolean {
  return texts.some((text) => {
    const known = readNetworks.get(text);
    if (known !== undefined) return known.has(ip);
    const read = new Networks([text]);
    readNetworks.set(text, read);
    return read.has(ip);
  });
}
