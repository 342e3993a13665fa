import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import { subjectAlternativeNames } from '#shared/identity/certificate.ts';
import { bitString, integer, objectIdentifier, sequence, set, tagged } from '#shared/identity/der.ts';

/**
 * A certificate signing request (PKCS #10, RFC 2986) in DER: the names as alternative names, no subject, as authorities
 * take neither a name from there nor what else it could say.
 */
export function buildCertificateRequest(names: readonly string[], key: KeyObject): Buffer {
  const extensionRequest = sequence(
    objectIdentifier('1.2.840.113549.1.9.14'),
    set(sequence(subjectAlternativeNames(names))),
  );
  const information = sequence(
    integer(Buffer.from([0])),
    sequence(),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    tagged(0xa0, extensionRequest),
  );
  // RFC 5758 §3.2: ecdsa-with-SHA256, without parameters.
  const algorithm = sequence(objectIdentifier('1.2.840.10045.4.3.2'));
  return sequence(information, algorithm, bitString(sign('sha256', information, key)));
}
