/**
 * X.509 certificates of our own making (RFC 5280): the one a node shows on the link, and what the throw-away authority
 * issues. Few fields, no parsing; `der.ts` writes them and node:crypto signs.
 */
import { createPublicKey, hash, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import type { Secret } from '#shared/secret.ts';
import {
  bitString,
  derTrue,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  tagged,
  time,
  utf8String,
} from './der.ts';
import { parseIdentityKey } from './identity-key.ts';

interface CertificateFields {
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  /** Ed25519 or P-256. */
  readonly signingKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

/** No date says anything about a pinned key: from before any clock to RFC 5280's "no well-defined expiration". */
const identityNotBefore = new Date('2000-01-01T00:00:00Z');
const identityNotAfter = new Date('9999-12-31T23:59:59Z');

/**
 * Self-signed certificate in PEM for an Ed25519 identity key. TLS wants one; trust is in the key alone, which the peer
 * has pinned, so it is made anew at each start. `name` is for people who look at it; nobody checks it.
 */
export function buildIdentityCertificate(privateKeyPem: Secret, name: string): string {
  const { privateKey } = parseIdentityKey(privateKeyPem);
  return buildCertificate({
    subject: name,
    issuer: name,
    notBefore: identityNotBefore,
    notAfter: identityNotAfter,
    publicKey: createPublicKey(privateKey),
    signingKey: privateKey,
    extensions: [],
  });
}

/** Certificate in PEM. */
export function buildCertificate(fields: CertificateFields): string {
  const isEd25519 = fields.signingKey.asymmetricKeyType === 'ed25519';
  // RFC 8410 §3 (Ed25519), RFC 5758 §3.2 (ecdsa-with-SHA256): neither has parameters.
  const algorithm = sequence(objectIdentifier(isEd25519 ? '1.3.101.112' : '1.2.840.10045.4.3.2'));
  const toBeSigned = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(randomSerial()),
    algorithm,
    commonName(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    commonName(fields.subject),
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    ...(fields.extensions.length === 0 ? [] : [tagged(0xa3, sequence(...fields.extensions))]),
  );
  const signature = sign(isEd25519 ? null : 'sha256', toBeSigned, fields.signingKey);
  return toPem('CERTIFICATE', sequence(toBeSigned, algorithm, bitString(signature)));
}

/** RFC 5280 §4.2.1.9; critical. An authority of ours has no authority below it. */
export function basicConstraints(isAuthority: boolean): Buffer {
  const value = isAuthority ? sequence(derTrue, integer(Buffer.from([0]))) : sequence();
  return extension('2.5.29.19', true, value);
}

/** RFC 5280 §4.2.1.2; strict verifiers want it in an authority's certificate. */
export function subjectKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension('2.5.29.14', false, octetString(keyIdentifier(publicKey)));
}

/** RFC 5280 §4.2.1.1. */
export function authorityKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension('2.5.29.35', false, sequence(tagged(0x80, keyIdentifier(publicKey))));
}

/** RFC 7093 §2 method 4 with SHA-256, cut to the customary 160 bits. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  return hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'buffer').subarray(0, 20);
}

/** RFC 5280 §4.2.1.3; critical. */
export function keyUsage(use: 'sign certificates' | 'sign handshakes'): Buffer {
  // Bit 5 keyCertSign and bit 6 cRLSign, or bit 0 digitalSignature, counted from the left.
  const value =
    use === 'sign certificates' ? bitString(Buffer.from([0x06]), 1) : bitString(Buffer.from([0x80]), 7);
  return extension('2.5.29.15', true, value);
}

/** RFC 5280 §4.2.1.12: id-kp-serverAuth. */
export function serverAuthentication(): Buffer {
  return extension('2.5.29.37', false, sequence(objectIdentifier('1.3.6.1.5.5.7.3.1')));
}

/** RFC 5280 §4.2.1.6. Names and IP addresses, told apart by their look. */
export function subjectAlternativeNames(names: readonly string[]): Buffer {
  const general = names.map((name) =>
    isIP(name) === 0 ? tagged(0x82, Buffer.from(name)) : tagged(0x87, addressOctets(name)),
  );
  return extension('2.5.29.17', false, sequence(...general));
}

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectIdentifier(oid), ...(critical ? [derTrue] : []), octetString(value));
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String(name))));
}

/** Positive, and at most 20 octets (RFC 5280 §4.1.2.2). */
function randomSerial(): Buffer {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40;
  return octets;
}

function addressOctets(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function toPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
