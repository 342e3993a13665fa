import type { FactorStatus } from '#main-agent/vault/vault.ts';
import type { Method } from '#shared/login.ts';
import { isAllowedThrough } from './self-service.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';

/** Which sessions may set up an authenticator, or replace the present one. */

/** Sessions whose second factor was waived prove too little to set one up. */
const tooWeak: ReadonlySet<Method> = new Set<Method>(['lease', 'device', 'trusted-network']);

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly sessions: Sessions;
}

/** What the user is offered; the set-up itself asks again. */
export function maySetUp(parts: Parts, session: AnySession, status: FactorStatus): boolean {
  if (findSetupObstacle(parts, session, status) !== undefined) return false;
  return status.state === 'none' || mayReplace(parts, session);
}

/** Why this session may not set anything up, for the admin. */
export function findSetupObstacle(
  parts: Parts,
  session: AnySession,
  status: FactorStatus,
): string | undefined {
  const { enrolment, selfService } = parts.config.twoFactor;
  const { registration, forceSetup } = session.user().twoFactor;
  const replaces = mayReplace(parts, session);
  if (!registration && !forceSetup && !replaces) return 'two_factor.registration is off';
  if (status.state === 'broken' && !replaces) return status.problem ?? 'the enrolment is broken';
  if (!isAllowedThrough(selfService.enrol, session.node))
    return `self_service.enrol does not allow node ${session.node}`;
  if (tooWeak.has(session.method)) return `a session opened by ${session.method} may not`;
  if (session.protocol === 'sftp' && !enrolment.overSftp) return 'enrolment.over_sftp is off';
  return undefined;
}

/** The first set-up needs a one-time code of the admin, and this session was not opened by one. */
export function needsTicket(
  { config }: Pick<Parts, 'config'>,
  { method }: AnySession,
  { state }: FactorStatus,
): boolean {
  return config.twoFactor.enrolment.ticket === 'required' && state === 'none' && method !== 'bypass';
}

/** Only a session that a bypass code with `--re-enrol` opened. */
export function mayReplace(parts: Parts, session: AnySession): boolean {
  return parts.sessions.stored(session.key)?.reEnrol === true;
}
