import type { Protocol } from '#shared/login.ts';

/**
 * What the doors ask before they serve anybody, and what they tell about those who behave badly. One per worker, with the
 * whole of a source (D-133).
 *
 * Counts sources only (S-13): which accounts are locked is main's to decide. Implemented in `source-guard.ts`.
 */
export interface Guard {
  /**
   * May this source have one more connection? Call it before reading a byte; call the admission's `release` when the
   * connection is gone. `onDropped`: it has to be ended now, for one that has shown more; never called after
   * `authenticated`.
   */
  admitConnection(ip: string, protocol: Protocol, onDropped: () => void): Admission | Refusal;
  /** How long this source still may not log in at this door; undefined when it may. */
  isBanned(ip: string, protocol: Protocol): number | undefined;

  /**
   * Called by the login service, not by the doors: a first factor was wrong, or a client answered a prompt with
   * something that can't be the answer. `isBait`: main says that attackers try this name first, and that nobody signs
   * in from there.
   */
  firstFactorFailed(ip: string, user: string, options?: { readonly isBait: boolean }): void;
  /** Called by the login service. Clears what this user failed from here; returns a wait when logins come too fast. */
  firstFactorRight(ip: string, user: string): number | undefined;
  /** Called by the login service: a whole login was good, or main knew the session that came from there. */
  signedIn(ip: string, user: string): void;
  /**
   * Called by the login service: main turned a password away unseen and wants no more for so long, of this user from
   * there (`name`), or of anybody from there (`source`).
   */
  turnedAway(ip: string, user: string, what: 'name' | 'source', forMs: number): void;
  /** How long main wants no password of this user from there; undefined when it may be asked. */
  mustWait(ip: string, protocol: Protocol, user: string): number | undefined;
  /** Called by the doors: bytes no honest client sends. */
  malformed(ip: string, protocol: Protocol, what: string): void;
}

/**
 * How far a connection has come. `hello`: it has said something that a client of the protocol says first (TLS
 * ClientHello, SSH identification). `secured`: keys are exchanged. `code`: SSH only, the first factor was right and a
 * code is awaited. `session`: somebody is signed in on it.
 */
export type ConnectionStage = 'silent' | 'hello' | 'secured' | 'code' | 'session';

export interface Newcomer {
  readonly ip: string;
  readonly protocol: Protocol;
  /** On the never-ban list. */
  readonly isExempt: boolean;
  /** Somebody has signed in from that source lately. */
  readonly isKnown: boolean;
  readonly onDropped: () => void;
}

export interface Admission {
  readonly admitted: true;
  /** What it has shown by now; going back is without effect. */
  reached(stage: 'hello' | 'secured'): void;
  /** SSH: the first factor was right and a code is awaited. False: too many wait from here or for this user. */
  awaitCode(user: string): boolean | Promise<boolean>;
  /** A session is open on it; it is no longer in anybody's way. Safe to call again. */
  authenticated(): void;
  /** Safe to call twice. */
  release(): void;
}

export interface Refusal {
  readonly admitted: false;
  readonly reason: 'banned' | 'too-many-from-source' | 'too-many-from-network' | 'too-many';
  readonly retryAfterMs: number;
}
