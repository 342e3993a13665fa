import type {
  Change,
  CommitResult,
  FailureState,
  StoredLease,
  StoredSession,
  TwoFactorState,
} from './state-store.ts';
import type { AuditRecord } from '#main-agent/audit/record.ts';

/** What main's thread and the writer thread say to each other. Structured clones of plain data. */

/** Reads, by name: parameters and result. */
export interface Queries {
  readonly sessions: { readonly params: Record<never, never>; readonly result: readonly StoredSession[] };
  readonly leases: { readonly params: Record<never, never>; readonly result: readonly StoredLease[] };
  readonly 'two-factor-state': {
    readonly params: { readonly user: string };
    readonly result: TwoFactorState;
  };
  readonly failures: {
    readonly params: { readonly scope: string; readonly nowMs: number };
    readonly result: FailureState;
  };
  readonly 'audit-after': {
    readonly params: { readonly sequence: number; readonly limit: number };
    readonly result: readonly { readonly sequence: number; readonly record: AuditRecord }[];
  };
  readonly 'find-audit': {
    readonly params: { readonly reference: string };
    readonly result: readonly AuditRecord[];
  };
}
export type QueryName = keyof Queries;

export type WriterRequest =
  | { readonly type: 'commit'; readonly id: number; readonly changes: readonly Change[] }
  | { readonly type: 'query'; readonly id: number; readonly name: QueryName; readonly params: object }
  | { readonly type: 'sweep'; readonly nowMs: number }
  | { readonly type: 'close' };

export interface CommitAnswer {
  readonly id: number;
  readonly value?: CommitResult | object;
  /** Not done, for a reason that is the store's and not a change's. */
  readonly error?: string;
}

export type WriterReply =
  | { readonly type: 'ready' }
  | { readonly type: 'answers'; readonly answers: readonly CommitAnswer[]; readonly wroteAudit: boolean };

export interface WriterData {
  readonly file: string;
}
