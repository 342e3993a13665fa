import type { AccountChange } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';
import type { StepUpPurpose } from '#shared/login.ts';
import { commitToCode, isCommitmentTo } from './code-commitment.ts';

/**
 * Binds a step-up's assertion to the one change it was signed for. The assertion carries SHA-256(salt ‖ change), change
 * and salt travel beside it: the audit may keep the assertion, and nobody finds a new password by trying.
 */

const purposes: Readonly<Record<AccountChange['kind'], StepUpPurpose>> = {
  password: 'password',
  'add-ssh-key': 'ssh-key',
  'remove-ssh-key': 'ssh-key',
  'recovery-codes': 'recovery-codes',
};

export function purposeOf(change: AccountChange): StepUpPurpose {
  return purposes[change.kind];
}

export function commitToChange(change: AccountChange): { salt: string; commitment: string } {
  return commitToCode(spell(change));
}

/** False for any malformed input; never throws. */
export function isCommitmentToChange(commitment: string, salt: string, change: AccountChange): boolean {
  return isCommitmentTo(commitment, salt, spell(change));
}

/** Its one spelling: two changes never have the same. */
function spell(change: AccountChange): Secret {
  const value = 'value' in change ? change.value : '';
  return new Secret(JSON.stringify([change.kind, value]));
}
