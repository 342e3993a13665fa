import type { FileClient } from '#dmz/files/file-client.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import { sourceOf } from '#shared/networks.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { ClientAddress, SessionView } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import { buildAdmitted, type SessionSurroundings } from './admitted-session.ts';
import { buildAssertionWriter, type LoginFacts } from './assertion-writer.ts';
import { buildFirstFactorPassed } from './first-factor-passed.ts';
import {
  attachesPerSourceMax,
  loginTimeoutMs,
  passwordCharactersMax,
  sessionTimeoutMs,
  userNameCharactersMax,
} from './limits.ts';
import { LiveSessions } from './live-sessions.ts';
import type { Protocol } from '#shared/login.ts';
import type { LoginService } from './login-service.ts';
import { asRefusal, refuse } from './refusal.ts';

interface LoginServiceOptions {
  readonly link: MainLink;
  readonly node: string;
  readonly signingKeyPem: Secret;
  /** This node's own switch (configuration `validated_logins`). */
  readonly validatedLogins: boolean;
  readonly buildFiles: (session: string) => FileClient;
  readonly guard: Guard;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The login conversation of this worker: collects, refuses what can't be right, signs what it saw, asks main.
 *
 * Trust: user names, passwords, codes and key blobs are strangers'. May not decide: whether anybody is admitted.
 */
export function buildLoginService(options: LoginServiceOptions): LoginService & { close(): void } {
  const { link, guard, log, clock } = options;
  const sessions = new LiveSessions(clock);
  const around: SessionSurroundings & { readonly guard: Guard } = {
    link,
    guard,
    sessions,
    writeAssertion: buildAssertionWriter(options),
    buildFiles: options.buildFiles,
  };
  const unsubscribe = [
    link.onSessionEnded((key, reason) => sessions.end(key, reason)),
    link.onDown(() => sessions.distrustAll()),
    link.onDoorAsked(({ ip }) => {
      const count = asking.get(sourceOf(ip)) ?? 0;
      const isFull = count >= attachesPerSourceMax;
      return count === 0
        ? []
        : [{ what: 'session-questions', count, max: attachesPerSourceMax, acts: isFull }];
    }),
  ];

  /** An invented cookie costs a stranger nothing: one source may keep main, or the waiting line for it, only so busy. */
  const asking = new Map<string, number>();
  async function askForSession(sessionId: string, client: ClientAddress): Promise<SessionView> {
    const source = sourceOf(client.ip);
    const inFlight = asking.get(source) ?? 0;
    if (inFlight >= attachesPerSourceMax)
      throw new SallyportError('busy', 'Too many requests at once; try again');
    asking.set(source, inFlight + 1);
    try {
      const params = { session: sessionId, client };
      return await link.request('session.attach', params, { timeoutMs: sessionTimeoutMs });
    } finally {
      const left = (asking.get(source) ?? 1) - 1;
      if (left === 0) asking.delete(source);
      else asking.set(source, left);
    }
  }

  /** Both nodes must agree before anybody gets in without the factor this node was told to ask for. */
  function requireAgreement(): void {
    if (!options.validatedLogins || link.policy.validatedLogins) return;
    log.error('validated logins are on here and off on main: every login is refused until both agree');
    throw refuse('validated_logins: on here, off on main');
  }

  function requireNotBanned(client: ClientAddress, protocol: Protocol): void {
    const retryAfterMs = guard.isBanned(client.ip, protocol);
    if (retryAfterMs !== undefined) throw rateLimited(retryAfterMs);
  }

  return {
    async probe(user, key, client) {
      if (user.length > userNameCharactersMax || guard.isBanned(client.ip, 'sftp') !== undefined)
        return false;
      const params = { user, key: key.toString('base64url'), client };
      const { acceptable } = await link.request('login.probe', params, { timeoutMs: sessionTimeoutMs });
      return acceptable;
    },

    async begin({ user, protocol, listener, client, factor, device, gone }) {
      requireNotBanned(client, protocol);
      requireAgreement();
      const facts: LoginFacts = {
        user,
        firstFactor: factor.type === 'password' ? 'pwd' : 'key',
        protocol,
        listener,
        client,
      };
      const tooLong =
        user.length > userNameCharactersMax ||
        (factor.type === 'password' && factor.password.length > passwordCharactersMax);
      if (user === '' || tooLong) {
        guard.firstFactorFailed(client.ip, user);
        throw refuse(user === '' ? 'empty user name' : 'user name or password too long');
      }
      const heldMs = factor.type === 'password' ? guard.mustWait(client.ip, protocol, user) : undefined;
      if (heldMs !== undefined) throw rateLimited(heldMs);
      const params = { user, protocol, listener, client, factor };
      const view = await link
        .request('login.begin', device === undefined ? params : { ...params, device }, {
          timeoutMs: loginTimeoutMs,
          gone,
        })
        .catch((error: unknown) => {
          if (isSallyportError(error, 'refused'))
            guard.firstFactorFailed(client.ip, user, { isBait: error.data?.bait === true });
          const { throttled, retryAfterMs } = toSallyportError(error).data ?? {};
          if (throttled !== undefined && retryAfterMs !== undefined)
            guard.turnedAway(client.ip, user, throttled, retryAfterMs);
          throw asRefusal(error);
        });
      const waitMs = guard.firstFactorRight(client.ip, user);
      const passed = buildFirstFactorPassed(around, view, { ...facts, user: view.username });
      if (waitMs === undefined && gone?.aborted !== true) return passed;
      await passed.cancel();
      throw waitMs === undefined ? new SallyportError('deadline', 'Cancelled') : rateLimited(waitMs);
    },

    async resume(id, client, protocol, listener) {
      requireNotBanned(client, protocol);
      requireAgreement();
      const view = await link
        .request('login.resume', { challenge: id, client }, { timeoutMs: sessionTimeoutMs })
        .catch((error: unknown) => {
          throw asRefusal(error);
        });
      return buildFirstFactorPassed(around, view, {
        user: view.username,
        firstFactor: 'pwd',
        protocol,
        listener,
        client,
      });
    },

    async attach(sessionId, client) {
      let live = sessions.findTrusted(sessionId, client);
      if (live === undefined) {
        live = sessions.keep(await askForSession(sessionId, client), client);
        guard.signedIn(client.ip, live.view.username);
      }
      return buildAdmitted(around, live, {
        user: live.view.username,
        firstFactor: 'pwd',
        protocol: live.view.protocol,
        listener: live.view.protocol,
        client,
      });
    },

    close() {
      for (const end of unsubscribe) end();
    },
  };
}

function rateLimited(retryAfterMs: number): SallyportError {
  return new SallyportError('rate-limited', 'Too many tries; wait a little', {
    data: { retryAfterMs: Math.max(1, Math.ceil(retryAfterMs)) },
  });
}
