import { batch, computed, signal } from '@preact/signals';
import { getPage, type Unserved } from '#dmz/web/api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { buildNameOrder, filterEntries, foldersFirst, sortEntries } from '#dmz/web/files/entry-order.ts';
import type { Entry, SortKey } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { listedEntriesMax, locallySortedEntriesMax } from '#dmz/web/limits.ts';
import type { Preferences } from '#dmz/web/state/preferences.ts';

/**
 * The folder on the screen. It is read page by page: the first page shows at once, the rest arrives behind it, so that
 * filter and selection soon cover everything.
 */

export type FolderState =
  | { readonly name: 'loading' }
  | { readonly name: 'ready'; readonly complete: boolean; readonly truncated: boolean }
  | { readonly name: 'failed'; readonly problem: ApiProblem };

export class Folder {
  readonly path = signal<FolderPath>([]);
  readonly state = signal<FolderState>({ name: 'loading' });
  readonly sort = signal<SortKey>('name');
  readonly filter = signal('');
  readonly entries = signal<readonly Entry[]>([]);
  /** What lies here and can't be shown. */
  readonly unserved = signal<Unserved | undefined>(undefined);
  /** What the list shows, in its order. */
  readonly shown = computed(() => filterEntries(this.#ordered.value, this.filter.value));
  readonly #ordered = computed(() =>
    this.#isSortedHere()
      ? sortEntries(this.entries.value, this.sort.value, this.#nameOrder.value)
      : foldersFirst(this.entries.value),
  );
  readonly #nameOrder = computed(() => buildNameOrder(this.#preferences.locale.value));
  readonly #names = computed(() => new Set(this.entries.value.map((entry) => entry.name)));
  readonly #http: Http;
  readonly #preferences: Preferences;
  #reading = new AbortController();
  #readAtMs = 0;

  constructor(http: Http, preferences: Preferences) {
    this.#http = http;
    this.#preferences = preferences;
  }

  /** Whether that is listed on the screen right now. */
  lists(path: FolderPath): boolean {
    return this.shows(path.slice(0, -1)) && this.#names.value.has(path.at(-1) ?? '');
  }

  /** What is listed is all there is. */
  get isComplete(): boolean {
    const state = this.state.value;
    return state.name === 'ready' && state.complete && !state.truncated;
  }

  shows(folder: FolderPath): boolean {
    const path = this.path.value;
    return path.length === folder.length && path.every((name, index) => name === folder[index]);
  }

  async open(path: FolderPath): Promise<void> {
    batch(() => {
      this.path.value = path;
      this.filter.value = '';
      this.#forget();
    });
    await this.#read();
  }

  /** Nobody may see it any more; answers still on their way are dropped. */
  close(): void {
    this.#reading.abort();
    this.filter.value = '';
    this.#forget();
  }

  /** Reads it again; what is shown stays until the new content is whole. */
  async reload(): Promise<void> {
    await this.#read();
  }

  /** The way is there again: what failed for want of it is read without anybody's help. */
  async reconnect(): Promise<void> {
    const state = this.state.value;
    if (state.name === 'failed' && state.problem.isOutage) await this.open(this.path.value);
  }

  async reloadIfOlderThan(ageMs: number): Promise<void> {
    if (this.state.value.name !== 'loading' && Date.now() - this.#readAtMs > ageMs) await this.#read();
  }

  async sortBy(sort: SortKey): Promise<void> {
    const sortedHere = this.#isSortedHere();
    this.sort.value = sort;
    if (sortedHere) return;
    this.#forget();
    await this.#read();
  }

  #isSortedHere(): boolean {
    const state = this.state.value;
    return state.name === 'ready' && state.complete && this.entries.value.length <= locallySortedEntriesMax;
  }

  #forget(): void {
    batch(() => {
      this.entries.value = [];
      this.unserved.value = undefined;
      this.state.value = { name: 'loading' };
    });
  }

  async #read(): Promise<void> {
    this.#reading.abort();
    const reading = new AbortController();
    this.#reading = reading;
    try {
      await this.#readPages(reading.signal);
    } catch (thrown) {
      if (!reading.signal.aborted)
        batch(() => {
          this.entries.value = [];
          this.unserved.value = undefined;
          this.state.value = { name: 'failed', problem: toApiProblem(thrown) };
        });
    }
  }

  async #readPages(reading: AbortSignal): Promise<void> {
    const quiet = this.state.value.name === 'ready';
    const entries: Entry[] = [];
    let cursor: string | undefined;
    let published = 0;
    let unserved: Unserved | undefined;
    do {
      const page = await getPage(this.#http, this.path.value, {
        sort: this.sort.value,
        signal: reading,
        ...(cursor === undefined ? {} : { cursor }),
      });
      if (reading.aborted) return;
      entries.push(...page.entries);
      unserved ??= page.unserved;
      cursor = page.next;
      const truncated = cursor !== undefined && entries.length >= listedEntriesMax;
      if (truncated) cursor = undefined;
      const complete = cursor === undefined;
      // Between the first page and the last the list is redrawn only each time it has doubled.
      if (complete || (!quiet && entries.length >= 2 * published)) {
        published = entries.length;
        batch(() => {
          this.entries.value = [...entries];
          this.unserved.value = unserved;
          this.state.value = { name: 'ready', complete, truncated };
        });
      }
    } while (cursor !== undefined);
    this.#readAtMs = Date.now();
  }
}
