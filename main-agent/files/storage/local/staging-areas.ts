/**
 * One staging folder per file system that holds users' folders: without it a commit could not be a rename. The first is
 * the base's; a mount folder on a file system of its own gets one when something is first uploaded there.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { z } from 'zod';
import { SallyportError } from '#shared/error.ts';
import { hasErrno } from '../file-error.ts';
import { readText } from './file-bytes.ts';
import { type FolderHandle, openBeneath } from './folder-handle.ts';
import type { Jail, Spot } from './jail.ts';
import { StagingArea, type StagingOptions } from '../book/staging-area.ts';
import type { Place } from '../storage.ts';

/** In the base's staging folder: the roots of mounts that have one of their own, as JSON. */
const elsewhereName = 'elsewhere';
/** File systems of their own that users' folders have: each is mounted by an admin. */
const elsewhereMax = 1000;
/** A path of 4 KiB each. */
const elsewhereBytesMax = elsewhereMax * 8 * 1024;
const elsewhereSchema = z.array(z.array(z.string()).max(256)).max(elsewhereMax);

export class StagingAreas {
  readonly #jail: Jail;
  readonly #options: StagingOptions;
  readonly #load: (area: StagingArea) => Promise<void>;
  readonly #byDevice = new Map<bigint, Promise<StagingArea>>();
  /** Roots of mounts whose folders have a staging folder of their own. */
  readonly #elsewhere = new Map<string, readonly string[]>();

  /** `load` takes in what waits in an area from before. */
  constructor(jail: Jail, options: StagingOptions, load: (area: StagingArea) => Promise<void>) {
    this.#jail = jail;
    this.#options = options;
    this.#load = load;
  }

  async openBase(): Promise<StagingArea> {
    const { base } = this.#jail;
    return this.#areaOn((await base.stat()).dev, base);
  }

  /** Also those on file systems of mounts that an earlier process used: what waits there must be found and must expire. */
  async openKnown(): Promise<StagingArea> {
    const area = await this.openBase();
    for (const root of await this.#readElsewhere(area)) {
      try {
        await this.#openElsewhere(root);
      } catch (error) {
        // Its file system is not mounted now; opened when something is uploaded there, or at the next start.
        this.#options.log.warn({ err: error, root }, 'a staging folder of a mount could not be opened');
      }
    }
    return area;
  }

  async #openElsewhere(root: readonly string[]): Promise<void> {
    // Not by the jail, which makes a home that is missing.
    const folder = await openBeneath(this.#jail.base, root);
    try {
      const { dev } = await folder.stat();
      if (dev === (await this.#jail.base.stat()).dev) return;
      this.#elsewhere.set(root.join('/'), root);
      await this.#areaOn(dev, folder);
    } finally {
      await folder.close();
    }
  }

  async #readElsewhere({ folder }: StagingArea): Promise<readonly (readonly string[])[]> {
    try {
      const opened = await folder.openRegular(elsewhereName, constants.O_RDONLY);
      return elsewhereSchema.parse(JSON.parse(await readText(opened, elsewhereBytesMax)));
    } catch (error) {
      if (!hasErrno(error, 'ENOENT'))
        this.#options.log.warn({ err: error }, 'the list of staging folders in mounts is damaged');
      return [];
    }
  }

  async #noteElsewhere(root: readonly string[]): Promise<void> {
    if (this.#elsewhere.has(root.join('/')) || this.#elsewhere.size >= elsewhereMax) return;
    this.#elsewhere.set(root.join('/'), root);
    const { folder } = await this.openBase();
    const half = folder.at(`${elsewhereName}-new`);
    await fs.writeFile(half, JSON.stringify([...this.#elsewhere.values()]), { mode: 0o600 });
    await fs.rename(half, folder.at(elsewhereName));
  }

  async areaFor(place: Place, { folder }: Pick<Spot, 'folder'>): Promise<StagingArea> {
    const { dev } = await folder.stat();
    const known = this.#byDevice.get(dev);
    if (known !== undefined) return known;
    return this.#jail.inFolder({ root: place.root, path: [] }, 'not-found', async (root) => {
      if ((await root.stat()).dev !== dev) {
        throw new SallyportError('unsupported', 'Files can not be stored in this folder', {
          detail: 'another file system is mounted inside a user mount',
          hint: 'Give that file system a mount of its own.',
        });
      }
      const area = await this.#areaOn(dev, root);
      await this.#noteElsewhere(place.root);
      return area;
    });
  }

  /** On the same file system, where something was uploaded there already; else the base's. */
  async near(dev: bigint): Promise<StagingArea> {
    return (await this.#byDevice.get(dev)) ?? this.openBase();
  }

  async all(): Promise<readonly StagingArea[]> {
    return Promise.all(this.#byDevice.values());
  }

  #areaOn(dev: bigint, parent: FolderHandle): Promise<StagingArea> {
    const opening = this.#byDevice.get(dev) ?? this.#open(parent);
    this.#byDevice.set(dev, opening);
    // Tried again by the next upload.
    opening.catch(() => this.#byDevice.delete(dev));
    return opening;
  }

  async #open(parent: FolderHandle): Promise<StagingArea> {
    const area = await StagingArea.open(parent, this.#options);
    await this.#load(area);
    return area;
  }
}
