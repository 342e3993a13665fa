import { SallyportError } from '#shared/error.ts';
import type { NetworkInterfaceInfo } from 'node:os';

/**
 * Where main dials in: an address of the inner network. It is guessed only where there is nothing to guess; the
 * outer interface must not get it by accident.
 */

const linkPortDefault = 8444;

export function chooseLinkAddress(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): string {
  const all = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address));
  const ipv4 = all.filter(({ family }) => family === 'IPv4');
  const addresses = (ipv4.length > 0 ? ipv4 : all).map(({ address }) => address);
  // No network at all: everything runs on this one box.
  if (addresses.length === 0) return withPort('127.0.0.1');
  const inner = addresses.filter(isPrivate);
  const [only] = inner.length === 1 ? inner : addresses;
  if (only !== undefined && (inner.length === 1 || addresses.length === 1)) return withPort(only);
  throw new SallyportError('usage', 'It is not clear on which address main shall dial in', {
    detail: `this machine has ${addresses.join(', ')}`,
    hint: `add --link-listen ${withPort(inner[0] ?? 'ADDRESS')} with the address of the inner network`,
  });
}

function withPort(address: string): string {
  return address.includes(':') ? `[${address}]:${linkPortDefault}` : `${address}:${linkPortDefault}`;
}

/** RFC 1918, RFC 6598, RFC 4193. */
function isPrivate(address: string): boolean {
  if (address.includes(':')) return /^f[cd]/i.test(address);
  const [a = 0, b = 0] = address.split('.').map(Number);
  return (
    a === 10 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 100 && b >= 64 && b < 128)
  );
}
