/**
 * A user's tree: mounts laid over each other by their paths, the longest prefix wins. A folder that exists only because
 * a mount lies below it is shown, and nothing can be done to it.
 */
import { SallyportError } from '#shared/error.ts';
import { requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { EffectiveUser, Mount } from '#main-agent/users/effective-user.ts';
import { notFound } from './storage/file-error.ts';
import { stagingFolderName } from './storage/places.ts';
import type { Place, Storage } from './storage/storage.ts';

/** A path that lies in a mount. */
export interface Mounted {
  readonly mount: Mount;
  readonly storage: Storage;
  readonly place: Place;
}

export interface Located {
  readonly user: EffectiveUser;
  readonly path: VirtualPath;
  /** Undefined: a folder that only leads to mounts. */
  readonly mounted: Mounted | undefined;
  /** Names directly below that are mounts or lead to one. */
  readonly mountNames: readonly string[];
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.length <= path.length && prefix.every((component, index) => path[index] === component);
}

/** Storages by the names the users' mounts give them. */
export class MountTree {
  readonly #storages: ReadonlyMap<string, Storage>;

  constructor(storages: ReadonlyMap<string, Storage>) {
    this.#storages = storages;
  }

  /**
   * Trust: the components come over the link and are checked here, whoever checked them before. Rejects `bad-path`, and
   * `not-found` outside all mounts.
   */
  locate(user: EffectiveUser, untrustedPath: readonly string[]): Located {
    const path = requireComponents(untrustedPath);
    const { components } = path;
    if (components.includes(stagingFolderName)) throw notFound('the staging folder');
    let best: Mount | undefined;
    const mountNames = new Set<string>();
    for (const mount of user.mounts) {
      if (startsWith(components, mount.path)) {
        if (best === undefined || mount.path.length > best.path.length) best = mount;
      } else if (startsWith(mount.path, components)) {
        mountNames.add(mount.path[components.length] ?? '');
      }
    }
    if (best === undefined && mountNames.size === 0 && !path.isRoot) throw notFound('no mount there');
    return {
      user,
      path,
      mounted: best === undefined ? undefined : this.#mounted(best, components),
      mountNames: [...mountNames],
    };
  }

  #mounted(mount: Mount, components: readonly string[]): Mounted {
    return {
      mount,
      storage: this.requireStorage(mount.storage),
      place: { root: mount.root, path: components.slice(mount.path.length) },
    };
  }

  requireStorage(name: string): Storage {
    const storage = this.#storages.get(name);
    if (storage === undefined) {
      throw new SallyportError('io-error', 'The storage is not available', {
        detail: `storage ${name} is not configured`,
        hint: 'The mount of the user names a storage that main-agent.yaml does not have.',
      });
    }
    return storage;
  }

  get storages(): IterableIterator<Storage> {
    return this.#storages.values();
  }
}
