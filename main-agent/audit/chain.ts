import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { AuditRecord } from './record.ts';

/**
 * The hash chain of audit.jsonl. Each line is JSON that carries its sequence number and the SHA-256 of the line
 * before; a line is a function of record, number and chain, so the file can be written again from state.db.
 * Whoever owns main can cut the tail and be believed by the file alone: compare with state.db or with a head
 * (number and hash) that was noted elsewhere.
 */

export interface ChainHead {
  readonly sequence: number;
  /** SHA-256 of the line without its newline, hex. */
  readonly hash: string;
}

/** What stands before the first line. */
export const chainStart: ChainHead = { sequence: 0, hash: '0'.repeat(64) };

/** What JSON leaves as it is and a terminal or an editor takes for a command or a line end. */
const invisible = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** One line without its newline; whatever a stranger named themselves, it shows and stays on this line. */
export function formatLine(sequence: number, record: AuditRecord, previous: ChainHead): string {
  return JSON.stringify({ sequence, previous: previous.hash, ...record }).replace(
    invisible,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
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

export type ChainVerdict =
  | { readonly ok: true; readonly records: number; readonly head: ChainHead }
  | {
      readonly ok: false;
      /** The first broken record: line in the file, from 1. */
      readonly line: number;
      readonly reason: string;
      readonly head: ChainHead;
    };

/** Works offline, on the file alone. `expected`: a head noted elsewhere that the file must contain. */
export async function verifyChain(file: string, expected?: ChainHead): Promise<ChainVerdict> {
  const lines = createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity });
  let head = chainStart;
  let line = 0;
  let found = expected === undefined || expected.sequence === 0;
  for await (const text of lines) {
    line += 1;
    const parsed = parseLine(text);
    if (parsed === undefined) return { ok: false, line, reason: 'not an audit record', head };
    if (parsed.previous !== head.hash) {
      return { ok: false, line, reason: 'does not continue the line before it', head };
    }
    if (parsed.sequence <= head.sequence) {
      return { ok: false, line, reason: `number ${parsed.sequence} after ${head.sequence}`, head };
    }
    head = { sequence: parsed.sequence, hash: hashLine(text) };
    if (head.sequence === expected?.sequence) {
      if (head.hash !== expected.hash) {
        return { ok: false, line, reason: 'differs from the expected head', head };
      }
      found = true;
    }
  }
  if (!found) {
    return {
      ok: false,
      line: line + 1,
      reason: `record ${expected?.sequence} is missing: the end was cut`,
      head,
    };
  }
  return { ok: true, records: line, head };
}
