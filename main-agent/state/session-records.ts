import type { Method, Protocol } from '#shared/login.ts';

/**
 * What is open: sessions, the leases they ride on, and browsers that stand for the code. Decided in sessions/; held in
 * memory there and read whole at a start, except devices.
 */

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

export type SessionChange =
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
  | { readonly kind: 'end-devices'; readonly user: string };

export interface SessionQueries {
  sessions(): readonly StoredSession[];
  leases(): readonly StoredLease[];
  devices(of: { readonly user: string }): readonly StoredDevice[];
  /** Devices remembered through this node. */
  'devices-through'(of: { readonly node: string }): readonly StoredDevice[];
}
