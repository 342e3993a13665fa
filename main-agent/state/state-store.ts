import type { AuditChange, AuditQueries } from './audit-record.ts';
import type { FactorChange, FactorQueries } from './factor-records.ts';
import type { DropRecord, KeepRecord, KeptQueries } from './kept-records.ts';
import type { NameChange, NameQueries } from './name-records.ts';
import type { SessionChange, SessionQueries } from './session-records.ts';

/**
 * What machines write often (D-112). One commit = one transaction: all changes, or none and the name of the first that
 * could not be made (S-03). Durable before it resolves. SQLite implements it in a writer thread with group commit;
 * main's event loop never waits for a disk. What is stored, changed and asked stands in the files beside, by owner.
 */
export interface StateStore {
  /** Rejects `too-many` beyond 256 changes, `busy` while the disk hangs or main ends, `internal` when nothing was written. */
  commit(changes: readonly Change[]): Promise<CommitResult>;
  /** Sees every commit that resolved before it was asked. Rejects `busy` or `internal` as `commit` does. */
  read<Q extends keyof Queries>(query: Q, ...params: Parameters<Queries[Q]>): Promise<ReturnType<Queries[Q]>>;
  /** Called after each commit that wrote audit records. Returns the unsubscribe. */
  onAudit(listener: () => void): () => void;
  /** What was asked before is done and durable when it resolves. */
  close(): Promise<void>;
}

/** Of an engine whose state is a file of this machine. */
export interface StateCopies {
  /**
   * A whole state of one moment, in a new file of mode 0600, while commits go on. Rejects `exists` where there is a
   * file, `busy` or `internal` as `commit` does.
   */
  copyTo(file: string): Promise<void>;
}

export type CommitResult = { readonly ok: true } | { readonly ok: false; readonly failed: Change['kind'] };

/** Conditions are part of the change: each says in its comment what makes the whole commit fail. */
export type Change = SessionChange | FactorChange | NameChange | KeepRecord | DropRecord | AuditChange;

/** What can be asked. The answer depends on the parameters and on what was committed, never on a clock of the store. */
export interface Queries extends SessionQueries, FactorQueries, NameQueries, KeptQueries, AuditQueries {}
