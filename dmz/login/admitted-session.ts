import type { FileClient } from '#dmz/files/file-client.ts';
import type { LinkBinding, MainLink } from '#dmz/link/main-link.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { SessionView } from '#shared/link/messages.ts';
import type { AssertionWriter, LoginFacts, Proof } from './assertion-writer.ts';
import { sessionTimeoutMs } from './limits.ts';
import type { LiveSession, LiveSessions } from './live-sessions.ts';
import type { Admitted } from './login-service.ts';
import { buildSelfService } from './self-service.ts';
import { buildSessionEnrolment } from './session-enrolment.ts';

/** What every admitted session needs of the conversation that made it. */
export interface SessionSurroundings {
  readonly link: MainLink;
  readonly sessions: LiveSessions;
  readonly writeAssertion: AssertionWriter;
  readonly buildFiles: (session: string) => FileClient;
}

/** A session main opened, as a door holds it: for one connection (SFTP) or one request (HTTPS). */
export function buildAdmitted(
  around: SessionSurroundings,
  live: LiveSession,
  facts: LoginFacts,
  device?: Admitted['device'],
): Admitted {
  const { view } = live;
  const { session } = view;

  const request: MainLink['request'] = async (verb, params, options) => {
    try {
      return await around.link.request(verb, params, options);
    } catch (error) {
      // Main doesn't know it any more: neither should anyone here.
      if (isSallyportError(error, 'no-session')) around.sessions.end(live.key, 'no such session');
      throw error;
    }
  };

  const within = {
    session,
    request,
    write: (proof: Proof, binding: LinkBinding) => around.writeAssertion(facts, proof, binding),
    renew: (renewed: SessionView) =>
      buildAdmitted(around, around.sessions.keep(renewed, facts.client), facts),
  };

  return {
    outcome: 'admitted',
    view,
    ended: live.controller.signal,
    ...(device !== undefined && { device }),

    get files(): FileClient {
      if (view.state !== 'signed-in')
        throw new SallyportError('setup-required', 'Set up two-factor authentication first');
      live.files ??= around.buildFiles(session);
      return live.files;
    },

    account: () => request('account.view', { session }, { timeoutMs: sessionTimeoutMs }),

    // On demand: nearly every request of a page wants neither.
    get enrolment() {
      return buildSessionEnrolment(within);
    },
    get selfService() {
      return buildSelfService({ ...within, turn: live });
    },

    async end() {
      await request('session.end', { session }, { timeoutMs: sessionTimeoutMs });
      around.sessions.end(live.key, 'signed out');
    },
  };
}
