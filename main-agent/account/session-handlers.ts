import type { SessionHandlers } from '#main-agent/link/handlers.ts';
import { SallyportError } from '#shared/error.ts';
import type { CodeCheck } from '#main-agent/login/code-check.ts';
import { buildEnrolmentHandlers } from './enrolment-handlers.ts';
import type { LoginParts } from '#main-agent/login/login-parts.ts';
import { viewSession } from '#main-agent/sessions/session-view.ts';
import { StepUpCheck } from './step-up-check.ts';
import { viewAccount } from './account-view.ts';

/** What main answers about a session that was found and may be used by the asking worker. */
export function buildSessionHandlers(
  parts: LoginParts,
  codes: CodeCheck,
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
    ...buildEnrolmentHandlers(parts, new StepUpCheck(parts, codes)),
  };
}
