import { named } from '#dmz/web/i18n/sentence.ts';
import { askForDownload, deleteEntry, makeFolder, relocateEntry } from '#dmz/web/api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import { pathOf, type Entry } from '#dmz/web/files/entry.ts';
import { checkName, nextFreeName, type FolderPath } from '#dmz/web/files/path.ts';
import type { DroppedFiles, PlacedFile } from '#dmz/web/files/dropped-files.ts';
import { downloadNamesMax } from '#dmz/web/limits.ts';
import { describeDownloadFailure, describeFailure } from '#dmz/web/i18n/failure.ts';
import type { Bin } from '#dmz/web/state/bin.ts';
import type { Folder } from '#dmz/web/state/folder.ts';
import type { Notices } from '#dmz/web/state/notices.ts';
import type { Preferences } from '#dmz/web/state/preferences.ts';
import type { Selection } from '#dmz/web/state/selection.ts';
import type { ConflictChoice } from '#dmz/web/state/upload.ts';
import type { Uploads } from '#dmz/web/state/uploads.ts';

/** What a move or copy tells whoever asked for it. */
interface MoveWork {
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
  readonly onConflict: (entry: Entry) => Promise<{ choice: ConflictChoice; forAll: boolean }>;
}

function saveFrom(address: string): void {
  const link = document.createElement('a');
  link.href = address;
  link.download = '';
  link.click();
}

/** Of the folder on the screen only what is needed to show what was done, and deliberately not which one it is. */
type Screen = Pick<Folder, 'shows' | 'lists' | 'shown' | 'entries' | 'isComplete' | 'reload'>;

/**
 * What a person can do with files and folders. Each action is told in full what it is about: between a question and its
 * answer the page may have gone to another folder, where the same name is another thing.
 */
export class FileActions {
  readonly #http: Http;
  readonly #screen: Screen;
  readonly #selection: Selection;
  readonly #notices: Notices;
  readonly #preferences: Preferences;
  readonly #uploads: Uploads;
  readonly #bin: Pick<Bin, 'offerUndo'>;

  constructor(parts: {
    http: Http;
    screen: Screen;
    selection: Selection;
    notices: Notices;
    preferences: Preferences;
    uploads: Uploads;
    bin: Pick<Bin, 'offerUndo'>;
  }) {
    this.#http = parts.http;
    this.#screen = parts.screen;
    this.#selection = parts.selection;
    this.#notices = parts.notices;
    this.#preferences = parts.preferences;
    this.#uploads = parts.uploads;
    this.#bin = parts.bin;
  }

  /** A sentence about what is wrong with the name, or undefined when the folder is there. */
  async createFolder(parent: FolderPath, typed: string): Promise<string | undefined> {
    const { words } = this.#preferences;
    const name = typed.trim();
    const made = [...parent, name];
    const objection = this.#objectTo(made);
    if (objection !== undefined) return objection;
    try {
      await makeFolder(this.#http, made);
    } catch (thrown) {
      return this.#explainName(name, thrown);
    }
    await this.#screen.reload();
    this.#moveTo(made);
    this.#selection.focusActive();
    this.#notices.info(words.value.newFolder.done(named(name)));
    return undefined;
  }

  /** As `createFolder`. `follows`: the keyboard stays on what was renamed. */
  async rename(entry: Entry, typed: string, follows: boolean): Promise<string | undefined> {
    const name = typed.trim();
    if (typed === entry.name || name === entry.name) return undefined;
    const renamed = [...entry.parent, name];
    const objection = this.#objectTo(renamed);
    if (objection !== undefined) return objection;
    try {
      await relocateEntry(this.#http, 'rename', pathOf(entry), renamed);
    } catch (thrown) {
      return this.#explainName(name, thrown);
    }
    await this.#screen.reload();
    if (follows) this.#moveTo(renamed);
    this.#notices.say(this.#preferences.words.value.rename.done(named(name)));
    return undefined;
  }

  /** One after the other, so that a refusal stops before the rest is gone. */
  async remove(entries: readonly Entry[]): Promise<void> {
    const { words } = this.#preferences;
    let removed = 0;
    const binned: string[] = [];
    try {
      for (const entry of entries) {
        const id = await deleteEntry(this.#http, pathOf(entry), entry.type);
        if (id !== undefined) binned.push(id);
        removed += 1;
      }
      const text = words.value.remove.done(removed, named(entries[0]?.name ?? ''));
      if (binned.length > 0) this.#bin.offerUndo(text, binned);
      else this.#notices.info(text);
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      this.#notices.failure(describeFailure(problem, words.value), problem.details.reference);
    }
    this.#deselect(entries);
    await this.#screen.reload();
  }

  /**
   * Asked for first, so that a no can be told; then the browser takes over: it knows where to save and shows progress.
   * Several, or folders: one archive.
   */
  async download(entries: readonly Entry[]): Promise<void> {
    const [first] = entries;
    if (first === undefined) return;
    const { words, formats } = this.#preferences;
    const folder = first.parent;
    const { era } = this.#uploads;
    const screen = this.#screen;
    const isAll = screen.shows(folder) && screen.isComplete && entries.length === screen.entries.value.length;
    // One name stays one: its file comes as it is.
    const names = isAll && entries.length > 1 ? [] : entries.map(({ name }) => name);
    if (names.length > downloadNamesMax) {
      this.#notices.failure(words.value.download.tooManyNames(formats.value.number(downloadNamesMax)));
      return;
    }
    const cancelling = new AbortController();
    const done = this.#notices.work(words.value.download.working, () => cancelling.abort());
    try {
      const address = await askForDownload(this.#http, folder, names, cancelling.signal);
      // Somebody else may be here by now, under the same cookie.
      if (era === this.#uploads.era) saveFrom(address);
    } catch (thrown) {
      if (cancelling.signal.aborted || era !== this.#uploads.era) return;
      const problem = toApiProblem(thrown);
      const text = describeDownloadFailure(problem, words.value, formats.value);
      this.#notices.failure(text, problem.details.reference);
      if (problem.status === 404) await this.#screen.reload();
    } finally {
      done();
    }
  }

  /** One after the other. A name that is taken is asked about; nothing is replaced unasked. */
  async moveOrCopy(
    kind: 'move' | 'copy',
    entries: readonly Entry[],
    target: FolderPath,
    work: MoveWork,
  ): Promise<void> {
    const { words } = this.#preferences;
    let done = 0;
    let standing: ConflictChoice | undefined;
    try {
      for (const [index, entry] of entries.entries()) {
        if (work.signal.aborted) break;
        const decide = async (): Promise<ConflictChoice> => {
          if (standing !== undefined) return standing;
          const { choice, forAll } = await work.onConflict(entry);
          if (forAll) standing = choice;
          return choice;
        };
        if (await this.#relocate(kind, pathOf(entry), target, decide)) done += 1;
        work.onProgress(index + 1);
      }
      const into = target.at(-1) ?? words.value.files.home;
      if (done > 0)
        this.#notices.info(words.value.move.done(kind, done, named(entries[0]?.name ?? ''), named(into)));
    } catch (thrown) {
      const problem = toApiProblem(thrown);
      this.#notices.failure(describeFailure(problem, words.value), problem.details.reference);
    }
    this.#deselect(entries);
    await this.#screen.reload();
    this.#selection.focusActive();
  }

  /** False: skipped. */
  async #relocate(
    kind: 'move' | 'copy',
    from: FolderPath,
    target: FolderPath,
    decide: () => Promise<ConflictChoice>,
  ): Promise<boolean> {
    const op = kind === 'move' ? 'rename' : 'copy';
    const original = from.at(-1) ?? '';
    const taken = new Set<string>();
    let name = original;
    let choice: ConflictChoice | undefined;
    for (;;) {
      try {
        await relocateEntry(this.#http, op, from, [...target, name], choice === 'replace');
        return true;
      } catch (thrown) {
        const problem = toApiProblem(thrown);
        // A taken name that may be replaced and still is in the way is a folder: then the failure is told.
        if (problem.details.reason !== 'exists' || choice === 'replace') throw thrown;
      }
      taken.add(name);
      choice ??= await decide();
      if (choice === 'skip') return false;
      if (choice === 'keep-both') name = nextFreeName(original, (one) => taken.has(one));
    }
  }

  async upload(placed: readonly PlacedFile[], into: FolderPath): Promise<void> {
    if (placed.length > 0 && !(await this.#uploads.add(placed, into)))
      this.#notices.failure(this.#preferences.words.value.files.tooManyFiles);
  }

  /** Files and folders; empty folders are made too. */
  async uploadDropped(dropped: Promise<DroppedFiles>, into: FolderPath): Promise<void> {
    const { words } = this.#preferences;
    const { era } = this.#uploads;
    try {
      const { files, folders } = await dropped;
      if (era !== this.#uploads.era) return;
      await this.upload(files, into);
      const filled = new Set(files.map(({ folder }) => folder.join('/')));
      const empty = folders.filter((folder) => !filled.has(folder.join('/')));
      for (const folder of empty) await this.#uploads.makeFolder([...into, ...folder]);
      if (empty.length > 0) await this.#screen.reload();
    } catch (thrown) {
      // A file that vanished while it was dropped, or a folder that can't be made.
      const problem = toApiProblem(thrown);
      this.#notices.failure(
        thrown instanceof DOMException ? words.value.files.unreadable : describeFailure(problem, words.value),
        problem.details.reference,
      );
    }
  }

  /** Who went elsewhere meanwhile keeps what is selected there. */
  #deselect(entries: readonly Entry[]): void {
    if (entries.some(({ parent }) => this.#screen.shows(parent))) this.#selection.clear();
  }

  #moveTo(path: FolderPath): void {
    if (!this.#screen.shows(path.slice(0, -1))) return;
    const index = this.#screen.shown.value.findIndex((entry) => entry.name === path.at(-1));
    if (index >= 0) this.#selection.moveTo(index);
  }

  #objectTo(path: FolderPath): string | undefined {
    const name = path.at(-1) ?? '';
    const words = this.#preferences.words.value.name;
    switch (checkName(name)) {
      case 'empty':
        return words.empty;
      case 'slash':
        return words.slash;
      case 'too-long':
        return words.tooLong;
      case 'reserved':
        return words.reserved;
      case 'device':
        return words.device;
      case 'invisible':
        return words.invisible;
      case undefined:
        return this.#screen.lists(path) ? words.taken(named(name)) : undefined;
    }
  }

  #explainName(name: string, thrown: unknown): string {
    const problem = toApiProblem(thrown);
    const words = this.#preferences.words.value;
    if (problem.status === 409 || problem.status === 412) return words.name.taken(named(name));
    if (problem.status === 400 || problem.status === 422) return words.name.refused;
    return describeFailure(problem, words);
  }
}
