/**
 * Sorted listings in pages. The first page takes a snapshot of the folder's names; the cursor names it, so that paging
 * through 100,000 entries sorts once. A snapshot that is gone is taken again and gone on with after the last entry shown:
 * a cursor never fails because of time.
 *
 * Trust: a cursor comes back from outside. All it can do is to choose where in the user's own listing a page begins.
 */
import { z } from 'zod';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import type { Attributes, Entry, SortKey } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import { sortCooperatively } from './cooperative-sort.ts';
import { pageLength } from './folder-pages.ts';
import {
  folderEntriesMax,
  pageEntriesMax,
  snapshotIdleMs,
  snapshotNamesMax,
  snapshotsPerSessionMax,
} from './limits.ts';
import type { Listing } from './listing.ts';

interface Row {
  readonly name: string;
  /** Size or time, where that is the order. */
  readonly key: number;
  /** Known already where the order needed it. */
  readonly attributes: Attributes | undefined;
}

interface Snapshot {
  readonly id: number;
  readonly path: string;
  readonly sort: SortKey;
  readonly rows: readonly Row[];
  usedAtMs: number;
}

const cursorSchema = z.tuple([
  z.number().int().nonnegative(),
  z.number().int().nonnegative(),
  z.string().max(255),
  z.number(),
]);
interface Cursor {
  readonly snapshot: number;
  readonly index: number;
  readonly name: string;
  readonly key: number;
}

function parseCursor(untrustedCursor: string): Cursor {
  try {
    const [snapshot, index, name, key] = cursorSchema.parse(
      JSON.parse(Buffer.from(untrustedCursor, 'base64url').toString('utf8')),
    );
    return { snapshot, index, name, key };
  } catch (error) {
    throw new SallyportError('bad-request', 'The cursor is not one of ours', { cause: error });
  }
}

function formatCursor({ snapshot, index, name, key }: Cursor): string {
  return Buffer.from(JSON.stringify([snapshot, index, name, key])).toString('base64url');
}

function comparer(sort: SortKey): (a: Pick<Row, 'name' | 'key'>, b: Pick<Row, 'name' | 'key'>) => number {
  const sign = sort.startsWith('-') ? -1 : 1;
  // By code units: the same order for everybody, and far cheaper than a collator over a million names.
  return (a, b) => sign * (a.key - b.key || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

interface SortedQuery {
  readonly session: FullSession;
  readonly path: string;
  readonly sort: SortKey;
  readonly limit: number;
  readonly cursor: string | undefined;
}

interface SortedPage {
  readonly entries: Entry[];
  readonly next?: string;
  readonly unserved?: { readonly count: number; readonly names: string[] };
}

export class SortedPages {
  readonly #clock: Clock;
  readonly #bySession = new Map<string, BoundedMap<Snapshot, number>>();
  #nameCount = 0;
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async page(query: SortedQuery, listing: Listing): Promise<SortedPage> {
    const page = await this.#page(query, listing);
    const { unserved } = listing;
    // A page that goes on is told nothing: its snapshot may have been read before.
    if (query.cursor !== undefined || unserved === undefined) return page;
    return { ...page, unserved: { count: unserved.count, names: [...unserved.names] } };
  }

  async #page(query: SortedQuery, listing: Listing): Promise<SortedPage> {
    const cursor = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    const known = cursor === undefined ? undefined : this.#find(query, cursor.snapshot);
    const snapshot = known ?? (await this.#take(query, listing));
    const start =
      cursor === undefined ? 0 : known === undefined ? indexAfter(snapshot, cursor) : cursor.index;
    const rows = snapshot.rows.slice(start, start + Math.min(query.limit, pageEntriesMax));
    const described = await describeRows(rows, listing);
    const entries = described.slice(0, pageLength(described, query.limit));
    const index =
      start + (entries.length === described.length ? rows.length : indexOfName(rows, entries) + 1);
    const last = snapshot.rows[index - 1];
    if (last === undefined || index >= snapshot.rows.length) {
      this.#drop(query.session.key, snapshot);
      return { entries };
    }
    this.#store(query.session.key, snapshot);
    return {
      entries,
      next: formatCursor({ snapshot: snapshot.id, index, name: last.name, key: last.key }),
    };
  }

  #find({ session, path, sort }: SortedQuery, id: number): Snapshot | undefined {
    const snapshot = this.#bySession.get(session.key)?.get(id);
    if (snapshot === undefined || snapshot.path !== path || snapshot.sort !== sort) return undefined;
    if (this.#clock.monotonic() - snapshot.usedAtMs > snapshotIdleMs) return undefined;
    return snapshot;
  }

  async #take({ path, sort }: SortedQuery, listing: Listing): Promise<Snapshot> {
    const byName = sort === 'name' || sort === '-name';
    const bySize = sort === 'size' || sort === '-size';
    const rows: Row[] = [];
    for (let items = await listing.next(); items.length > 0; items = await listing.next()) {
      const names = items.map((item) => item.name);
      if (rows.length + names.length > folderEntriesMax) {
        throw new SallyportError('too-many', 'The folder has too many entries to sort them');
      }
      if (byName) rows.push(...names.map((name) => ({ name, key: 0, attributes: undefined })));
      else {
        for (const { name, attributes } of await listing.describe(names)) {
          rows.push({ name, key: bySize ? attributes.size : attributes.mtimeMs, attributes });
        }
      }
    }
    this.#lastId += 1;
    return {
      id: this.#lastId,
      path,
      sort,
      rows: await sortCooperatively(rows, comparer(sort)),
      usedAtMs: 0,
    };
  }

  #store(session: string, snapshot: Snapshot): void {
    snapshot.usedAtMs = this.#clock.monotonic();
    if (this.#bySession.get(session)?.has(snapshot.id) === true) return;
    if (this.#nameCount + snapshot.rows.length > snapshotNamesMax) this.#dropAll();
    const own =
      this.#bySession.get(session) ??
      new BoundedMap<Snapshot, number>(snapshotsPerSessionMax, ({ rows }) => {
        this.#nameCount -= rows.length;
      });
    this.#bySession.set(session, own);
    own.set(snapshot.id, snapshot);
    this.#nameCount += snapshot.rows.length;
  }

  #drop(session: string, snapshot: Snapshot): void {
    const own = this.#bySession.get(session);
    if (own?.delete(snapshot.id) !== true) return;
    this.#nameCount -= snapshot.rows.length;
    if (own.size === 0) this.#bySession.delete(session);
  }

  #dropAll(): void {
    this.#bySession.clear();
    this.#nameCount = 0;
  }

  forget(session: string): void {
    for (const snapshot of this.#bySession.get(session)?.values() ?? []) this.#drop(session, snapshot);
  }

  /** Snapshots nobody came back for. */
  sweep(): void {
    const idleSince = this.#clock.monotonic() - snapshotIdleMs;
    for (const [session, own] of this.#bySession) {
      for (const snapshot of own.values()) if (snapshot.usedAtMs < idleSince) this.#drop(session, snapshot);
    }
  }
}

async function describeRows(rows: readonly Row[], listing: Listing): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const { name, attributes } of rows) if (attributes !== undefined) entries.push({ name, attributes });
  if (entries.length === rows.length) return entries;
  return listing.describe(rows.map((row) => row.name));
}

function indexOfName(rows: readonly Row[], shownEntries: readonly Entry[]): number {
  const name = shownEntries.at(-1)?.name;
  return rows.findIndex((row) => row.name === name);
}

/** First row past a position that was shown before. */
function indexAfter({ rows, sort }: Snapshot, position: Pick<Row, 'name' | 'key'>): number {
  const compare = comparer(sort);
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle];
    if (row !== undefined && compare(row, position) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
