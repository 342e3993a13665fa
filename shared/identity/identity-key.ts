/**
 * A node's Ed25519 keys (RFC 8410). The private key is the only thing kept in a file; certificate and fingerprint are
 * derived from it at start.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { fingerprintOf } from './fingerprint.ts';

export interface IdentityKey {
  readonly privateKey: KeyObject;
  readonly fingerprint: string;
}

/** A new key: PKCS#8 in PEM for its file, and its name. */
export function generateIdentityKey(): { readonly privateKeyPem: Secret; readonly fingerprint: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privateKeyPem: new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    fingerprint: fingerprintOf(publicKey),
  };
}

/** PKCS#8 PEM → key, or error `config`. The error never shows a byte of the file (S-11). */
export function parseIdentityKey(privateKeyPem: Secret): IdentityKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(privateKeyPem.expose());
  } catch {
    throw refuse('it is not an unencrypted private key in PEM');
  }
  if (privateKey.asymmetricKeyType !== 'ed25519')
    throw refuse(`its type is ${privateKey.asymmetricKeyType ?? 'unknown'}, not ed25519`);
  return { privateKey, fingerprint: fingerprintOf(privateKey) };
}

function refuse(detail: string): SallyportError {
  return new SallyportError('config', 'The identity key can not be used', {
    detail,
    hint: 'make one with `sallyport node init` or `sallyport main init`',
  });
}
