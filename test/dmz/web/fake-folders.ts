/** A tree of files in memory, with the listing the API gives. */

export interface FakeEntry {
  readonly content: Buffer;
  /** Bytes, for files without content worth keeping. */
  readonly size: number;
  readonly mtimeMs: number;
  /** Undefined for files. */
  readonly children: Map<string, FakeEntry> | undefined;
}

function buildFolder(mtimeMs: number): FakeEntry {
  return { content: Buffer.alloc(0), size: 0, mtimeMs, children: new Map() };
}

export class FakeFolders {
  #root = buildFolder(Date.now());

  clear(): void {
    this.#root = buildFolder(Date.now());
  }

  find(path: readonly string[]): FakeEntry | undefined {
    let entry: FakeEntry | undefined = this.#root;
    for (const name of path) entry = entry?.children?.get(name);
    return entry;
  }

  /** Of all that is in it, at any depth. */
  names(folder = this.#root): string[] {
    return [...(folder.children ?? [])].flatMap(([name, entry]) => [name, ...this.names(entry)]);
  }

  usedBytes(entry = this.#root): number {
    let bytes = entry.size;
    for (const child of entry.children?.values() ?? []) bytes += this.usedBytes(child);
    return bytes;
  }

  putFile(path: readonly string[], content: Buffer, mtimeMs = Date.now(), size = content.length): void {
    this.#parent(path).set(path.at(-1) ?? '', { content, size, mtimeMs, children: undefined });
  }

  putFolder(path: readonly string[], mtimeMs = Date.now()): void {
    this.#parent(path).set(path.at(-1) ?? '', buildFolder(mtimeMs));
  }

  put(path: readonly string[], entry: FakeEntry): void {
    this.#parent(path).set(path.at(-1) ?? '', entry);
  }

  remove(path: readonly string[]): boolean {
    return this.#parent(path).delete(path.at(-1) ?? '');
  }

  rename(from: readonly string[], to: readonly string[]): boolean {
    const entry = this.find(from);
    if (entry === undefined || this.find(to) !== undefined) return false;
    this.remove(from);
    this.#parent(to).set(to.at(-1) ?? '', entry);
    return true;
  }

  /** As the real one: sorted by bytes of the name unless asked otherwise, cursor = position. */
  page(folder: FakeEntry, query: URLSearchParams): { entries: unknown[]; next?: string } {
    const sort = query.get('sort') ?? 'name';
    const direction = sort.startsWith('-') ? -1 : 1;
    const all = [...(folder.children ?? new Map<string, FakeEntry>())].toSorted(([nameA, a], [nameB, b]) => {
      const byName = nameA < nameB ? -1 : 1;
      if (sort.endsWith('size')) return direction * (a.size - b.size || byName);
      if (sort.endsWith('mtime')) return direction * (a.mtimeMs - b.mtimeMs || byName);
      return direction * byName;
    });
    const from = Number(query.get('cursor') ?? 0);
    const end = from + Number(query.get('limit') ?? 1000);
    const entries = all.slice(from, end).map(([name, entry]) => ({
      name,
      type: entry.children === undefined ? 'file' : 'folder',
      size: entry.size,
      mtime: new Date(entry.mtimeMs).toISOString(),
    }));
    return end < all.length ? { entries, next: String(end) } : { entries };
  }

  #parent(path: readonly string[]): Map<string, FakeEntry> {
    const parent = this.find(path.slice(0, -1))?.children;
    if (parent === undefined) throw new Error(`no folder above /${path.join('/')}`);
    return parent;
  }
}
