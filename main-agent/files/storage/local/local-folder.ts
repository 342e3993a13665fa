import type { Dir, Dirent } from 'node:fs';
import { notFound } from '../file-error.ts';
import { pageEntriesMax, statsAtOnce } from '../../limits.ts';
import type { FolderHandle } from './folder-handle.ts';
import type { Looks } from './looks.ts';
import { stagingFolderName } from '../places.ts';
import type { FolderItem, SortedBy, Stored, StoredFolder } from '../storage.ts';
import { toStored, whyUnserved } from './stored.ts';
import { UnservedCount, type UnservedEntries } from '../unserved.ts';

/** A folder being read. What is not served is left out, and counted. */
export class LocalFolder implements StoredFolder {
  readonly attributes: Stored;
  readonly #folder: FolderHandle;
  readonly #looks: Looks;
  readonly #names: Dir;
  readonly #unserved = new UnservedCount();
  readonly #hidden: string | undefined;

  private constructor(
    folder: FolderHandle,
    looks: Looks,
    names: Dir,
    attributes: Stored,
    hidden: string | undefined,
  ) {
    this.#hidden = hidden;
    this.#folder = folder;
    this.#looks = looks;
    this.#names = names;
    this.attributes = attributes;
  }

  /** Takes the folder over, also when it fails. `isRoot`: of a mount, where staging may lie that is ours. */
  static async open(folder: FolderHandle, looks: Looks, isRoot: boolean): Promise<LocalFolder> {
    try {
      const attributes = toStored(await folder.stat());
      if (attributes === undefined) throw notFound();
      return new LocalFolder(
        folder,
        looks,
        await folder.openNames(),
        attributes,
        isRoot ? stagingFolderName : undefined,
      );
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  async next(): Promise<readonly FolderItem[]> {
    const items: FolderItem[] = [];
    while (items.length < pageEntriesMax) {
      const entry = await this.#names.read();
      if (entry === null) break;
      if (entry.name === this.#hidden) continue;
      const type = whyUnserved(entry) === undefined ? await this.#typeOf(entry) : undefined;
      if (type === undefined) this.#unserved.add(entry.name);
      else if (type !== 'gone') items.push({ name: entry.name, type });
    }
    return items;
  }

  get unserved(): UnservedEntries | undefined {
    return this.#unserved.found;
  }

  async #typeOf(entry: Dirent): Promise<FolderItem['type'] | 'gone' | undefined> {
    if (entry.isFile()) return 'file';
    if (entry.isDirectory()) return 'folder';
    // A file system may not tell the type while listing.
    const stats = await this.#folder.find(entry.name);
    return stats === undefined ? 'gone' : toStored(stats)?.type;
  }

  async describe(names: readonly string[]): Promise<readonly (Stored | undefined)[]> {
    const described: (Stored | undefined)[] = [];
    for (let start = 0; start < names.length; start += statsAtOnce) {
      const some = names.slice(start, start + statsAtOnce);
      const settled = await Promise.allSettled(some.map((name) => this.#folder.find(name)));
      for (const one of settled) {
        if (one.status === 'rejected') throw one.reason;
        described.push(one.value === undefined ? undefined : toStored(one.value));
      }
    }
    return described;
  }

  async measure(names: readonly string[], by: SortedBy): Promise<ArrayLike<number>> {
    const told = this.#folder.isQuick ? await this.#looks.ask(this.#folder, names, by) : undefined;
    if (told !== undefined) return told;
    return (await this.describe(names)).map((stored) => stored?.[by] ?? Number.NaN);
  }

  async close(): Promise<void> {
    await this.#names.close();
    await this.#folder.close();
  }
}
