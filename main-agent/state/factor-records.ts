/**
 * Second factors and the evidence that was spent: decided in vault/ and two-factor/, counted in login/. Everything here
 * is spent, counted or voided in the commit that uses it, and asked again at each step.
 */

export interface TwoFactorState {
  /** The present enrolment's id; undefined = never enrolled, or reset. */
  readonly enrolment: string | undefined;
  /** The newest id ever set, kept through a reset. */
  readonly newestEnrolment: string | undefined;
  readonly lastStep: number | undefined;
  readonly firstLoginAtMs: number | undefined;
  /** The outstanding one, over or not. */
  readonly bypassCode: StoredBypassCode | undefined;
  /** Those of the asked `codes` that were used (`use-code`). */
  readonly usedCodes: readonly string[];
  /** What is counted in the user's `codeScope`. */
  readonly wrongCodes: WrongCodes;
}

export interface StoredBypassCode {
  /** HMAC of the code. */
  readonly id: string;
  readonly expiresAtMs: number;
  readonly reEnrol: boolean;
}

/** A code that was mailed or texted. */
export interface StoredDeliveredCode {
  /** Names it in `use-code`. */
  readonly id: string;
  readonly username: string;
  readonly node: string;
  readonly protocol: string;
  readonly clientIp: string;
  /** HMAC of the code. */
  readonly fingerprint: string;
  readonly transport: 'email' | 'sms';
  /** The masked address. */
  readonly hint: string;
  readonly sentAtMs: number;
  /** 0: void. */
  readonly expiresAtMs: number;
  readonly isUsed: boolean;
}

export type WrongCodes = Pick<FailureState, 'inARow' | 'lockedUntilMs'>;

/** Where wrong codes of a user are counted, over every protocol and node. */
export function codeScope(username: string): string {
  return `code:${username}`;
}

interface FailureState {
  /** Failures inside the window. */
  readonly recent: number;
  /** Failures in a row since the last success. */
  readonly inARow: number;
  readonly lockedUntilMs: number | undefined;
}

export type FactorChange =
  /** Fails if step ≤ the last used step of this enrolment. */
  | {
      readonly kind: 'use-time-step';
      readonly user: string;
      readonly enrolment: string;
      readonly step: number;
    }
  /** Fails if already used. `id` is unique per code (HMAC). */
  | { readonly kind: 'use-code'; readonly user: string; readonly id: string; readonly expiresAtMs?: number }
  /** Never fails. A newer one of the same user, node, protocol and client address makes the older void. */
  | { readonly kind: 'keep-delivered-code'; readonly code: StoredDeliveredCode }
  /** Fails if this (SSH session id, key) was used before, or the key was forgotten. */
  | {
      readonly kind: 'use-ssh-signature';
      readonly user: string;
      readonly sshSession: string;
      readonly fingerprint: string;
    }
  /**
   * Sets the present enrolment (undefined = reset); fails if `expected` is not the present one. The newest id ever
   * set stays known through a reset, so that an older file put back is noticed.
   */
  | {
      readonly kind: 'set-enrolment';
      readonly user: string;
      readonly id: string | undefined;
      readonly expected: string | undefined;
    }
  /** Fails if that is not the present enrolment: evidence of one that was reset or renewed meanwhile. */
  | { readonly kind: 'require-enrolment'; readonly user: string; readonly id: string }
  /** Never fails. One outstanding per user: replaces (undefined = takes away) the one before. */
  | {
      readonly kind: 'set-bypass-code';
      readonly user: string;
      readonly code: StoredBypassCode | undefined;
    }
  /** Fails if `id` is not the outstanding one or it is over; takes it away. */
  | { readonly kind: 'use-bypass-code'; readonly user: string; readonly id: string; readonly nowMs: number }
  /** Counts a failure in a scope such as `code:alice` or `password:alice`; never undone by a failed login (S-13). */
  | {
      readonly kind: 'count-failure';
      readonly scope: string;
      readonly atMs: number;
      readonly windowMs: number;
      readonly limit: number;
      readonly lockMs: number;
      readonly lockMaxMs: number;
      /** Nothing is asked of it but its window and its lock, and it is forgotten with them: names that strangers type. */
      readonly isBrief?: true;
    }
  /** Never fails. Takes back one `count-failure` of that time; a lock that it brought stays. */
  | { readonly kind: 'take-back-failure'; readonly scope: string; readonly atMs: number }
  /** `withParts`: and every scope whose name begins with this one and a blank. */
  | { readonly kind: 'clear-failures'; readonly scope: string; readonly withParts?: true }
  /**
   * Never fails. Signatures of keys that have not been among `stored` since before `removedBeforeMs` are forgotten, and
   * with them the key: `use-ssh-signature` fails for it for ever, so that nothing forgotten can be used again.
   */
  | {
      readonly kind: 'forget-removed-keys';
      readonly stored: readonly string[];
      readonly nowMs: number;
      readonly removedBeforeMs: number;
    }
  /**
   * Never fails. For a store that is older than what happened: no session, lease, device, bypass or sent code in it is
   * good any more, and no time step up to `step` of any enrolment.
   */
  | { readonly kind: 'void-evidence'; readonly step: number };

export interface FactorQueries {
  /** One look at all that a step of a login asks about a user's factor. `codes`: see `usedCodes`. */
  'two-factor-state'(of: { readonly user: string; readonly codes?: readonly string[] }): TwoFactorState;
  /** Those of `ids` that were used (`use-code`) by this user. */
  'used-codes'(of: { readonly user: string; readonly ids: readonly string[] }): readonly string[];
  /** Those that live or were sent within the last hour, used or not; oldest first. */
  'delivered-codes'(at: { readonly nowMs: number }): readonly StoredDeliveredCode[];
  failures(of: { readonly scope: string; readonly nowMs: number }): FailureState;
  /** Until when each of these scopes is or was locked, in their order; 0: it never was. */
  locks(of: { readonly scopes: readonly string[] }): readonly number[];
}
