/**
 * What was done to files through a node that was not ours, taken back one by one (S-15): what was written goes to a bin
 * of the node's, never away (D-165); what was replaced or deleted comes back from where it was kept; what was renamed gets its
 * name back. Only where everything is as the deed left it: what anybody else did since stays theirs.
 *
 * Each step is named by the record of its deed, so that one which a killed process made is recognised and not made again.
 * A rehearsal goes the same way and changes nothing: what it would have moved it remembers.
 */
import { isSallyportError } from '#shared/error.ts';
import { parseVirtualPath } from '#shared/file-service/virtual-path.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { withItsFolders } from './bins.ts';
import { binEntriesPerUserMax, fileClockSlackMs, takenBackMs } from './limits.ts';
import type { Mounted } from './mounts.ts';
import { findStored } from './queries.ts';
import type { FileContext } from './service-context.ts';
import { toFileError } from './storage/file-error.ts';
import { isSamePlace, pathFromBase } from './storage/places.ts';
import type { OperationName, Place, Stored } from './storage/storage.ts';
import { hashBytes } from './upload-digest.ts';

/** Something that was done to a file or folder, as its audit record tells it. */
export interface FileDeed {
  /** Number of that record; names the deed. */
  readonly record: number;
  /** `begun`: an upload that did not become a file. */
  readonly kind: 'written' | 'begun' | 'copied' | 'restored' | 'deleted' | 'renamed' | 'folder-made';
  readonly user: string;
  /** Key of the session that did it. */
  readonly session: string;
  /** As its user saw it; of what came to be or went. */
  readonly path: string;
  /** Of what was renamed: its name since. */
  readonly toPath?: string | undefined;
  readonly bytes?: number | undefined;
  readonly sha256?: string | undefined;
  readonly atMs: number;
  /** A file was there, or the file was there and was written in place. */
  readonly replaced: boolean;
}

/** What the audit knows of a place after a deed; by the keys of `keyOf`. */
export interface Since {
  /** When the node's sessions, or an undoing of theirs, did something there last. */
  lastOwnMs(key: string): number;
  /** What others did there after that record, or in it or to what it is in. Undefined: nothing. */
  findForeign(key: string, record: number): string | undefined;
}

interface Verdict {
  /** `nothing`: there is nothing to undo any more. `left`: it was not done, and somebody should look. */
  readonly state: 'undone' | 'nothing' | 'left';
  readonly note: string;
}

/** What is at a place now, or would be. */
interface There {
  readonly stored: Pick<Stored, 'type' | 'size' | 'changedAtMs'>;
  /** Where its bytes are. Undefined: in a bin. */
  readonly at: Place | undefined;
  /** Put there by this undoing: its times say nothing. */
  readonly isMoved: boolean;
}

/** What was there before, and how it comes back. */
interface Former {
  readonly stored: Pick<Stored, 'type' | 'size'>;
  readonly atMs: number;
  readonly id: string;
  restore(to: Place, by: OperationName): Promise<void>;
}

interface TakingBackOptions {
  readonly node: string;
  readonly findUser: (username: string) => EffectiveUser | undefined;
  readonly isRehearsal: boolean;
}

export class TakingBack {
  readonly #context: FileContext;
  readonly #options: TakingBackOptions;
  /** What this undoing put where, by key; `gone`: took from there. */
  readonly #moved = new Map<string, There | 'gone'>();
  /** Former files that a rehearsal has put back. */
  readonly #usedFormer = new Set<string>();
  #putAside = 0;

  constructor(context: FileContext, options: TakingBackOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Names a place whatever mount shows it. Undefined: that user has no such place now. */
  keyOf(user: string, path: string): string | undefined {
    const mounted = this.#locate(user, path);
    return mounted === undefined ? undefined : keyOf(mounted);
  }

  /** Newest first, each of them once. */
  async undo(deed: FileDeed, since: Since): Promise<Verdict> {
    const mounted = this.#locate(deed.user, deed.toPath ?? deed.path);
    if (mounted === undefined) return left('its user has no such place any more');
    const foreign = since.findForeign(keyOf(mounted), deed.record);
    if (foreign !== undefined) return left(foreign);
    try {
      switch (deed.kind) {
        case 'written':
        case 'copied':
        case 'restored':
          return await this.#undoWriting(deed, mounted, since);
        case 'begun':
          return await this.#dropBegun(deed, mounted);
        case 'deleted':
          return await this.#undoDeletion(deed, mounted);
        case 'renamed':
          return await this.#undoRename(deed, mounted, since);
        case 'folder-made':
          return await this.#removeFolder(deed, mounted);
      }
    } catch (error) {
      const { code, detail } = toFileError(error);
      return left(`it could not be done: ${detail ?? code}`);
    }
  }

  async #undoWriting(deed: FileDeed, mounted: Mounted, since: Since): Promise<Verdict> {
    const former = deed.replaced ? this.#findFormer(deed, mounted, 'replaced') : undefined;
    const wasPutAside = mounted.storage.bin.keptBy(this.#by(deed, 'put-aside')) !== undefined;
    const there = await this.#look(mounted);
    const putAside = `what was written is in the bin of “${takenBackFrom(this.#options.node)}”`;
    // By a run that was killed before it could say so; what was there before is the one that is back.
    if (there !== undefined && wasPutAside) return undone(putAside);
    if (there !== undefined) {
      const other = await this.#findDifference(deed, mounted, there, since);
      if (other !== undefined) return left(other);
      if (there.stored.type === 'folder') return left('a folder that was put back; it is still there');
      if (deed.replaced && former === undefined)
        return left('what it replaced was not kept; what it wrote is still there');
      const problem = await this.#putAsideFile(deed, mounted, there);
      if (problem !== undefined) return left(problem);
    }
    if (former !== undefined) {
      await this.#restore(deed, mounted, former);
      return undone(
        there === undefined ? 'what was there before is back' : `what was there before is back, ${putAside}`,
      );
    }
    if (there === undefined && !wasPutAside) return nothing('it is not there any more');
    return undone(putAside);
  }

  /** Why it is not as the deed left it. */
  async #findDifference(
    { bytes, sha256 }: FileDeed,
    mounted: Mounted,
    there: There,
    since: Since,
  ): Promise<string | undefined> {
    const changed = 'it was changed since, and not through this node';
    const { type, size, changedAtMs } = there.stored;
    if (type === 'folder') return undefined;
    if (bytes !== undefined && size !== bytes) return changed;
    // A rehearsal took it from a bin in its thoughts: it is what the deed after this one put there.
    if (there.at === undefined) return undefined;
    const isUntouched = changedAtMs <= since.lastOwnMs(keyOf(mounted)) + fileClockSlackMs;
    const file = await mounted.storage.openFile(there.at);
    try {
      if (file.isBeingWritten) return 'somebody has it open and writes to it';
      if (there.isMoved ? sha256 === undefined : isUntouched) return undefined;
      if (sha256 === undefined) return changed;
      const source = { size, read: file.read.bind(file) };
      return (await hashBytes(source, new AbortController().signal)) === sha256 ? undefined : changed;
    } finally {
      await file.close();
    }
  }

  async #undoDeletion(deed: FileDeed, mounted: Mounted): Promise<Verdict> {
    const former = this.#findFormer(deed, mounted, 'deleted');
    const there = await this.#look(mounted);
    if (former === undefined)
      return there === undefined
        ? left('it was not kept, or is not kept any more')
        : nothing('it is there again');
    if (there !== undefined) return left('something else has its name now');
    await this.#restore(deed, mounted, former);
    return undone('it is back');
  }

  async #undoRename(deed: FileDeed, target: Mounted, since: Since): Promise<Verdict> {
    const source = this.#locate(deed.user, deed.path);
    if (source === undefined || source.storage !== target.storage)
      return left('its user has no such place any more');
    const foreign = since.findForeign(keyOf(source), deed.record);
    if (foreign !== undefined) return left(foreign);
    const former = deed.replaced ? this.#findFormer(deed, target, 'replaced') : undefined;
    const there = await this.#look(target);
    const before = await this.#look(source);
    if (there !== undefined && before !== undefined) {
      // As a run leaves it that was killed before it could say so.
      if (deed.replaced && former === undefined && before.stored.size === (deed.bytes ?? before.stored.size))
        return nothing('it has its former name, and something has the other one');
      return left('something else has its former name now');
    }
    if (there !== undefined) {
      const other = await this.#findDifference(deed, target, there, since);
      if (other !== undefined) return left(other);
      await this.#move(deed, target, source, there);
    }
    if (former !== undefined) {
      await this.#restore(deed, target, former);
      return undone('it has its former name, and what it replaced is back');
    }
    if (there === undefined && before === undefined) return nothing('it is not there any more');
    if (deed.replaced) return left('it has its former name; what it replaced was not kept');
    return there === undefined ? nothing('it has its former name') : undone('it has its former name');
  }

  async #removeFolder(deed: FileDeed, mounted: Mounted): Promise<Verdict> {
    const there = await this.#look(mounted);
    if (there?.stored.type !== 'folder') return nothing('it is not there any more');
    if (!(await this.#isEmpty(mounted, there))) return left('something is in it');
    if (!this.#options.isRehearsal) {
      await mounted.storage.removeFolder(mounted.place, {
        recursive: false,
        by: this.#by(deed, 'put-aside'),
        signal: new AbortController().signal,
        onRemovedFile: () => undefined,
        onRemovedUnserved: () => undefined,
      });
    }
    this.#moved.set(keyOf(mounted), 'gone');
    return undone('the empty folder is removed');
  }

  async #isEmpty(mounted: Mounted, { at }: There): Promise<boolean> {
    const { storage, place } = mounted;
    const below = `${keyOf(mounted)}/`;
    if (
      at === undefined ||
      this.#moved.entries().some(([key, there]) => there !== 'gone' && key.startsWith(below))
    )
      return false;
    const folder = await storage.openFolder(at);
    try {
      for (let names = await folder.next(); names.length > 0; names = await folder.next()) {
        for (const { name } of names) {
          const inner = { ...mounted, place: { ...place, path: [...place.path, name] } };
          if ((await this.#look(inner)) !== undefined) return false;
        }
      }
      return true;
    } finally {
      await folder.close();
    }
  }

  /** Whoever went on with it would have the beginning that came through the node. */
  async #dropBegun({ session, user }: FileDeed, { storage, place }: Mounted): Promise<Verdict> {
    const kept = await storage.keptUpload(user, place);
    const own = [
      ...(kept === undefined ? [] : [kept]),
      ...storage
        .resumableUploads(user)
        .filter(({ record, held }) => held === undefined && isSamePlace(record.place, place)),
    ].filter(({ record }) => record.session === session);
    if (own.length === 0) return nothing('nothing of it is there');
    if (!this.#options.isRehearsal) for (const { record } of own) await storage.discardKept(record.id);
    return undone('the half that could have been gone on with is dropped');
  }

  /** What this deed put away: of several the last until then. */
  #findFormer(
    { user, session, atMs }: FileDeed,
    { storage, place }: Mounted,
    reason: 'deleted' | 'replaced',
  ): Former | undefined {
    const binned = storage.bin
      .everything(user)
      .filter((one) => one.reason === reason && one.session === session && isSamePlace(one.place, place))
      .map(({ id, type, bytes = 0, atMs: binnedAtMs }): Former => ({
        stored: { type, size: bytes },
        atMs: binnedAtMs,
        id,
        restore: (to, by) => storage.bin.restore(id, to, by),
      }));
    const versions = storage
      .formerVersions(user)
      .filter(
        (one) => reason === 'replaced' && one.session === session && this.#isAt(user, one.virtualPath, place),
      )
      .map(({ id, bytes, atMs: keptAtMs }): Former => ({
        stored: { type: 'file', size: bytes },
        atMs: keptAtMs,
        id,
        restore: (to, by) => storage.restoreVersion(user, id, to, by),
      }));
    return [...binned, ...versions]
      .filter((one) => Math.floor(one.atMs) <= atMs && !this.#usedFormer.has(one.id))
      .toSorted((one, other) => other.atMs - one.atMs)[0];
  }

  #isAt(user: string, virtualPath: readonly string[], place: Place): boolean {
    const mounted = this.#locate(user, `/${virtualPath.join('/')}`);
    return mounted !== undefined && isSamePlace(mounted.place, place);
  }

  async #restore(deed: FileDeed, mounted: Mounted, former: Former): Promise<void> {
    const { storage, place, mount } = mounted;
    if (!this.#options.isRehearsal) {
      const by = this.#by(deed, 'put-back');
      await withItsFolders(storage, place, by, true, () => former.restore(place, by));
      this.#context.quota.freed(deed.user, mount, -former.stored.size);
      await storage.dropKept(deed.user, place);
    }
    this.#usedFormer.add(former.id);
    this.#noteMoved(mounted, { ...former.stored, changedAtMs: 0 }, undefined);
  }

  /** Why it can't be put aside. */
  async #putAsideFile(deed: FileDeed, mounted: Mounted, there: There): Promise<string | undefined> {
    const { storage, place, mount } = mounted;
    const user = takenBackFrom(this.#options.node);
    if (storage.bin.everything(user).length + this.#putAside >= binEntriesPerUserMax)
      return `the bin of “${user}” is full: save what is in it, empty it and run this again`;
    if (this.#options.isRehearsal) this.#putAside += 1;
    else {
      const { bytes, id } = await storage.removeFile(place, {
        by: this.#by(deed, 'put-aside'),
        bin: {
          user,
          virtualPath: [deed.user, ...parseVirtualPath(deed.toPath ?? deed.path).components],
          keepMs: takenBackMs,
          isCounted: false,
        },
        mustBeKept: true,
      });
      this.#context.quota.freed(deed.user, mount, bytes, id);
      await storage.dropKept(deed.user, place);
    }
    if (there.at !== undefined) this.#moved.set(keyOf(mounted), 'gone');
    else this.#moved.delete(keyOf(mounted));
    return undefined;
  }

  async #move(deed: FileDeed, from: Mounted, to: Mounted, there: There): Promise<void> {
    const { storage } = from;
    if (!this.#options.isRehearsal) {
      const by = this.#by(deed, 'move-back');
      await withItsFolders(storage, to.place, by, true, () =>
        storage.rename(from.place, to.place, { overwrite: false, by }),
      );
    }
    this.#moved.set(keyOf(from), 'gone');
    this.#noteMoved(to, there.stored, there.at);
  }

  #noteMoved(to: Mounted, stored: There['stored'], rehearsedAt: Place | undefined): void {
    const at = this.#options.isRehearsal ? rehearsedAt : to.place;
    this.#moved.set(keyOf(to), { stored, at, isMoved: true });
  }

  /** What is at a place, after all that this undoing has done or a rehearsal would have done by now. */
  async #look({ storage, place }: Pick<Mounted, 'storage' | 'place'>): Promise<There | undefined> {
    const whole = pathFromBase(place);
    for (let depth = whole.length; depth > 0; depth -= 1) {
      const moved = this.#moved.get(`${storage.name}/${whole.slice(0, depth).join('/')}`);
      if (moved === undefined) continue;
      const isItself = depth === whole.length;
      if (moved !== 'gone' && (!isItself || moved.at !== undefined)) {
        // In a folder that only a bin has nothing of this was done.
        if (moved.at === undefined) return undefined;
        const at = { root: [], path: [...pathFromBase(moved.at), ...whole.slice(depth)] };
        const stored = await findStored({ storage, place: at });
        return stored === undefined ? undefined : { stored, at, isMoved: isItself };
      }
      if (this.#options.isRehearsal) return moved === 'gone' ? undefined : moved;
      break;
    }
    const stored = await findStored({ storage, place });
    return stored === undefined ? undefined : { stored, at: place, isMoved: false };
  }

  #locate(username: string, path: string): Mounted | undefined {
    const user = this.#options.findUser(username);
    if (user === undefined) return undefined;
    try {
      return this.#context.mounts.locate(user, parseVirtualPath(path).components).mounted;
    } catch (error) {
      if (isSallyportError(error)) return undefined;
      throw error;
    }
  }

  #by({ record }: FileDeed, step: 'put-aside' | 'put-back' | 'move-back'): OperationName {
    return { session: `undo ${this.#options.node} ${step}`, operation: record };
  }
}

/** Whose bin has what was written through a node; no user can be called so. */
export function takenBackFrom(node: string): string {
  return `node ${node}`;
}

function keyOf({ storage, place }: Pick<Mounted, 'storage' | 'place'>): string {
  return `${storage.name}/${pathFromBase(place).join('/')}`;
}

function undone(note: string): Verdict {
  return { state: 'undone', note };
}

function nothing(note: string): Verdict {
  return { state: 'nothing', note };
}

function left(note: string): Verdict {
  return { state: 'left', note };
}
