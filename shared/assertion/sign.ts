import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { randomId } from '#shared/random-id.ts';
import { SallyportError } from '#shared/error.ts';
import {
  assertionBytesMax,
  assertionLifeSeconds,
  assertionType,
  claimsSchema,
  type AssertionClaims,
} from './claims.ts';

/**
 * Writes and signs a login assertion (JWS compact, EdDSA over Ed25519; RFC 7515, RFC 8037).
 * Runs on the DMZ. `jti`, `iat` and `exp` are set here so that no caller can stretch an assertion's life.
 */
export async function signAssertion(
  claims: Omit<AssertionClaims, 'jti' | 'iat' | 'exp'>,
  signer: { readonly kid: string; readonly privateKey: KeyObject; readonly nowMs: number },
): Promise<string> {
  const iat = Math.floor(signer.nowMs / 1000);
  const all = claimsSchema.parse({ ...claims, jti: randomId(), iat, exp: iat + assertionLifeSeconds });
  const jws = await new CompactSign(Buffer.from(JSON.stringify(all), 'utf8'))
    .setProtectedHeader({ typ: assertionType, alg: 'EdDSA', kid: signer.kid })
    .sign(signer.privateKey);
  if (jws.length > assertionBytesMax) {
    throw new SallyportError('bad-request', 'Too long', {
      detail: `assertion of ${jws.length} bytes; at most ${assertionBytesMax}`,
    });
  }
  return jws;
}
