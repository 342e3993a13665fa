import type { FileClient } from '#dmz/files/file-client.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Attributes, Entry } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { archiveDepthMax, archiveEntriesMax, archiveNamesAtOnce, listingLimitMax } from './limits.ts';

/** What goes into an archive: some of a folder's entries, or all, with everything below that this user may list. */

export interface ArchiveEntry {
  readonly path: VirtualPath;
  /** In the archive: `photos/2026/a.jpg`, a folder with a slash at its end. */
  readonly name: string;
  readonly isFolder: boolean;
  readonly mtimeMs: number;
  readonly mode: number;
}

/** Each may throw, and so end the listing. */
export interface ArchiveAsker {
  /** Before main is asked for more. */
  requireWanted(): void;
  /** Room for one entry more, with a name of so many characters. */
  take(nameCharacters: number): void;
}

interface OpenFolder {
  readonly path: VirtualPath;
  readonly prefix: string;
  readonly depth: number;
}

/**
 * Empty `names`: the whole folder. One folder after the other, and
 * each entry counts as it comes, so that no tree makes more of it than the bound.
 */
export async function listTree(
  files: FileClient,
  folder: VirtualPath,
  names: readonly string[],
  asked: ArchiveAsker,
): Promise<readonly ArchiveEntry[]> {
  const found: ArchiveEntry[] = [];
  const open: OpenFolder[] = [];
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
    const entries: Entry[] = [];
    for await (const { name, attributes } of listFolder(files, next.path, asked)) {
      countOne(next.prefix.length + name.length);
      const resolved = await resolve(files, next.path.child(name), attributes);
      if (resolved !== undefined) entries.push({ name, attributes: resolved });
    }
    addAll(entries, next);
  }
  return found;
}

async function* listFolder(files: FileClient, path: VirtualPath, asked: ArchiveAsker): AsyncGenerator<Entry> {
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
