import type { SshPublicKey } from './public-key.ts';

/** What SSH keys sign by (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8332 §3, RFC 8709 §6); `ssh-rsa` is SHA-1 and not here. */
export const signatureAlgorithms = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
] as const;

export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

/** Which of them sign with which key. */
export const algorithmsOf: Readonly<Record<SshPublicKey['type'], readonly SignatureAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
};
