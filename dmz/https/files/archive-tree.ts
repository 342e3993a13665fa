import type { FileClient } from '#dmz/files/file-client.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Attributes, Entry } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { listingLimitMax } from '#dmz/http-api/limits.ts';
import {
  archiveDepthMax,
  archiveEntriesMax,
  archiveNamesAtOnce,
  archiveNoteBytesMax,
} from '#dmz/https/limits.ts';

/**
 * What goes into an archive (D-35): some of a folder's entries, or all, with everything below that this user may list.
 */

export interface ArchiveEntry {
  readonly path: VirtualPath;
  /** In the archive: `photos/2026/a.jpg`, a folder with a slash at its end. */
  readonly name: string;
  readonly isFolder: boolean;
  readonly mtimeMs: number;
  readonly mode: number;
  /** Written by us; there is nothing to read. */
  readonly content?: Buffer;
}

/** Each may throw, and so end the listing. */
interface ArchiveAsker {
  /** Before main is asked for more. */
  requireWanted(): void;
  /** Room for one entry more, with a name of so many characters. */
  take(nameCharacters: number): void;
}

/** As a listing tells it. */
interface Unserved {
  readonly count: number;
  readonly names: readonly string[];
}

interface OpenFolder {
  readonly path: VirtualPath;
  readonly prefix: string;
  readonly depth: number;
}

/**
 * Empty `names`: the whole folder. One folder after the other, and
 * each entry counts as it comes, so that no tree makes more of it than the bound. What lies there and is not served is
 * named in a note at the top: who unpacks the archive must not take it for the whole.
 */
export async function listTree(
  files: FileClient,
  folder: VirtualPath,
  names: readonly string[],
  asked: ArchiveAsker,
): Promise<readonly ArchiveEntry[]> {
  const found: ArchiveEntry[] = [];
  const open: OpenFolder[] = [];
  const missing = new MissingNote();
  let taken = 0;
  const countOne = (nameCharacters: number): void => {
    if (taken === archiveEntriesMax)
      throw new SallyportError('too-many', `At most ${archiveEntriesMax} files in one archive`, {
        data: { bound: 'entries', maximum: archiveEntriesMax },
      });
    asked.take(nameCharacters);
    taken += 1;
  };
  const addAll = (entries: readonly Entry[], { path, prefix, depth }: OpenFolder): void => {
    const archiveNames = chooseNames(entries.map(({ name }) => name));
    for (const [index, { name, attributes }] of entries.entries()) {
      const isFolder = attributes.type === 'folder';
      const { mtimeMs, mode } = attributes;
      const inArchive = `${prefix}${archiveNames[index] ?? name}${isFolder ? '/' : ''}`;
      const child = path.child(name);
      found.push({ path: child, name: inArchive, isFolder, mtimeMs, mode });
      if (isFolder) open.push({ path: child, prefix: inArchive, depth: depth + 1 });
    }
  };

  const top: OpenFolder = { path: folder, prefix: '', depth: 0 };
  if (names.length === 0) open.push(top);
  else {
    const chosen: Entry[] = [];
    const different = [...new Set(names)];
    for (let at = 0; at < different.length; at += archiveNamesAtOnce) {
      const some = different.slice(at, at + archiveNamesAtOnce);
      asked.requireWanted();
      for (const name of some) countOne(name.length);
      const answers = await Promise.all(
        some.map(async (name) => ({ name, attributes: await files.stat(folder.child(name)) })),
      );
      chosen.push(...answers.filter(({ attributes }) => isWhole(attributes)));
    }
    addAll(chosen, top);
  }
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.depth >= archiveDepthMax)
      throw new SallyportError('too-many', 'The folders are too deep to archive', {
        data: { bound: 'depth', maximum: archiveDepthMax },
      });
    const { path, prefix } = next;
    const entries: Entry[] = [];
    const onUnserved = (unserved: Unserved): void => missing.add(prefix, unserved);
    for await (const { name, attributes } of listFolder(files, path, asked, onUnserved)) {
      countOne(prefix.length + name.length);
      const resolved = await resolve(files, path.child(name), attributes);
      if (resolved !== undefined) entries.push({ name, attributes: resolved });
    }
    addAll(entries, next);
  }
  const content = missing.format();
  if (content === undefined) return found;
  countOne(content.length);
  const given = new Set(found.map(({ name }) => name));
  let name = missingNoteName;
  for (let number = 2; given.has(name); number += 1) name = withNumber(missingNoteName, number);
  const mtimeMs = found.reduce((newest, one) => Math.max(newest, one.mtimeMs), 0);
  return [{ path: folder, name, isFolder: false, mtimeMs, mode: 0o644, content }, ...found];
}

async function* listFolder(
  files: FileClient,
  path: VirtualPath,
  asked: ArchiveAsker,
  onUnserved: (unserved: Unserved) => void,
): AsyncGenerator<Entry> {
  let cursor: string | undefined;
  do {
    asked.requireWanted();
    let page;
    try {
      page = await files.list(path, {
        limit: listingLimitMax,
        sort: 'name',
        ...(cursor === undefined ? {} : { cursor }),
      });
    } catch (error) {
      // A drop box below: it is in the archive as an empty folder. A right lost half way is no reason for half a folder.
      if (cursor === undefined && isSallyportError(error, 'permission-denied')) return;
      throw error;
    }
    if (page.unserved !== undefined) onUnserved(page.unserved);
    yield* page.entries;
    cursor = page.next;
  } while (cursor !== undefined);
}

/** Not an upload of this user's that broke off: it is listed, for clients that resume, but there is nothing to read. */
function isWhole({ type, etag }: Attributes): boolean {
  return type === 'folder' || etag !== undefined;
}

/** A link is what it leads to; one to a folder, where it might lead in a circle, and one to nothing is left out. */
async function resolve(
  files: FileClient,
  path: VirtualPath,
  attributes: Attributes,
): Promise<Attributes | undefined> {
  if (attributes.type !== 'link') return isWhole(attributes) ? attributes : undefined;
  try {
    const target = await files.stat(path);
    return target.type === 'file' ? target : undefined;
  } catch (error) {
    if (isSallyportError(error, 'not-found') || isSallyportError(error, 'permission-denied'))
      return undefined;
    throw error;
  }
}

/**
 * What a folder's entries are called in the archive, in their order. A backslash would become a folder on Windows, a
 * colon a drive or a stream beside the file. Two names never become one: unpacking would lose a file. Each base counts
 * for itself, so that no choice of names makes this slow.
 */
function chooseNames(names: readonly string[]): readonly string[] {
  const marks = /[\\:]/g;
  const given = new Set(names.filter((name) => name.search(marks) === -1));
  const numbers = new Map<string, number>();
  return names.map((name) => {
    if (given.has(name)) return name;
    const base = name.replace(marks, '_');
    let safe = base;
    let number = numbers.get(base) ?? 1;
    while (given.has(safe)) {
      number += 1;
      safe = withNumber(base, number);
    }
    numbers.set(base, number);
    given.add(safe);
    return safe;
  });
}

/** `offer.pdf` → `offer (2).pdf`. */
function withNumber(name: string, number: number): string {
  const dot = name.lastIndexOf('.');
  const end = dot > 0 ? dot : name.length;
  return `${name.slice(0, end)} (${number})${name.slice(end)}`;
}

const missingNoteName = '_not-included.txt';

/** What an archive should hold and does not. */
class MissingNote {
  readonly #lines: string[] = [];
  #bytes = 0;
  #count = 0;

  add(prefix: string, { count, names }: Unserved): void {
    this.#count += count;
    const more = count - names.length;
    for (const name of names) this.#addLine(`${prefix}${name}`);
    if (more > 0) this.#addLine(`${prefix}… and ${more} more`);
  }

  #addLine(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bytes + bytes > archiveNoteBytesMax) return;
    this.#bytes += bytes;
    this.#lines.push(line);
  }

  /** Undefined: nothing is missing. */
  format(): Buffer | undefined {
    if (this.#count === 0) return undefined;
    const entries = this.#count === 1 ? '1 entry is' : `${this.#count} entries are`;
    const lines = [
      `${entries} not in this archive, though they lie in its folders: links, special files,`,
      'and names that clients could not use. This server does not serve them; your administrator can rename them.',
      'Characters of a name that can not be seen are written as \\uXXXX.',
      '',
      ...this.#lines,
      '',
    ];
    // Read on Windows, too.
    return Buffer.from(lines.join('\r\n'));
  }
}
