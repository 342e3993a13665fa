import type { FileClient } from '#dmz/files/file-client.ts';
import type {
  AccountChange,
  AccountView,
  ChallengeView,
  ClientAddress,
  FirstFactorEvidence,
  OwnSshKey,
  Result,
  SessionView,
} from '#shared/link/messages.ts';
import type { AgainReason, Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';

/**
 * The one login conversation, for every protocol: Anonymous → FirstFactorPassed → Admitted. Each state is a value
 * that only the step before it can make, so no door can skip one. Implemented in `conversation.ts`.
 *
 * All methods reject with SallyportErrors: `refused` (the one word, with a reference), `rate-limited`
 * (data.retryAfterMs), `busy` (main has no capacity, data.retryAfterMs), `link-down`, `delivery-failed`, `challenge-gone`.
 */
export interface LoginService {
  /** Yes or no to "would you look at this key?" (RFC 4252 §7); never counts as a failure. */
  probe(user: string, key: Buffer, client: ClientAddress): Promise<boolean>;
  begin(attempt: LoginAttempt): Promise<FirstFactorPassed>;
  /** The web's second step, possibly on another worker: `id` is what the half-session cookie holds. */
  resume(id: string, client: ClientAddress, protocol: Protocol, listener: string): Promise<FirstFactorPassed>;
  /**
   * By a mailed link; it opens nothing. Resolves with the user's name. Rejects `too-weak`, `conflict`, and `refused`
   * whatever is wrong with the link.
   */
  setPassword(
    token: string,
    password: string,
    client: ClientAddress,
    gone: AbortSignal,
  ): Promise<{ readonly username: string }>;
  /** A session a cookie names. Rejects `no-session`. */
  attach(sessionId: string, client: ClientAddress): Promise<Admitted>;
}

/** What a door has collected of a first factor. */
export interface LoginAttempt {
  readonly user: string;
  readonly protocol: Protocol;
  /** Which listener, e.g. `https` or `sftp`; part of what is signed. */
  readonly listener: string;
  readonly client: ClientAddress;
  readonly factor: FirstFactorEvidence;
  readonly device?: string;
  /** Aborts when nobody is there any more to hear the answer. */
  readonly gone?: AbortSignal;
}

/** A right first factor; nothing is reachable yet. */
export interface FirstFactorPassed {
  readonly id: string;
  readonly view: ChallengeView;
  /** For next = admit and next = setup. */
  admit(): Promise<Admitted>;
  /** For next = code. An answer without an offered shape is refused here and never forwarded. */
  answer(code: Secret, options?: { readonly rememberDevice?: boolean }): Promise<Admitted | Again>;
  resend(): Promise<{ resendInMs: number }>;
  /** Best effort; never throws. */
  cancel(): Promise<void>;
}

export interface Again {
  readonly outcome: 'again';
  readonly reason: AgainReason;
  readonly attemptsLeft: number;
  readonly driftSeconds?: number;
  /** Of main's audit record. */
  readonly reference?: string;
}

/** A session main opened. Holding it is the proof; it dies when main says so. */
export interface Admitted {
  readonly outcome: 'admitted';
  readonly view: SessionView;
  /** Aborts when main ends the session (reason is the text main gave) or the door calls end(). */
  readonly ended: AbortSignal;
  /** New remember-device cookie, if one was made. */
  readonly device?: { readonly value: string; readonly maxAgeMs: number };
  /** Files; throws `setup-required` for a confined session. */
  readonly files: FileClient;
  account(): Promise<AccountView>;
  readonly enrolment: Enrolment;
  /** Own account; main refuses it to confined sessions and over SFTP. */
  readonly selfService: SelfService;
  /** Sign out: dead on main before it resolves. */
  end(): Promise<void>;
}

export interface Enrolment {
  /** Rejects `ticket-required` when that is due and not the administrator's one-time code. */
  start(ticket?: Secret): Promise<Result<'enrol.start'>>;
  confirm(): Promise<{ proveWithinMs: number }>;
  /** Of one that is confirmed. Rejects `setup-not-confirmed` or `setup-expired`. */
  resume(): Promise<{ proveWithinMs: number }>;
  prove(
    code: Secret,
  ): Promise<
    Again | { outcome: 'enrolled'; recoveryCodes: string[]; requiredOn: Protocol[]; admitted: Admitted }
  >;
}

/**
 * The signed-in user's own account: what is open, ending it, and changes. What the user typed to prove a change is
 * signed for that change alone and judged on main; nothing of it is kept here.
 */
export interface SelfService {
  sessions(): Promise<Result<'account.sessions'>['sessions']>;
  leases(): Promise<Result<'account.leases'>['leases']>;
  devices(): Promise<Result<'account.devices'>['devices']>;
  sshKeys(): Promise<readonly OwnSshKey[]>;
  /** Rejects `not-found`. */
  end(what: 'session' | 'lease' | 'device', id: string): Promise<void>;
  /** Rejects `not-allowed`, `too-weak`, `exists`, `too-many`, `not-found`, `conflict`. */
  change(
    change: AccountChange,
    proof: { readonly current: Secret; readonly code: Secret | undefined },
  ): Promise<StepUpAgain | Changed>;
}

export interface StepUpAgain {
  readonly outcome: 'again';
  /** `code-required`: none came, and nothing was counted. */
  readonly reason: AgainReason | 'wrong-password' | 'code-required';
  readonly attemptsLeft?: number;
  readonly driftSeconds?: number;
}

export interface Changed {
  readonly outcome: 'changed';
  /** The same session under its new id. */
  readonly admitted: Admitted;
  readonly recoveryCodes?: readonly string[] | undefined;
  readonly sshKey?: OwnSshKey | undefined;
}
