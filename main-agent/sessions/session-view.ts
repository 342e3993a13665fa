import { mountsToldMax, type AccountView, type SessionView } from '#shared/link/messages.ts';
import { requirementStartMs } from './account-rules.ts';
import { maySetUp } from '#main-agent/account/enrolment-rules.ts';
import type { LoginParts } from '#main-agent/login/login-parts.ts';
import { findChangeObstacle } from '#main-agent/account/self-service.ts';
import type { AnySession } from './session.ts';

type Parts = Pick<LoginParts, 'config' | 'sessions' | 'vault' | 'clock'>;

/** A session as its node may see it; the only place where its id is told. */
export async function viewSession(parts: Parts, session: AnySession, id: string): Promise<SessionView> {
  const user = session.user();
  const notice = await findNotice(parts, session);
  return {
    session: id,
    username: session.username,
    displayName: user.displayName,
    state: session.state,
    protocol: session.protocol,
    method: session.method,
    ...parts.sessions.timesOf(session.key),
    ...(notice === undefined ? {} : { notice }),
  };
}

export async function viewAccount(
  parts: Parts & Pick<LoginParts, 'config'>,
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
      ...(fromMs === undefined ? {} : { requiredFrom: new Date(fromMs).toISOString() }),
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
    quota: { usedBytes, ...(user.quotaBytes === undefined ? {} : { limitBytes: user.quotaBytes }) },
    session: {
      startedAt: new Date(session.openedAtMs).toISOString(),
      method: session.method,
      ...parts.sessions.timesOf(session.key),
    },
  };
}

/** Until a requirement holds, its user is reminded. */
async function findNotice(parts: Parts, session: AnySession): Promise<string | undefined> {
  const { twoFactor } = session.user();
  if (twoFactor.requiredFrom === undefined || twoFactor.requiredOn.length === 0) return undefined;
  const status = await parts.vault.status(session.username);
  const nowMs = parts.clock.now();
  const fromMs = requirementStartMs(twoFactor.requiredFrom, { nowMs, firstLoginAtMs: status.firstLoginAtMs });
  if (status.state === 'enrolled' || fromMs === undefined || fromMs <= nowMs) return undefined;
  const how =
    twoFactor.registration || twoFactor.forceSetup
      ? 'Set it up on the web before, in User options.'
      : 'Ask your administrator how to set it up.';
  return `Two-factor authentication is required from ${new Date(fromMs).toISOString().slice(0, 10)}. ${how}`;
}
