import { createPublicKey, sign, verify } from 'node:crypto';
import { SallyportError } from '#shared/error.ts';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { IdentityKey } from '#shared/identity/identity-key.ts';
import { formatLine, nodeSchema, parseLine, tidyLine } from './pairing-line.ts';
import { z } from 'zod';

/**
 * The line a node makes when it gets new keys. The old link key signs it: whoever has only the new ones can't bring them
 * in. An admin on main approves it.
 *
 *     sallyport-rotation/1 name=dmz1 identity=SHA256:… signing_key=… by=<old public key> signature=…
 *
 * Trust: pasted by an admin; parsed strictly, and nothing of it is believed before its signature is checked.
 */

const head = 'sallyport-rotation/1';
const purpose = 'sallyport node rotation v1\n';
const { name, identity, signing_key } = nodeSchema.shape;
const lineSchema = z.strictObject({
  name,
  identity,
  signing_key,
  /** The old link key as SubjectPublicKeyInfo, base64url: Ed25519's twelve octets (RFC 8410 §4), then the key. */
  by: z.string().regex(/^MCowBQYDK2VwAyEA[A-Za-z0-9_-]{43}$/, { error: 'an Ed25519 public key' }),
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/, { error: 'an Ed25519 signature' }),
});

export interface RotationLine {
  readonly name: string;
  readonly identity: string;
  readonly signing_key: string;
  /** Fingerprint of the key that signed it: the caller compares it with the pinned one. */
  readonly signedBy: string;
}

export function formatRotationLine(
  keys: { readonly name: string; readonly identity: string; readonly signing_key: string },
  old: IdentityKey,
): string {
  const by = createPublicKey(old.privateKey).export({ type: 'spki', format: 'der' }).toString('base64url');
  const unsigned = formatLine(head, { ...keys, by });
  const signature = sign(null, Buffer.from(purpose + unsigned), old.privateKey).toString('base64url');
  return `${unsigned} signature=${signature}`;
}

/** Rejects `pairing`. */
export function parseRotationLine(line: string): RotationLine {
  const { by, signature, ...keys } = parseLine(head, lineSchema, line, 'sallyport node rotate');
  const key = createPublicKey({ key: Buffer.from(by, 'base64url'), type: 'spki', format: 'der' });
  const signed = Buffer.from(purpose + tidyLine(line).replace(/ signature=\S*$/, ''));
  if (verify(null, signed, key, Buffer.from(signature, 'base64url')))
    return { ...keys, signedBy: fingerprintOf(key) };
  throw new SallyportError('pairing', 'The signature of the line is wrong', {
    hint: 'copy the whole line that `sallyport node rotate` printed, in quotes',
  });
}
