import { Serial } from '#main-agent/turns.ts';
import type { Entry } from '#shared/file-service/attributes.ts';
import { pageBytesMax, pageEntriesMax } from './limits.ts';
import type { Listing } from './listing.ts';
import { badHandle } from './storage/file-error.ts';

interface FolderPage {
  readonly entries: Entry[];
  readonly end: boolean;
}

/** How many of these entries make one page: bounded by count and by JSON bytes, at least one. */
export function pageLength(entries: readonly Entry[], entriesMax: number): number {
  let bytes = 0;
  for (const [index, entry] of entries.slice(0, entriesMax).entries()) {
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (bytes > pageBytesMax) return Math.max(1, index);
  }
  return Math.min(entries.length, entriesMax);
}

/** An open folder, read page by page in the storage's own order: the last page and what is read ahead are in memory. */
export class FolderPages {
  readonly kind = 'folder';
  readonly #listing: Listing;
  readonly #serial = new Serial();
  #ready: readonly Entry[] = [];
  #isRead = false;
  #isOver = false;
  #last: { readonly number: number; readonly page: FolderPage } | undefined;

  constructor(listing: Listing) {
    this.#listing = listing;
  }

  /** From 0 on, one after the other; the last one as often as it is asked for. */
  read(number: number): Promise<FolderPage> {
    return this.#serial.run(async () => {
      const last = this.#last;
      if (number === last?.number) return last.page;
      if (number !== (last?.number ?? -1) + 1) throw badHandle(`page ${number} of a folder out of turn`);
      const page = await this.#next();
      this.#last = { number, page };
      return page;
    });
  }

  async #next(): Promise<FolderPage> {
    while (this.#ready.length === 0 && !this.#isRead && !this.#isOver) {
      const items = await this.#listing.next();
      this.#isRead = items.length === 0;
      this.#ready = await this.#listing.describe(items.map((item) => item.name));
    }
    const length = pageLength(this.#ready, pageEntriesMax);
    const entries = this.#ready.slice(0, length);
    this.#ready = this.#ready.slice(length);
    return { entries, end: this.#isRead && this.#ready.length === 0 };
  }

  end(): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#isOver) return;
      this.#isOver = true;
      await this.#listing.close();
    });
  }
}
