import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { Secret } from '#shared/secret.ts';
import { formatPublicKeyLine, parsePublicKeyBlob } from './parse.ts';
import type { SshPublicKey } from './public-key.ts';
import { malformed, WireReader, wireString, wireUint32 } from './wire.ts';

/**
 * Ed25519 private keys as `ssh-keygen` writes them (PROTOCOL.key of OpenSSH, "openssh-key-v1"), without a passphrase:
 * the SSH host key and the demo's user key. Mode 0600 is the writer's care.
 */

const begin = '-----BEGIN OPENSSH PRIVATE KEY-----';
const end = '-----END OPENSSH PRIVATE KEY-----';
const magic = Buffer.from('openssh-key-v1\0', 'latin1');
/** Padding goes up to this with cipher "none". */
const blockBytes = 8;
const fileBytesMax = 16 * 1024;
const columns = 70;

interface GeneratedKey {
  /** Content of the private key file. */
  readonly file: Secret;
  /** Content of the `.pub` file, without the newline. */
  readonly publicLine: string;
}

export function generatePrivateKeyFile(comment: string): GeneratedKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  return formatPrivateKeyFile(privateKey, comment);
}

export function formatPrivateKeyFile(privateKey: KeyObject, comment: string): GeneratedKey {
  if (privateKey.asymmetricKeyType !== 'ed25519') throw malformed('only Ed25519 keys are written');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(d, 'base64url');
  const point = Buffer.from(x, 'base64url');
  const blob = Buffer.concat([wireString('ssh-ed25519'), wireString(point)]);
  const check = randomBytes(4);
  const inner = Buffer.concat([
    check,
    check,
    blob,
    wireString(Buffer.concat([seed, point])),
    wireString(comment),
  ]);
  const padding = Buffer.from(
    Array.from({ length: (blockBytes - (inner.length % blockBytes)) % blockBytes }, (_, i) => i + 1),
  );
  const outer = Buffer.concat([
    magic,
    wireString('none'),
    wireString('none'),
    wireString(''),
    wireUint32(1),
    wireString(blob),
    wireString(Buffer.concat([inner, padding])),
  ]);
  const lines = outer.toString('base64').match(new RegExp(`.{1,${columns}}`, 'g')) ?? [];
  return {
    file: new Secret([begin, ...lines, end, ''].join('\n')),
    publicLine: formatPublicKeyLine(parsePublicKeyBlob(blob, comment)),
  };
}

/** Throws `bad-request` for anything but an unencrypted Ed25519 key whose parts agree. */
export function parsePrivateKeyFile(file: Secret): {
  readonly privateKey: KeyObject;
  readonly publicKey: SshPublicKey;
} {
  const text = file.expose().trim();
  if (text.length > fileBytesMax) throw malformed(`longer than ${fileBytesMax} bytes`);
  if (!text.startsWith(begin) || !text.endsWith(end)) throw malformed('not an OpenSSH private key file');
  const base64 = text.slice(begin.length, -end.length).replaceAll(/\s/g, '');
  const octets = Buffer.from(base64, 'base64');
  if (octets.toString('base64') !== base64) throw malformed('not base64');
  if (!octets.subarray(0, magic.length).equals(magic)) throw malformed('not openssh-key-v1');
  const outer = new WireReader(octets.subarray(magic.length));
  const cipher = outer.name();
  if (cipher !== 'none') throw malformed(`encrypted with ${cipher}; a key without passphrase is needed`);
  if (outer.name() !== 'none' || outer.string().length !== 0)
    throw malformed('key derivation without cipher');
  if (outer.uint32() !== 1) throw malformed('more than one key');
  const blob = outer.string();
  const inner = new WireReader(outer.string());
  outer.end();

  if (inner.uint32() !== inner.uint32()) throw malformed('check numbers differ');
  const type = inner.name();
  if (type !== 'ssh-ed25519') throw malformed(`a ${type} key; only ssh-ed25519 is read`);
  const point = inner.string();
  const pair = inner.string();
  const comment = inner.string().toString('utf8');
  const padding = inner.rest();
  if (padding.length >= blockBytes || padding.some((octet, i) => octet !== i + 1))
    throw malformed('bad padding');

  const publicKey = parsePublicKeyBlob(blob, comment);
  const x = point.toString('base64url');
  if (pair.length !== 64 || !pair.subarray(32).equals(point)) throw malformed('the two halves do not agree');
  const d = pair.subarray(0, 32).toString('base64url');
  const privateKey = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' });
  const derived = createPublicKey(privateKey);
  if (derived.export({ format: 'jwk' }).x !== x || !derived.equals(publicKey.key)) {
    throw malformed('the private key is not the public key’s');
  }
  return { privateKey, publicKey };
}
