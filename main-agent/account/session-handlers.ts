import type { SessionHandlers } from '#main-agent/link/handlers.ts';
import { SallyportError } from '#shared/error.ts';
import type { EnrolmentHandlers } from './enrolment-handlers.ts';
import { viewSession } from '#main-agent/sessions/session-view.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Sessions } from '#main-agent/sessions/sessions.ts';
import type { Vault } from '#main-agent/vault/vault.ts';
import type { Clock } from '#shared/clock.ts';
import { viewAccount } from './account-view.ts';

interface Parts {
  readonly config: Pick<MainAgentConfig, 'twoFactor'>;
  readonly vault: Vault;
  readonly sessions: Sessions;
  readonly clock: Clock;
}

/** What main answers about a session that was found and may be used by the asking worker. */
export function buildSessionHandlers(
  parts: Parts,
  enrolment: EnrolmentHandlers,
  usedBytes: (username: string) => Promise<number>,
): SessionHandlers {
  return {
    'session.attach': async ({ session: id }, session) => {
      // A cookie is of the web (S-04): an SFTP session's id is no cookie, whatever the node makes of it.
      if (session.protocol !== 'https') throw new SallyportError('no-session', 'Sign in first');
      return viewSession(parts, session, id);
    },
    'session.end': async (_params, session) => {
      await parts.sessions.end(session.key, 'signed out');
      return {};
    },
    'account.view': async (_params, session) =>
      viewAccount(parts, session, await usedBytes(session.username)),
    ...enrolment,
  };
}
