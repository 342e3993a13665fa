/** How a node's key is named: on consoles at pairing, in configuration, and in the pin both ends of the link check. */
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';

const fingerprintPattern = /^SHA256:[A-Za-z0-9_-]{43}$/;

/** `SHA256:` and the base64url of the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER. */
export function fingerprintOf(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return `SHA256:${hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'base64url')}`;
}

/** unknown text → the same text, or error `pairing`. */
export function requireFingerprint(text: string): string {
  if (fingerprintPattern.test(text)) return text;
  throw new SallyportError('pairing', 'That is not a key fingerprint', {
    detail: text.slice(0, 80),
    hint: 'a fingerprint is SHA256: followed by 43 characters, as `sallyport node init` prints it',
  });
}
