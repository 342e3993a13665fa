/** Questions: attributes, listings, space, digests. Nothing here changes a file. */
import type { Attributes } from '#shared/file-service/attributes.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { Caller } from './caller.ts';
import { denied, notFound, toFileError } from './storage/file-error.ts';
import { FolderPages } from './folder-pages.ts';
import { copiesAtOnce, surveyAskedEntriesMax, surveysAtOnce } from './limits.ts';
import { Listing, shown, virtualFolder } from './listing.ts';
import type { Located, Mounted } from './mounts.ts';
import type { OwnUploads } from './own-uploads.ts';
import { isAllowed, requireAllowed, requireFileName } from './permissions.ts';
import type { FileContext } from './service-context.ts';
import { Slots } from '#main-agent/turns.ts';
import type { KeptUpload, Stored } from './storage/storage.ts';
import { UnservedCount } from './storage/unserved.ts';
import { hashBytes } from './upload-digest.ts';

/** What this user's broken upload left under a path, if no file has it. */
export async function findKept(session: Caller, mounted: Mounted): Promise<KeptUpload | undefined> {
  const { storage, place } = mounted;
  if (place.path.length === 0 || !isAllowed(mounted, 'write')) return undefined;
  return storage.keptUpload(session.username, place);
}

export async function findStored({
  storage,
  place,
}: Pick<Mounted, 'storage' | 'place'>): Promise<Stored | undefined> {
  try {
    return await storage.stat(place);
  } catch (error) {
    const failure = toFileError(error);
    if (failure.code === 'not-found' || failure.code === 'not-a-folder') return undefined;
    throw failure;
  }
}

/** A client that resumes asks for the size. */
function keptAttributes({ size, keptAtMs }: KeptUpload): Attributes {
  return { type: 'file', size, mtimeMs: keptAtMs, atimeMs: keptAtMs, mode: 0o600, links: 1 };
}

export class Queries {
  readonly #context: FileContext;
  readonly #ownUploads: OwnUploads;
  readonly #hashing = new Slots(copiesAtOnce);
  readonly #surveying = new Slots(surveysAtOnce);

  constructor(context: FileContext, ownUploads: OwnUploads) {
    this.#context = context;
    this.#ownUploads = ownUploads;
  }

  async list(session: Caller, params: Params<'fs.list'>): Promise<Result<'fs.list'>> {
    const { mounts, sortedPages } = this.#context;
    const located = mounts.locate(session.user(), params.path);
    const listing = await Listing.open(session, this.#context, this.#ownUploads, located);
    try {
      const { sort, limit, cursor } = params;
      return await sortedPages.page({ session, path: located.path.toString(), sort, limit, cursor }, listing);
    } finally {
      await listing.close();
    }
  }

  /** Asked before a folder is deleted with all that is in it. */
  async survey(session: Caller, path: readonly string[], asker?: Asker): Promise<Result<'fs.survey'>> {
    const located = this.#context.mounts.locate(session.user(), path);
    const { storage, place } = requireAllowed(located, 'list');
    // What the disk has where another mount lies is not what this user sees there, and may not be theirs to see.
    const without = session
      .user()
      .mounts.filter((mount) => located.path.components.every((name, at) => name === mount.path[at]))
      .map((mount) => mount.path.slice(located.path.components.length))
      .filter((below) => below.length > 0);
    const found = new UnservedCount();
    const enough = new AbortController();
    let looked = 0;
    let unlooked = 0;
    const isComplete = await this.#surveying.run(async () => {
      try {
        await storage.survey({
          place,
          without,
          signal: AbortSignal.any([session.ended, enough.signal]),
          onLooked: async (entries) => {
            looked += entries;
            if (looked >= surveyAskedEntriesMax) enough.abort();
          },
          onUnserved: (below) => found.add(below.join('/')),
          onUnlooked: () => {
            unlooked += 1;
          },
        });
        return unlooked === 0;
      } catch (error) {
        if (enough.signal.aborted && !session.ended.aborted) return false;
        throw error;
      }
    }, asker);
    const { count, names } = found.found ?? { count: 0, names: [] };
    return { looked, isComplete, unserved: { count, names: [...names] } };
  }

  async openFolder(session: Caller, path: readonly string[]): Promise<Result<'fs.open-folder'>> {
    const { mounts, handles } = this.#context;
    const done = handles.reserve(session);
    try {
      const located = mounts.locate(session.user(), path);
      const pages = new FolderPages(await Listing.open(session, this.#context, this.#ownUploads, located));
      const handle = handles.newNumber();
      try {
        handles.add(session, handle, pages);
      } catch (error) {
        await pages.end();
        throw error;
      }
      return { handle };
    } finally {
      done();
    }
  }

  async readFolder(session: Caller, number: number, page: number): Promise<Result<'fs.read-folder'>> {
    const handle = this.#context.handles.require(session, number);
    if (handle.kind !== 'folder') throw new SallyportError('not-a-folder', 'That is not a folder');
    return handle.read(page);
  }

  async stat(session: Caller, path: readonly string[]): Promise<Attributes> {
    const { mounts, builtAtMs } = this.#context;
    const located = mounts.locate(session.user(), path);
    const { mounted, mountNames } = located;
    if (mounted === undefined) return virtualFolder(builtAtMs);
    const own = await (await this.#ownUploads.at(session, mounted))?.statIfOpen();
    if (own !== undefined) return shown(own);
    const existing = await findStored(mounted);
    if (existing === undefined && mountNames.length > 0) return virtualFolder(builtAtMs);
    if (existing?.type === 'folder') return shown(existing);
    // No file; but over SFTP asking for exactly this name is how a client finds out where to go on.
    const kept =
      existing === undefined && session.protocol === 'sftp' ? await this.#kept(session, mounted) : undefined;
    if (kept !== undefined) return keptAttributes(kept);
    // The same answer for a file and for nothing, where the user may not know which.
    if (!isAllowed(mounted, 'list') && !isAllowed(mounted, 'read')) {
      const made = await this.#context.finishing.find(session, mounted);
      if (made === undefined || made.fileId !== existing?.id) throw denied('neither list nor read');
    }
    if (existing === undefined) throw notFound();
    return shown(existing);
  }

  async #kept(session: Caller, mounted: Mounted): Promise<KeptUpload | undefined> {
    try {
      return await findKept(session, mounted);
    } catch (error) {
      // Its folder does not exist: then there is nothing, and that is what is answered.
      if (isSallyportError(toFileError(error), 'not-found')) return undefined;
      throw error;
    }
  }

  async usage(session: Caller, path: readonly string[]): Promise<Result<'fs.usage'>> {
    const { mounts, quota } = this.#context;
    const user = session.user();
    const mounted = anyMounted(mounts.locate(user, path), user.mounts[0]?.path, (first) =>
      mounts.locate(user, first),
    );
    if (mounted === undefined) return { freeBytes: 0, totalBytes: 0, freeFiles: 0, totalFiles: 0 };
    const disk = await mounted.storage.usage(mounted.place);
    if (user.quotaBytes === undefined) return disk;
    const { usedBytes } = await quota.open(user);
    return {
      ...disk,
      totalBytes: Math.min(disk.totalBytes, user.quotaBytes),
      freeBytes: Math.min(disk.freeBytes, Math.max(0, user.quotaBytes - usedBytes)),
    };
  }

  async hash(session: Caller, path: readonly string[], asker?: Asker): Promise<Result<'fs.hash'>> {
    const located = this.#context.mounts.locate(session.user(), path);
    requireFileName(located);
    const { storage, place } = requireAllowed(located, 'read');
    return this.#hashing.run(async () => {
      const file = await storage.openFile(place);
      try {
        const source = {
          size: file.attributes.size,
          read: (buffers: readonly Uint8Array[], position: number) => file.read(buffers, position),
        };
        return { hex: await hashBytes(source, session.ended) };
      } finally {
        await file.close();
      }
    }, asker);
  }

  async readLink(session: Caller, path: readonly string[]): Promise<Result<'fs.read-link'>> {
    await this.stat(session, path);
    throw new SallyportError('unsupported', 'That is not a link', {
      detail: 'symbolic links are not served',
    });
  }
}

/** Space is told for a folder of the user's even where the path itself only leads to mounts. */
function anyMounted(
  located: Located,
  firstMount: readonly string[] | undefined,
  locate: (path: readonly string[]) => Located,
): Mounted | undefined {
  if (located.mounted !== undefined || firstMount === undefined) return located.mounted;
  return locate(firstMount).mounted;
}
