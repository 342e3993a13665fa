/**
 * One staging folder per file system that holds users' folders: without it a commit could not be a rename. The first is
 * the base's; a mount folder on a file system of its own gets one when something is first uploaded there.
 */
import { SallyportError } from '#shared/error.ts';
import type { FolderHandle } from './folder-handle.ts';
import type { Jail, Spot } from './jail.ts';
import { StagingArea, type StagingOptions } from './staging.ts';
import type { Place } from './storage.ts';

export class StagingAreas {
  readonly #jail: Jail;
  readonly #options: StagingOptions;
  readonly #load: (area: StagingArea) => Promise<void>;
  readonly #byDevice = new Map<bigint, Promise<StagingArea>>();

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
      return this.#areaOn(dev, root);
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
