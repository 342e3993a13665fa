/**
 * What is remembered of names: from where they signed in, what was changed, and whose they were. Decided in users/,
 * login/ and help-desk/.
 */

/** A name whose user is or was gone. */
export interface StoredDeparture {
  readonly username: string;
  /** Undefined: it is decided who has the name. */
  readonly goneAtMs: number | undefined;
  /** Given again since, and not decided. */
  readonly returnedAtMs: number | undefined;
  /** What was made until then is another person's. */
  readonly formerUntilMs: number | undefined;
}

interface RememberedName {
  readonly username: string;
  /** An authenticator or a token of the admin API: things that must never pass to another person. */
  readonly isHeld: boolean;
}

export interface StoredAccountChange {
  readonly kind: 'enrolled' | 'recovery-codes' | 'password' | 'ssh-key-added' | 'ssh-key-removed';
  readonly username: string;
  readonly node: string;
  /** Key of the session it was made in, as it was called afterwards. */
  readonly session: string;
  readonly clientIp: string;
  readonly atMs: number;
  /** What it made: enrolment id, credential of the password, or fingerprint of the key. */
  readonly subject: string;
}

export type NameChange =
  /** Never fails. Sets the first login's time once, and the last good login from this address. */
  | { readonly kind: 'note-login'; readonly user: string; readonly clientIp: string; readonly atMs: number }
  /** Fails if the user was reminded less than `intervalMs` before. */
  | {
      readonly kind: 'note-reminder';
      readonly user: string;
      readonly atMs: number;
      readonly intervalMs: number;
    }
  /** Never fails. What a user changed through a node, so that it can be found and revoked (S-15). */
  | { readonly kind: 'note-account-change'; readonly change: StoredAccountChange }
  /** Never fails. A new user of that name starts as a stranger: first and good logins, changes are forgotten. */
  | { readonly kind: 'forget-user'; readonly user: string }
  /**
   * What hangs at a name hangs at another: authenticator, spent codes, logins. What was opened under it ends: sessions,
   * leases, devices, bypass codes, tokens, password links. Fails if `enrolment` is not the present one, or `to` has one.
   * The newest enrolment of the old name stays known, as through a reset.
   */
  | {
      readonly kind: 'rename-user';
      readonly user: string;
      readonly to: string;
      readonly enrolment: string | undefined;
    }
  /** Never fails. The name's user is gone; a time noted before stands, so that coming and going stretches nothing. */
  | { readonly kind: 'note-departure'; readonly user: string; readonly atMs: number }
  /** Never fails. Somebody has the name again, and it must be decided who that is. */
  | { readonly kind: 'note-return'; readonly user: string; readonly atMs: number }
  /** Never fails. Decided: the same person (undefined), or another one from this time on. */
  | {
      readonly kind: 'settle-departure';
      readonly user: string;
      readonly formerUntilMs: number | undefined;
    };

export interface NameQueries {
  /** When this user last logged in from this address; remembered for 30 days, for the newest 256 addresses a user. */
  'last-good-login'(of: {
    readonly user: string;
    readonly clientIp: string;
    readonly nowMs: number;
  }): number | undefined;
  /** Whether anybody's last login from this address is remembered. */
  'known-address'(of: { readonly clientIp: string; readonly nowMs: number }): boolean;
  /** What users changed through this node from `fromMs` to before `toMs`, oldest first; at most `limit`. */
  'account-changes'(of: {
    readonly node: string;
    readonly fromMs: number;
    readonly toMs: number;
    readonly limit: number;
  }): readonly StoredAccountChange[];
  /** The latest addition of each SSH key of this user. */
  'ssh-key-additions'(of: { readonly user: string }): readonly StoredAccountChange[];
  /** Names that their users left, and what of earlier holders must not count any more. */
  departures(): readonly StoredDeparture[];
  /** Names that something is stored under which a login, a token or a bypass code would use. */
  'remembered-names'(at: { readonly nowMs: number }): readonly RememberedName[];
}
