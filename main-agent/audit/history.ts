/**
 * The audit from a time on, record by record: from the files what state.db has no more, then state.db. What can't be
 * read of it is told in its place. One line or one page of it is in memory at a time.
 */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { listRotated } from './audit-files.ts';
import { findSequenceAt } from './audit-query.ts';
import { chainStart, hashLine, parseLine } from './chain.ts';
import { readFirstLine, readLines } from './file-lines.ts';
import { pageMax } from './limits.ts';

interface HistoryRecord {
  readonly sequence: number;
  /** Of an earlier version there may be other events and members. */
  readonly record: AuditRecord;
}

/** Records that were there and can't be read. */
export interface HistoryGap {
  /** The last that is known before them, and the first after them. */
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
  readonly why: string;
}

export interface HistorySource {
  readonly state: Pick<StateStore, 'read'>;
  /** The one being written; those before it lie beside it. */
  readonly file: string;
}

/** In the order of their numbers. Records of just before `fromMs` may be among them. */
export async function* readHistory(
  { state, file }: HistorySource,
  fromMs: number,
): AsyncGenerator<HistoryRecord | HistoryGap> {
  const { first } = await state.read('audit-extent');
  const [oldest] = first === 0 ? [] : await state.read('audit-after', { sequence: first - 1, limit: 1 });
  if (first > 1 && oldest !== undefined && timeOf(oldest.record) > fromMs)
    yield* readFiles(file, fromMs, { sequence: first, atMs: timeOf(oldest.record) });
  for (let after = (await findSequenceAt(state, fromMs)) - 1; ;) {
    const rows = await state.read('audit-after', { sequence: after, limit: pageMax });
    yield* rows;
    after = rows.at(-1)?.sequence ?? after;
    if (rows.length < pageMax) return;
    // Logins go on meanwhile.
    await nextTurn();
  }
}

/** Up to where state.db begins, which has that record, too. */
async function* readFiles(
  file: string,
  fromMs: number,
  until: { readonly sequence: number; readonly atMs: number },
): AsyncGenerator<HistoryRecord | HistoryGap> {
  let last: { readonly hash: string; readonly atMs: number } | undefined;
  for (const path of await filesSince(file, fromMs)) {
    for await (const { text, isWhole } of readLines(path)) {
      const line = parseLine(text);
      if (line === undefined) {
        yield {
          fromMs: last?.atMs,
          toMs: undefined,
          why: `a line of ${path} is ${isWhole ? 'no record' : 'cut off'}`,
        };
        continue;
      }
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only main writes them, and each member is looked at
      const record = line.record as AuditRecord;
      const atMs = timeOf(record);
      if (
        last === undefined ? line.previous !== chainStart.hash && atMs > fromMs : line.previous !== last.hash
      )
        yield { fromMs: last?.atMs, toMs: atMs, why: `the records before number ${line.sequence} are gone` };
      last = { hash: hashLine(text), atMs };
      if (line.sequence >= until.sequence) return;
      yield { sequence: line.sequence, record };
    }
  }
  yield {
    fromMs: last?.atMs,
    toMs: until.atMs,
    why: `the records before number ${until.sequence} are in no audit file`,
  };
}

/** Files that may have something of that time or later, oldest first. */
async function filesSince(file: string, fromMs: number): Promise<readonly string[]> {
  const rotated = (await listRotated(file)).map(({ path }) => path);
  const all = existsSync(file) ? [...rotated, file] : rotated;
  let from = 0;
  for (const [index, path] of all.entries()) {
    const beganMs = await beginningOf(path);
    // One more, whose end may be of that time.
    if (beganMs !== undefined && beganMs <= fromMs) from = index;
  }
  return all.slice(from);
}

async function beginningOf(path: string): Promise<number | undefined> {
  const handle = await open(path, 'r');
  try {
    const line = parseLine((await readFirstLine(handle)) ?? '');
    return line === undefined ? undefined : timeOf(line.record);
  } finally {
    await handle.close();
  }
}

/** NaN where it says none. */
function timeOf(record: object): number {
  return 'time' in record ? Date.parse(String(record.time)) : Number.NaN;
}
