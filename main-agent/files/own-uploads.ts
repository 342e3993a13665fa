/**
 * A session's own open uploads by the name they will have (D-70): to the session that writes a file it is there at
 * once, as on a disk; to everybody else it comes with its CLOSE. Over SFTP only: a page asks for its folders while
 * uploads run, and shows these itself.
 */
import type { Caller } from './caller.ts';
import type { HandleFinder } from './handle-finder.ts';
import type { HandleTable } from './handles.ts';
import type { Mounted } from './mounts.ts';
import { isAllowed } from './permissions.ts';
import { isBelow, isSamePlace } from './storage/places.ts';
import type { WriteHandle } from './write-handle.ts';

export class OwnUploads {
  readonly #handles: HandleTable;
  readonly #finder: HandleFinder;

  constructor(handles: HandleTable, finder: HandleFinder) {
    this.#handles = handles;
    this.#finder = finder;
  }

  /** The newest one of that name. */
  async at(session: Caller, mounted: Mounted): Promise<WriteHandle | undefined> {
    const own = await this.#in(session, mounted);
    return own.findLast((handle) => isSamePlace(handle.upload.record.place, mounted.place));
  }

  /** By name, those that will lie in a folder. */
  async inFolder(session: Caller, mounted: Mounted): Promise<ReadonlyMap<string, WriteHandle>> {
    const byName = new Map<string, WriteHandle>();
    for (const handle of await this.#in(session, mounted)) {
      const { root, path } = handle.upload.record.place;
      if (isSamePlace({ root, path: path.slice(0, -1) }, mounted.place))
        byName.set(path.at(-1) ?? '', handle);
    }
    return byName;
  }

  /** Those that will lie in a folder or somewhere below it. */
  async below(session: Caller, mounted: Mounted): Promise<readonly WriteHandle[]> {
    const own = await this.#in(session, mounted);
    return own.filter((handle) => isBelow(handle.upload.record.place, mounted.place));
  }

  async #in(session: Caller, mounted: Mounted): Promise<readonly WriteHandle[]> {
    if (session.protocol !== 'sftp' || !(isAllowed(mounted, 'write') || isAllowed(mounted, 'overwrite'))) {
      return [];
    }
    await this.#finder.adoptAll(session);
    return this.#handles
      .uploadsOf(session)
      .filter((handle) => handle.located.mounted?.storage === mounted.storage && handle.isByName);
  }
}
