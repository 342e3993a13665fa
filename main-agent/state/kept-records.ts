import type { AdminRole } from '#main-agent/administrator.ts';

/**
 * Small lists that are held in memory by their owner and kept here over a restart: each record by its id, as a whole.
 * They are bounded by their owners, so they are read whole.
 */
export interface KeptLists {
  readonly token: StoredToken;
  readonly ban: StoredBan;
  readonly 'revoked-node': StoredRevocation;
  readonly 'node-rotation': StoredRotation;
  readonly start: StoredStart;
  readonly restore: StoredRestore;
  readonly acme: StoredAcme;
  readonly 'host-key': StoredHostKey;
  readonly 'password-link': StoredPasswordLink;
  readonly 'user-rename': StoredRename;
}
export type KeptList = keyof KeptLists;

/** Each list whole, by id. */
export type KeptQueries = { readonly [L in KeptList as `kept-${L}`]: () => readonly KeptLists[L][] };

/** Puts a record in place of the one of that id, if there is one. */
export type KeepRecord = {
  readonly [L in KeptList]: {
    readonly kind: 'keep-record';
    readonly list: L;
    readonly record: KeptLists[L];
  };
}[KeptList];

/** Fails if there is none of that id. */
export interface DropRecord {
  readonly kind: 'drop-record';
  readonly list: KeptList;
  readonly id: string;
}

/** A bearer token of the admin API. Of the token itself only the hash is known. */
export interface StoredToken {
  readonly id: string;
  /** SHA-256 of the whole token, base64url. */
  readonly hash: string;
  /** A user of the user store; undefined: a service of this name. */
  readonly owner: { readonly user: string } | { readonly service: string };
  readonly role: AdminRole;
  /** A helpdesk token acts only on users of these groups; undefined: on all. */
  readonly groups?: readonly string[];
  readonly note: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly usedAtMs?: number;
}

/** A ban by an admin: of an address or network, of a user, or of a user from there. */
export interface StoredBan {
  readonly id: string;
  readonly address?: string;
  readonly user?: string;
  readonly reason: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly untilMs: number;
}

/** A node that is not dialled although the configuration names it; of this key only, so that pairing anew helps. */
export interface StoredRevocation {
  /** The node's name. */
  readonly id: string;
  readonly identity: string;
  readonly reason: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
}

/** A start of main on this state. Every process that ever wrote to it has one, so that a fork of the state shows. */
export interface StoredStart {
  /** The process, as it calls itself to its nodes. */
  readonly id: string;
  /** Grows with each start. */
  readonly number: number;
  /** No audit record from this number on was written by an earlier process. */
  readonly firstSequence: number;
  /** A restore was accepted at this start: what processes of lower numbers signed is settled. */
  readonly settles?: true;
}

/** State or audit that was put back, told until somebody acknowledges it. */
export interface StoredRestore {
  readonly id: string;
  /** Which of the two is older than what is known of it. */
  readonly what: 'state' | 'audit';
  readonly noticedAtMs: number;
  /** What is known, and by whom. */
  readonly detail: string;
  /** Number of the newest audit record that somebody knows. */
  readonly known: number;
  /** Number of the start that a node was told of. */
  readonly knownStart?: number;
  /** Put back by `sallyport restore`, with a reason already: the next start accepts it. */
  readonly restoredBy?: { readonly actor: string; readonly reason: string };
  /** Taken to another box by `sallyport backup --move`. */
  readonly isMoved?: boolean;
  /** Of `state`: main does not start before it is accepted. */
  readonly accepted?: { readonly atMs: number; readonly reason: string };
  readonly acknowledged?: { readonly atMs: number; readonly by: string; readonly reason: string };
}

/** A mailed link by which its user sets a password. Of its token only the hash is known. */
export interface StoredPasswordLink {
  /** The user. */
  readonly id: string;
  /** SHA-256 of the token, base64url. */
  readonly hash: string;
  /** Where it was mailed to. */
  readonly address: string;
  /** The password it was made for (sessions/credential.ts), or `none`. */
  readonly credential: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** A user who is getting another name: it is finished from what stands here, whatever a kill leaves. */
export interface StoredRename {
  /** The name that goes. */
  readonly id: string;
  readonly to: string;
  /** How far it is. `committed`: what the state has hangs at the new name already. */
  readonly stage: 'begun' | 'committed';
  /** Of the authenticator, which is prepared under the new name; undefined: there is none. */
  readonly enrolment?: string;
  /** Folders that are called after the user, below the base of their storage, in the order in which they move. */
  readonly moves: readonly StoredMove[];
  readonly actor: string;
  readonly reason: string;
  readonly startedAtMs: number;
}

export interface StoredMove {
  readonly storage: string;
  readonly from: readonly string[];
  /** As long as `from`. */
  readonly to: readonly string[];
}

/** What belongs to a certificate authority: `certificate`, or `account` and its directory. */
interface StoredAcme {
  readonly id: string;
  /** By the vault key. */
  readonly sealed: string;
}

/** An SSH host key of nodes whose `host_key` is main. */
export interface StoredHostKey {
  /** As `ssh-keygen -l` prints it. */
  readonly id: string;
  /** Which nodes' it is: of several where they are one server to their clients. */
  readonly nodes: readonly string[];
  /** Type and blob in base64, as in a `.pub` file. */
  readonly publicLine: string;
  /** `next`: announced, so that clients know it when it takes its turn. `retired`: for connections that know it. */
  readonly standing: 'signs' | 'next' | 'retired';
  readonly sinceMs: number;
  /** PKCS #8 in PEM, by the vault key. */
  readonly sealed: string;
}

/** Keys that take the place of the configured ones; the ones before are good until `overlapUntilMs`. */
export interface StoredRotation {
  /** The node's name. */
  readonly id: string;
  /** What the configuration said; a node that is paired anew with other keys than these three has no rotation. */
  readonly configuredIdentity: string;
  readonly oldIdentity: string;
  readonly oldSigningKey: string;
  readonly identity: string;
  readonly signingKey: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly overlapUntilMs: number;
}
