/** What waits in the staging folders, in memory: broken uploads to be resumed, old versions to be put back. */
import { keptUploadsPerUserMax, keptVersionsPerUserMax } from '../../limits.ts';
import { isBelow, isSamePlace, pathFromBase } from '../places.ts';
import type { KeptVersion, StagedRecord, StagingArea } from './staging-area.ts';
import type { Place } from '../storage.ts';

export interface KeptEntry {
  readonly area: StagingArea;
  readonly record: StagedRecord;
  readonly size: number;
  readonly keptAtMs: number;
}

interface VersionEntry {
  readonly area: StagingArea;
  readonly version: KeptVersion;
}

export class KeptUploads {
  readonly #byId = new Map<string, KeptEntry>();
  readonly #byUser = new Map<string, Set<KeptEntry>>();
  /** By session and operation number of the open. */
  readonly #byOperation = new Map<string, KeptEntry>();
  /** By session, what an earlier process had open for it. */
  readonly #openBefore = new Map<string, Set<string>>();
  /** How many wait for each path. */
  readonly #atPath = new Map<string, number>();
  readonly #versions = new Map<string, VersionEntry[]>();

  /** Returns what has to go: an older broken upload of the same file, and the oldest beyond the bound. */
  add(entry: KeptEntry): readonly KeptEntry[] {
    // Resumable ones are taken up by name, and what sessions have open by them: another upload is none of theirs.
    const { user, place, left, unlinked } = entry.record;
    const isLast = !isResumable(entry) && left === true && unlinked !== true;
    const gone = isLast ? this.at(user, place).filter(({ record }) => record.left === true) : [];
    let own = this.#byUser.get(entry.record.user);
    if (own === undefined) this.#byUser.set(entry.record.user, (own = new Set()));
    own.add(entry);
    this.#byId.set(entry.record.id, entry);
    this.#count(entry, 1);
    this.#byOperation.set(operationKey(entry.record), entry);
    if (entry.record.left !== true && !isResumable(entry)) this.#addOpen(entry.record);
    for (const old of gone) this.take(old.record.id);
    const alike = [...own].filter((one) => isResumable(one) === isResumable(entry));
    if (alike.length <= keptUploadsPerUserMax) return gone;
    const oldest = alike
      .sort((a, b) => a.keptAtMs - b.keptAtMs)
      .slice(0, alike.length - keptUploadsPerUserMax);
    for (const old of oldest) this.take(old.record.id);
    return [...gone, ...oldest];
  }

  get(id: string): KeptEntry | undefined {
    return this.#byId.get(id);
  }

  take(id: string): KeptEntry | undefined {
    const entry = this.#byId.get(id);
    if (entry === undefined) return undefined;
    this.#byId.delete(id);
    this.#count(entry, -1);
    this.#byOperation.delete(operationKey(entry.record));
    this.#forgetOpen(entry.record);
    const own = this.#byUser.get(entry.record.user);
    own?.delete(entry);
    if (own?.size === 0) this.#byUser.delete(entry.record.user);
    return entry;
  }

  #count({ record }: KeptEntry, by: 1 | -1): void {
    const key = pathFromBase(record.place).join('/');
    const count = (this.#atPath.get(key) ?? 0) + by;
    if (count === 0) this.#atPath.delete(key);
    else this.#atPath.set(key, count);
  }

  /** Whether anybody’s waits for a path, resumable or not. */
  isAwaited(place: Place): boolean {
    return this.#atPath.has(pathFromBase(place).join('/'));
  }

  /** All that this user left under a path, whatever folder was there then. Without the resumable ones. */
  at(user: string, place: Place): readonly KeptEntry[] {
    return [...(this.#byUser.get(user) ?? [])].filter(
      (entry) =>
        !isResumable(entry) && entry.record.unlinked !== true && isSamePlace(entry.record.place, place),
    );
  }

  /** Everybody's, without the resumable ones. */
  below(folder: Place): readonly KeptEntry[] {
    return [...this.#byId.values()].filter(
      (entry) => !isResumable(entry) && isBelow(entry.record.place, folder),
    );
  }

  isAnyBelow(folder: Place): boolean {
    return [...this.#byId.values()].some(({ record }) => isBelow(record.place, folder));
  }

  /** Newest first. */
  resumableOf(user: string): readonly KeptEntry[] {
    return [...(this.#byUser.get(user) ?? [])].filter(isResumable).sort((a, b) => b.keptAtMs - a.keptAtMs);
  }

  openBefore(session: string): readonly string[] {
    return [...(this.#openBefore.get(session) ?? [])];
  }

  #addOpen({ session, id }: StagedRecord): void {
    const own = this.#openBefore.get(session) ?? new Set();
    this.#openBefore.set(session, own.add(id));
  }

  #forgetOpen({ session, id }: StagedRecord): void {
    const own = this.#openBefore.get(session);
    own?.delete(id);
    if (own?.size === 0) this.#openBefore.delete(session);
  }

  begunBy(session: string, operation: number): KeptEntry | undefined {
    return this.#byOperation.get(operationKey({ session, operation }));
  }

  bytes(user: string): number {
    let bytes = 0;
    for (const entry of this.#byUser.get(user) ?? []) bytes += entry.size;
    return bytes;
  }

  olderThan(atMs: number): readonly KeptEntry[] {
    return [...this.#byId.values()].filter((entry) => entry.keptAtMs < atMs);
  }

  /** Returns the oldest versions beyond the bound. */
  addVersion(entry: VersionEntry): readonly VersionEntry[] {
    const own = this.#versions.get(entry.version.user) ?? [];
    own.push(entry);
    this.#versions.set(entry.version.user, own);
    return own.splice(0, Math.max(0, own.length - keptVersionsPerUserMax));
  }

  /** In the order in which they were kept. */
  versionsOf(user: string): readonly VersionEntry[] {
    return this.#versions.get(user) ?? [];
  }

  takeVersion(user: string, id: string): VersionEntry | undefined {
    const own = this.#versions.get(user) ?? [];
    const at = own.findIndex(({ version }) => version.id === id);
    return at === -1 ? undefined : own.splice(at, 1)[0];
  }

  versionBytes(user: string): number {
    return (this.#versions.get(user) ?? []).reduce((bytes, { version }) => bytes + version.bytes, 0);
  }

  /** Forgets and returns the versions kept before a time. */
  takeVersionsOlderThan(atMs: number): readonly VersionEntry[] {
    const gone: VersionEntry[] = [];
    for (const [user, entries] of this.#versions) {
      const left = entries.filter((entry) => entry.version.atMs >= atMs);
      gone.push(...entries.filter((entry) => entry.version.atMs < atMs));
      if (left.length === 0) this.#versions.delete(user);
      else this.#versions.set(user, left);
    }
    return gone;
  }
}

function operationKey({ session, operation }: Pick<StagedRecord, 'session' | 'operation'>): string {
  return `${session} ${operation}`;
}

function isResumable({ record }: KeptEntry): boolean {
  return record.resumable !== undefined;
}
