import type { LockOut } from '#main-agent/help-desk/lock-out.ts';
import type { AnySession } from '#main-agent/sessions/session.ts';
import type { Transport } from '#main-agent/two-factor/code-delivery.ts';
import type { StoredAccountChange, StoredLease } from '#main-agent/state/state-store.ts';
import type { OrphanedName } from '#main-agent/users/departures.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { GroupSummary, GroupView } from '#main-agent/users/group-writes.ts';
import type { StoreFiles, StorePlan } from '#main-agent/users/store-plan.ts';
import type { SourceProblem } from '#main-agent/users/user-source.ts';
import type { Protocol } from '#shared/login.ts';
import type { Secret } from '#shared/secret.ts';

/**
 * What the admin API asks of the rest of main. Each port is small, so that tests play it and `system.ts` wires it.
 * Refusals are SallyportErrors: `not-found`, `exists`, `precondition-failed` (etag), `config` (a value that does not
 * fit, told in `detail`), `not-allowed`, `conflict`.
 */

/** The user store with its writes. */
export interface UserDirectory {
  find(username: string): EffectiveUser | undefined;
  list(): Iterable<EffectiveUser>;
  problems(): readonly SourceProblem[];
  /** Hash of the user's own file; undefined: there is none. */
  etag(username: string): Promise<string | undefined>;
  /** Every effective value with the file and line it came from. */
  origins(username: string): Promise<readonly ValueOrigin[]>;
  /** Keys as people write them in the file. Resolves with the new etag, when the user is in force. */
  create(username: string, fields: Readonly<Record<string, unknown>>): Promise<string>;
  /** Keeps comments and order. Resolves with the new etag, when the change is in force. */
  change(username: string, changes: readonly UserChange[], ifMatch: string | undefined): Promise<string>;
  remove(username: string, ifMatch: string | undefined): Promise<void>;
}

export interface UserChange {
  /** `two_factor.required_on` as `['two_factor', 'required_on']`. */
  readonly path: readonly string[];
  /** Undefined takes the key away, so that the inherited value shows again. */
  readonly value: unknown;
}

export interface ValueOrigin {
  readonly key: string;
  readonly value: unknown;
  readonly file: string;
  readonly line: number;
}

/** Groups, `_default` among them. Comments, order and etags as with users. */
export interface GroupDirectory {
  list(): readonly GroupSummary[];
  show(name: string): Promise<GroupView>;
  create(name: string, fields: Readonly<Record<string, unknown>>): Promise<string>;
  change(name: string, changes: readonly UserChange[], ifMatch: string | undefined): Promise<string>;
  /** Rejects `conflict` while anybody is in it. */
  remove(name: string, ifMatch: string | undefined): Promise<void>;
}

/** The whole user store as code. */
export interface UserStorePlans {
  plan(files: StoreFiles): Promise<StorePlan>;
  /** All or nothing; rejects `precondition-failed` when the store is not the one of `etag`. */
  apply(files: StoreFiles, etag: string): Promise<StorePlan>;
}

/** Who asks for a change, and why; both are audited in the same transaction as the change. */
export interface AdminReason {
  readonly actor: string;
  readonly reason: string;
}

export interface SessionAdmin {
  list(): readonly AnySession[];
  /** False: there was none. */
  end(key: string, reason: string): Promise<boolean>;
  endAllOf(username: string, reason: string): Promise<number>;
}

/** What users changed through a DMZ node (S-15). */
export interface NodeChangeAdmin {
  /** Made from `fromMs` to before `toMs`, oldest first. */
  list(node: string, fromMs: number, toMs: number): Promise<NodeChanges>;
  /** Undoes what is in force of it, one by one: what fails does not keep the others. */
  revoke(node: string, fromMs: number, toMs: number, why: AdminReason): Promise<NodeChanges>;
}

export interface NodeChanges {
  readonly changes: readonly NodeChange[];
  /** There are more than one answer holds: ask again from the time of the last. */
  readonly isCut: boolean;
}

export interface NodeChange {
  readonly kind: StoredAccountChange['kind'] | 'device' | 'lease';
  readonly user: string;
  readonly atMs: number;
  /** Key of the session it was made in, where one is known. */
  readonly session?: string;
  readonly clientIp?: string;
  /** Enrolment id, credential or key fingerprint. */
  readonly subject?: string;
  /** `gone`: something later took its place, or it can't be undone (a removed key). */
  readonly state: 'in force' | 'gone' | 'revoked' | 'failed';
  /** What to do now, or why it failed. */
  readonly note?: string;
}

/** An entry of a storage that nobody is served, or (`unlooked`) a folder that could not be looked into. */
export interface UnservedPlace {
  /** Below the storage's base, safe to look at. */
  readonly path: string;
  /** Its name is none that clients could use; or what it is. */
  readonly kind: 'name' | 'link' | 'special' | 'unlooked';
}

export interface StorageSurvey {
  readonly storage: string;
  /** Names looked at. */
  readonly looked: number;
  /** Whether these are all there are. */
  readonly isComplete: boolean;
  /** Entries that are not served. */
  readonly unserved: number;
  /** Some of them. */
  readonly places: readonly UnservedPlace[];
  /** When it ended; undefined: it goes on. */
  readonly endedAtMs: number | undefined;
}

/** Looks for names that are not served, on all storages. */
export interface Surveys {
  /** Each storage as far as it was looked at. */
  report(): readonly StorageSurvey[];
  /** Looks anew, in vain for no longer than a person waits; what is not done by then goes on. */
  refresh(): Promise<readonly StorageSurvey[]>;
}

export interface LeaseAdmin {
  list(): Promise<readonly StoredLease[]>;
  /** False: there was none. */
  end(id: string): Promise<boolean>;
  endAllOf(username: string, why: AdminReason): Promise<void>;
}

export interface TwoFactorAdmin {
  status(username: string): Promise<TwoFactorReport>;
  /** What an admin should know of the switches that make a second factor worth less. */
  warnings(): readonly string[];
  /** The one way a factor goes away; ends leases and remembered devices too. */
  reset(username: string, why: AdminReason): Promise<void>;
  /** After the user was removed: nothing of theirs is there for a new user of that name. */
  forget(username: string, why: AdminReason): Promise<void>;
  /** Names whose user is gone while a second factor or a token is left, and those that came back undecided. */
  orphans(): readonly OrphanedName[];
  /** Before a user is added: if the name's user is gone, this is somebody else until an admin says otherwise. */
  expectAnother(username: string): void;
  /** A name that came back is the same person's: what waits counts again. False: it waits for no decision. */
  keep(username: string, why: AdminReason): Promise<boolean>;
  /** Lifts a lock and forgets the failures that led to it. */
  unlock(username: string, why: AdminReason): Promise<void>;
  makeBypassCode(
    username: string,
    options: AdminReason & { readonly ttlMs: number; readonly reEnrol: boolean },
  ): Promise<Secret>;
  /** Takes over an authenticator of another system. */
  importSecret(request: TwoFactorImport): Promise<TwoFactorImportOutcome>;
}

export interface TwoFactorImport extends AdminReason {
  /** Undefined: whom the otpauth URI names. */
  readonly user: string | undefined;
  /** Base32, or an otpauth URI. */
  readonly secret: Secret;
  readonly replace: boolean;
  /** Says what would come of it, and changes nothing. */
  readonly isDryRun: boolean;
}

/** `username`: whom it is about, if that is known. */
export type TwoFactorImportOutcome =
  | { readonly username: string; readonly isReplaced: boolean }
  | { readonly username?: string; readonly problem: string };

/** Sends a message as a code would go. */
export interface DeliveryTester {
  /** By every transport the user has an address for. Rejects `not-found` when there is none. */
  test(username: string): Promise<readonly DeliveryTestResult[]>;
}

export interface DeliveryTestResult {
  readonly transport: Transport;
  /** Masked. */
  readonly address: string;
  readonly tookMs: number;
  /** Why it was not accepted; undefined: relay or gateway took it. */
  readonly problem?: string;
}

export interface TwoFactorReport extends LockOut {
  readonly state: 'none' | 'enrolled' | 'broken';
  /** Why it is broken. */
  readonly problem?: string;
  readonly confirmedAt?: string;
  readonly via?: { readonly node: string; readonly session: string };
  /** The admin's wish and the enrolment's, together, as it holds now. */
  readonly requiredOn: readonly Protocol[];
  readonly recoveryCodesLeft: number;
  readonly failures: number;
  readonly lockedUntilMs?: number;
  readonly bypassExpiresAtMs?: number;
}

export interface LoginExplainer {
  explain(question: LoginQuestion): Promise<LoginExplanation>;
  /** The address alone, whoever it is; at both doors where none is named. */
  explainAddress(question: AddressQuestion): Promise<AddressExplanation>;
}

export interface AddressQuestion {
  readonly protocol?: Protocol;
  readonly ip: string;
  readonly node?: string;
}

export interface AddressExplanation {
  readonly protocol?: Protocol;
  readonly outcome: 'open' | 'refused';
  readonly chain: readonly ExplainedRule[];
}

export interface LoginQuestion {
  readonly user: string;
  readonly protocol: Protocol;
  readonly ip: string;
  readonly node?: string;
}

export interface LoginExplanation {
  readonly user: string;
  readonly protocol: Protocol;
  /** What would happen after a right first factor. */
  readonly outcome: 'admitted' | 'totp' | 'email' | 'sms' | 'bypass' | 'setup' | 'refused';
  /** Each rule in the order it is asked, the deciding one last. */
  readonly chain: readonly ExplainedRule[];
}

export interface ExplainedRule {
  readonly rule: string;
  readonly result: string;
  /** `file:line` the value came from, where there is one. */
  readonly origin?: string;
}

export interface PasswordHasher {
  /** PHC string. Rejects, with a reason for the user, when the password is too weak for this name. */
  hash(password: Secret, username: string): Promise<Secret>;
}

export interface NodeAdmin {
  list(): readonly NodeReport[];
  /** For good: its links end now, its sessions and leases with them, and a restart does not dial it. Sessions ended. */
  revoke(name: string, why: AdminReason): Promise<number>;
  /** Takes a revocation back. */
  unrevoke(name: string, why: AdminReason): Promise<void>;
  /** New keys by a line that the node's present key signed; both are good for `overlapMs`. */
  rotate(
    line: string,
    overlapMs: number,
    why: AdminReason,
  ): Promise<{ readonly name: string; readonly identity: string }>;
}

/** One DMZ node as main sees it now. */
export interface NodeReport {
  readonly name: string;
  readonly address: string;
  readonly state: 'up' | 'down' | 'revoked';
  readonly identity: string;
  readonly signingKey: string;
  readonly revoked?: { readonly atMs: number; readonly by: string; readonly reason: string };
  readonly rotation?: { readonly oldIdentity: string; readonly untilMs: number };
  readonly links: readonly {
    readonly worker: number;
    readonly up: boolean;
    readonly sinceMs?: number;
    readonly epoch: number;
    readonly lanes?: number;
    readonly software?: string;
    readonly clockSkewMs?: number;
    readonly rttMs?: number;
    readonly configHash?: string;
    /** Why it is down. */
    readonly problem?: string;
  }[];
}

/** Bytes on their way, by open file. */
export interface TransferAdmin {
  list(): readonly Transfer[];
  /** False: there was none. */
  end(id: string): Promise<boolean>;
}

export interface Transfer {
  readonly id: string;
  readonly username: string;
  readonly path: string;
  readonly direction: 'upload' | 'download';
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly startedAtMs: number;
  readonly sessionKey: string;
  readonly node: string;
  readonly protocol: Protocol;
  readonly clientIp: string;
}

/** What users deleted or replaced and can have back. */
export interface BinAdmin {
  /** Also what an earlier holder of the name left; nobody need have the name now. In no order. */
  list(username: string): readonly KeptEntry[];
  /** The path it has then, as its user sees it. Rejects `not-found`, `exists` where the name is taken. */
  restore(username: string, id: string, how: AdminReason & { readonly keepBoth: boolean }): Promise<string>;
  /** How many are gone for good; without `ids` all. */
  empty(username: string, ids: readonly string[] | undefined, why: AdminReason): Promise<number>;
}

export interface KeptEntry {
  readonly id: string;
  /** As its user saw it. */
  readonly path: string;
  readonly type: 'file' | 'folder';
  readonly bytes: number | undefined;
  readonly reason: 'deleted' | 'replaced';
  readonly deletedAtMs: number;
  readonly expiresAtMs: number;
  readonly storage: string;
  /** Somebody deleted it who had the name before. */
  readonly isFormer: boolean;
}

/** `doctor`: what is not as it should be, and how to mend it. */
export interface Doctor {
  examine(): Promise<readonly Finding[]>;
}

export interface Finding {
  readonly check: string;
  readonly state: 'good' | 'warning' | 'bad';
  readonly detail: string;
  readonly hint?: string;
}

/** What is wrong or switched off; empty = all is well. */
export interface Health {
  problems(): readonly string[];
  /** What is as configured and should not be forgotten. */
  notices(): Promise<readonly string[]>;
}
