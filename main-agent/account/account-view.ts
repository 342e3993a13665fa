import { type AccountView, mountsToldMax } from '#shared/link/messages.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import { requirementStartMs } from '#main-agent/sessions/account-rules.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Clock } from '#shared/clock.ts';
import { findChangeObstacle } from './self-service.ts';
import { maySetUp } from './enrolment-rules.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly vault: Vault;
  readonly sessions: Sessions;
  readonly clock: Clock;
}

/** An account as its own user may see it. */
export async function viewAccount(
  parts: Pick<Parts, 'config' | 'sessions' | 'vault' | 'clock'>,
  session: AnySession,
  usedBytes: number,
): Promise<AccountView> {
  const user = session.user();
  const status = await parts.vault.status(user.username);
  const { requiredOn, requiredFrom, registration } = user.twoFactor;
  const fromMs = requirementStartMs(requiredFrom, {
    nowMs: parts.clock.now(),
    firstLoginAtMs: status.firstLoginAtMs,
  });
  return {
    username: user.username,
    displayName: user.displayName,
    state: session.state,
    twoFactor: {
      enrolled: status.state !== 'none',
      requiredOn: [...new Set([...requiredOn, ...status.requiredOn])],
      registration,
      maySetUp: maySetUp(parts, session, status),
      recoveryCodesLeft: status.recoveryCodesLeft,
      ...(fromMs !== undefined && { requiredFrom: new Date(fromMs).toISOString() }),
    },
    may: {
      password: findChangeObstacle(parts.config, session, 'password') === undefined,
      sshKeys: findChangeObstacle(parts.config, session, 'ssh-key') === undefined,
    },
    mounts: user.mounts.slice(0, mountsToldMax).map(({ path, allow, bin }) => ({
      path: [...path],
      allow: [...allow],
      ...(bin !== undefined && (session.protocol === 'https' || bin.sftp) && { binMs: bin.keepMs }),
    })),
    quota: { usedBytes, ...(user.quotaBytes !== undefined && { limitBytes: user.quotaBytes }) },
    session: {
      startedAt: new Date(session.openedAtMs).toISOString(),
      method: session.method,
      ...parts.sessions.timesOf(session.key),
    },
  };
}
