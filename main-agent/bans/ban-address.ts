import { isIP } from 'node:net';
import { SallyportError } from '#shared/error.ts';
import { prefixBitsMin } from './limits.ts';

/**
 * What a ban names. A single IPv6 address stands for its /64, as at the edge: one customer has at least that many.
 * Rejects `bad-request` what is no address, or too wide.
 */
export function requireBanAddress(text: string): string {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%'))
    throw new SallyportError('bad-request', 'That is no address or network', { detail: text });
  if (bits === undefined) return family === 6 ? `${address}/64` : address;
  const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  const most = family === 4 ? 32 : 128;
  const least = family === 4 ? prefixBitsMin.v4 : prefixBitsMin.v6;
  if (prefix >= least && prefix <= most) return text;
  throw new SallyportError('bad-request', 'That network can not be banned', {
    detail: `${text}; from /${least} to /${most}`,
  });
}
