import { computed, signal } from '@preact/signals';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { putFile } from '#dmz/web/api/upload.ts';
import { nextFreeName, type FolderPath } from '#dmz/web/files/path.ts';
import {
  outageRetryMs,
  uploadFiguresIntervalMs,
  uploadRetriesMax,
  uploadsParallel,
  uploadsQueuedMax,
} from '#dmz/web/limits.ts';
import type { Folder } from '#dmz/web/state/folder.ts';

/**
 * Files on their way to the server: a queue with a few lanes, and one small state machine per file.
 * Nothing is ever replaced unless a person said so: every file is first sent with "only if the name is free".
 */

export type UploadState =
  | { readonly name: 'waiting' | 'sending' | 'saving' | 'reconnecting' | 'conflict' }
  | { readonly name: 'done' | 'skipped' | 'cancelled' }
  | { readonly name: 'failed'; readonly problem: ApiProblem };

export type ConflictChoice = 'replace' | 'keep-both' | 'skip';

export class Upload {
  readonly id: number;
  readonly file: File;
  readonly folder: FolderPath;
  readonly name = signal('');
  readonly state = signal<UploadState>({ name: 'waiting' });
  readonly sentBytes = signal(0);
  readonly bytesPerSecond = signal(0);
  /** Names already found taken, when both are to be kept. */
  readonly takenNames = new Set<string>();
  choice: ConflictChoice | undefined;
  tries = 0;
  cancelling = new AbortController();

  constructor(id: number, file: File, folder: FolderPath) {
    this.id = id;
    this.file = file;
    this.folder = folder;
    this.name.value = file.name;
  }

  get isWaiting(): boolean {
    return this.state.value.name === 'waiting';
  }

  get isOver(): boolean {
    return ['done', 'skipped', 'cancelled', 'failed'].includes(this.state.value.name);
  }
}

export class Uploads {
  readonly items = signal<readonly Upload[]>([]);
  readonly doneCount = computed(() => this.#count('done'));
  readonly failedCount = computed(() => this.#count('failed'));
  readonly running = computed(() => this.items.value.some((upload) => !upload.isOver));
  /** 0…1 over everything in the list. */
  readonly fraction = computed(() => {
    let sent = 0;
    let all = 0;
    for (const upload of this.items.value) {
      all += upload.file.size;
      sent += upload.isOver ? upload.file.size : upload.sentBytes.value;
    }
    return all === 0 ? 1 : sent / all;
  });
  readonly #folder: Folder;
  readonly #onProblem: (problem: ApiProblem) => void;
  readonly #onFinished: (done: number, failed: number) => void;
  #lastId = 0;
  #sending = 0;
  /** "For all": how to answer the conflicts still to come, until the queue is empty. */
  #standingChoice: ConflictChoice | undefined;
  #reloadTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: {
    folder: Folder;
    onProblem: (problem: ApiProblem) => void;
    onFinished: (done: number, failed: number) => void;
  }) {
    this.#folder = options.folder;
    this.#onProblem = options.onProblem;
    this.#onFinished = options.onFinished;
  }

  /** False: too many, none taken. */
  add(files: readonly File[], folder: FolderPath): boolean {
    if (this.items.value.length + files.length > uploadsQueuedMax) this.clearOver();
    if (this.items.value.length + files.length > uploadsQueuedMax) return false;
    const added = files.map((file) => {
      this.#lastId += 1;
      return new Upload(this.#lastId, file, folder);
    });
    this.items.value = [...this.items.value, ...added];
    this.#pump();
    return true;
  }

  cancel(upload: Upload): void {
    if (upload.isOver) return;
    upload.state.value = { name: 'cancelled' };
    upload.cancelling.abort();
    this.#settle();
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

  clearOver(): void {
    this.items.value = this.items.value.filter((upload) => !upload.isOver);
  }

  /** Everything, running transfers included: somebody else signed in. */
  clearAll(): void {
    for (const upload of this.items.value) upload.cancelling.abort();
    this.items.value = [];
  }

  /** What stopped only because the session ended goes on with the new one. */
  resumeAfterSignIn(): void {
    for (const upload of this.items.value) {
      const state = upload.state.value;
      if (state.name === 'failed' && state.problem.status === 401) this.#requeue(upload);
    }
    this.#pump();
  }

  #count(name: UploadState['name']): number {
    return this.items.value.filter((upload) => upload.state.value.name === name).length;
  }

  #requeue(upload: Upload): void {
    upload.sentBytes.value = 0;
    upload.bytesPerSecond.value = 0;
    upload.cancelling = new AbortController();
    upload.state.value = { name: 'waiting' };
  }

  #pump(): void {
    for (const upload of this.items.value) {
      if (this.#sending >= uploadsParallel) return;
      if (upload.isWaiting && this.#isKnownTaken(upload)) this.#meetConflict(upload);
      if (upload.isWaiting) void this.#send(upload);
    }
  }

  /** Saves sending a big file only to hear that its name is taken; the server's 412 remains the rule. */
  #isKnownTaken(upload: Upload): boolean {
    return (
      upload.choice === undefined && this.#folder.shows(upload.folder) && this.#folder.has(upload.name.value)
    );
  }

  #meetConflict(upload: Upload): void {
    upload.takenNames.add(upload.name.value);
    const choice = upload.choice === 'keep-both' ? upload.choice : this.#standingChoice;
    if (choice === undefined) upload.state.value = { name: 'conflict' };
    else this.#choose(upload, choice);
  }

  #choose(upload: Upload, choice: ConflictChoice): void {
    upload.choice = choice;
    if (choice === 'skip') {
      upload.state.value = { name: 'skipped' };
      return;
    }
    if (choice === 'keep-both') {
      const isTaken = (name: string): boolean =>
        upload.takenNames.has(name) || (this.#folder.shows(upload.folder) && this.#folder.has(name));
      upload.name.value = nextFreeName(upload.file.name, isTaken);
    }
    this.#requeue(upload);
  }

  async #send(upload: Upload): Promise<void> {
    this.#sending += 1;
    upload.state.value = { name: 'sending' };
    try {
      await putFile({
        path: [...upload.folder, upload.name.value],
        body: upload.file,
        overwrite: upload.choice === 'replace',
        signal: upload.cancelling.signal,
        onProgress: this.#trackProgress(upload),
      });
      upload.sentBytes.value = upload.file.size;
      upload.state.value = { name: 'done' };
      this.#reloadSoon(upload.folder);
    } catch (thrown) {
      if (!upload.cancelling.signal.aborted) this.#handleProblem(upload, toApiProblem(thrown));
    }
    this.#sending -= 1;
    this.#settle();
    this.#pump();
  }

  #handleProblem(upload: Upload, problem: ApiProblem): void {
    if (problem.status === 412) {
      this.#meetConflict(upload);
    } else if (problem.isOutage && upload.tries < uploadRetriesMax) {
      upload.tries += 1;
      upload.state.value = { name: 'reconnecting' };
      setTimeout(() => {
        if (upload.state.value.name !== 'reconnecting') return;
        this.#requeue(upload);
        this.#pump();
      }, problem.details.retryAfterMs ?? outageRetryMs);
    } else {
      upload.state.value = { name: 'failed', problem };
      this.#onProblem(problem);
    }
  }

  /** Speed over the last interval, smoothed so that the time left doesn't dance. */
  #trackProgress(upload: Upload): (sentBytes: number) => void {
    let sinceMs = performance.now();
    let sinceBytes = 0;
    return (sentBytes) => {
      const nowMs = performance.now();
      if (sentBytes >= upload.file.size && upload.state.value.name === 'sending')
        upload.state.value = { name: 'saving' };
      if (nowMs - sinceMs < uploadFiguresIntervalMs && sentBytes < upload.file.size) return;
      const latest = ((sentBytes - sinceBytes) / Math.max(1, nowMs - sinceMs)) * 1000;
      const smoothed = upload.bytesPerSecond.value;
      upload.bytesPerSecond.value = smoothed === 0 ? latest : smoothed * 0.7 + latest * 0.3;
      upload.sentBytes.value = Math.min(sentBytes, upload.file.size);
      sinceMs = nowMs;
      sinceBytes = sentBytes;
    };
  }

  /** Many small files must not read the folder again for each. */
  #reloadSoon(folder: FolderPath): void {
    clearTimeout(this.#reloadTimer);
    this.#reloadTimer = setTimeout(
      () => {
        if (this.#folder.shows(folder)) void this.#folder.reload();
      },
      this.running.value ? 1000 : 0,
    );
  }

  #settle(): void {
    if (this.running.value) return;
    this.#standingChoice = undefined;
    if (this.doneCount.value + this.failedCount.value > 0)
      this.#onFinished(this.doneCount.value, this.failedCount.value);
  }
}
