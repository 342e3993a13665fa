import type {
  AuditExtent,
  Change,
  EdgeCount,
  FailureState,
  RememberedName,
  StoredAccountChange,
  StoredDeliveredCode,
  StoredDeparture,
  StoredDevice,
  StoredLease,
  StoredSession,
  TwoFactorState,
} from './state-store.ts';
import type { KeptList, KeptLists } from './kept-records.ts';
import type { AuditRecord } from './audit-record.ts';

/** What main's thread and the writer thread say to each other. Structured clones of plain data. */

/** Reads, by name: parameters and result. */
export interface Queries {
  readonly sessions: { readonly params: undefined; readonly result: readonly StoredSession[] };
  readonly leases: { readonly params: undefined; readonly result: readonly StoredLease[] };
  readonly 'two-factor-state': {
    readonly params: { readonly user: string };
    readonly result: TwoFactorState;
  };
  readonly 'used-codes': {
    readonly params: { readonly user: string; readonly ids: readonly string[] };
    readonly result: readonly string[];
  };
  readonly 'last-good-login': {
    readonly params: { readonly user: string; readonly clientIp: string; readonly nowMs: number };
    readonly result: number | undefined;
  };
  readonly 'known-address': {
    readonly params: { readonly clientIp: string; readonly nowMs: number };
    readonly result: boolean;
  };
  readonly devices: { readonly params: { readonly user: string }; readonly result: readonly StoredDevice[] };
  readonly 'delivered-codes': {
    readonly params: { readonly nowMs: number };
    readonly result: readonly StoredDeliveredCode[];
  };
  readonly 'devices-through': {
    readonly params: { readonly node: string };
    readonly result: readonly StoredDevice[];
  };
  readonly 'account-changes': {
    readonly params: {
      readonly node: string;
      readonly fromMs: number;
      readonly toMs: number;
      readonly limit: number;
    };
    readonly result: readonly StoredAccountChange[];
  };
  readonly 'ssh-key-additions': {
    readonly params: { readonly user: string };
    readonly result: readonly StoredAccountChange[];
  };
  readonly failures: {
    readonly params: { readonly scope: string; readonly nowMs: number };
    readonly result: FailureState;
  };
  readonly departures: { readonly params: undefined; readonly result: readonly StoredDeparture[] };
  readonly 'remembered-names': {
    readonly params: { readonly nowMs: number };
    readonly result: readonly RememberedName[];
  };
  readonly kept: {
    readonly params: { readonly list: KeptList };
    readonly result: readonly KeptLists[KeptList][];
  };
  readonly 'audit-after': {
    readonly params: { readonly sequence: number; readonly limit: number };
    readonly result: readonly { readonly sequence: number; readonly record: AuditRecord }[];
  };
  readonly 'find-audit': {
    readonly params: { readonly reference: string };
    readonly result: readonly AuditRecord[];
  };
  readonly 'audit-extent': { readonly params: undefined; readonly result: AuditExtent };
  readonly 'edge-position': {
    readonly params: { readonly node: string; readonly worker: number };
    readonly result: EdgeCount | undefined;
  };
  readonly 'webhook-position': {
    readonly params: { readonly webhook: string };
    readonly result: number | undefined;
  };
}
export type QueryName = keyof Queries;
export type QueryCall<Q extends QueryName = QueryName> = {
  readonly [K in Q]: { readonly name: K; readonly params: Queries[K]['params'] };
}[Q];

export type WriterRequest =
  | { readonly type: 'commit'; readonly id: number; readonly changes: readonly Change[] }
  | { readonly type: 'query'; readonly id: number; readonly call: QueryCall }
  | { readonly type: 'sweep'; readonly nowMs: number }
  | { readonly type: 'close' };

export interface WriterAnswer {
  readonly id: number;
  readonly value?: unknown;
  /** Not done, for a reason that is the store's and not a change's. */
  readonly error?: string;
}

export type WriterReply =
  | { readonly type: 'ready' }
  | { readonly type: 'answers'; readonly answers: readonly WriterAnswer[]; readonly wroteAudit: boolean };

export interface WriterData {
  readonly file: string;
}
