import type { Clock } from '#shared/clock.ts';
import { finishedMetadataCharactersMax, finishedUploadMs, finishedUploadsMax } from './limits.ts';
import type { UploadRecord } from './storage/storage.ts';

/**
 * Resumable uploads that became files a moment ago. A client whose connection broke just then asks how far it got, and
 * must hear "all of it", not "there is no such upload", or it would send everything again.
 */
export class FinishedUploads {
  readonly #clock: Clock;
  /** By name, oldest first. */
  readonly #byName = new Map<string, { readonly record: UploadRecord; readonly atMs: number }>();
  #metadataCharacters = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(record: UploadRecord): void {
    if (record.resumable === undefined) return;
    const nowMs = this.#clock.monotonic();
    this.#byName.set(record.resumable.name, { record, atMs: nowMs });
    this.#metadataCharacters += record.resumable.metadata?.length ?? 0;
    for (const [name, { atMs }] of this.#byName) {
      const isFull =
        this.#byName.size > finishedUploadsMax || this.#metadataCharacters > finishedMetadataCharactersMax;
      if (nowMs - atMs <= finishedUploadMs && !isFull) break;
      this.#delete(name);
    }
  }

  find(user: string, name: string): UploadRecord | undefined {
    const found = this.#byName.get(name);
    if (found?.record.user !== user) return undefined;
    return this.#clock.monotonic() - found.atMs > finishedUploadMs ? undefined : found.record;
  }

  /** True: it was one. It is found no more. */
  forget(user: string, name: string): boolean {
    if (this.find(user, name) === undefined) return false;
    this.#delete(name);
    return true;
  }

  #delete(name: string): void {
    this.#metadataCharacters -= this.#byName.get(name)?.record.resumable?.metadata?.length ?? 0;
    this.#byName.delete(name);
  }
}
