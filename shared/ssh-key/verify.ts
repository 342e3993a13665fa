import { isUtf8 } from 'node:buffer';
import { constants, verify } from 'node:crypto';
import { algorithmsOf, type SignatureAlgorithm } from './algorithms.ts';
import { parsePublicKeyBlob } from './parse.ts';
import type { SshPublicKey } from './public-key.ts';
import { malformed, WireReader } from './wire.ts';

/**
 * Checks the proof of a public key login (RFC 4252 §7): the octets the client signed, and its signature over them.
 *
 * Trust: both come from a stranger through a node that may be an attacker's. Everything a decision needs is read out
 * of the signed octets themselves; nothing is taken from beside them.
 * May not decide: whether the key is one of the user's, whether the name is a user's, whether the session id was seen
 * before. The login does that.
 */

/** Session id, names and the largest key we read, with room. */
const signedBytesMax = 12 * 1024;

/** What the client signed, read strictly. */
export interface UserauthRequest {
  /** Exchange hash of the connection's first key exchange. */
  readonly sessionId: Buffer;
  readonly user: string;
  readonly algorithm: SignatureAlgorithm;
  readonly key: SshPublicKey;
  /** The very octets. */
  readonly signed: Buffer;
}

/** Throws `bad-request` unless the octets are exactly the request of RFC 4252 §7 with a key and algorithm we accept. */
export function parseUserauthRequest(signed: Buffer): UserauthRequest {
  if (signed.length > signedBytesMax) throw malformed(`longer than ${signedBytesMax} bytes`);
  const reader = new WireReader(signed);
  const sessionId = reader.string();
  // The hash of a SHA-2 key exchange; SHA-1 exchanges (20 octets) are never offered.
  if (sessionId.length < 32 || sessionId.length > 64) throw malformed('session id is no SHA-2 hash');
  if (reader.byte() !== 50) throw malformed('not SSH_MSG_USERAUTH_REQUEST');
  const user = reader.string();
  if (!isUtf8(user)) throw malformed('user name is not UTF-8');
  if (reader.name() !== 'ssh-connection') throw malformed('service is not ssh-connection');
  if (reader.name() !== 'publickey') throw malformed('method is not publickey');
  if (!reader.boolean()) throw malformed('a probe, not a signed request');
  const algorithm = reader.name();
  const key = parsePublicKeyBlob(reader.string());
  reader.end();
  const known = algorithmsOf[key.type].find((name) => name === algorithm);
  if (known === undefined)
    throw malformed(`a ${key.type} key does not sign with ${JSON.stringify(algorithm)}`);
  return { sessionId, user: user.toString('utf8'), algorithm: known, key, signed };
}

/**
 * Whether `signature` (string algorithm, string blob; RFC 4253 §6.6) is this key's over these octets, by the algorithm
 * that the octets name. False for a well-formed but wrong one; throws `bad-request` for a malformed one.
 */
export function isUserauthSignature(request: UserauthRequest, signature: Buffer): boolean {
  const reader = new WireReader(signature);
  const algorithm = reader.name();
  const blob = reader.string();
  reader.end();
  if (algorithm !== request.algorithm)
    throw malformed('signature is of another algorithm than it was announced');
  const { key, signed } = request;
  switch (request.algorithm) {
    case 'ssh-ed25519':
      return blob.length === 64 && verify(null, signed, key.key, blob);
    case 'rsa-sha2-256':
      return isRsaSignature('sha256', request, blob);
    case 'rsa-sha2-512':
      return isRsaSignature('sha512', request, blob);
    case 'ecdsa-sha2-nistp256':
      return isEcdsaSignature('sha256', 32, request, blob);
    case 'ecdsa-sha2-nistp384':
      return isEcdsaSignature('sha384', 48, request, blob);
    case 'ecdsa-sha2-nistp521':
      return isEcdsaSignature('sha512', 66, request, blob);
  }
}

function isRsaSignature(hash: string, { key, signed }: UserauthRequest, blob: Buffer): boolean {
  const bytes = Math.ceil((key.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  if (blob.length === 0 || blob.length > bytes) return false;
  // RFC 4253 §6.6 writes the integer without padding, so one in 256 is shorter than the modulus.
  const padded = Buffer.concat([Buffer.alloc(bytes - blob.length), blob]);
  return verify(hash, signed, { key: key.key, padding: constants.RSA_PKCS1_PADDING }, padded);
}

/** RFC 5656 §3.1.2: the blob holds r and s as mpints. */
function isEcdsaSignature(
  hash: string,
  octets: number,
  { key, signed }: UserauthRequest,
  blob: Buffer,
): boolean {
  const reader = new WireReader(blob);
  const r = reader.positiveInteger();
  const s = reader.positiveInteger();
  reader.end();
  if (r.length > octets || s.length > octets) return false;
  const fixed = Buffer.alloc(2 * octets);
  r.copy(fixed, octets - r.length);
  s.copy(fixed, 2 * octets - s.length);
  return verify(hash, signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, fixed);
}
