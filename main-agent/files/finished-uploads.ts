import type { Clock } from '#shared/clock.ts';
import { finishedMetadataCharactersMax, finishedUploadMs, finishedUploadsMax } from './limits.ts';
import type { MountTree } from './mounts.ts';
import type { UploadRecord } from './storage/storage.ts';

interface Finished {
  readonly record: UploadRecord;
  readonly atMs: number;
}

/**
 * Resumable uploads that became files a moment ago. A client whose connection broke just then asks how far it got, and
 * must hear "all of it", not "there is no such upload", or it would send everything again; from the next process, too.
 */
export class FinishedUploads {
  readonly #mounts: Pick<MountTree, 'storages'>;
  readonly #clock: Clock;
  /** By name, oldest first. */
  readonly #byName = new Map<string, Finished>();
  #metadataCharacters = 0;
  #recalling: Promise<void> | undefined;

  constructor(mounts: Pick<MountTree, 'storages'>, clock: Clock) {
    this.#mounts = mounts;
    this.#clock = clock;
  }

  add(record: UploadRecord): void {
    this.#add({ record, atMs: this.#clock.monotonic() });
  }

  #add({ record, atMs: addedAtMs }: Finished): void {
    if (record.resumable === undefined) return;
    const nowMs = this.#clock.monotonic();
    this.#delete(record.resumable.name);
    this.#byName.set(record.resumable.name, { record, atMs: addedAtMs });
    this.#metadataCharacters += record.resumable.metadata?.length ?? 0;
    for (const [name, { atMs }] of this.#byName) {
      const isFull =
        this.#byName.size > finishedUploadsMax || this.#metadataCharacters > finishedMetadataCharactersMax;
      if (nowMs - atMs <= finishedUploadMs && !isFull) break;
      this.#delete(name);
    }
  }

  async find(user: string, name: string): Promise<UploadRecord | undefined> {
    await (this.#recalling ??= this.#recall());
    const found = this.#byName.get(name);
    if (found?.record.user !== user) return undefined;
    return this.#clock.monotonic() - found.atMs > finishedUploadMs ? undefined : found.record;
  }

  /** True: it was one. It is found no more. */
  async forget(user: string, name: string): Promise<boolean> {
    if ((await this.find(user, name)) === undefined) return false;
    this.#delete(name);
    return true;
  }

  /** What became a file before main began anew. */
  async #recall(): Promise<void> {
    const before: Finished[] = [];
    for (const storage of this.#mounts.storages)
      for (const { record, ageMs } of await storage.finishedResumables())
        before.push({ record, atMs: this.#clock.monotonic() - ageMs });
    before.sort((a, b) => a.atMs - b.atMs);
    const since = [...this.#byName.values()];
    this.#byName.clear();
    this.#metadataCharacters = 0;
    // A note may be one that this process made; its own memory of it comes last and stays.
    for (const one of [...before, ...since]) this.#add(one);
  }

  #delete(name: string): void {
    this.#metadataCharacters -= this.#byName.get(name)?.record.resumable?.metadata?.length ?? 0;
    this.#byName.delete(name);
  }
}
