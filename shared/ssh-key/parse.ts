import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { ErrorData } from '#shared/error.ts';
import type { SshPublicKey } from './public-key.ts';
import { malformed, WireReader } from './wire.ts';

/**
 * Reads SSH public keys (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4), from the wire or from a line of a `.pub` file.
 *
 * Trust: blobs come from strangers, lines from admins and users. One key has exactly one blob here, so that comparing
 * blobs compares keys. Weak keys and kinds whose proof we can't check (`sk-`, certificates, DSA) are refused.
 * Errors: `bad-request`, with what is wrong in the private detail, and in a word where people can choose another key.
 */

/** A 16,384-bit RSA key takes 2 KiB. */
const blobBytesMax = 4_096;
/** The blob in base64, its type, and a comment of honest length. */
const lineBytesMax = 8_192;
const rsaBitsMin = 3_072;
const rsaBitsMax = 16_384;

type KeyType = SshPublicKey['type'];

const otherType: ErrorData = { weakness: 'key-type' };

const curves = {
  'ecdsa-sha2-nistp256': { name: 'nistp256', jwk: 'P-256', octets: 32 },
  'ecdsa-sha2-nistp384': { name: 'nistp384', jwk: 'P-384', octets: 48 },
  'ecdsa-sha2-nistp521': { name: 'nistp521', jwk: 'P-521', octets: 66 },
} as const;

/** One line as in `id_ed25519.pub`: type, blob in base64, comment. Options (authorized_keys) are refused. */
export function parsePublicKeyLine(text: string): SshPublicKey {
  const line = text.trim();
  if (Buffer.byteLength(line) > lineBytesMax) throw malformed(`line is longer than ${lineBytesMax} bytes`);
  if (/[\p{Cc}]/u.test(line.replaceAll('\t', ' ')))
    throw malformed('more than one line, or control characters');
  const [, type = '', base64 = '', comment = ''] = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(line) ?? [];
  requireKnownType(type);
  const blob = Buffer.from(base64, 'base64');
  if (blob.toString('base64') !== base64) throw malformed('the second word is not base64');
  const key = parsePublicKeyBlob(blob, comment);
  if (key.type !== type) throw malformed(`says ${type} but holds ${key.type}`);
  return key;
}

export function parsePublicKeyBlob(blob: Buffer, comment = ''): SshPublicKey {
  if (blob.length > blobBytesMax) throw malformed(`key is longer than ${blobBytesMax} bytes`);
  const reader = new WireReader(blob);
  const type = requireKnownType(reader.name());
  const importKey = readKey(type, reader);
  reader.end();
  const fingerprint = `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
  let key: KeyObject | undefined;
  return {
    type,
    blob: Buffer.from(blob),
    fingerprint,
    comment,
    get key() {
      return (key ??= importKey());
    },
  };
}

export function formatPublicKeyLine(key: SshPublicKey): string {
  return `${key.type} ${key.blob.toString('base64')}${key.comment === '' ? '' : ` ${key.comment}`}`;
}

function requireKnownType(type: string): KeyType {
  switch (type) {
    case 'ssh-ed25519':
    case 'ssh-rsa':
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return type;
    default:
      if (type.startsWith('sk-')) throw malformed('security-key types (sk-…) are not supported', otherType);
      if (type.includes('-cert-')) throw malformed('certificates are not supported', otherType);
      if (type === 'ssh-dss') throw malformed('DSA keys are too weak', otherType);
      throw malformed(`unknown key type ${JSON.stringify(type.slice(0, 64))}`);
  }
}

/** What makes the key object; all that can be wrong with the key is found before. */
function readKey(type: KeyType, reader: WireReader): () => KeyObject {
  if (type === 'ssh-ed25519') return readEd25519(reader);
  const key = type === 'ssh-rsa' ? readRsa(reader) : readEcdsa(type, reader);
  return () => key;
}

/** Imported when it is used: of ten thousand stored keys few are, and each costs memory outside the heap. */
function readEd25519(reader: WireReader): () => KeyObject {
  const octets = reader.string();
  if (octets.length !== 32) throw malformed('an Ed25519 key has 32 octets');
  requireStrongPoint(octets);
  const x = octets.toString('base64url');
  return () => importJwk({ kty: 'OKP', crv: 'Ed25519', x });
}

function readRsa(reader: WireReader): KeyObject {
  const e = reader.positiveInteger();
  const n = reader.positiveInteger();
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24;
  if (bits < rsaBitsMin)
    throw malformed(`RSA key of ${bits} bits; at least ${rsaBitsMin}`, {
      weakness: 'key-too-short',
      minimum: rsaBitsMin,
    });
  if (bits > rsaBitsMax) throw malformed(`RSA key of ${bits} bits; at most ${rsaBitsMax}`);
  // e = 1 would let anybody sign; above 32 bits a check would cost far more than any honest key needs.
  if (e.length > 4 || ((e.at(-1) ?? 0) & 1) === 0 || (e.length === 1 && (e[0] ?? 0) < 3)) {
    throw malformed('RSA exponent is even, below 3 or above 32 bits');
  }
  if (((n.at(-1) ?? 0) & 1) === 0) throw malformed('RSA modulus is even');
  return importJwk({ kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') });
}

function readEcdsa(type: keyof typeof curves, reader: WireReader): KeyObject {
  const curve = curves[type];
  if (reader.name() !== curve.name) throw malformed('curve is not that of the key type');
  const point = reader.string();
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.octets) throw malformed('point is not uncompressed');
  const x = point.subarray(1, 1 + curve.octets).toString('base64url');
  const y = point.subarray(1 + curve.octets).toString('base64url');
  return importJwk({ kty: 'EC', crv: curve.jwk, x, y });
}

/** node:crypto checks that a point of a NIST curve lies on it. */
function importJwk(key: Readonly<Record<string, string>>): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch (error) {
    throw malformed(`no such key: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** y of the points of small order (the sign bit cleared); under such a "key" one signature fits many messages. */
const smallOrder: readonly string[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

function requireStrongPoint(octets: Buffer): void {
  const y = Buffer.from(octets);
  y[31] = (y[31] ?? 0) & 0x7f;
  if (smallOrder.includes(y.toString('hex'))) throw malformed('Ed25519 point of small order');
  // RFC 8032 §5.1.3: y must be below p = 2^255 − 19; otherwise one key would have two spellings.
  if (y[31] === 0x7f && y.subarray(1, 31).every((octet) => octet === 0xff) && (y[0] ?? 0) >= 0xed) {
    throw malformed('Ed25519 point is not canonical');
  }
}
