import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { fingerprintOf } from '#shared/identity/fingerprint.ts';
import type { ChainHead } from '#main-agent/state/audit-record.ts';

/**
 * A head of the audit chain, signed with main's link key: who holds one that was sent away in time can show a later cut
 * or a rewritten chain. It does not help against somebody who has that key and reaches every copy.
 */
export interface Checkpoint extends ChainHead {
  readonly main: string;
  /** RFC 3339 UTC. */
  readonly time: string;
  /** The public key: SubjectPublicKeyInfo in DER, base64url. Whose it is, its fingerprint tells. */
  readonly key: string;
  /** Ed25519, base64url. */
  readonly signature: string;
}

const schema = z.strictObject({
  main: z.string().max(64),
  sequence: z.number().int().positive(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  time: z.string().max(40),
  key: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/),
  signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/),
});

export function signCheckpoint(
  head: ChainHead,
  facts: { readonly main: string; readonly time: string; readonly privateKey: KeyObject },
): Checkpoint {
  const { main, time, privateKey } = facts;
  const key = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64url');
  const { sequence, hash } = head;
  const unsigned = { main, sequence, hash, time, key };
  const signature = sign(null, signedOctets(unsigned), privateKey).toString('base64url');
  return { ...unsigned, signature };
}

/** One line of a checkpoint file, or undefined. */
export function parseCheckpoint(line: string): Checkpoint | undefined {
  try {
    return schema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Is it whole, and of the key with this fingerprint? */
export function isSignedBy(checkpoint: Checkpoint, fingerprint: string): boolean {
  try {
    const der = Buffer.from(checkpoint.key, 'base64url');
    const publicKey = createPublicKey({ key: der, type: 'spki', format: 'der' });
    if (publicKey.asymmetricKeyType !== 'ed25519' || fingerprintOf(publicKey) !== fingerprint) return false;
    const signature = Buffer.from(checkpoint.signature, 'base64url');
    return verify(null, signedOctets(checkpoint), publicKey, signature);
  } catch {
    return false;
  }
}

/** The first line keeps this signature from meaning anything else this key signs. */
function signedOctets({ main, sequence, hash, time, key }: Omit<Checkpoint, 'signature'>): Buffer {
  return Buffer.from(
    ['sallyport audit checkpoint 1', main, String(sequence), hash, time, key].join('\n'),
    'utf8',
  );
}
