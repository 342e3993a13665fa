import type { Change, Queries } from '../state-store.ts';

/** What main's thread and the writer thread say to each other. Structured clones of plain data. */

export type WriterRequest =
  | { readonly type: 'commit'; readonly id: number; readonly changes: readonly Change[] }
  /** Parameters and answer have the types of `read`, which is the only one to ask. */
  | {
      readonly type: 'query';
      readonly id: number;
      readonly name: keyof Queries;
      readonly params: readonly unknown[];
    }
  | { readonly type: 'copy'; readonly id: number; readonly file: string }
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
