import type { Clock } from '#shared/clock.ts';
import { finishedUploadMs, finishedUploadsMax } from './limits.ts';
import type { UploadRecord } from './storage/storage.ts';

/**
 * Resumable uploads that became files a moment ago. A client whose connection broke just then asks how far it got, and
 * must hear "all of it", not "there is no such upload", or it would send everything again.
 */
export class FinishedUploads {
  readonly #clock: Clock;
  /** By name, oldest first. */
  readonly #byName = new Map<string, { readonly record: UploadRecord; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(record: UploadRecord): void {
    if (record.resumable === undefined) return;
    const nowMs = this.#clock.monotonic();
    this.#byName.set(record.resumable.name, { record, atMs: nowMs });
    for (const [name, { atMs }] of this.#byName) {
      if (nowMs - atMs <= finishedUploadMs && this.#byName.size <= finishedUploadsMax) break;
      this.#byName.delete(name);
    }
  }

  find(user: string, name: string): UploadRecord | undefined {
    const found = this.#byName.get(name);
    if (found?.record.user !== user) return undefined;
    return this.#clock.monotonic() - found.atMs > finishedUploadMs ? undefined : found.record;
  }
}
