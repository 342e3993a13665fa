import type { FileClient } from '#dmz/files/file-client.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import { sourceOf } from '#shared/networks.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { ClientAddress, SessionView } from '#shared/link/messages.ts';
import type { Log } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import { buildAdmitted } from './admitted-session.ts';
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
import type { Admitted, FirstFactorPassed, LoginAttempt, LoginService } from './login-service.ts';
import { asRefusal, rateLimited, refuse } from './refusal.ts';
import { Unanswered } from './unanswered.ts';

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
export class LoginConversation implements LoginService {
  readonly #link: MainLink;
  readonly #guard: Guard;
  readonly #log: Log;
  readonly #validatedLogins: boolean;
  readonly #sessions: LiveSessions;
  readonly #around: Parameters<typeof buildFirstFactorPassed>[0];
  readonly #unsubscribe: readonly (() => void)[];
  /** An invented cookie costs a stranger nothing: one source may keep main, or the waiting line for it, only so busy. */
  readonly #asking = new Map<string, number>();

  constructor(options: LoginServiceOptions) {
    const { link, guard, log, clock, validatedLogins, buildFiles } = options;
    const sessions = new LiveSessions(clock);
    this.#link = link;
    this.#guard = guard;
    this.#log = log;
    this.#validatedLogins = validatedLogins;
    this.#sessions = sessions;
    const unanswered = new Unanswered(guard, clock);
    const writeAssertion = buildAssertionWriter(options);
    this.#around = { link, guard, sessions, unanswered, writeAssertion, buildFiles };
    this.#unsubscribe = [
      link.onSessionEnded((key, reason) => sessions.end(key, reason)),
      link.onDown(() => sessions.distrustAll()),
      link.onDoorAsked(({ ip }) => {
        const count = this.#asking.get(sourceOf(ip)) ?? 0;
        const isFull = count >= attachesPerSourceMax;
        return count === 0
          ? []
          : [{ what: 'session-questions', count, max: attachesPerSourceMax, acts: isFull }];
      }),
    ];
  }

  close(): void {
    for (const end of this.#unsubscribe) end();
  }

  async probe(user: string, key: Buffer, client: ClientAddress): Promise<boolean> {
    if (user.length > userNameCharactersMax || this.#guard.isBanned(client.ip, 'sftp') !== undefined)
      return false;
    const params = { user, key: key.toString('base64url'), client };
    const { acceptable } = await this.#link.request('login.probe', params, { timeoutMs: sessionTimeoutMs });
    return acceptable;
  }

  async begin(attempt: LoginAttempt): Promise<FirstFactorPassed> {
    const { user, protocol, listener, client, factor, device, gone } = attempt;
    this.#requireNotBanned(client, protocol);
    this.#requireAgreement();
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
      this.#guard.firstFactorFailed(client.ip, user);
      throw refuse(user === '' ? 'empty user name' : 'user name or password too long');
    }
    const heldMs = factor.type === 'password' ? this.#guard.mustWait(client.ip, protocol, user) : undefined;
    if (heldMs !== undefined) throw rateLimited(heldMs);
    const params = { user, protocol, listener, client, factor };
    const view = await this.#link
      .request('login.begin', device === undefined ? params : { ...params, device }, {
        timeoutMs: loginTimeoutMs,
        gone,
      })
      .catch((error: unknown) => {
        if (isSallyportError(error, 'refused'))
          this.#guard.firstFactorFailed(client.ip, user, { isBait: error.data?.bait === true });
        const { throttled, retryAfterMs } = toSallyportError(error).data ?? {};
        if (throttled !== undefined && retryAfterMs !== undefined)
          this.#guard.turnedAway(client.ip, user, throttled, retryAfterMs);
        throw asRefusal(error);
      });
    const isSealed = view.asked?.sealed === true;
    if (isSealed)
      this.#around.unanswered.add(view.challenge, { ip: client.ip, user, lifeMs: view.expiresInMs });
    const waitMs = isSealed ? undefined : this.#guard.firstFactorRight(client.ip, user);
    const passed = buildFirstFactorPassed(this.#around, view, { ...facts, user: view.username });
    if (waitMs === undefined && gone?.aborted !== true) return passed;
    await passed.cancel();
    throw waitMs === undefined ? new SallyportError('deadline', 'Cancelled') : rateLimited(waitMs);
  }

  async resume(
    id: string,
    client: ClientAddress,
    protocol: Protocol,
    listener: string,
  ): Promise<FirstFactorPassed> {
    this.#requireNotBanned(client, protocol);
    this.#requireAgreement();
    const view = await this.#link
      .request('login.resume', { challenge: id, client }, { timeoutMs: sessionTimeoutMs })
      .catch((error: unknown) => {
        throw asRefusal(error);
      });
    return buildFirstFactorPassed(this.#around, view, {
      user: view.username,
      firstFactor: 'pwd',
      protocol,
      listener,
      client,
    });
  }

  async setPassword(
    token: string,
    password: string,
    client: ClientAddress,
    gone: AbortSignal,
  ): Promise<{ readonly username: string }> {
    this.#requireNotBanned(client, 'https');
    try {
      if (!tokenShape.test(token)) throw refuse('not the shape of a link');
      return await this.#link.request(
        'login.set-password',
        { token, password, client },
        { timeoutMs: loginTimeoutMs, gone },
      );
    } catch (error) {
      if (isSallyportError(error, 'refused')) this.#guard.firstFactorFailed(client.ip, '');
      throw asRefusal(error);
    }
  }

  async attach(sessionId: string, client: ClientAddress): Promise<Admitted> {
    let live = this.#sessions.findTrusted(sessionId, client);
    if (live === undefined) {
      live = this.#sessions.keep(await this.#askForSession(sessionId, client), client);
      this.#guard.signedIn(client.ip, live.view.username);
    }
    return buildAdmitted(this.#around, live, {
      user: live.view.username,
      firstFactor: 'pwd',
      protocol: live.view.protocol,
      listener: live.view.protocol,
      client,
    });
  }

  async #askForSession(sessionId: string, client: ClientAddress): Promise<SessionView> {
    const source = sourceOf(client.ip);
    const inFlight = this.#asking.get(source) ?? 0;
    if (inFlight >= attachesPerSourceMax)
      throw new SallyportError('busy', 'Too many requests at once; try again');
    this.#asking.set(source, inFlight + 1);
    try {
      const params = { session: sessionId, client };
      return await this.#link.request('session.attach', params, { timeoutMs: sessionTimeoutMs });
    } finally {
      const left = (this.#asking.get(source) ?? 1) - 1;
      if (left === 0) this.#asking.delete(source);
      else this.#asking.set(source, left);
    }
  }

  /** Both nodes must agree before anybody gets in without the factor this node was told to ask for. */
  #requireAgreement(): void {
    if (!this.#validatedLogins || this.#link.policy.validatedLogins) return;
    this.#log.error('validated logins are on here and off on main: every login is refused until both agree');
    throw refuse('validated_logins: on here, off on main');
  }

  #requireNotBanned(client: ClientAddress, protocol: Protocol): void {
    const retryAfterMs = this.#guard.isBanned(client.ip, protocol);
    if (retryAfterMs !== undefined) throw rateLimited(retryAfterMs);
  }
}

/** 32 bytes as base64url. */
const tokenShape = /^[A-Za-z0-9_-]{43}$/;
