/**
 * Files that a session made a moment ago (D-73). Setting mode and times, looking, and renaming to the name that was
 * meant all along belong to an upload, though clients do them after its CLOSE; so for a while the session that made a
 * file needs no right for them but the one to write. Others, and other sessions of the same user, need what they always
 * need; but for times: programs with a pool of connections set them through another one than they sent the file
 * through.
 *
 * May not decide by a name alone: each look and change is held against the file's identity, so that another file that has
 * the name by now stays out of reach.
 */
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Clock } from '#shared/clock.ts';
import type { FullSession } from '#main-agent/sessions/session.ts';
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
  readonly #bySession = new Map<string, BoundedMap<Made>>();
  /** The sessions in `#bySession` that one user has from one address. */
  readonly #bySource = new Map<string, Set<string>>();

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

  #add(own: BoundedMap<Made>, key: string, { uploadId, fileId }: FinishedFile, ageMs: number): void {
    own.set(key, { uploadId, fileId, untilMs: this.#clock.monotonic() + this.#keepMs - ageMs });
  }

  /** What this session may still finish under that name, if it is still there. */
  async find(session: FullSession, mounted: Mounted): Promise<FinishedFile | undefined> {
    if (session.protocol !== 'sftp' || !isAllowed(mounted, 'write')) return undefined;
    return this.#among([await this.#of(session)], mounted);
  }

  /** Whose times it may still set: also what a session made that its user has open from the same address. */
  async findForTimes(session: FullSession, mounted: Mounted): Promise<FinishedFile | undefined> {
    const own = await this.find(session, mounted);
    if (own !== undefined || session.protocol !== 'sftp' || !isAllowed(mounted, 'write')) return own;
    const keys = [...(this.#bySource.get(sourceOf(session)) ?? [])];
    return this.#among(
      keys.flatMap((key) => this.#bySession.get(key) ?? []),
      mounted,
    );
  }

  #among(sessions: readonly BoundedMap<Made>[], mounted: Mounted): Made | undefined {
    const now = this.#clock.monotonic();
    for (const made of sessions.map((one) => one.get(keyOf(mounted))))
      if (made !== undefined && now < made.untilMs) return made;
    return undefined;
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

  async #of(session: FullSession): Promise<BoundedMap<Made>> {
    const known = this.#bySession.get(session.key);
    if (known !== undefined) return known;
    const own = await this.#recall(session);
    // Two may have asked at the same time.
    const first = this.#bySession.get(session.key) ?? own;
    if (!session.ended.aborted) this.#remember(session, first);
    return first;
  }

  /** What the session made before main began anew. */
  async #recall(session: FullSession): Promise<BoundedMap<Made>> {
    const own = new BoundedMap<Made>(finishingPerSessionMax);
    for (const storage of this.#mounts.storages) {
      for (const { place, ageMs, ...file } of await storage.finishedBefore(session.key))
        this.#add(own, keyOf({ storage, place }), file, ageMs);
    }
    return own;
  }

  #remember(session: FullSession, own: BoundedMap<Made>): void {
    this.#bySession.set(session.key, own);
    const source = sourceOf(session);
    this.#bySource.set(source, (this.#bySource.get(source) ?? new Set()).add(session.key));
  }

  forget(session: Source & Pick<FullSession, 'key'>): void {
    this.#bySession.delete(session.key);
    const siblings = this.#bySource.get(sourceOf(session));
    siblings?.delete(session.key);
    if (siblings?.size === 0) this.#bySource.delete(sourceOf(session));
  }
}

type Source = Pick<FullSession, 'username' | 'clientIp'>;

function sourceOf({ username, clientIp }: Source): string {
  return `${clientIp} ${username}`;
}

/** Where all of this is allowed for every file there is nothing to remember, which is most uploads. */
function mayAnyway(mounted: Mounted): boolean {
  const maySee = isAllowed(mounted, 'list') || isAllowed(mounted, 'read');
  return maySee && isAllowed(mounted, 'overwrite') && isAllowed(mounted, 'rename');
}

function keyOf({ storage, place }: Pick<Mounted, 'storage' | 'place'>): string {
  return `${storage.name}/${pathFromBase(place).join('/')}`;
}
