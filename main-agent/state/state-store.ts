import type { AuditRecord, ChainHead } from './audit-record.ts';
import type { Method, Protocol } from '#shared/login.ts';
import type { DropRecord, KeepRecord, KeptQueries } from './kept-records.ts';

/**
 * What machines write often. One call = one transaction: all changes, or none and the name of the first that could
 * not be made (S-03). Durable before it resolves. SQLite implements it in a writer thread with group commit; main's
 * event loop never waits for a disk.
 */
export interface StateStore {
  /** Rejects `too-many` beyond 256 changes, `busy` while the disk hangs or main ends, `internal` when nothing was written. */
  commit(changes: readonly Change[]): Promise<CommitResult>;
  /** Answered after every commit that was asked for before it. Rejects `busy` or `internal` as `commit` does. */
  read<Q extends keyof Queries>(query: Q, ...params: Parameters<Queries[Q]>): Promise<ReturnType<Queries[Q]>>;
  /** Called after each commit that wrote audit records. Returns the unsubscribe. */
  onAudit(listener: () => void): () => void;
  /** What was asked before is done and durable when it resolves. */
  close(): Promise<void>;
}

/** What can be asked. The answer depends on the parameters and on what was committed, never on a clock of the store. */
export interface Queries extends KeptQueries {
  sessions(): readonly StoredSession[];
  leases(): readonly StoredLease[];
  /** One look at all that a step of a login asks about a user's factor. `codes`: see `usedCodes`. */
  'two-factor-state'(of: { readonly user: string; readonly codes?: readonly string[] }): TwoFactorState;
  /** Those of `ids` that were used (`use-code`) by this user. */
  'used-codes'(of: { readonly user: string; readonly ids: readonly string[] }): readonly string[];
  /** When this user last logged in from this address; remembered for 30 days, for the newest 256 addresses a user. */
  'last-good-login'(of: {
    readonly user: string;
    readonly clientIp: string;
    readonly nowMs: number;
  }): number | undefined;
  /** Whether anybody's last login from this address is remembered. */
  'known-address'(of: { readonly clientIp: string; readonly nowMs: number }): boolean;
  devices(of: { readonly user: string }): readonly StoredDevice[];
  /** Devices remembered through this node. */
  'devices-through'(of: { readonly node: string }): readonly StoredDevice[];
  /** Those that live or were sent within the last hour, used or not; oldest first. */
  'delivered-codes'(at: { readonly nowMs: number }): readonly StoredDeliveredCode[];
  /** What users changed through this node from `fromMs` to before `toMs`, oldest first; at most `limit`. */
  'account-changes'(of: {
    readonly node: string;
    readonly fromMs: number;
    readonly toMs: number;
    readonly limit: number;
  }): readonly StoredAccountChange[];
  /** The latest addition of each SSH key of this user. */
  'ssh-key-additions'(of: { readonly user: string }): readonly StoredAccountChange[];
  failures(of: { readonly scope: string; readonly nowMs: number }): FailureState;
  /** Until when each of these scopes is or was locked, in their order; 0: it never was. */
  locks(of: { readonly scopes: readonly string[] }): readonly number[];
  /** Names that their users left, and what of earlier holders must not count any more. */
  departures(): readonly StoredDeparture[];
  /** Names that something is stored under which a login, a token or a bypass code would use. */
  'remembered-names'(at: { readonly nowMs: number }): readonly RememberedName[];
  /** Records after a sequence number, in order. */
  'audit-after'(of: {
    readonly sequence: number;
    readonly limit: number;
  }): readonly { readonly sequence: number; readonly record: AuditRecord }[];
  'find-audit'(of: { readonly reference: string }): readonly AuditRecord[];
  'audit-extent'(): AuditExtent;
  /** The last event of a node's worker that is audited. */
  'edge-position'(of: { readonly node: string; readonly worker: number }): EdgeCount | undefined;
  /** The last record a webhook was told of; undefined = none ever. */
  'webhook-position'(of: { readonly webhook: string }): number | undefined;
}

export type CommitResult = { readonly ok: true } | { readonly ok: false; readonly failed: Change['kind'] };

/** Conditions are part of the change: each says in its comment what makes the whole commit fail. */
export type Change =
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
  | { readonly kind: 'open-session'; readonly session: StoredSession }
  /** Fails if the old one is not live: a session's id changes at each step up. */
  | { readonly kind: 'replace-session'; readonly oldKey: string; readonly session: StoredSession }
  /** Never fails. */
  | { readonly kind: 'end-session'; readonly key: string }
  | { readonly kind: 'touch-session'; readonly key: string; readonly usedAtMs: number }
  | { readonly kind: 'open-lease'; readonly lease: StoredLease }
  /** Fails if the lease is gone, over, or out of opens. */
  | { readonly kind: 'use-lease'; readonly id: string; readonly nowMs: number }
  | { readonly kind: 'end-lease'; readonly id: string }
  | { readonly kind: 'end-leases'; readonly user: string }
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
  /** Never fails. Sets the first login's time once, and the last good login from this address. */
  | { readonly kind: 'note-login'; readonly user: string; readonly clientIp: string; readonly atMs: number }
  /** Fails if the user was reminded less than `intervalMs` before. */
  | {
      readonly kind: 'note-reminder';
      readonly user: string;
      readonly atMs: number;
      readonly intervalMs: number;
    }
  /** Never fails. One outstanding per user: replaces (undefined = takes away) the one before. */
  | {
      readonly kind: 'set-bypass-code';
      readonly user: string;
      readonly code: StoredBypassCode | undefined;
    }
  /** Fails if `id` is not the outstanding one or it is over; takes it away. */
  | { readonly kind: 'use-bypass-code'; readonly user: string; readonly id: string; readonly nowMs: number }
  | { readonly kind: 'open-device'; readonly device: StoredDevice }
  /** Fails if the device is gone or over, or `oldHash` is not its present value; `oldHash` becomes `previousHash`. */
  | {
      readonly kind: 'rotate-device';
      readonly id: string;
      readonly oldHash: string;
      readonly newHash: string;
      readonly nowMs: number;
    }
  | { readonly kind: 'end-device'; readonly id: string }
  | { readonly kind: 'end-devices'; readonly user: string }
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
  /** `withParts`: and every scope whose name begins with this one and a blank. */
  | { readonly kind: 'clear-failures'; readonly scope: string; readonly withParts?: true }
  /** Never fails. What a user changed through a node, so that it can be found and revoked (S-15). */
  | { readonly kind: 'note-account-change'; readonly change: StoredAccountChange }
  /** Never fails. A new user of that name starts as a stranger: first and good logins, changes are forgotten. */
  | { readonly kind: 'forget-user'; readonly user: string }
  /** Never fails. The name's user is gone; a time noted before stands, so that coming and going stretches nothing. */
  | { readonly kind: 'note-departure'; readonly user: string; readonly atMs: number }
  /** Never fails. Somebody has the name again, and it must be decided who that is. */
  | { readonly kind: 'note-return'; readonly user: string; readonly atMs: number }
  /** Never fails. Decided: the same person (undefined), or another one from this time on. */
  | {
      readonly kind: 'settle-departure';
      readonly user: string;
      readonly formerUntilMs: number | undefined;
    }
  | KeepRecord
  | DropRecord
  | { readonly kind: 'audit'; readonly record: AuditRecord }
  /** Never fails. The head of the audit files, so that they can be compared with it. */
  | { readonly kind: 'note-audit-head'; readonly head: ChainHead }
  /** Never fails. A record that stands in the audit files under this number and in an older store does not. */
  | { readonly kind: 'restore-audit'; readonly sequence: number; readonly record: AuditRecord }
  /** Never fails. Numbers up to this one are known elsewhere: none of them is given again. */
  | { readonly kind: 'skip-audit-numbers'; readonly upTo: number }
  /**
   * Never fails. For a store that is older than what happened: no session, lease, device, bypass or sent code in it is
   * good any more, and no time step up to `step` of any enrolment.
   */
  | { readonly kind: 'void-evidence'; readonly step: number }
  /** Never fails. Only for records that are durable in the audit files. */
  | { readonly kind: 'prune-audit'; readonly before: number }
  /** Fails if this boot's count stands there already. */
  | {
      readonly kind: 'note-edge-event';
      readonly node: string;
      readonly worker: number;
      readonly count: EdgeCount;
    }
  /** Never fails. */
  | { readonly kind: 'note-webhook'; readonly webhook: string; readonly sequence: number }
  /**
   * Never fails. Signatures of keys that have not been among `stored` since before `removedBeforeMs` are forgotten, and
   * with them the key: `use-ssh-signature` fails for it for ever, so that nothing forgotten can be used again.
   */
  | {
      readonly kind: 'forget-removed-keys';
      readonly stored: readonly string[];
      readonly nowMs: number;
      readonly removedBeforeMs: number;
    };

/** What of the audit stands in the store. */
export interface AuditExtent {
  /** Numbers of the oldest and the newest record; 0 = none. */
  readonly first: number;
  readonly last: number;
  /** As noted last. */
  readonly head: ChainHead | undefined;
}

/** How far a node's process has counted its events. */
export interface EdgeCount {
  readonly boot: string;
  readonly sequence: number;
}

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

export interface RememberedName {
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

export interface StoredSession {
  readonly key: string;
  readonly username: string;
  readonly node: string;
  readonly worker: number;
  readonly protocol: Protocol;
  readonly state: 'signed-in' | 'setup-required';
  readonly method: Method;
  readonly clientIp: string;
  /** What the client called itself; absent in sessions from before it was kept. */
  readonly agent?: string;
  /** The first factor it was opened with: key fingerprint, or `password:<version>`. */
  readonly credential: string;
  /** The lease it rides on. */
  readonly lease?: string;
  /** Opened by a bypass code that allows to replace the factor. */
  readonly reEnrol?: boolean;
  readonly openedAtMs: number;
  readonly usedAtMs: number;
  readonly expiresAtMs: number;
}

export interface StoredLease {
  readonly id: string;
  readonly username: string;
  /** Key fingerprint, or `password:<version>`. */
  readonly credential: string;
  readonly protocol: Protocol;
  readonly node: string;
  readonly clientIp: string;
  readonly agent: string;
  readonly openedAtMs: number;
  readonly usedAtMs: number;
  readonly ttlMs: number;
  readonly expiresAtMs: number;
  readonly opensLeft: number;
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

/** A browser that stands for the code for a while. */
export interface StoredDevice {
  readonly id: string;
  readonly username: string;
  readonly node: string;
  /** As of a session. */
  readonly agent?: string;
  readonly credential: string;
  /** SHA-256 of the cookie's value, base64url; replaced at each use. */
  readonly valueHash: string;
  /** The value before this one; shown again it means that a copy exists. */
  readonly previousHash?: string;
  readonly rotatedAtMs: number;
  readonly openedAtMs: number;
  readonly expiresAtMs: number;
}

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

export type WrongCodes = Pick<FailureState, 'inARow' | 'lockedUntilMs'>;

/** Where wrong codes of a user are counted, over every protocol and node. */
export function codeScope(username: string): string {
  return `code:${username}`;
}

export interface FailureState {
  /** Failures inside the window. */
  readonly recent: number;
  /** Failures in a row since the last success. */
  readonly inARow: number;
  readonly lockedUntilMs: number | undefined;
}
