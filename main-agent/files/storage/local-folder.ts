import type { Dir, Dirent } from 'node:fs';
import { isSallyportError } from '#shared/error.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import { notFound } from '../file-error.ts';
import { pageEntriesMax, statsAtOnce } from '../limits.ts';
import type { FolderHandle } from './folder-handle.ts';
import { stagingFolderName } from './staging.ts';
import type { FolderItem, Stored, StoredFolder } from './storage.ts';
import { toStored } from './stored.ts';

/**
 * A folder being read. Names that could not be opened again by any client are left out: links, special files, and
 * names with characters that paths may not have.
 */
export class LocalFolder implements StoredFolder {
  readonly attributes: Stored;
  readonly #folder: FolderHandle;
  readonly #names: Dir;

  private constructor(folder: FolderHandle, names: Dir, attributes: Stored) {
    this.#folder = folder;
    this.#names = names;
    this.attributes = attributes;
  }

  /** Takes the folder over, also when it fails. */
  static async open(folder: FolderHandle): Promise<LocalFolder> {
    try {
      const attributes = toStored(await folder.stat());
      if (attributes === undefined) throw notFound();
      return new LocalFolder(folder, await folder.openNames(), attributes);
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
      const type = await this.#typeOf(entry);
      if (type !== undefined && isAddressable(entry.name)) items.push({ name: entry.name, type });
    }
    return items;
  }

  async #typeOf(entry: Dirent): Promise<FolderItem['type'] | undefined> {
    if (entry.isFile()) return 'file';
    if (entry.isDirectory()) return 'folder';
    const isToldByListing =
      entry.isSymbolicLink() ||
      entry.isFIFO() ||
      entry.isSocket() ||
      entry.isCharacterDevice() ||
      entry.isBlockDevice();
    if (isToldByListing) return undefined;
    const stats = await this.#folder.find(entry.name);
    return stats === undefined ? undefined : toStored(stats)?.type;
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

  async close(): Promise<void> {
    await this.#names.close();
    await this.#folder.close();
  }
}

function isAddressable(name: string): boolean {
  if (name === stagingFolderName) return false;
  try {
    requireComponents([name]);
    return true;
  } catch (error) {
    if (isSallyportError(error, 'bad-path')) return false;
    throw error;
  }
}
