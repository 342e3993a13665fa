import type { FileClient } from '#dmz/files/file-client.ts';
import type { Clock } from '#shared/clock.ts';
import type { ClientAddress, SessionView } from '#shared/link/messages.ts';
import { sessionKey } from '#shared/random-id.ts';
import { attachTrustMs, liveSessionsMax } from './limits.ts';

/**
 * The sessions this worker has met, so that "main ended it" reaches whoever is using one, and so that a web session's
 * next request need not ask main again. Never an authority: main judges every operation.
 */
export interface LiveSession {
  readonly key: string;
  view: SessionView;
  readonly controller: AbortController;
  /** Set by the first use of files. */
  files: FileClient | undefined;
  /** Its user's account, by a request under way. */
  isChanging: boolean;
  clientIp: string;
  confirmedAtMs: number;
}

export class LiveSessions {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, LiveSession>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a view main has just given: a new session, or fresher facts on one we hold. */
  keep(view: SessionView, client: ClientAddress): LiveSession {
    const key = sessionKey(view.session);
    const known = this.#sessions.get(key);
    const session: LiveSession = known ?? {
      key,
      view,
      controller: new AbortController(),
      files: undefined,
      isChanging: false,
      clientIp: client.ip,
      confirmedAtMs: 0,
    };
    session.view = view;
    session.clientIp = client.ip;
    session.confirmedAtMs = this.#clock.monotonic();
    // Last place in the map = used last.
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    if (this.#sessions.size > liveSessionsMax) this.#forgetOldestWebSession();
    return session;
  }

  /** A session that may be used without asking main first. */
  findTrusted(sessionId: string, client: ClientAddress): LiveSession | undefined {
    const session = this.#sessions.get(sessionKey(sessionId));
    if (session === undefined || session.clientIp !== client.ip) return undefined;
    if (this.#clock.monotonic() - session.confirmedAtMs > attachTrustMs) return undefined;
    return session;
  }

  end(key: string, reason: string): void {
    const session = this.#sessions.get(key);
    if (session === undefined) return;
    this.#sessions.delete(key);
    session.controller.abort(new Error(reason));
  }

  /** After a lost link: what main ended meanwhile was not heard here, so nothing is believed unasked. */
  distrustAll(): void {
    for (const session of this.#sessions.values()) session.confirmedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** An SFTP session lives and dies with its connection, which the guard bounds; it is never forgotten here. */
  #forgetOldestWebSession(): void {
    for (const [key, session] of this.#sessions) {
      if (session.view.protocol !== 'https') continue;
      this.#sessions.delete(key);
      return;
    }
  }
}
