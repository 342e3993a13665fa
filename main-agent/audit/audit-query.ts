import type { StateStore } from '#main-agent/state/state-store.ts';
import { recordsScannedMax } from './limits.ts';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';

/** Which records somebody asks for. What is absent fits all. */
export interface AuditFilter {
  readonly user?: string | undefined;
  /** A name, or its beginning: `login.*`. */
  readonly event?: string | undefined;
  readonly outcome?: string | undefined;
  readonly node?: string | undefined;
  readonly reference?: string | undefined;
  /** RFC 3339; from it on. */
  readonly since?: string | undefined;
  /** RFC 3339; up to it, without it. */
  readonly until?: string | undefined;
}

interface NumberedAuditRecord {
  readonly sequence: number;
  readonly record: AuditRecord;
}

export function fitsFilter(record: Readonly<Partial<AuditRecord>>, filter: AuditFilter): boolean {
  const { user, event, outcome, node, reference, since, until } = filter;
  return (
    (user === undefined || record.user === user || record.actor === user) &&
    (event === undefined || fitsEvent(record.event ?? '', event)) &&
    (outcome === undefined || record.outcome === outcome) &&
    (node === undefined || record.node === node) &&
    (reference === undefined || record.reference === reference) &&
    (since === undefined || Date.parse(record.time ?? '') >= Date.parse(since)) &&
    (until === undefined || Date.parse(record.time ?? '') < Date.parse(until))
  );
}

/** `*`, `login.*`, `login.refused`. */
export function fitsEvent(event: string, pattern: string): boolean {
  return pattern.endsWith('*') ? event.startsWith(pattern.slice(0, -1)) : event === pattern;
}

export interface AuditPage {
  readonly records: readonly NumberedAuditRecord[];
  /** Where to go on; undefined: these were all there are now. */
  readonly next: number | undefined;
  /** The last record that was looked at: where one who waits for new ones goes on. */
  readonly seen: number;
}

/** Records a page of the state is read in; each is parsed on main's event loop. */
const stepRecords = 500;

/** Records after a number, in order. Looks at a bounded number of records: a page may be short and not the last. */
export async function queryAudit(
  state: Pick<StateStore, 'read'>,
  filter: AuditFilter,
  range: { readonly after: number; readonly limit: number },
): Promise<AuditPage> {
  const records: NumberedAuditRecord[] = [];
  let seen = range.after;
  for (let scanned = 0; scanned < recordsScannedMax; scanned += stepRecords) {
    const rows = await state.read('audit-after', { sequence: seen, limit: stepRecords });
    for (const row of rows) {
      seen = row.sequence;
      if (!fitsFilter(row.record, filter)) continue;
      records.push(row);
      if (records.length === range.limit) return { records, next: seen, seen };
    }
    if (rows.length < stepRecords) return { records, next: undefined, seen };
  }
  return { records, next: seen, seen };
}

/** The newest that fit, in order; looks back over a bounded number of records. */
export async function queryNewest(
  state: Pick<StateStore, 'read'>,
  filter: AuditFilter,
  range: { readonly head: number; readonly limit: number },
): Promise<AuditPage> {
  let records: NumberedAuditRecord[] = [];
  let end = range.head;
  for (let scanned = 0; end > 0 && scanned < recordsScannedMax; scanned += stepRecords) {
    const start = Math.max(0, end - stepRecords);
    const rows = await state.read('audit-after', { sequence: start, limit: stepRecords });
    const fitting = rows.filter(({ sequence, record }) => sequence <= end && fitsFilter(record, filter));
    records = [...fitting, ...records];
    if (records.length >= range.limit) break;
    end = start;
  }
  return { records: records.slice(-range.limit), next: undefined, seen: range.head };
}

/** Number of the first record of this time or later, found by halves: times rise with the numbers, nearly. */
export async function findSequenceAt(state: Pick<StateStore, 'read'>, atMs: number): Promise<number> {
  const { first, last } = await state.read('audit-extent');
  let low = first;
  let high = last + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await state.read('audit-after', { sequence: middle - 1, limit: 1 });
    if (row === undefined || Date.parse(row.record.time) >= atMs) high = middle;
    else low = row.sequence + 1;
  }
  return low;
}
