import { closeSync, existsSync, fchmodSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { changesPerCommitMax, closeWaitMs, requestsInFlightMax, sweepIntervalMs } from '../limits.ts';
import type { WriterData, WriterReply, WriterRequest } from './messages.ts';
import type { Change, CommitResult, Queries, StateCopies, StateStore } from '../state-store.ts';

/**
 * StateStore on SQLite, main's side (D-08): hands requests to the writer thread and waits. Fails closed (S-14): when
 * the writer is gone every call rejects, so nobody is logged in without a durable record.
 */

interface SqliteStateOptions {
  /** Made if missing, mode 0600. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Says which changes are to be made: every record passes here. All, if absent. */
  readonly admit?: (changes: readonly Change[]) => readonly Change[];
  /** Called once when the writer thread died. Nothing works after that; the process should end. */
  readonly onFailure?: (error: SallyportError) => void;
}

/** Resolves when the database is open and migrated; rejects `config` when it can't be. */
export async function openSqliteState(options: SqliteStateOptions): Promise<StateStore & StateCopies> {
  mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 });
  const descriptor = openSync(options.file, 'a', 0o600);
  // SQLite gives its -wal file the mode of the database.
  fchmodSync(descriptor, 0o600);
  closeSync(descriptor);
  const data: WriterData = { file: options.file };
  const worker = new Worker(new URL('./writer.ts', import.meta.url), {
    name: 'state-writer',
    workerData: data,
    env: {},
  });
  const store = new SqliteState(worker, options);
  await store.opened;
  return store;
}

interface Waiting {
  /** A method, so that a promise of any result fits. */
  resolve(value: unknown): void;
  reject(error: SallyportError): void;
}

class SqliteState implements StateStore, StateCopies {
  readonly opened: Promise<void>;
  readonly #worker: Worker;
  readonly #options: SqliteStateOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<() => void>();
  readonly #sweeper: NodeJS.Timeout;
  #exited: Promise<void>;
  #nextId = 1;
  #closing = false;
  #failure: SallyportError | undefined;

  constructor(worker: Worker, options: SqliteStateOptions) {
    this.#worker = worker;
    this.#options = options;
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        if (!this.#closing) this.#fail(new Error('the writer thread ended'));
        resolve();
      });
    });
    this.opened = new Promise((resolve, reject) => {
      worker.on('message', (message: WriterReply) => {
        if (message.type === 'ready') resolve();
        else this.#settle(message);
      });
      worker.on('error', (cause: unknown) => {
        reject(openError(options.file, cause));
        this.#fail(cause);
      });
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepIntervalMs);
    this.#sweeper.unref();
    this.opened.then(
      () => this.#sweep(),
      () => clearInterval(this.#sweeper),
    );
  }

  commit(changes: readonly Change[]): Promise<CommitResult> {
    if (changes.length > changesPerCommitMax) {
      return Promise.reject(
        new SallyportError('too-many', 'Too many changes at once', { detail: `${changes.length} changes` }),
      );
    }
    const admitted = this.#options.admit?.(changes) ?? changes;
    if (admitted.length === 0) return Promise.resolve({ ok: true });
    return this.#ask((id) => ({ type: 'commit', id, changes: admitted }));
  }

  read<Q extends keyof Queries>(name: Q, ...params: Parameters<Queries[Q]>): Promise<ReturnType<Queries[Q]>> {
    return this.#ask((id) => ({ type: 'query', id, name, params }));
  }

  async copyTo(file: string): Promise<void> {
    if (existsSync(file)) throw new SallyportError('exists', 'There is a file already', { detail: file });
    await this.#ask<undefined>((id) => ({ type: 'copy', id, file }));
  }

  onAudit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What was asked before is done and durable first. */
  async close(): Promise<void> {
    if (this.#closing) return this.#exited;
    this.#closing = true;
    clearInterval(this.#sweeper);
    if (this.#failure === undefined) this.#send({ type: 'close' });
    const ender = setTimeout(() => void this.#worker.terminate(), closeWaitMs);
    await this.#exited;
    clearTimeout(ender);
    this.#rejectAll(
      new SallyportError('internal', 'Something went wrong on our side', { detail: 'state closed' }),
    );
  }

  #ask<R>(build: (id: number) => WriterRequest): Promise<R> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closing) {
      return Promise.reject(
        new SallyportError('busy', 'The server is shutting down', { detail: 'the state store is closed' }),
      );
    }
    if (this.#waiting.size >= requestsInFlightMax) {
      return Promise.reject(
        new SallyportError('busy', 'The server is busy', {
          detail: `${requestsInFlightMax} state requests are waiting for the disk`,
        }),
      );
    }
    const id = this.#nextId++;
    return new Promise<R>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send(build(id));
    });
  }

  #send(request: WriterRequest): void {
    this.#worker.postMessage(request);
  }

  #sweep(): void {
    if (this.#closing || this.#failure !== undefined) return;
    this.#send({ type: 'sweep', nowMs: this.#options.clock.now() });
  }

  #settle(message: Extract<WriterReply, { type: 'answers' }>): void {
    for (const answer of message.answers) {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer.value);
      else {
        this.#options.log.error({ detail: answer.error }, 'state not written');
        waiting?.reject(
          new SallyportError('internal', 'Something went wrong on our side', {
            detail: `state not written: ${answer.error}`,
            hint: 'Is the disk of the state database full or failing?',
          }),
        );
      }
    }
    if (message.wroteAudit) for (const listener of this.#listeners) listener();
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined || this.#closing) return;
    this.#failure = new SallyportError('internal', 'Something went wrong on our side', {
      detail: `the state writer died: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
    this.#options.log.fatal({ err: cause }, 'the state writer died; nothing is admitted until restart');
    this.#rejectAll(this.#failure);
    this.#options.onFailure?.(this.#failure);
  }

  #rejectAll(error: SallyportError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

function openError(file: string, cause: unknown): SallyportError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new SallyportError('config', 'The state database cannot be opened', {
    detail: `${file}: ${detail}`,
    hint: detail.includes('locked')
      ? 'Another main-agent is running on this state.'
      : 'Check the folder, its owner and the free space; or restore a backup.',
    cause,
  });
}
