import { named } from '#dmz/web/i18n/sentence.ts';
import { batch, signal } from '@preact/signals';
import { emptyBin, getBin, restoreBinned, type BinEntry } from '#dmz/web/api/bin.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { binRestoresMax } from '#dmz/http-api/limits.ts';
import { undoMs } from '#dmz/web/limits.ts';
import type { Folder } from '#dmz/web/state/folder.ts';
import type { Notices } from '#dmz/web/state/notices.ts';
import type { Preferences } from '#dmz/web/state/preferences.ts';

type BinState =
  | { readonly name: 'loading' }
  /** `next`: there is more. */
  | { readonly name: 'ready'; readonly next: string | undefined }
  | { readonly name: 'failed'; readonly problem: ApiProblem };

/** What this person deleted or replaced and can have back, as the server said last. */
export class Bin {
  readonly state = signal<BinState>({ name: 'loading' });
  readonly entries = signal<readonly BinEntry[]>([]);
  /** Ids of what is selected. */
  readonly chosen = signal<ReadonlySet<string>>(new Set());
  readonly #http: Http;
  readonly #folder: Pick<Folder, 'reload'>;
  readonly #notices: Notices;
  readonly #preferences: Preferences;
  #reading = new AbortController();

  constructor(parts: {
    http: Http;
    folder: Pick<Folder, 'reload'>;
    notices: Notices;
    preferences: Preferences;
  }) {
    this.#http = parts.http;
    this.#folder = parts.folder;
    this.#notices = parts.notices;
    this.#preferences = parts.preferences;
  }

  /** Reads it anew; what is shown stays until the answer is there. */
  async load(): Promise<void> {
    await this.#read(undefined);
  }

  /** The page after what is shown. */
  async more(): Promise<void> {
    const state = this.state.value;
    if (state.name === 'ready' && state.next !== undefined) await this.#read(state.next);
  }

  /** Nobody may see it any more. */
  close(): void {
    this.#reading.abort();
    batch(() => {
      this.entries.value = [];
      this.chosen.value = new Set();
      this.state.value = { name: 'loading' };
    });
  }

  toggle(id: string): void {
    const chosen = new Set(this.chosen.value);
    if (!chosen.delete(id)) chosen.add(id);
    this.chosen.value = chosen;
  }

  toggleAll(): void {
    const { entries, chosen } = this;
    const isAll = chosen.value.size === entries.value.length;
    chosen.value = new Set(isAll ? [] : entries.value.map(({ id }) => id));
  }

  /** Resolves with those whose name is taken again, which have to be asked about. */
  async restore(entries: readonly BinEntry[], keepBoth: boolean): Promise<readonly BinEntry[]> {
    const { words } = this.#preferences;
    const refused = await this.#restore(
      entries.map(({ id }) => id),
      keepBoth,
    );
    await this.load();
    const taken = entries.filter(({ id }) => refused.get(id)?.details.reason === 'exists');
    const failed = [...refused.values()].find(({ details }) => details.reason !== 'exists');
    const back = entries.filter(({ id }) => !refused.has(id));
    if (failed !== undefined) this.#fail(failed);
    else if (back.length > 0)
      this.#notices.info(words.value.bin.restored(back.length, named(back[0]?.name ?? '')));
    return taken;
  }

  async empty(entries: readonly BinEntry[]): Promise<void> {
    try {
      await emptyBin(
        this.#http,
        entries.map(({ id }) => id),
      );
      this.#notices.info(
        this.#preferences.words.value.bin.emptied(entries.length, named(entries[0]?.name ?? '')),
      );
    } catch (thrown) {
      this.#fail(toApiProblem(thrown));
    }
    await this.load();
  }

  /** Says that something is in the bin now, with a way to have it back at once. */
  offerUndo(text: string, ids: readonly string[]): void {
    const { words } = this.#preferences;
    this.#notices.info(text, {
      label: words.value.bin.undo,
      ms: undoMs,
      run: () => void this.#undo(ids),
    });
  }

  async #undo(ids: readonly string[]): Promise<void> {
    const { words } = this.#preferences;
    const refused = await this.#restore(ids, false);
    const [problem] = refused.values();
    if (problem === undefined) this.#notices.info(words.value.bin.undone);
    else if (problem.details.reason === 'exists')
      this.#notices.remind(words.value.bin.takenAgain, {
        label: words.value.bin.title,
        to: { name: 'bin' },
      });
    else this.#fail(problem);
    await this.#folder.reload();
  }

  async #restore(ids: readonly string[], keepBoth: boolean): Promise<ReadonlyMap<string, ApiProblem>> {
    const refused = new Map<string, ApiProblem>();
    for (let from = 0; from < ids.length; from += binRestoresMax) {
      const some = ids.slice(from, from + binRestoresMax);
      try {
        for (const [id, problem] of await restoreBinned(this.#http, some, keepBoth)) refused.set(id, problem);
      } catch (thrown) {
        for (const id of some) refused.set(id, toApiProblem(thrown));
      }
    }
    return refused;
  }

  #fail(problem: ApiProblem): void {
    const { words } = this.#preferences;
    const text = problem.status === 404 ? words.value.bin.gone : describeFailure(problem, words.value);
    this.#notices.failure(text, problem.details.reference);
  }

  async #read(cursor: string | undefined): Promise<void> {
    this.#reading.abort();
    const reading = new AbortController();
    this.#reading = reading;
    try {
      const page = await getBin(this.#http, cursor, reading.signal);
      if (reading.signal.aborted) return;
      const entries = cursor === undefined ? page.entries : [...this.entries.value, ...page.entries];
      const there = new Set(entries.map(({ id }) => id));
      batch(() => {
        this.entries.value = entries;
        this.chosen.value = new Set([...this.chosen.value].filter((id) => there.has(id)));
        this.state.value = { name: 'ready', next: page.next };
      });
    } catch (thrown) {
      if (!reading.signal.aborted) this.state.value = { name: 'failed', problem: toApiProblem(thrown) };
    }
  }
}
