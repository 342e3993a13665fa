import type { KeyObject } from 'node:crypto';

/** A stored or offered SSH public key (RFC 4253 §6.6, RFC 8709), parsed strictly. See `parse.ts`. */
export interface SshPublicKey {
  readonly type:
    'ssh-ed25519' | 'ecdsa-sha2-nistp256' | 'ecdsa-sha2-nistp384' | 'ecdsa-sha2-nistp521' | 'ssh-rsa';
  /** The wire blob, exactly. */
  readonly blob: Buffer;
  /** `SHA256:` + base64 without padding, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly comment: string;
  readonly key: KeyObject;
}
