/**
 * Longer files that a shorter one replaced, or that were cut where they are, kept for an admin to put back: a CLOSE does
 * not say whether a client was finished, and what got shorter may have been cut off.
 */
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import { copiesAtOnce } from '../../limits.ts';
import { Slots } from '#main-agent/turns.ts';
import type { OpenBytes } from '../blob-storage.ts';
import type { KeptUploads } from './kept-uploads.ts';
import type { KeptVersion, StagingArea } from './staging-area.ts';
import type { UploadRecord } from '../storage.ts';

interface KeptVersionsOptions {
  readonly waiting: KeptUploads;
  readonly keepReplaced: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export class KeptVersions {
  readonly #options: KeptVersionsOptions;
  readonly #copying = new Slots(copiesAtOnce);

  constructor(options: KeptVersionsOptions) {
    this.#options = options;
  }

  /**
   * Of a file of `bytes` bytes, by the id of the upload or writer; false: not kept. `bytesMax`: of all versions of its
   * user. `make`: keeps the bytes themselves, false where that can't be done.
   */
  async keep(
    record: UploadRecord,
    bytes: number,
    bytesMax: number,
    area: StagingArea,
    make: (version: KeptVersion) => Promise<boolean>,
  ): Promise<boolean> {
    const { waiting, keepReplaced, clock, log } = this.#options;
    const { user, session, virtualPath, id } = record;
    if (!keepReplaced || waiting.versionBytes(user) + bytes > bytesMax) return false;
    const version = { id, user, session, virtualPath: [...virtualPath], bytes, atMs: clock.now() };
    if (!(await make(version))) return false;
    log.info({ user, path: virtualPath, version: id }, 'a file that gets shorter is kept as it was');
    for (const gone of waiting.addVersion({ area, version })) {
      await gone.area.removeVersion(gone.version.id);
    }
    return true;
  }

  /** As `keep`, of a file that goes on under its name: a copy is made, when it is its turn. */
  keepCopy(
    record: UploadRecord,
    bytes: number,
    bytesMax: number,
    area: StagingArea,
    file: OpenBytes,
  ): Promise<boolean> {
    return this.#copying.run(() =>
      this.keep(record, bytes, bytesMax, area, (version) => area.copyVersion(file, version)),
    );
  }

  /** The file is not shorter in the end. */
  async drop({ user, id }: UploadRecord): Promise<void> {
    const kept = this.#options.waiting.takeVersion(user, id);
    await kept?.area.removeVersion(id);
  }
}
