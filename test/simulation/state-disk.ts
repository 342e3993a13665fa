/**
 * state.db as its writer thread has it, the same SQL and the same group commit, with every write and its answer in the
 * hands of the world: what was written before main died is there, and nothing else. A transaction can fail at any
 * statement or at its end, and one whose end failed may be there after all when main starts again.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { AuditRecord } from '#main-agent/state/audit-record.ts';
import { sweepIntervalMs } from '#main-agent/state/limits.ts';
import { serveBatch } from '#main-agent/state/sqlite/batch.ts';
import { ChangeWriter } from '#main-agent/state/sqlite/changes.ts';
import type { WriterReply, WriterRequest } from '#main-agent/state/sqlite/messages.ts';
import { buildQueries } from '#main-agent/state/sqlite/queries.ts';
import { openDatabase } from '#main-agent/state/sqlite/schema.ts';
import type { Change, CommitResult, Queries, StateStore } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import { Line, type Process } from './machine.ts';

/** How a test has the disk lie, to see that it is noticed. */
export interface DiskLies {
  /** After a crash. */
  readonly forgets?: string;
  /** Answers before anything is written. */
  readonly answersFirst?: boolean;
  /** Changes that are left out, and said to be made: always, or where the disk is full. */
  readonly drops?: { readonly kind: Change['kind']; readonly onlyWhenFull: boolean };
}

interface Waiting {
  readonly request: WriterRequest;
  readonly settle: (answer: { readonly value?: unknown; readonly error?: string | undefined }) => void;
}

export class StateDisk {
  readonly #database: DatabaseSync;
  readonly #changes: ChangeWriter;
  readonly queries: Queries;
  readonly lies: DiskLies;
  /** All that was ever made durable, in order. */
  readonly records: AuditRecord[] = [];
  /** A transaction whose end failed, as long as nothing was written over it. */
  #ghost: readonly WriterRequest[] | undefined;
  /** What happened, for the counts. */
  readonly onMet: (what: string) => void;

  constructor(lies: DiskLies, onMet: (what: string) => void) {
    this.lies = lies;
    this.onMet = onMet;
    this.#database = openDatabase(':memory:');
    this.#changes = new ChangeWriter(this.#database);
    this.queries = buildQueries(this.#database);
  }

  /** The process that had it is dead. */
  crash(isGhostThere: boolean): void {
    const ghost = this.#ghost;
    this.#ghost = undefined;
    if (ghost !== undefined && isGhostThere) {
      this.serve(ghost, undefined);
      this.onMet('a transaction that failed was there after the crash');
    }
    if (this.lies.forgets !== undefined) this.#database.exec(this.lies.forgets);
  }

  serve(
    requests: readonly WriterRequest[],
    fault: { readonly error: Error; readonly at: number } | undefined,
  ): WriterReply {
    const written = requests.map((request) =>
      request.type === 'commit' ? this.#leaveOut(request, fault) : request,
    );
    const failing = this.lies.drops?.onlyWhenFull === true ? undefined : fault;
    let statements = 0;
    const database = failing === undefined ? this.#database : failAtEnd(this.#database, failing.error);
    const made: AuditRecord[][] = [];
    const reply = serveBatch(
      {
        database,
        queries: this.queries,
        changes: {
          apply: (change) => {
            statements += 1;
            if (failing !== undefined && statements === failing.at) {
              this.#database.exec('ROLLBACK');
              throw failing.error;
            }
            return this.#changes.apply(change);
          },
        },
      },
      written,
    );
    if (reply.type !== 'answers') return reply;
    for (const answer of reply.answers) {
      const request = written.find((one) => 'id' in one && one.id === answer.id);
      const isMade = answer.error === undefined && (answer.value as CommitResult | undefined)?.ok === true;
      if (request?.type === 'commit' && isMade)
        made.push(request.changes.flatMap((change) => (change.kind === 'audit' ? [change.record] : [])));
    }
    const wrote = requests.some(({ type }) => type === 'commit');
    if (failing !== undefined && wrote) this.#ghost = requests;
    else if (wrote) this.#ghost = undefined;
    this.records.push(...made.flat());
    return reply;
  }

  #leaveOut(request: Extract<WriterRequest, { type: 'commit' }>, fault: unknown): WriterRequest {
    const { drops } = this.lies;
    if (drops === undefined || (drops.onlyWhenFull && fault === undefined)) return request;
    return { ...request, changes: request.changes.filter(({ kind }) => kind !== drops.kind) };
  }
}

function failAtEnd(database: DatabaseSync, error: Error): DatabaseSync {
  return new Proxy(database, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'exec')
        return (sql: string) => {
          if (sql === 'COMMIT') throw error;
          target.exec(sql);
        };
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Main's side of it, for one life of main. */
export function openState(
  disk: StateDisk,
  process: Process,
  admit: (changes: readonly Change[]) => readonly Change[],
): StateStore {
  const { machine } = process;
  const line = new Line();
  const listeners = new Set<() => void>();
  let waiting: Waiting[] = [];
  let lastId = 0;

  const settle = (reply: WriterReply, asked: readonly Waiting[]): void => {
    if (reply.type !== 'answers') return;
    for (const answer of reply.answers)
      asked.find(({ request }) => 'id' in request && request.id === answer.id)?.settle(answer);
    if (reply.wroteAudit) for (const listener of listeners) listener();
  };
  const work = (): void => {
    const asked = waiting.splice(0, 1 + machine.random(waiting.length));
    if (asked.length === 0) return;
    const requests = asked.map(({ request }) => request);
    const commits = requests.filter(({ type }) => type === 'commit');
    const error = commits.length === 0 ? undefined : process.diskFault('state');
    const fault = error === undefined ? undefined : { error, at: machine.random(8) };
    if (error !== undefined) disk.onMet(`state: ${error.code ?? ''}`);
    if (disk.lies.answersFirst === true) {
      settle(
        disk.serve(
          requests.filter(({ type }) => type !== 'commit'),
          undefined,
        ),
        asked,
      );
      const ids = commits.flatMap((one) => ('id' in one ? [{ id: one.id, value: { ok: true } }] : []));
      settle({ type: 'answers', answers: ids, wroteAudit: false }, asked);
      machine.post(process, line, 'state written', () => void disk.serve(commits, fault));
      return;
    }
    const reply = disk.serve(requests, fault);
    machine.post(process, line, 'state answers', () => settle(reply, asked));
  };
  const ask = <R>(build: (id: number) => WriterRequest): Promise<R> =>
    new Promise<R>((resolve, reject) => {
      const request = build((lastId += 1));
      const answer: Waiting['settle'] = ({ value, error }) => {
        if (error === undefined) resolve(value as R);
        else
          reject(
            new SallyportError('internal', 'Something went wrong on our side', {
              detail: `state not written: ${error}`,
            }),
          );
      };
      waiting.push({ request, settle: answer });
      machine.post(process, line, 'state works', work);
    });
  setInterval(() => {
    waiting.push({ request: { type: 'sweep', nowMs: process.clock.now() }, settle: () => undefined });
    machine.post(process, line, 'state sweeps', work);
  }, sweepIntervalMs);

  return {
    commit: (changes) => {
      const admitted = admit(changes);
      if (admitted.length === 0) return Promise.resolve({ ok: true });
      // As the clone that a thread gets.
      return ask((id) => ({ type: 'commit', id, changes: structuredClone(admitted) as Change[] }));
    },
    read: (name, ...params) => ask((id) => ({ type: 'query', id, name, params: structuredClone(params) })),
    onAudit: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      waiting = [];
    },
  };
}
