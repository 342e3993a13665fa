/**
 * One folder as its user sees it: what the storage has, mount points laid over it, and what the session itself is
 * writing there. What a broken upload left is no file and in no folder.
 */
import type { Attributes, Entry } from '#shared/file-service/attributes.ts';
import { isSallyportError } from '#shared/error.ts';
import type { Caller } from './caller.ts';
import { denied, notFound } from './storage/file-error.ts';
import type { Located, Mounted, MountTree } from './mounts.ts';
import { isAllowed } from './permissions.ts';
import type { FolderItem, SortedBy, Stored, StoredFolder } from './storage/storage.ts';
import type { UnservedEntries } from './storage/unserved.ts';
import type { WriteHandle } from './write-handle.ts';

/** A folder without a place on a disk, or one whose place can't be looked at now. */
export function virtualFolder(atMs: number): Attributes {
  return { type: 'folder', size: 0, mtimeMs: atMs, atimeMs: atMs, mode: 0o755, links: 2 };
}

/** Only the facts a client gets; `id` stays here. */
export function shown({ type, size, mtimeMs, atimeMs, mode, links, etag }: Attributes): Attributes {
  return { type, size, mtimeMs, atimeMs, mode, links, ...(etag !== undefined && { etag }) };
}

interface ListingParts {
  readonly mounts: MountTree;
  /** The time shown for folders that are on no disk. */
  readonly builtAtMs: number;
}

/** What a session is writing that will lie in a folder, by name. */
interface OwnInFolder {
  inFolder(session: Caller, mounted: Mounted): Promise<ReadonlyMap<string, WriteHandle>>;
}

const noUploads: ReadonlyMap<string, WriteHandle> = new Map();

export class Listing {
  readonly #mounts: MountTree;
  readonly #located: Located;
  readonly #folder: StoredFolder | undefined;
  readonly #own: ReadonlyMap<string, WriteHandle>;
  readonly #builtAtMs: number;
  #isFirst = true;

  private constructor(
    mounts: MountTree,
    located: Located,
    folder: StoredFolder | undefined,
    own: ReadonlyMap<string, WriteHandle>,
    builtAtMs: number,
  ) {
    this.#mounts = mounts;
    this.#located = located;
    this.#folder = folder;
    this.#own = own;
    this.#builtAtMs = builtAtMs;
  }

  /** The user must be allowed to list there; a folder that leads to mounts always shows these. */
  static async open(
    session: Caller,
    { mounts, builtAtMs }: ListingParts,
    ownUploads: OwnInFolder,
    located: Located,
  ): Promise<Listing> {
    const { mounted, mountNames } = located;
    const mayList = mounted !== undefined && isAllowed(mounted, 'list');
    if (!mayList && mounted !== undefined && mountNames.length === 0) throw denied('list is not allowed');
    let folder: StoredFolder | undefined;
    if (mayList) {
      try {
        folder = await mounted.storage.openFolder(mounted.place);
      } catch (error) {
        // Below a mount, a folder that leads to another mount needs no counterpart on the disk.
        if (mountNames.length === 0 || !isSallyportErrorOrMissing(error)) throw error;
      }
    }
    const own = mounted === undefined ? noUploads : await ownUploads.inFolder(session, mounted);
    return new Listing(mounts, located, folder, folder === undefined ? noUploads : own, builtAtMs);
  }

  /** The next names, unsorted; empty = no more. */
  async next(): Promise<readonly FolderItem[]> {
    const { mountNames } = this.#located;
    const first = this.#isFirst ? this.#firstItems() : [];
    this.#isFirst = false;
    const isFirst = ({ name }: FolderItem): boolean => mountNames.includes(name) || this.#own.has(name);
    // A page may be all mount points; only an empty one from the storage is the end.
    for (;;) {
      const stored = (await this.#folder?.next()) ?? [];
      const items = [...first, ...stored.filter((item) => !isFirst(item))];
      if (items.length > 0 || stored.length === 0) return items;
    }
  }

  #firstItems(): readonly FolderItem[] {
    const { mountNames } = this.#located;
    const own = [...this.#own.keys()].filter((name) => !mountNames.includes(name));
    return [
      ...mountNames.map((name) => ({ name, type: 'folder' as const })),
      ...own.map((name) => ({ name, type: 'file' as const })),
    ];
  }

  /** In their order, without those that are gone meanwhile. */
  async describe(names: readonly string[]): Promise<readonly Entry[]> {
    const stored = (await this.#folder?.describe(names)) ?? [];
    const entries: Entry[] = [];
    for (const [index, name] of names.entries()) {
      const attributes = await this.#attributesOf(name, stored[index]);
      if (attributes !== undefined) entries.push({ name, attributes });
    }
    return entries;
  }

  /** One attribute of each, NaN for what is gone. Not of names from the first `next`: those may be more than stored. */
  async measure(names: readonly string[], by: SortedBy): Promise<ArrayLike<number>> {
    return (await this.#folder?.measure(names, by)) ?? [];
  }

  /** Of what was read so far. */
  get unserved(): UnservedEntries | undefined {
    return this.#folder?.unserved;
  }

  async #attributesOf(name: string, stored: Stored | undefined): Promise<Attributes | undefined> {
    if (this.#located.mountNames.includes(name)) return this.#mountPoint(name);
    const own = this.#own.get(name);
    const open = own === undefined ? undefined : await own.statIfOpen();
    if (open !== undefined) return shown(open);
    if (own === undefined) return stored === undefined ? undefined : shown(stored);
    // Closed in between: what was looked up before may be older than that.
    const [now] = (await this.#folder?.describe([name])) ?? [];
    return now === undefined ? undefined : shown(now);
  }

  async #mountPoint(name: string): Promise<Attributes> {
    try {
      const { user, path } = this.#located;
      const { mounted } = this.#mounts.locate(user, [...path.components, name]);
      if (mounted === undefined || mounted.place.path.length > 0) throw notFound();
      return shown(await mounted.storage.stat(mounted.place));
    } catch {
      // Shown all the same: the admin gave it to the user, and opening it will say what is wrong.
      return virtualFolder(this.#builtAtMs);
    }
  }

  async close(): Promise<void> {
    await this.#folder?.close();
  }
}

function isSallyportErrorOrMissing(error: unknown): boolean {
  return (
    isSallyportError(error, 'not-found') ||
    (error instanceof Error && 'code' in error && error.code === 'ENOENT')
  );
}
