import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { digestOfNamed } from '#main-agent/users/hash-book.ts';

/** Names the first factor a session or lease stands on; changes with the password, without saying anything about it. */
export function passwordCredential(hashName: string): string {
  return `password:${digestOfNamed(hashName).slice(0, 22)}`;
}

/** Does the user still have this password or key? */
export function isCredentialOf(user: EffectiveUser, credential: string): boolean {
  if (!credential.startsWith('password:')) return user.sshKeys.some((key) => key.fingerprint === credential);
  return user.passwordHash !== undefined && passwordCredential(user.passwordHash.expose()) === credential;
}
