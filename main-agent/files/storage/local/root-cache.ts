/**
 * The folders that mounts show, held open for a moment with what is used below them: nearly every operation starts in
 * one, and opening and closing it each time costs as much as the operation. After a second it is looked up again, so that
 * a home an admin moved or replaced is not served for longer.
 */
import type { HeldFolders } from './held-folders.ts';

const freshMs = 1000;
/** Roots held at the same time; with more users active within a second the others are opened each time. */
const rootsMax = 2048;

interface Root {
  readonly key: string;
  readonly opening: Promise<HeldFolders>;
  readonly openedAtMs: number;
  users: number;
  isDropped: boolean;
}

export class RootCache {
  readonly #open: (root: readonly string[]) => Promise<HeldFolders>;
  readonly #monotonic: () => number;
  readonly #roots = new Map<string, Root>();
  #timer: NodeJS.Timeout | undefined;

  constructor(open: (root: readonly string[]) => Promise<HeldFolders>, monotonic: () => number) {
    this.#open = open;
    this.#monotonic = monotonic;
  }

  /** The folders are not to be closed by `act`, nor used after it. */
  async use<T>(root: readonly string[], act: (held: HeldFolders) => Promise<T>): Promise<T> {
    const held = this.#hold(root);
    try {
      return await act(await held.opening);
    } finally {
      held.users -= 1;
      await this.#closeIfDone(held);
    }
  }

  #hold(root: readonly string[]): Root {
    const key = root.join('/');
    const known = this.#roots.get(key);
    if (known !== undefined && this.#monotonic() - known.openedAtMs <= freshMs) {
      known.users += 1;
      return known;
    }
    if (known !== undefined) this.#dropIdle(known);
    const opened: Root = {
      key,
      opening: this.#open(root),
      openedAtMs: this.#monotonic(),
      users: 1,
      isDropped: false,
    };
    // What could not be opened is tried again by the next one who asks.
    opened.opening.catch(() => this.#drop(opened));
    if (this.#roots.size >= rootsMax) opened.isDropped = true;
    else this.#roots.set(key, opened);
    this.#timer ??= setTimeout(() => this.#dropStale(), freshMs).unref();
    return opened;
  }

  #drop(root: Root): void {
    root.isDropped = true;
    if (this.#roots.get(root.key) === root) this.#roots.delete(root.key);
  }

  async #closeIfDone(root: Root): Promise<void> {
    if (!root.isDropped || root.users > 0) return;
    const held = await root.opening.catch(() => undefined);
    await held?.close();
  }

  #dropIdle(root: Root): void {
    this.#drop(root);
    // Closing a folder that nobody writes through has nothing to report.
    this.#closeIfDone(root).catch(() => undefined);
  }

  #dropStale(): void {
    this.#timer = undefined;
    const now = this.#monotonic();
    for (const root of this.#roots.values()) {
      if (now - root.openedAtMs > freshMs) this.#dropIdle(root);
    }
    if (this.#roots.size > 0) this.#timer = setTimeout(() => this.#dropStale(), freshMs).unref();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    for (const root of this.#roots.values()) {
      this.#drop(root);
      await this.#closeIfDone(root);
    }
  }
}
