/**
 * Folders below one that a mount shows, held open as long as that is: files come and go by the hundred in one folder,
 * and walking down to it costs four calls a file and level (D-127).
 *
 * What is held is used where each name on the way is, in this moment and without following a link, the very folder that
 * was opened by it: the walk would end in it, too. Where that can not be asked at once nothing is held.
 */
import { type FolderHandle, openBeneath } from './folder-handle.ts';

/** How many more may be held, of all that share it. */
export interface HeldRoom {
  left: number;
}

export class HeldFolders {
  readonly top: FolderHandle;
  readonly #room: HeldRoom;
  readonly #byPath = new Map<string, FolderHandle>();
  /** Also those that lost their names: somebody may be at work in them. */
  readonly #open: FolderHandle[] = [];

  /** `top` goes with it. */
  constructor(top: FolderHandle, room: HeldRoom) {
    this.top = top;
    this.#room = room;
  }

  /** One that is not held is the caller's to close. */
  async enter(path: readonly string[]): Promise<{ readonly folder: FolderHandle; readonly isHeld: boolean }> {
    let folder = this.top;
    for (const [depth, name] of path.entries()) {
      const next = await this.#step(folder, name, path.slice(0, depth + 1).join('/'));
      if (next === undefined) return { folder: await openBeneath(folder, path.slice(depth)), isHeld: false };
      folder = next;
    }
    return { folder, isHeld: true };
  }

  async #step(parent: FolderHandle, name: string, key: string): Promise<FolderHandle | undefined> {
    if (!parent.isQuick) return undefined;
    const known = this.#byPath.get(key);
    if (known !== undefined && parent.has(name, known)) return known;
    if (this.#room.left <= 0) return undefined;
    this.#room.left -= 1;
    try {
      const folder = await (await parent.openFolder(name)).learn(parent);
      this.#open.push(folder);
      this.#byPath.set(key, folder);
      return folder;
    } catch (error) {
      this.#room.left += 1;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#room.left += this.#open.length;
    for (const folder of this.#open) await folder.close();
    await this.top.close();
  }
}
