import type { Vault } from '#main-agent/vault/vault.ts';
import type { Clock } from '#shared/clock.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { requirementStartMs } from './account-rules.ts';
import type { AnySession } from './session.ts';
import type { Sessions } from './sessions.ts';

interface Parts {
  readonly sessions: Pick<Sessions, 'timesOf'>;
  readonly vault: Pick<Vault, 'status'>;
  readonly clock: Clock;
}

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
    ...(notice !== undefined && { notice }),
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
