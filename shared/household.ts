import { isIPv6 } from 'node:net';

/**
 * Who takes turns with whom: an IPv4 address, or the /56 of an IPv6 address. A household or a small office is given a
 * /56, so whoever changes addresses within one stays one.
 */
export function householdOf(ip: string): string {
  const address = ip.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  const [one = 0, two = 0, three = 0, four = 0] = groups.map((group) => Number.parseInt(group, 16));
  return `${[one, two, three, four & 0xff00].map((group) => group.toString(16)).join(':')}::/56`;
}
