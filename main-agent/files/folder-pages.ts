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

/**
 * An open folder, read page by page in the storage's own order. In memory are the entries that were looked up together
 * last, and with them the page that was given last, for whoever asks for it again.
 */
export class FolderPages {
  readonly kind = 'folder';
  readonly #listing: Listing;
  readonly #serial = new Serial();
  #entries: readonly Entry[] = [];
  /** Of the page that was given last: its number, and where it lies among the entries. */
  #number = -1;
  #begin = 0;
  #end = 0;
  #isRead = false;
  #isOver = false;

  constructor(listing: Listing) {
    this.#listing = listing;
  }

  /** From 0 on, one after the other; the last one as often as it is asked for. */
  read(number: number): Promise<FolderPage> {
    return this.#serial.run(async () => {
      if (number !== this.#number) {
        if (number !== this.#number + 1) throw badHandle(`page ${number} of a folder out of turn`);
        await this.#turn();
        this.#number = number;
      }
      return {
        entries: this.#entries.slice(this.#begin, this.#end),
        end: this.#isRead && this.#end === this.#entries.length,
      };
    });
  }

  async #turn(): Promise<void> {
    this.#begin = this.#end;
    while (this.#begin === this.#entries.length && !this.#isRead && !this.#isOver) {
      const items = await this.#listing.next();
      this.#isRead = items.length === 0;
      this.#entries = await this.#listing.describe(items.map((item) => item.name));
      this.#begin = 0;
    }
    this.#end = this.#begin + pageLength(this.#entries.slice(this.#begin), pageEntriesMax);
  }

  end(): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#isOver) return;
      this.#isOver = true;
      await this.#listing.close();
    });
  }
}
