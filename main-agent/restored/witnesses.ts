import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { listRotated } from '#main-agent/audit/audit-files.ts';
import { chainStart, hashLine, parseLine, type ChainLine } from '#main-agent/audit/chain.ts';
import { isSignedBy } from '#main-agent/audit/checkpoint.ts';
import { checkpointFileOf, readNewestCheckpoint } from '#main-agent/audit/checkpoint-file.ts';
import { readLines, readTail } from '#main-agent/audit/file-lines.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';

/**
 * What the audit files and the checkpoints beside them know of state.db, asked before main writes to either. A record is
 * durable in state.db before it is copied into a file, and a file is durable before state.db notes how far it is; so a
 * crash, whenever it comes, leaves files that end at or before the state and at or after what is noted. Only putting
 * one of the two back makes it otherwise.
 */

interface Known {
  /** Who knows: a file. */
  readonly by: string;
  readonly sequence: number;
  readonly time: string | undefined;
}

export interface AuditFacts {
  readonly auditFile: string;
  /** Of main's link key, which signs the checkpoints. */
  readonly fingerprint: string;
  readonly state: Pick<StateStore, 'read'>;
}

/** What knows more than the state, or other things; undefined: nothing does. */
export async function findOlderState({
  auditFile,
  fingerprint,
  state,
}: AuditFacts): Promise<Known | undefined> {
  const { first, last } = await state.read('audit-extent');
  const newest = await readNewestRecord(auditFile);
  if (newest !== undefined && newest.sequence >= first) {
    const [row] = await state.read('audit-after', { sequence: newest.sequence - 1, limit: 1 });
    if (row?.sequence !== newest.sequence || !isDeepStrictEqual(newest.record, row.record))
      return { by: newest.file, sequence: newest.sequence, time: timeOf(newest.record) };
  }
  const checkpoint = await readNewestCheckpoint(checkpointFileOf(auditFile));
  if (checkpoint === undefined || checkpoint.sequence <= last || !isSignedBy(checkpoint, fingerprint))
    return undefined;
  return { by: checkpointFileOf(auditFile), sequence: checkpoint.sequence, time: checkpoint.time };
}

/** Where the files end, when state.db has noted a later record to be durable in them. */
export async function findOlderAudit({
  auditFile,
  state,
}: Pick<AuditFacts, 'auditFile' | 'state'>): Promise<
  { readonly endsAt: number; readonly noted: number } | undefined
> {
  const { head } = await state.read('audit-extent');
  const endsAt = (await readNewestRecord(auditFile))?.sequence ?? 0;
  return head === undefined || endsAt >= head.sequence ? undefined : { endsAt, noted: head.sequence };
}

export interface ToldRecord {
  readonly sequence: number;
  readonly record: AuditRecord;
}

/** What the files hold beyond the state. */
interface Told {
  /** Their chain goes on from the state's last record, and is whole. */
  readonly continues: boolean;
  /** Number of the last one. */
  readonly last: number;
}

/** Hands each record beyond the state's last to `take`, as long as the chain is whole. */
export async function readBeyond(
  { auditFile, state }: Pick<AuditFacts, 'auditFile' | 'state'>,
  last: number,
  take: (one: ToldRecord) => void | Promise<void>,
): Promise<Told> {
  const [end] = last === 0 ? [] : await state.read('audit-after', { sequence: last - 1, limit: 1 });
  let joined = last === 0;
  let previous: string | undefined = last === 0 ? chainStart.hash : undefined;
  let told = last;
  const rotated = await listRotated(auditFile);
  const files = rotated.filter((_file, index) => (rotated[index + 1]?.first ?? Infinity) > last);
  for (const file of [...files.map(({ path }) => path), ...(existsSync(auditFile) ? [auditFile] : [])]) {
    for await (const { text, isWhole } of readLines(file)) {
      if (!isWhole) break;
      const line = parseLine(text);
      if (line === undefined || (previous !== undefined && line.previous !== previous))
        return { continues: false, last: told };
      previous = hashLine(text);
      if (line.sequence === last) {
        if (!isDeepStrictEqual(line.record, end?.record)) return { continues: false, last: told };
        joined = true;
      } else if (line.sequence > last) {
        if (!joined) return { continues: false, last: told };
        told = line.sequence;
        await take({ sequence: line.sequence, record: recordOf(line) });
      }
    }
  }
  return { continues: joined, last: told };
}

/** A crash may leave the end of a file damaged: the newest record is the last line that is one. */
async function readNewestRecord(auditFile: string) {
  const rotated = (await listRotated(auditFile)).map(({ path }) => path);
  for (const file of [...rotated, ...(existsSync(auditFile) ? [auditFile] : [])].toReversed()) {
    const line = (await readLastRecord(file)) ?? (await readAnyRecord(file));
    if (line !== undefined) return { file, sequence: line.sequence, record: recordOf(line) };
  }
  return undefined;
}

async function readLastRecord(file: string): Promise<ChainLine | undefined> {
  const handle = await open(file, 'r');
  try {
    for (const text of (await readTail(handle)).toReversed()) {
      const line = parseLine(text);
      if (line !== undefined) return line;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

/** When none stands near the end. */
async function readAnyRecord(file: string): Promise<ChainLine | undefined> {
  let last: ChainLine | undefined;
  for await (const { text, isWhole } of readLines(file))
    last = (isWhole ? parseLine(text) : undefined) ?? last;
  return last;
}

/** Our own lines: `formatLine` made them of records. */
function recordOf({ record }: ChainLine): AuditRecord {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the chain is checked, and main alone writes it
  return record as AuditRecord;
}

function timeOf(record: AuditRecord): string | undefined {
  return typeof record.time === 'string' ? record.time : undefined;
}
