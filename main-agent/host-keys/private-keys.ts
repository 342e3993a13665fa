import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyBlob } from '#shared/ssh-key/parse.ts';
import { formatPrivateKeyFile, parsePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { wirePositiveInteger, wireString } from '#shared/ssh-key/wire.ts';
import { rsaBitsMax } from './limits.ts';

/** Private host keys as an admin brings them, and takes them back. */

/** Throws `bad-request` for a kind that SSH has no name for, and for one that is too weak. */
export function publicKeyOf(privateKey: KeyObject): SshPublicKey {
  return parsePublicKeyBlob(blobOf(privateKey));
}

/** RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4. Throws `bad-request`. */
function blobOf(privateKey: KeyObject): Buffer {
  const {
    kty,
    crv = '',
    x = '',
    y = '',
    n = '',
    e = '',
  } = createPublicKey(privateKey).export({ format: 'jwk' });
  const octets = (text: string): Buffer => Buffer.from(text, 'base64url');
  if (kty === 'OKP' && crv === 'Ed25519')
    return Buffer.concat([wireString('ssh-ed25519'), wireString(octets(x))]);
  if (kty === 'RSA')
    return Buffer.concat([
      wireString('ssh-rsa'),
      wirePositiveInteger(octets(e)),
      wirePositiveInteger(octets(n)),
    ]);
  const curve = { 'P-256': 'nistp256', 'P-384': 'nistp384', 'P-521': 'nistp521' }[crv];
  if (curve === undefined)
    throw new SallyportError('bad-request', 'Not a kind of key that SSH servers have', { detail: crv });
  const point = Buffer.concat([Buffer.from([4]), octets(x), octets(y)]);
  return Buffer.concat([wireString(`ecdsa-sha2-${curve}`), wireString(curve), wireString(point)]);
}

/** Ed25519 as ssh-keygen writes it; others in PEM. Throws `bad-request`, also for RSA that costs more than others. */
export function readPrivateKey(file: Secret): KeyObject {
  const key = parsePrivateKey(file);
  const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (modulusLength <= rsaBitsMax) return key;
  throw new SallyportError('bad-request', `An RSA host key of more than ${rsaBitsMax} bits is not taken`, {
    detail: `it has ${modulusLength} bits; each signature of it would take main as long as many others`,
    hint: `ssh-keygen -t ed25519, or RSA of 3072 to ${rsaBitsMax} bits`,
  });
}

function parsePrivateKey(file: Secret): KeyObject {
  const text = file.expose();
  try {
    if (!text.includes('BEGIN OPENSSH PRIVATE KEY')) return createPrivateKey(text);
    return parsePrivateKeyFile(file).privateKey;
  } catch (cause) {
    throw new SallyportError('bad-request', 'Not a private key that can be taken', {
      detail:
        cause instanceof SallyportError ? (cause.detail ?? cause.publicMessage) : 'neither PEM nor OpenSSH',
      hint: 'RSA and ECDSA keys in PEM: ssh-keygen -p -N "" -m PEM -f COPY-OF-THE-KEY',
      cause,
    });
  }
}

/** As a node reads it again. */
export function writePrivateKey(privateKey: KeyObject, comment: string): Secret {
  if (privateKey.asymmetricKeyType === 'ed25519') return formatPrivateKeyFile(privateKey, comment).file;
  return new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}
