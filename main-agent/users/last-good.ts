import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from '#shared/log.ts';
import { ensureFolder } from '#main-agent/durable-file.ts';
import type { ShownText } from './shown-text.ts';
import { groupsFolder } from './user-file.ts';
import type { UserFiles } from './user-files.ts';
import { listIfThere } from './user-folder.ts';

interface GoodFile {
  readonly relative: string;
  readonly source: string;
  /** Of the octets that were found good. */
  readonly hash: string;
}

/**
 * Copies of the last good version of each file, so that a file broken while main was down still has a version that
 * stays in force. Kept in the background and not synced to the disk: a lost copy only means that a file which is broken
 * at the same time has no version, and its user is refused.
 */
export class LastGoodCopies {
  readonly #directory: string;
  readonly #files: Pick<UserFiles, 'copy' | 'read'>;
  readonly #log: Log;
  #work: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: {
    readonly directory: string;
    readonly files: Pick<UserFiles, 'copy' | 'read'>;
    readonly log: Log;
  }) {
    this.#directory = options.directory;
    this.#files = options.files;
    this.#log = options.log;
  }

  fileOf(relative: string): string {
    return path.join(this.#directory, relative);
  }

  /** Undefined: there is none, or none that can be read. Rejects while nobody can read. */
  async read(relative: string): Promise<ShownText | undefined> {
    await this.#work;
    const file = this.fileOf(relative);
    const [found] = await this.#files.read([file]);
    if (found === undefined || 'hash' in found) return found;
    if (!found.gone) this.#log.error({ file, why: found.why }, 'a last good copy can not be read');
    return undefined;
  }

  /** In the background. The copy's time is the original's, which is how an unchanged one is known. */
  save(files: readonly GoodFile[]): void {
    if (files.length === 0) return;
    this.#enqueue(async () => {
      await ensureFolder(path.join(this.#directory, groupsFolder), 0o700);
      for (const file of files) if (!this.#isStopped) await this.#saveOne(file);
    });
  }

  remove(relatives: readonly string[]): void {
    this.#enqueue(async () => {
      for (const relative of relatives) await rm(this.fileOf(relative), { force: true });
    });
  }

  /** Takes away copies of files that no longer exist. */
  keepOnly(relatives: ReadonlySet<string>): void {
    this.#enqueue(async () => {
      for (const folder of ['', groupsFolder]) {
        for (const name of await listIfThere(path.join(this.#directory, folder))) {
          const relative = path.join(folder, name);
          if (name.endsWith('.yaml') && !relatives.has(relative)) {
            await rm(this.fileOf(relative), { force: true });
          }
        }
      }
    });
  }

  /** When all that was asked for is done. */
  settled(): Promise<void> {
    return this.#work;
  }

  /** Ends soon; what is not copied yet is copied after the next start. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#work;
  }

  async #saveOne({ relative, source, hash }: GoodFile): Promise<void> {
    const copy = this.fileOf(relative);
    const [original, present] = await Promise.all(
      [stat(source), stat(copy)].map((one) => one.catch(() => undefined)),
    );
    if (original === undefined) return;
    if (present?.size === original.size && present.mtime.getTime() === original.mtime.getTime()) return;
    await this.#files.copy({ file: source, hash, modifiedMs: original.mtimeMs }, copy);
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#log.error({ err: error }, 'last good copies of user files could not be kept');
    });
  }
}
