import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import type { DmzConfig } from '#dmz/config.ts';
import { makePrivateFile } from '#shared/command-line/write-files.ts';
import { SallyportError } from '#shared/error.ts';
import { generateIdentityKey, parseIdentityKey, type IdentityKey } from '#shared/identity/identity-key.ts';
import { formatRotationLine } from '#shared/pairing/rotation-line.ts';
import { Secret } from '#shared/secret.ts';

/**
 * New keys for this node. They lie beside the old ones until an admin on main approved the line that the old link key
 * signed; then they take their place, and the node starts anew with them.
 */

type Keys = Pick<DmzConfig['link'], 'identityKey' | 'signingKey'>;

/** Makes them where they are not made yet. The line for main. */
export function prepareRotation(name: string, { identityKey, signingKey }: Keys): string {
  for (const file of [identityKey, signingKey].map(nextOf))
    makePrivateFile(file, () => generateIdentityKey().privateKeyPem.expose());
  const signing = createPublicKey(readKey(nextOf(signingKey)).privateKey);
  return formatRotationLine(
    {
      name,
      identity: readKey(nextOf(identityKey)).fingerprint,
      signing_key: signing.export({ format: 'jwk' }).x ?? '',
    },
    readKey(identityKey),
  );
}

/** Rejects `not-found` when none are prepared. Cut off between the two keys, it is finished when asked again. */
export function finishRotation({ identityKey, signingKey }: Keys): void {
  const files = [identityKey, signingKey];
  // The link key goes first and is made first: without it a signing key that waits is the rest of a rotation.
  if (!existsSync(nextOf(signingKey))) {
    throw new SallyportError('not-found', 'There are no new keys', {
      detail: files.map(nextOf).join(', '),
      hint: 'sallyport node rotate makes them; approve its line on main first',
    });
  }
  for (const file of files) if (existsSync(nextOf(file))) renameSync(nextOf(file), file);
}

function nextOf(file: string): string {
  return `${file}.next`;
}

function readKey(file: string): IdentityKey {
  return parseIdentityKey(new Secret(readFileSync(file, 'utf8')));
}
