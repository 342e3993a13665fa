/** From the storages of the configuration to open ones: the only place that knows which kinds of medium there are. */
import { BookedStorage, type BookedStorageOptions } from './storage/book/booked-storage.ts';
import { LocalStorage } from './storage/local/local-storage.ts';
import type { Storage } from './storage/storage.ts';

/** `base`: absolute path of an existing folder. */
interface StorageConfig {
  readonly type: 'local';
  readonly base: string;
}

/** By the names that mounts use. Rejects `config` when one can't be opened. */
export async function openStorages(
  configs: Readonly<Record<string, StorageConfig>>,
  options: Omit<BookedStorageOptions, 'name'>,
): Promise<ReadonlyMap<string, Storage>> {
  const { clock, log } = options;
  const storages = new Map<string, Storage>();
  const closing = new AsyncDisposableStack();
  try {
    for (const [name, { base }] of Object.entries(configs)) {
      const blobs = await LocalStorage.open({ name, base, clock, log });
      const storage = await BookedStorage.open(blobs, { ...options, name }).catch(async (error: unknown) => {
        await blobs.close();
        throw error;
      });
      closing.defer(() => storage.close());
      storages.set(name, storage);
    }
    return storages;
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}
