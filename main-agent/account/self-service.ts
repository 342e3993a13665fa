import type { SshPublicKey } from '#shared/ssh-key/public-key.ts';
import { SallyportError } from '#shared/error.ts';
import type { StepUpPurpose } from '#shared/login.ts';
import { createHash } from 'node:crypto';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';

/** What users may change themselves, and through which nodes. */

type Setting = MainAgentConfig['twoFactor']['selfService']['enrol'];

export function isAllowedThrough(setting: Setting, node: string): boolean {
  if (typeof setting === 'string') return setting === 'anywhere';
  return setting.nodes.includes(node);
}

/** Why this session may not change that, for the admin. A step-up starts with the password, so there must be one. */
export function findChangeObstacle(
  { twoFactor: { selfService } }: Pick<MainAgentConfig, 'twoFactor'>,
  session: AnySession,
  purpose: StepUpPurpose,
): string | undefined {
  const [key, setting] = {
    password: ['password', selfService.password] as const,
    'ssh-key': ['ssh_keys', selfService.sshKeys] as const,
    'recovery-codes': ['enrol', selfService.enrol] as const,
  }[purpose];
  if (session.protocol !== 'https') return `a session over ${session.protocol} changes nothing`;
  if (!isAllowedThrough(setting, session.node))
    return `self_service.${key} does not allow node ${session.node}`;
  return session.user().passwordHash === undefined ? 'the user has no password to prove' : undefined;
}

export function requireChangeAllowed(
  config: Pick<MainAgentConfig, 'twoFactor'>,
  session: AnySession,
  purpose: StepUpPurpose,
): void {
  const detail = findChangeObstacle(config, session, purpose);
  if (detail !== undefined)
    throw new SallyportError('not-allowed', 'Your administrator does not allow this here', { detail });
}

/** A key's name towards its user: fits into a path, unlike a fingerprint. */
export function sshKeyId({ blob }: Pick<SshPublicKey, 'blob'>): string {
  return createHash('sha256').update(blob).digest('base64url');
}
