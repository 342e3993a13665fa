import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { Method, Protocol } from '#shared/login.ts';

/** A live session. Two kinds that are types of their own, so that a confined one can't reach files by mistake. */
interface SessionBase {
  /** SHA-256 of the id, base64url; the id itself is known to the DMZ's client only. */
  readonly key: string;
  readonly username: string;
  readonly node: string;
  /** Worker whose connection opened it; an SFTP session never moves (S-04). */
  readonly worker: number;
  readonly protocol: Protocol;
  readonly method: Method;
  readonly clientIp: string;
  /** What the client called itself when it signed in; for people to read, and worth nothing as evidence. */
  readonly agent?: string | undefined;
  readonly openedAtMs: number;
  /** Aborts when the session is over, with the reason; every running operation must stop. */
  readonly ended: AbortSignal;
  /** The user as the files say now; re-read at each use, so that tightening takes effect on live sessions. */
  user(): EffectiveUser;
}

export interface FullSession extends SessionBase {
  readonly state: 'signed-in';
}
interface ConfinedSession extends SessionBase {
  readonly state: 'setup-required';
}
export type AnySession = FullSession | ConfinedSession;

/** Implemented in `sessions.ts`. */
export interface SessionRegistry {
  /**
   * The live session of that id, if this node (and for SFTP this worker) may use it; else rejects `no-session`.
   * `use` extends the idle limit.
   */
  require(sessionId: string, from: { readonly node: string; readonly worker: number }): AnySession;
  list(): readonly AnySession[];
  /** Ends it now: durable, aborts `ended`, tells the node. False: there was none. */
  end(key: string, reason: string): Promise<boolean>;
  endAllOf(username: string, reason: string, except?: string): Promise<number>;
}
