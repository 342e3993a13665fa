import { isUserauthSignature, parseUserauthRequest } from '#shared/ssh-key/verify.ts';

/**
 * An early look at the proof of a key login, so that what can't be right doesn't travel. It changes nothing about who
 * is let in: main reads the same octets and decides.
 *
 * Trust: anybody's bytes; whatever `shared/ssh-key` calls malformed is simply not right.
 */
export function isSignatureRight(proof: {
  readonly algorithm: string;
  readonly key: Buffer;
  readonly signed: Buffer;
  readonly signature: Buffer;
}): boolean {
  try {
    const request = parseUserauthRequest(proof.signed);
    if (request.algorithm !== proof.algorithm || !request.key.blob.equals(proof.key)) return false;
    return isUserauthSignature(request, proof.signature);
  } catch {
    return false;
  }
}
