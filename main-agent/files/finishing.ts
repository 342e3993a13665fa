/**
 * Files that a session made a moment ago. Setting mode and times, looking, and renaming to the name that was meant all
 * along belong to an upload, though clients do them after its CLOSE; so for a while the session that made a file needs no
 * right for them but the one to write. Others, and later sessions of the same user, need what they always need.
 *
 * May not decide by a name alone: each look and change is held against the file's identity, so that another file that has
 * the name by now stays out of reach.
 */
import type { Clock } from '#shared/clock.ts';
import type { FullSession } from '#main-agent/login/session.ts';
import { finishingPerSessionMax } from './limits.ts';
import type { Mounted, MountTree } from './mounts.ts';
import { isAllowed } from './permissions.ts';
import { pathFromBase } from './storage/places.ts';
import type { FinishedFile } from './storage/storage.ts';

interface Made extends FinishedFile {
  readonly untilMs: number;
}

export class Finishing {
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #mounts: Pick<MountTree, 'storages'>;
  /** By session, then by place, oldest first. */
  readonly #bySession = new Map<string, Map<string, Made>>();

  constructor(mounts: Pick<MountTree, 'storages'>, clock: Clock, keepMs: number) {
    this.#mounts = mounts;
    this.#clock = clock;
    this.#keepMs = keepMs;
  }

  /** Over SFTP only: a page puts a file with all that belongs to it in one request. */
  async made(session: FullSession, mounted: Mounted, file: FinishedFile): Promise<void> {
    if (session.protocol === 'sftp' && !mayAnyway(mounted))
      this.#add(await this.#of(session), keyOf(mounted), file, 0);
  }

  #add(own: Map<string, Made>, key: string, { uploadId, fileId }: FinishedFile, ageMs: number): void {
    own.delete(key);
    own.set(key, { uploadId, fileId, untilMs: this.#clock.monotonic() + this.#keepMs - ageMs });
    const oldest = own.keys().next();
    if (own.size > finishingPerSessionMax && oldest.done !== true) own.delete(oldest.value);
  }

  /** What this session may still finish under that name, if it is still there. */
  async find(session: FullSession, mounted: Mounted): Promise<FinishedFile | undefined> {
    if (session.protocol !== 'sftp' || !isAllowed(mounted, 'write')) return undefined;
    const own = await this.#of(session);
    const made = own.get(keyOf(mounted));
    return made !== undefined && this.#clock.monotonic() < made.untilMs ? made : undefined;
  }

  /** The right goes with the file. */
  async renamed(session: FullSession, from: Mounted, to: Mounted): Promise<void> {
    if (session.protocol !== 'sftp' || (mayAnyway(from) && mayAnyway(to))) return;
    const own = await this.#of(session);
    const made = own.get(keyOf(from));
    own.delete(keyOf(from));
    own.delete(keyOf(to));
    if (made === undefined) return;
    own.set(keyOf(to), made);
    await to.storage.finishedMoved(made.uploadId, session.key, to.place);
  }

  async #of(session: FullSession): Promise<Map<string, Made>> {
    const known = this.#bySession.get(session.key);
    if (known !== undefined) return known;
    const own = await this.#recall(session);
    // Two may have asked at the same time.
    const first = this.#bySession.get(session.key) ?? own;
    if (!session.ended.aborted) this.#bySession.set(session.key, first);
    return first;
  }

  /** What the session made before main began anew. */
  async #recall(session: FullSession): Promise<Map<string, Made>> {
    const own = new Map<string, Made>();
    for (const storage of this.#mounts.storages) {
      for (const { place, ageMs, ...file } of await storage.finishedBefore(session.key))
        this.#add(own, keyOf({ storage, place }), file, ageMs);
    }
    return own;
  }

  forget(sessionKey: string): void {
    this.#bySession.delete(sessionKey);
  }
}

/** Where all of this is allowed for every file there is nothing to remember, which is most uploads. */
function mayAnyway(mounted: Mounted): boolean {
  const maySee = isAllowed(mounted, 'list') || isAllowed(mounted, 'read');
  return maySee && isAllowed(mounted, 'overwrite') && isAllowed(mounted, 'rename');
}

function keyOf({ storage, place }: Pick<Mounted, 'storage' | 'place'>): string {
  return `${storage.name}/${pathFromBase(place).join('/')}`;
}
