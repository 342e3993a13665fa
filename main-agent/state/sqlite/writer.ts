import { closeSync, openSync } from 'node:fs';
import { backup, type DatabaseSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { commitsPerTransactionMax, copyPagesAtOnce } from '../limits.ts';
import { ChangeWriter } from './changes.ts';
import type { WriterAnswer, WriterData, WriterReply, WriterRequest } from './messages.ts';
import { buildQueries, sweep } from './queries.ts';
import { openDatabase } from './schema.ts';

/**
 * The writer thread: owns state.db alone. Group commit: everything that queued up while the disk was busy goes into
 * one transaction with a savepoint for each commit, and nobody is answered before COMMIT returned.
 */

/** Takes requests until `close`. Any error it does not foresee ends the thread, and with it the store (S-14). */
function runWriter(port: MessagePort, file: string): void {
  const database = openDatabase(file);
  const changes = new ChangeWriter(database);
  const queries = buildQueries(database);
  const reply = (message: WriterReply): void => port.postMessage(message);

  const serve = (first: WriterRequest): void => {
    const batch = drain(port, first);
    let wroteAudit = false;
    let commitFailure: string | undefined;
    const answers: WriterAnswer[] = [];

    database.exec('BEGIN IMMEDIATE');
    try {
      for (const request of batch.requests) {
        if (request.type === 'commit') {
          const answer = commitOne(database, changes, request);
          wroteAudit ||= answer.wroteAudit;
          answers.push(answer);
        } else if (request.type === 'query') {
          answers.push({
            id: request.id,
            value: Reflect.apply(queries[request.name], undefined, request.params),
          });
        } else if (request.type === 'sweep') {
          sweep(database, request.nowMs);
        }
      }
      database.exec('COMMIT');
    } catch (cause) {
      // A full or failing disk: SQLite may have rolled back already. None of this batch happened.
      commitFailure = describe(cause);
      if (database.isTransaction) database.exec('ROLLBACK');
    }
    if (commitFailure === undefined) reply({ type: 'answers', answers, wroteAudit });
    else {
      const failed = batch.requests.flatMap((request) =>
        'id' in request && request.type !== 'copy' ? [{ id: request.id, error: commitFailure }] : [],
      );
      reply({ type: 'answers', answers: failed, wroteAudit: false });
    }
    for (const request of batch.requests)
      if (request.type === 'copy')
        void copyState(database, request).then((answer) =>
          reply({ type: 'answers', answers: [answer], wroteAudit: false }),
        );
    if (batch.close) {
      database.close();
      port.close();
    }
  };

  port.on('message', serve);
  reply({ type: 'ready' });
}

/** All that waits, up to the bound. */
function drain(
  port: MessagePort,
  first: WriterRequest,
): { readonly requests: readonly WriterRequest[]; readonly close: boolean } {
  const requests: WriterRequest[] = [];
  let next: { readonly message: WriterRequest } | undefined = { message: first };
  while (next !== undefined) {
    if (next.message.type === 'close') return { requests, close: true };
    requests.push(next.message);
    if (requests.length >= commitsPerTransactionMax) break;
    next = receiveMessageOnPort(port);
  }
  return { requests, close: false };
}

function commitOne(
  database: DatabaseSync,
  changes: ChangeWriter,
  request: Extract<WriterRequest, { type: 'commit' }>,
): WriterAnswer & { readonly wroteAudit: boolean } {
  const undo = (): void => {
    database.exec('ROLLBACK TO one');
    database.exec('RELEASE one');
  };
  database.exec('SAVEPOINT one');
  try {
    for (const change of request.changes) {
      if (changes.apply(change)) continue;
      undo();
      return { id: request.id, value: { ok: false, failed: change.kind }, wroteAudit: false };
    }
  } catch (cause) {
    // The disk's errors end the transaction: they are the whole batch's. Anything else is this commit's alone.
    if (!database.isTransaction) throw cause;
    undo();
    return { id: request.id, error: describe(cause), wroteAudit: false };
  }
  database.exec('RELEASE one');
  return {
    id: request.id,
    value: { ok: true },
    wroteAudit: request.changes.some((change) => change.kind === 'audit'),
  };
}

/** SQLite's online backup: a few pages at a time, begun again by SQLite where a commit came in between. */
async function copyState(
  database: DatabaseSync,
  { id, file }: Extract<WriterRequest, { type: 'copy' }>,
): Promise<WriterAnswer> {
  try {
    // SQLite would make it readable for others.
    closeSync(openSync(file, 'wx', 0o600));
    await backup(database, file, { rate: copyPagesAtOnce });
    return { id };
  } catch (cause) {
    return { id, error: describe(cause) };
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

const { file }: WriterData = workerData;
if (parentPort !== null) runWriter(parentPort, file);
