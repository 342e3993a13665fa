import { batch, computed, signal, type ReadonlySignal } from '@preact/signals';
import type { Unserved } from '#dmz/http-api/files.ts';
import { getPage, isFile } from '#dmz/web/api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { buildEntryOrder, buildNameOrder, filterEntries, sortEntries } from '#dmz/web/files/entry-order.ts';
import type { Entry, SortKey } from '#dmz/web/files/entry.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';
import { listedEntriesMax } from '#dmz/web/limits.ts';
import type { Preferences } from '#dmz/web/state/preferences.ts';
import type { Press } from '#dmz/web/state/press.ts';

/**
 * The folder on the screen. It is read page by page: the first page shows at once, the rest arrives behind it, so that
 * filter and selection soon cover everything.
 */

export type FolderState =
  | { readonly name: 'loading' }
  | { readonly name: 'ready'; readonly complete: boolean; readonly truncated: boolean }
  /** There is a file at this path. */
  | { readonly name: 'file' }
  | { readonly name: 'failed'; readonly problem: ApiProblem };

export class Folder {
  readonly path = signal<FolderPath>([]);
  readonly state = signal<FolderState>({ name: 'loading' });
  readonly filter = signal('');
  /** In their order, which is one and the same for any number of them. */
  readonly entries = signal<readonly Entry[]>([]);
  /** What lies here and can't be shown. */
  readonly unserved = signal<Unserved | undefined>(undefined);
  /** What the list shows. */
  readonly shown = computed(() => filterEntries(this.entries.value, this.filter.value));
  readonly #nameOrder = computed(() => buildNameOrder(this.#preferences.locale.value));
  readonly #names = computed(() => new Set(this.entries.value.map((entry) => entry.name)));
  readonly #http: Http;
  readonly #preferences: Preferences;
  readonly #press: Pick<Press, 'released'>;
  #reading = new AbortController();
  #readAtMs = 0;

  constructor(http: Http, preferences: Preferences, press: Pick<Press, 'released'>) {
    this.#http = http;
    this.#preferences = preferences;
    this.#press = press;
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

  get sort(): ReadonlySignal<SortKey> {
    return this.#preferences.sort;
  }

  async open(path: FolderPath, filter = ''): Promise<void> {
    batch(() => {
      this.path.value = path;
      this.filter.value = filter;
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
    this.#preferences.chooseSort(sort);
    if (!this.isComplete) {
      this.#forget();
      await this.#read();
      return;
    }
    const entries = this.entries.value;
    const ordered = await this.#order(entries);
    if (this.entries.value === entries) this.entries.value = ordered;
  }

  async #order(entries: readonly Entry[]): Promise<Entry[]> {
    for (;;) {
      const sort = this.sort.value;
      const ordered = await sortEntries(entries, buildEntryOrder(sort, this.#nameOrder.value));
      // Another order was chosen meanwhile.
      if (sort === this.sort.value) return ordered;
    }
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
      const problem = toApiProblem(thrown);
      const state: FolderState = (await this.#isFile(problem, reading.signal))
        ? { name: 'file' }
        : { name: 'failed', problem };
      if (!reading.signal.aborted)
        batch(() => {
          this.entries.value = [];
          this.unserved.value = undefined;
          this.state.value = state;
        });
    }
  }

  /** A link may lead to a file: asked only when there is no such folder. */
  async #isFile({ status }: ApiProblem, reading: AbortSignal): Promise<boolean> {
    if (reading.aborted || ![404, 409].includes(status) || this.path.value.length === 0) return false;
    return isFile(this.#http, this.path.value, reading);
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
        const ordered = await this.#order(entries);
        await this.#press.released();
        if (reading.aborted) return;
        batch(() => {
          this.entries.value = ordered;
          this.unserved.value = unserved;
          this.state.value = { name: 'ready', complete, truncated };
        });
      }
    } while (cursor !== undefined);
    this.#readAtMs = Date.now();
  }
}
