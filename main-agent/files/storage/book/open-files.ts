/**
 * Files that somebody has open for writing, by their identity and not by their names (D-65). All handles of one file,
 * whatever sessions and users they belong to, agree here on what it is: whose turn it is, how long the file is, what
 * was done.
 */
import { Serial } from '#main-agent/turns.ts';
import type { OpenBytes } from '../blob-storage.ts';
import type { SharedFile } from '../storage.ts';

export class OpenFile implements SharedFile {
  readonly id: string;
  readonly turns = new Serial();
  size: number;
  changes = 0;
  heldBytes = 0;
  isLost = false;
  visibility: SharedFile['visibility'];
  handles = 0;

  constructor(id: string, size: number, visibility: SharedFile['visibility']) {
    this.id = id;
    this.size = size;
    this.visibility = visibility;
  }
}

/** Somebody who must know when a file does not stay as it is. */
interface Watcher {
  readonly bytes: number;
  readonly onChanging: () => void;
}

export class OpenFiles {
  /** As many as there are handles at most; an inode's number is nobody else's while it is open. */
  readonly #byId = new Map<string, OpenFile>();

  /** Of a file that its caller holds open until `leave`. `visibility` counts where it is the first to have it open. */
  join({ id, size }: Pick<OpenBytes, 'id' | 'size'>, visibility: SharedFile['visibility']): OpenFile {
    let file = this.#byId.get(id);
    if (file === undefined) this.#byId.set(id, (file = new OpenFile(id, size, visibility)));
    file.handles += 1;
    return file;
  }

  /** If somebody has it open. */
  find(id: string): OpenFile | undefined {
    return this.#byId.get(id);
  }

  /** Somebody has it open, to write or to read. */
  isOpen(id: string): boolean {
    return this.#byId.has(id) || this.#watchers.has(id);
  }

  /** Of who reads the file with that identity: one for each handle that does. */
  readonly #watchers = new Map<string, Set<Watcher>>();

  /** Calls before any of the first `bytes` bytes of a file is changed or cut off. Call the returned function at its close. */
  watch(id: string, bytes: number, onChanging: () => void): () => void {
    const watcher = { bytes, onChanging };
    let watchers = this.#watchers.get(id);
    if (watchers === undefined) this.#watchers.set(id, (watchers = new Set()));
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
    };
  }

  /** What is done now begins at `position`. */
  changing({ id }: OpenFile, position: number): void {
    for (const watcher of this.#watchers.get(id) ?? []) {
      if (position < watcher.bytes) watcher.onChanging();
    }
  }

  leave(file: OpenFile): void {
    file.handles -= 1;
    if (file.handles === 0) this.#byId.delete(file.id);
  }
}
