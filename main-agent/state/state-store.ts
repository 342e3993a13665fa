import type { AuditRecord } from '#main-agent/audit/record.ts';
import type { Method, Protocol } from '#shared/login.ts';

/**
 * What machines write often. One call = one transaction: all changes, or none and the name of the first that could
 * not be made (S-03). Durable before it resolves. SQLite implements it in a writer thread with group commit; main's
 * event loop never waits for a disk.
 */
export interface StateStore {
  commit(changes: readonly Change[]): Promise<CommitResult>;

  sessions(): Promise<readonly StoredSession[]>;
  leases(): Promise<readonly StoredLease[]>;
  twoFactorState(username: string): Promise<TwoFactorState>;
  failures(scope: string): Promise<FailureState>;
  /** Records after a sequence number, in order. */
  auditAfter(sequence: number, limit: number): Promise<readonly { sequence: number; record: AuditRecord }[]>;
  findAudit(reference: string): Promise<readonly AuditRecord[]>;
  /** Called after each commit that wrote audit records. Returns the unsubscribe. */
  onAudit(listener: () => void): () => void;
  close(): Promise<void>;
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
  /** Fails if this (SSH session id, key) was used before. */
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
  | { readonly kind: 'end-leases'; readonly user: string }
  /** Sets the newest enrolment (undefined = reset); fails if `expected` is not the present one. */
  | {
      readonly kind: 'set-enrolment';
      readonly user: string;
      readonly id: string | undefined;
      readonly expected: string | undefined;
    }
  /** Counts a failure in a scope such as `code:alice` or `password:alice`; never undone by a failed login (S-13). */
  | {
      readonly kind: 'count-failure';
      readonly scope: string;
      readonly atMs: number;
      readonly windowMs: number;
      readonly limit: number;
      readonly lockMs: number;
      readonly lockMaxMs: number;
    }
  | { readonly kind: 'clear-failures'; readonly scope: string }
  | { readonly kind: 'audit'; readonly record: AuditRecord };

export interface StoredSession {
  readonly key: string;
  readonly username: string;
  readonly node: string;
  readonly worker: number;
  readonly protocol: Protocol;
  readonly state: 'signed-in' | 'setup-required';
  readonly method: Method;
  readonly clientIp: string;
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

export interface TwoFactorState {
  /** The newest enrolment id this store has seen; undefined = never enrolled, or reset. */
  readonly enrolment: string | undefined;
  readonly lastStep: number | undefined;
  readonly usedCodes: number;
}

export interface FailureState {
  /** Failures inside the window. */
  readonly recent: number;
  /** Failures in a row since the last success. */
  readonly inARow: number;
  readonly lockedUntilMs: number | undefined;
}
