/**
 * One staging folder per file system that holds users' folders: without it a commit could not be a rename. The first is
 * the base's; a mount folder on a file system of its own gets one when something is first uploaded there.
 */
import { z } from 'zod';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { stagingFolderName } from '../places.ts';
import type { Place } from '../storage.ts';
import { type FolderHandle, openBeneath } from './folder-handle.ts';
import type { Jail } from './jail.ts';
import { LocalHidden } from './local-hidden.ts';

/** In the base's staging folder: the roots of mounts that have one of their own, as JSON. */
const elsewhereName = 'elsewhere';
/** File systems of their own that users' folders have: each is mounted by an admin. */
const elsewhereMax = 1000;
/** A path of 4 KiB each. */
const elsewhereBytesMax = elsewhereMax * 8 * 1024;
const elsewhereSchema = z.array(z.array(z.string()).max(256)).max(elsewhereMax);

export class StagingFolders {
  readonly #jail: Jail;
  readonly #log: Log;
  readonly #byDevice = new Map<bigint, Promise<LocalHidden>>();
  /** Roots of mounts whose folders have a staging folder of their own. */
  readonly #elsewhere = new Map<string, readonly string[]>();

  constructor(jail: Jail, log: Log) {
    this.#jail = jail;
    this.#log = log;
  }

  async base(): Promise<LocalHidden> {
    const { base } = this.#jail;
    return this.#on(await base.device(), base);
  }

  /** Also those on file systems of mounts that an earlier process used: what waits there must be found and must expire. */
  async openKnown(): Promise<void> {
    for (const root of await this.#readElsewhere(await this.base())) {
      try {
        await this.#openElsewhere(root);
      } catch (error) {
        // Its file system is not mounted now; opened when something is uploaded there, or at the next start.
        this.#log.warn({ err: error, root }, 'a staging folder of a mount could not be opened');
      }
    }
  }

  async #openElsewhere(root: readonly string[]): Promise<void> {
    // Not by the jail, which makes a home that is missing.
    const folder = await openBeneath(this.#jail.base, root);
    try {
      const dev = await folder.device();
      if (dev === (await this.#jail.base.device())) return;
      this.#elsewhere.set(root.join('/'), root);
      await this.#on(dev, folder);
    } finally {
      await folder.close();
    }
  }

  async #readElsewhere(base: LocalHidden): Promise<readonly (readonly string[])[]> {
    try {
      const text = await base.read(elsewhereName, elsewhereBytesMax);
      return text === undefined ? [] : elsewhereSchema.parse(JSON.parse(text));
    } catch (error) {
      this.#log.warn({ err: error }, 'the list of staging folders in mounts is damaged');
      return [];
    }
  }

  async #noteElsewhere(root: readonly string[]): Promise<void> {
    if (this.#elsewhere.has(root.join('/')) || this.#elsewhere.size >= elsewhereMax) return;
    this.#elsewhere.set(root.join('/'), root);
    await (await this.base()).replace(elsewhereName, JSON.stringify([...this.#elsewhere.values()]));
  }

  /** On the file system of a folder somewhere below a mount's. */
  async of({ root }: Place, folder: FolderHandle): Promise<LocalHidden> {
    const dev = await folder.device();
    const known = this.#byDevice.get(dev);
    if (known !== undefined) return known;
    return this.#jail.inFolder({ root, path: [] }, 'not-found', async (mount) => {
      if ((await mount.device()) !== dev) {
        throw new SallyportError('unsupported', 'Files can not be stored in this folder', {
          detail: 'another file system is mounted inside a user mount',
          hint: 'Give that file system a mount of its own.',
        });
      }
      const opened = await this.#on(dev, mount);
      await this.#noteElsewhere(root);
      return opened;
    });
  }

  /** On the same file system, where something was uploaded there already; else the base's. */
  async near(dev: bigint): Promise<LocalHidden> {
    return (await this.#byDevice.get(dev)) ?? this.base();
  }

  async all(): Promise<readonly LocalHidden[]> {
    return Promise.all(this.#byDevice.values());
  }

  #on(dev: bigint, parent: FolderHandle): Promise<LocalHidden> {
    const opening = this.#byDevice.get(dev) ?? LocalHidden.open(parent, stagingFolderName);
    this.#byDevice.set(dev, opening);
    // Tried again by the next upload.
    opening.catch(() => this.#byDevice.delete(dev));
    return opening;
  }

  async close(): Promise<void> {
    for (const one of await this.all()) await one.close();
  }
}
