import type { EffectiveUser } from './effective-user.ts';

/** Where users come from. The YAML folder implements it; a database may. */
export interface UserSource {
  /** O(1); exact name only. */
  find(username: string): EffectiveUser | undefined;
  /** Whom a name means that a person typed; undefined where it means nobody, or one of two without saying which. */
  resolve(untrustedName: string): EffectiveUser | undefined;
  list(): IterableIterator<EffectiveUser>;
  /** Somebody has this name, also while what is written of them is broken and they can't sign in. */
  isGiven(username: string): boolean;
  /** False until the source could be read for the first time: that it holds nobody says nothing before. */
  isLoaded(): boolean;
  /** What is wrong with the source now; the last good version of each is in force meanwhile. */
  problems(): readonly SourceProblem[];
  /** Names that were given or taken away, and whose effective user changed. Returns the unsubscribe. */
  onChange(listener: (usernames: readonly string[]) => void): () => void;
  close(): Promise<void>;
}

export interface SourceProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string;
}

/** One user's second factor at rest. Owned by the agent, beside the admins' tree. Implemented in `enrolments.ts`. */
export interface Enrolment {
  /** Grows with time (ULID); the newest per user is also in state.db, so that a restored older file is noticed. */
  readonly id: string;
  /** AES-256-GCM under the vault key, AAD = username and id (and `codesFor`); `sealed:v1:…`. */
  readonly secret: string;
  /** What `auto_enable` switched on. */
  readonly requiredOn: readonly ('https' | 'sftp')[];
  readonly confirmedAt: string;
  readonly via: { readonly node: string; readonly session: string };
  /** HMACs under the vault key, base64url; which are used stands in state.db. */
  readonly recoveryCodes: readonly string[];
  /** The name that the recovery codes are bound to, where its user was renamed since; sealed with the secret. */
  readonly codesFor?: string;
}

export interface EnrolmentSource {
  /** Whose there are, readable or not. */
  list(): Promise<readonly string[]>;
  read(username: string): Promise<Enrolment | undefined>;
  /** Lays one beside the one in force, in place of what was prepared before. Atomic and durable when it resolves. */
  prepare(username: string, enrolment: Enrolment): Promise<void>;
  /** Puts what was prepared under this id in force, durably. Undefined: nothing was. */
  promote(username: string, id: string): Promise<Enrolment | undefined>;
  /** The one in force, and what was prepared. */
  remove(username: string): Promise<void>;
}
