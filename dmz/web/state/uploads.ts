import { computed, signal } from '@preact/signals';
import { makeFolder } from '#dmz/web/api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import type { StoredUpload } from '#dmz/http-api/files.ts';
import { listUploads, removeUpload } from '#dmz/web/api/upload.ts';
import { sampleFile } from '#dmz/web/files/file-sample.ts';
import type { PlacedFile } from '#dmz/web/files/dropped-files.ts';
import { checkName, nextFreeName, suggestName, type FolderPath } from '#dmz/web/files/path.ts';
import { outageRetryMs, outageRetryMsMax, uploadsParallel, uploadsQueuedMax } from '#dmz/web/limits.ts';
import type { FileSamples } from '#dmz/web/state/file-samples.ts';
import type { Folder } from '#dmz/web/state/folder.ts';
import { transferFile } from '#dmz/web/state/upload-transfer.ts';
import { Upload, type ConflictChoice, type UploadState } from '#dmz/web/state/upload.ts';

/** What became of the uploads once nothing moves any more. */
interface UploadCounts {
  readonly done: number;
  readonly failed: number;
  readonly asked: number;
}

/**
 * Files on their way to the server: a queue with a few lanes.
 * Nothing is ever replaced unless a person said so: every file is first sent with "only if the name is free".
 */
export class Uploads {
  readonly items = signal<readonly Upload[]>([]);
  readonly doneCount = computed(() => this.#count('done'));
  readonly failedCount = computed(() => this.#count('failed'));
  /** Waiting for somebody to say what is to be done. */
  readonly askedCount = computed(() => this.#count('conflict') + this.#count('bad-name'));
  readonly running = computed(() => this.items.value.some((upload) => upload.isRunning));
  readonly paused = computed(() => this.items.value.some((upload) => upload.state.value.name === 'paused'));
  /** 0…1 over everything in the list. */
  readonly fraction = computed(() => {
    const { stored, all } = this.#sums.value;
    return all === 0 ? 1 : stored / all;
  });
  readonly bytesPerSecond = computed(() =>
    this.items.value.reduce(
      (sum, upload) => (upload.state.value.name === 'sending' ? sum + upload.bytesPerSecond.value : sum),
      0,
    ),
  );
  readonly secondsLeft = computed(() => {
    const { stored, all } = this.#sums.value;
    return (all - stored) / this.bytesPerSecond.value;
  });
  readonly #sums = computed(() => {
    let stored = 0;
    let all = 0;
    for (const upload of this.items.value) {
      all += upload.sizeBytes;
      stored += upload.isOver ? upload.sizeBytes : upload.storedBytes.value;
    }
    return { stored, all };
  });
  readonly #http: Http;
  readonly #samples: FileSamples;
  readonly #folder: Folder;
  readonly #onProblem: (problem: ApiProblem) => void;
  readonly #onFinished: (counts: UploadCounts) => void;
  /** Folders made, or being made, for files that go into them. */
  readonly #madeFolders = new Map<string, Promise<void>>();
  #lastId = 0;
  /** Nobody is signed in. */
  #isHeld = false;
  /** Counts the people of this page: what one of them began does not go on with the next. */
  #era = 0;
  #sending = 0;
  /** "For all": how to answer the conflicts still to come, until the queue is empty. */
  #standingChoice: ConflictChoice | undefined;
  /** As that, for names that can't be used: the suggested ones are taken. */
  #takesSuggestions = false;
  #reloadTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: {
    http: Http;
    samples: FileSamples;
    folder: Folder;
    onProblem: (problem: ApiProblem) => void;
    onFinished: (counts: UploadCounts) => void;
  }) {
    this.#http = options.http;
    this.#samples = options.samples;
    this.#folder = options.folder;
    this.#onProblem = options.onProblem;
    this.#onFinished = options.onFinished;
  }

  get era(): number {
    return this.#era;
  }

  /** False: too many, none taken. Files that go on with an unfinished upload do so. */
  async add(placed: readonly PlacedFile[], into: FolderPath): Promise<boolean> {
    if (this.items.value.length + placed.length > uploadsQueuedMax) this.clearOver();
    if (this.items.value.length + placed.length > uploadsQueuedMax) return false;
    const era = this.#era;
    const added: Upload[] = [];
    for (const { file, folder } of placed) {
      const target = [...into, ...folder];
      const unfinished = this.#findUnfinished(file, target);
      if (unfinished !== undefined && (await this.provide(unfinished, file))) continue;
      this.#lastId += 1;
      const facts = { folder: target, name: file.name, sizeBytes: file.size, mtimeMs: file.lastModified };
      added.push(new Upload(this.#lastId, { ...facts, file }));
    }
    if (era !== this.#era) return true;
    this.items.value = [...this.items.value, ...added];
    this.#pump();
    return true;
  }

  cancel(upload: Upload): void {
    if (upload.isOver) return;
    upload.state.value = { name: 'cancelled' };
    upload.stopping.abort();
    this.#dropStored(upload);
    this.#settle();
    this.#pump();
  }

  pause(upload: Upload): void {
    if (!upload.isRunning) return;
    upload.state.value = { name: 'paused' };
    upload.stopping.abort();
  }

  resume(upload: Upload): void {
    if (upload.state.value.name === 'paused') this.#requeue(upload);
    this.#pump();
  }

  pauseAll(): void {
    for (const upload of this.items.value) this.pause(upload);
  }

  resumeAll(): void {
    for (const upload of this.items.value) this.resume(upload);
  }

  retry(upload: Upload): void {
    upload.tries = 0;
    this.#requeue(upload);
    this.#pump();
  }

  resolve(conflict: Upload, choice: ConflictChoice, forAll: boolean): void {
    if (forAll) this.#standingChoice = choice;
    const open = forAll
      ? this.items.value.filter((upload) => upload.state.value.name === 'conflict')
      : [conflict];
    for (const upload of open) this.#choose(upload, choice);
    this.#settle();
    this.#pump();
  }

  /** Another name for what can't keep its own. `forAll`: the others, and those still to come, get the suggested ones. */
  rename(renamed: Upload, name: string, forAll: boolean): void {
    this.#giveName(renamed, name);
    if (forAll) {
      this.#takesSuggestions = true;
      for (const upload of this.items.value)
        if (upload.state.value.name === 'bad-name') this.#giveName(upload, suggestName(upload.name.value));
    }
    this.#pump();
  }

  skip(upload: Upload): void {
    upload.state.value = { name: 'skipped' };
    this.#settle();
    this.#pump();
  }

  /** The file an unfinished upload was waiting for; false: it is another one. */
  async provide(upload: Upload, file: File): Promise<boolean> {
    const era = this.#era;
    const isIt = await this.#isTheFile(upload, file);
    if (era !== this.#era) return false;
    if (!isIt) {
      upload.state.value = { name: 'needs-file', refused: true };
      return false;
    }
    upload.file = file;
    this.#requeue(upload);
    this.#pump();
    return true;
  }

  clearOver(): void {
    this.items.value = this.items.value.filter((upload) => !upload.isOver);
  }

  /** Nothing is sent until somebody is signed in: by then the cookie may be another person's. */
  hold(): void {
    this.#isHeld = true;
    clearTimeout(this.#reloadTimer);
    for (const upload of this.items.value) {
      if (!upload.isRunning) continue;
      upload.stopping.abort();
      this.#requeue(upload);
    }
  }

  /** Everything, running transfers included: somebody else signed in. */
  clearAll(): void {
    this.#era += 1;
    this.#standingChoice = undefined;
    this.#takesSuggestions = false;
    for (const upload of this.items.value) upload.stopping.abort();
    this.items.value = [];
    this.#madeFolders.clear();
  }

  /** What stopped only because the session ended goes on with the new one, and what was left unfinished is shown. */
  async resumeAfterSignIn(): Promise<void> {
    this.#isHeld = false;
    const era = this.#era;
    for (const upload of this.items.value) {
      const state = upload.state.value;
      if (state.name === 'failed' && state.problem.status === 401) this.#requeue(upload);
    }
    this.#pump();
    try {
      const stored = await listUploads(this.#http);
      if (era === this.#era) this.#showUnfinished(stored);
    } catch {
      // Shown the next time.
    }
  }

  /** The way is there again: no need to wait for the next try. */
  reconnect(): void {
    for (const upload of this.items.value)
      if (upload.state.value.name === 'reconnecting') this.#requeue(upload);
    this.#pump();
  }

  #showUnfinished(stored: readonly StoredUpload[]): void {
    const known = new Set(this.items.value.map((upload) => upload.serverId));
    const found = stored
      .filter(({ id }) => !known.has(id))
      .map((one) => {
        this.#lastId += 1;
        const path = one.path.split('/').slice(1);
        const upload = new Upload(this.#lastId, {
          folder: path.slice(0, -1),
          name: path.at(-1) ?? '',
          sizeBytes: one.length,
          mtimeMs: one.mtime === undefined ? Number.NaN : Date.parse(one.mtime),
        });
        upload.serverId = one.id;
        upload.storedBytes.value = one.offset;
        upload.state.value = { name: 'needs-file', refused: false };
        if (one.overwrite) upload.choice = 'replace';
        return upload;
      });
    if (found.length > 0) this.items.value = [...this.items.value, ...found];
  }

  #findUnfinished(file: File, folder: FolderPath): Upload | undefined {
    return this.items.value.find(
      (upload) =>
        upload.state.value.name === 'needs-file' &&
        upload.originalName === file.name &&
        upload.sizeBytes === file.size &&
        upload.folder.join('/') === folder.join('/'),
    );
  }

  async #isTheFile(upload: Upload, file: File): Promise<boolean> {
    if (file.size !== upload.sizeBytes) return false;
    if (!Number.isNaN(upload.mtimeMs) && file.lastModified !== upload.mtimeMs) return false;
    const sample = this.#samples.get(upload.serverId ?? '');
    return sample === undefined || sample === (await sampleFile(file));
  }

  #count(name: UploadState['name']): number {
    return this.items.value.filter((upload) => upload.state.value.name === name).length;
  }

  #requeue(upload: Upload): void {
    upload.bytesPerSecond.value = 0;
    upload.stopping = new AbortController();
    upload.state.value = { name: 'waiting' };
  }

  #pump(): void {
    if (this.#isHeld) return;
    const askedBefore = this.askedCount.value;
    for (const upload of this.items.value) {
      if (this.#sending >= uploadsParallel) return;
      if (
        upload.isWaiting &&
        [...upload.folder, upload.name.value].some((name) => checkName(name) !== undefined)
      )
        this.#meetBadName(upload);
      if (upload.isWaiting && this.#isKnownTaken(upload)) this.#meetConflict(upload);
      if (upload.isWaiting) void this.#send(upload);
    }
    if (this.askedCount.value > askedBefore) this.#settle();
  }

  /** Saves asking in vain; the server's word remains the rule. */
  #isKnownTaken(upload: Upload): boolean {
    return (
      upload.serverId === undefined &&
      upload.choice === undefined &&
      this.#folder.lists([...upload.folder, upload.name.value])
    );
  }

  #meetBadName(upload: Upload): void {
    if (this.#takesSuggestions) this.#giveName(upload, suggestName(upload.name.value));
    else upload.state.value = { name: 'bad-name' };
  }

  #giveName(upload: Upload, name: string): void {
    upload.folder = upload.folder.map(suggestName);
    upload.name.value = name;
    upload.wantedName = name;
    this.#requeue(upload);
  }

  #meetConflict(upload: Upload): void {
    upload.takenNames.add(upload.name.value);
    const choice = upload.choice === 'keep-both' ? upload.choice : this.#standingChoice;
    if (choice === undefined) upload.state.value = { name: 'conflict' };
    else this.#choose(upload, choice);
  }

  #choose(upload: Upload, choice: ConflictChoice): void {
    upload.choice = choice;
    // It was begun under the old name and the old rule.
    this.#dropStored(upload);
    if (choice === 'skip') {
      upload.state.value = { name: 'skipped' };
      return;
    }
    if (choice === 'keep-both') {
      const isTaken = (name: string): boolean =>
        upload.takenNames.has(name) || this.#folder.lists([...upload.folder, name]);
      upload.name.value = nextFreeName(upload.wantedName, isTaken);
    }
    this.#requeue(upload);
  }

  async #send(upload: Upload): Promise<void> {
    this.#sending += 1;
    upload.state.value = { name: 'sending' };
    const { signal: stopped } = upload.stopping;
    try {
      await this.makeFolder(upload.folder);
      stopped.throwIfAborted();
      await transferFile(upload, this.#http, this.#samples);
      if (!stopped.aborted) upload.state.value = { name: 'done' };
      this.#reloadSoon(upload.folder);
    } catch (thrown) {
      if (!stopped.aborted) this.#handleProblem(upload, toApiProblem(thrown));
    }
    this.#sending -= 1;
    this.#settle();
    this.#pump();
  }

  /** Each once, the outer before the inner; that it is there already is as good. */
  makeFolder(folder: FolderPath): Promise<void> {
    if (folder.length === 0 || this.#folder.shows(folder)) return Promise.resolve();
    const key = folder.join('/');
    const known = this.#madeFolders.get(key);
    if (known !== undefined) return known;
    const era = this.#era;
    const making = this.makeFolder(folder.slice(0, -1))
      .then(() => {
        if (era !== this.#era || this.#isHeld) throw new DOMException('nobody is here', 'AbortError');
        return makeFolder(this.#http, folder);
      })
      .catch((thrown: unknown) => {
        // 403: it may be there without this person being allowed to make one; the file will tell.
        if (![409, 403].includes(toApiProblem(thrown).status)) throw thrown;
      });
    this.#madeFolders.set(key, making);
    making.catch(() => this.#madeFolders.delete(key));
    return making;
  }

  #handleProblem(upload: Upload, problem: ApiProblem): void {
    const { reason, retryAfterMs } = problem.details;
    if (problem.status === 412 || (problem.status === 409 && reason === 'exists')) {
      this.#meetConflict(upload);
    } else if (reason === 'bad-path') {
      // The server's rule is stricter than ours: nothing of ours to suggest.
      upload.state.value = { name: 'bad-name' };
    } else if (problem.isOutage || reason === 'wrong-offset') {
      upload.tries += 1;
      upload.state.value = { name: 'reconnecting' };
      setTimeout(
        () => {
          if (upload.state.value.name !== 'reconnecting') return;
          this.#requeue(upload);
          this.#pump();
        },
        // As long as the page is open: a person who left for the night finds it done, or may cancel.
        Math.min(outageRetryMsMax, (retryAfterMs ?? outageRetryMs) * Math.min(upload.tries, 6)),
      );
    } else {
      upload.state.value = { name: 'failed', problem };
      this.#onProblem(problem);
    }
  }

  #dropStored(upload: Upload): void {
    const { serverId } = upload;
    if (serverId === undefined) return;
    upload.serverId = undefined;
    upload.storedBytes.value = 0;
    this.#samples.remove(serverId);
    // If this fails it expires by itself.
    removeUpload(this.#http, serverId).catch(() => undefined);
  }

  /** Many small files must not read the folder again for each. */
  #reloadSoon(folder: FolderPath): void {
    clearTimeout(this.#reloadTimer);
    this.#reloadTimer = setTimeout(
      () => {
        const shown = this.#folder.path.value;
        if (shown.every((name, index) => name === folder[index])) void this.#folder.reload();
      },
      this.running.value ? 1000 : 0,
    );
  }

  #settle(): void {
    if (this.running.value) return;
    this.#standingChoice = undefined;
    this.#takesSuggestions = false;
    this.#madeFolders.clear();
    const counts = {
      done: this.doneCount.value,
      failed: this.failedCount.value,
      asked: this.askedCount.value,
    };
    if (counts.done + counts.failed + counts.asked > 0) this.#onFinished(counts);
  }
}
