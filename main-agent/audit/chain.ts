import { createHash } from 'node:crypto';
import { showInvisible } from '#shared/visible-text.ts';
import type { AuditRecord, ChainHead } from '#main-agent/state/audit-record.ts';

/**
 * The hash chain of the audit files. Each line is JSON that carries its sequence number and the SHA-256 of the line
 * before; a line is a function of record, number and chain, so a file can be written again from state.db.
 * Whoever owns main can cut the tail and be believed by the files alone: compare with a checkpoint, with state.db or
 * with what a DMZ node remembers (verify.ts).
 */

/** What stands before the first line. */
export const chainStart: ChainHead = { sequence: 0, hash: '0'.repeat(64) };

/** One line without its newline; whatever a stranger named themselves, it shows and stays on this line. */
export function formatLine(sequence: number, record: AuditRecord, previous: ChainHead): string {
  return showInvisible(JSON.stringify({ sequence, previous: previous.hash, ...record }));
}

export function hashLine(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}

export interface ChainLine {
  readonly sequence: number;
  /** Hash of the line before. */
  readonly previous: string;
  /** All else that stands in it. */
  readonly record: object;
}

/** Undefined when it is not a line of ours. */
export function parseLine(line: string): ChainLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('sequence' in value) || !('previous' in value)) {
    return undefined;
  }
  const { sequence, previous, ...record } = value;
  if (!Number.isSafeInteger(sequence) || typeof sequence !== 'number' || typeof previous !== 'string') {
    return undefined;
  }
  return { sequence, previous, record };
}
