import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * What counts as one source: an IPv4 address, or the /64 of an IPv6 address (a single customer has at least that
 * many, so counting by address would count nothing); and the networks around it, which one owner may have whole.
 *
 * Trust: addresses come from the kernel; ranges from main's policy, whose bad entries are skipped.
 */

/** `::ffff:192.0.2.1` (an IPv4 client on a dual-stack socket) is 192.0.2.1. */
export function plainAddress(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip);
  return mapped?.[1] ?? ip.replace(/%.*$/, '');
}

/** The name scores and bans are kept under: `192.0.2.1` or `2001:db8:0:1::/64`. */
export function sourceOf(ip: string): string {
  const address = plainAddress(ip);
  return isIPv6(address) ? `${firstGroups(address).join(':')}::/64` : address;
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

/** `10.0.0.0/8`, `::1`, … as one set; what can't be read is returned in `bad` and protects nobody. */
export function parseRanges(ranges: readonly string[]): { set: BlockList; bad: string[] } {
  const set = new BlockList();
  const bad: string[] = [];
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined;
    const prefix = bits === undefined ? undefined : Number(bits);
    if (family === undefined) bad.push(range);
    else if (prefix === undefined) set.addAddress(address, family);
    else if (Number.isInteger(prefix) && prefix >= 0 && prefix <= (family === 'ipv4' ? 32 : 128))
      set.addSubnet(address, prefix, family);
    else bad.push(range);
  }
  return { set, bad };
}

export function isInRanges(set: BlockList, ip: string): boolean {
  const address = plainAddress(ip);
  if (isIPv4(address)) return set.check(address, 'ipv4');
  return isIPv6(address) && set.check(address, 'ipv6');
}
