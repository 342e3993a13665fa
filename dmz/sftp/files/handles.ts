import { FileOrder } from '#dmz/sftp/files/file-order.ts';
import type { FolderReader } from '#dmz/sftp/files/folder-reader.ts';
import { OpenFile } from '#dmz/sftp/files/open-file.ts';
import { handlesMax, releasesMax } from '#dmz/sftp/limits.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';

/** The open files and folders of one session, by the names the client has for them. */
export class Handles {
  readonly #open = new Map<string, OpenFile | FolderReader>();
  /** CLOSEs under way: the client said that these uploads are whole, so they may finish even if it is gone. */
  readonly #closing = new Set<Promise<void>>();
  /** Closed, and main has not let go of them yet: its handles are bounded too. */
  readonly #releasing = new Set<Promise<void>>();
  /** Of the open files, by where they are now. A removed file's handles go on with the order they have. */
  readonly #orders = new Map<string, FileOrder>();
  #renames = 0;
  #opening = 0;
  #count = 0;
  #isOver = false;

  /** Opens something and names it. At most `handlesMax` are held, whatever stage they are in. */
  async add(open: () => Promise<OpenFile | FolderReader>): Promise<string> {
    while (this.#releasing.size > 0 && this.#held >= handlesMax) await Promise.race(this.#releasing);
    if (this.#held >= handlesMax) throw new SallyportError('too-many', 'Too many open files');
    this.#opening += 1;
    let opened: OpenFile | FolderReader;
    try {
      opened = await open();
    } finally {
      this.#opening -= 1;
    }
    if (this.#isOver) {
      await opened.abandon();
      throw new SallyportError('bad-handle', 'The connection is closed');
    }
    this.#count += 1;
    const handle = this.#count.toString(16).padStart(8, '0');
    this.#open.set(handle, opened);
    return handle;
  }

  /** Of what main counts as open. */
  get #held(): number {
    return this.#open.size + this.#opening + this.#closing.size + this.#releasing.size;
  }

  /** The one order of all handles of this file. */
  orderOf(path: VirtualPath): FileOrder {
    this.#dropUnused();
    const known = this.#orders.get(path.toString());
    if (known !== undefined) return known;
    const order = new FileOrder(path);
    this.#orders.set(path.toString(), order);
    return order;
  }

  /** Of the open files that a request by these paths may touch. */
  ordersOf(paths: readonly VirtualPath[]): FileOrder[] {
    if (this.#orders.size === 0 || paths.length === 0) return [];
    if (this.#renames > 0) return [...this.#orders.values()];
    return paths.map((path) => this.#orders.get(path.toString())).filter((order) => order !== undefined);
  }

  /** Until it is over nobody knows what the open files will be called. */
  beginRename(): { readonly over: () => void } {
    this.#renames += 1;
    return {
      over: () => {
        this.#renames -= 1;
      },
    };
  }

  /** A file, or a folder with all in it, has another name; what had that name is gone. */
  renamed(from: VirtualPath, to: VirtualPath): void {
    this.#dropUnused();
    this.#orders.delete(to.toString());
    const moved = [...this.#orders.values()].filter((order) => order.path.isWithin(from));
    for (const order of moved) this.#orders.delete(order.path.toString());
    for (const order of moved) {
      order.path = from.rebase(order.path, to);
      this.#orders.set(order.path.toString(), order);
    }
  }

  removed(path: VirtualPath): void {
    this.#orders.delete(path.toString());
  }

  #dropUnused(): void {
    for (const [path, order] of this.#orders) if (order.isUnused) this.#orders.delete(path);
  }

  findFile(handle: string): OpenFile | undefined {
    const found = this.#open.get(handle);
    return found instanceof OpenFile ? found : undefined;
  }

  require(handle: string): OpenFile | FolderReader {
    const found = this.#open.get(handle);
    if (found === undefined) throw badHandle();
    return found;
  }

  requireFile(handle: string): OpenFile {
    const file = this.findFile(handle);
    if (file === undefined) throw badHandle();
    return file;
  }

  requireFolder(handle: string): FolderReader {
    const found = this.require(handle);
    if (found instanceof OpenFile) throw badHandle();
    return found;
  }

  /** `turn`: when it may act. */
  async close(handle: string, turn: Promise<void>): Promise<void> {
    const found = this.require(handle);
    // Gone at once: a second CLOSE, or anything else that names it, is refused even while this one waits.
    this.#open.delete(handle);
    const closing = found.close(turn);
    this.#closing.add(closing);
    try {
      await closing;
    } finally {
      this.#closing.delete(closing);
    }
    if (!(found instanceof OpenFile) || found.released === undefined) return;
    const { released } = found;
    this.#releasing.add(released);
    void released.then(() => this.#releasing.delete(released));
    // As long as few do: requests to main are bounded.
    while (this.#releasing.size > releasesMax) await Promise.race(this.#releasing);
  }

  /**
   * The client is gone. What it did not close stays a partial upload: only a CLOSE says that an upload is whole.
   * Resolves when main has let go of everything.
   */
  async abandonAll(): Promise<void> {
    this.#isOver = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled([...this.#closing, ...open.map((handle) => handle.abandon())]);
    await Promise.all(this.#releasing);
  }
}

export function badHandle(): SallyportError {
  return new SallyportError('bad-handle', 'No such handle');
}
