import { createHash, randomBytes } from 'node:crypto';
import { Secret } from '#shared/secret.ts';

/**
 * A token as people hold it: `slp_<id>_<256 random bits>`. The id is no secret: lists and the audit name a token by it.
 * Of the whole only a plain SHA-256 is kept, which is enough for random bits that nobody can guess.
 */

const tokenPattern = /^slp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/;

export function makeToken(): { readonly id: string; readonly text: Secret; readonly hash: string } {
  const id = randomBytes(6).toString('hex');
  const text = `slp_${id}_${randomBytes(32).toString('base64url')}`;
  return { id, text: new Secret(text), hash: hashToken(text) };
}

/** `Authorization: Bearer …` (RFC 6750); undefined: it is no token of ours. */
export function readBearer(header: string): string | undefined {
  const [, text] = /^Bearer ([!-~]{1,256})$/i.exec(header) ?? [];
  return text !== undefined && tokenPattern.test(text) ? text : undefined;
}

export function hashToken(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
