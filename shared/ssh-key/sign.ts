import { constants, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { SignatureAlgorithm } from './algorithms.ts';
import { wirePositiveInteger, wireString } from './wire.ts';

/** Signatures of host keys (RFC 4253 §6.6, RFC 5656 §3.1.2, RFC 8332 §3, RFC 8709 §6), and what they are made over. */

const digests: Readonly<Record<SignatureAlgorithm, string | null>> = {
  'ssh-ed25519': null,
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
};

/** With a callback Node signs in its thread pool. */
const signInPool = promisify<string, Buffer, Parameters<typeof sign>[2], Buffer>(sign);

/** string algorithm, string value. The key must be one that signs by the algorithm. */
export async function signForSsh(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  octets: Buffer,
): Promise<Buffer> {
  return Buffer.concat([wireString(algorithm), wireString(await signatureValue(algorithm, key, octets))]);
}

/** The value alone. RSA takes milliseconds, as many as a stranger likes who asks for nothing else: off the event loop. */
async function signatureValue(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  octets: Buffer,
): Promise<Buffer> {
  const digest = digests[algorithm];
  if (algorithm.startsWith('rsa') && digest !== null)
    return signInPool(digest, octets, { key, padding: constants.RSA_PKCS1_PADDING });
  if (digest === null) return sign(null, octets, key);
  const fixed = sign(digest, octets, { key, dsaEncoding: 'ieee-p1363' });
  const half = fixed.length / 2;
  return Buffer.concat([
    wirePositiveInteger(fixed.subarray(0, half)),
    wirePositiveInteger(fixed.subarray(half)),
  ]);
}

/** The global request that asks for it. */
export const proofRequest = 'hostkeys-prove-00@openssh.com';

/** What a key signs to prove that the server has it (OpenSSH PROTOCOL §2.5). */
export function hostKeyProof(sessionId: Buffer, key: Buffer): Buffer {
  return Buffer.concat([wireString(proofRequest), wireString(sessionId), wireString(key)]);
}
