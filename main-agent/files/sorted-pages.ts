/**
 * Sorted listings in pages. The first page takes a snapshot of the folder's names; the cursor names it, so that paging
 * through 100,000 entries reads and sorts them once. A snapshot that is gone is taken again and gone on with after the
 * last entry shown: a cursor never fails because of time.
 *
 * Trust: a cursor comes back from outside. All it can do is to choose where in the user's own listing a page begins.
 */
import { z } from 'zod';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import type { Entry, SortKey } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
import { pageLength } from './folder-pages.ts';
import {
  folderEntriesMax,
  pageEntriesMax,
  snapshotIdleMs,
  snapshotNamesMax,
  snapshotsPerSessionMax,
} from './limits.ts';
import type { Listing } from './listing.ts';
import { OrderedNames, type Position } from './ordered-names.ts';

interface Snapshot {
  readonly id: number;
  readonly path: string;
  readonly sort: SortKey;
  readonly names: OrderedNames;
  usedAtMs: number;
}

/** A snapshot, and what is known with it of its entries: all of them, where they are few. */
interface Taken {
  readonly snapshot: Snapshot;
  readonly entries: ReadonlyMap<string, Entry>;
}
const noEntries: ReadonlyMap<string, Entry> = new Map();

const cursorSchema = z.tuple([
  z.number().int().nonnegative(),
  z.number().int().nonnegative(),
  z.string().max(255),
  z.number(),
]);
interface Cursor extends Position {
  readonly snapshot: number;
  readonly index: number;
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
  #sweeping: NodeJS.Timeout | undefined;

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
    const { snapshot, entries: some } =
      known === undefined ? await this.#take(query, listing) : { snapshot: known, entries: noEntries };
    const { names } = snapshot;
    const count = Math.min(query.limit, pageEntriesMax);
    const start =
      cursor === undefined ? 0 : known === undefined ? await names.indexAfter(cursor) : cursor.index;
    const rows = cursor === undefined ? await names.first(count) : await names.slice(start, start + count);
    const described = rows.every(({ name }) => some.has(name))
      ? rows.flatMap(({ name }) => some.get(name) ?? [])
      : await listing.describe(rows.map(({ name }) => name));
    const entries = described.slice(0, pageLength(described, query.limit));
    const index =
      start + (entries.length === described.length ? rows.length : indexOfName(rows, entries) + 1);
    const last = rows[index - start - 1];
    if (last === undefined || index >= names.count) {
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

  async #take({ path, sort }: SortedQuery, listing: Listing): Promise<Taken> {
    const names = new OrderedNames(sort);
    const { by } = names;
    const entries = new Map<string, Entry>();
    for (let items = await listing.next(); items.length > 0; items = await listing.next()) {
      if (names.count + items.length > folderEntriesMax) {
        throw new SallyportError('too-many', 'The folder has too many entries to sort them');
      }
      const some = items.map((item) => item.name);
      if (by === undefined) for (const name of some) names.add(name, 0);
      else if (names.count === 0) {
        // Of most folders that is all, and then the page is known with it.
        for (const entry of await listing.describe(some)) {
          names.add(entry.name, entry.attributes[by]);
          entries.set(entry.name, entry);
        }
      } else {
        const keys = await listing.measure(some, by);
        for (const [index, name] of some.entries()) {
          const key = keys[index] ?? Number.NaN;
          if (!Number.isNaN(key)) names.add(name, key);
        }
      }
    }
    this.#lastId += 1;
    return { snapshot: { id: this.#lastId, path, sort, names, usedAtMs: 0 }, entries };
  }

  #store(session: string, snapshot: Snapshot): void {
    snapshot.usedAtMs = this.#clock.monotonic();
    if (this.#bySession.get(session)?.has(snapshot.id) === true) return;
    if (this.#nameCount + snapshot.names.count > snapshotNamesMax) this.#dropAll();
    const own =
      this.#bySession.get(session) ??
      new BoundedMap<Snapshot, number>(snapshotsPerSessionMax, ({ names }) => {
        this.#nameCount -= names.count;
      });
    this.#bySession.set(session, own);
    own.set(snapshot.id, snapshot);
    if (this.#sweeping === undefined) this.#sweepLater();
    this.#nameCount += snapshot.names.count;
  }

  #drop(session: string, snapshot: Snapshot): void {
    const own = this.#bySession.get(session);
    if (own?.delete(snapshot.id) !== true) return;
    this.#nameCount -= snapshot.names.count;
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
  #sweep(): void {
    const idleSince = this.#clock.monotonic() - snapshotIdleMs;
    for (const [session, own] of this.#bySession) {
      for (const snapshot of own.values()) if (snapshot.usedAtMs <= idleSince) this.#drop(session, snapshot);
    }
    this.#sweeping = undefined;
    if (this.#bySession.size > 0) this.#sweepLater();
  }

  #sweepLater(): void {
    this.#sweeping = setTimeout(() => this.#sweep(), snapshotIdleMs).unref();
  }
}

function indexOfName(rows: readonly Position[], shownEntries: readonly Entry[]): number {
  const name = shownEntries.at(-1)?.name;
  return rows.findIndex((row) => row.name === name);
}
