import type { DatabaseSync } from 'node:sqlite';
import type { Queries } from '../state-store.ts';
import type { ChangeWriter } from './changes.ts';
import type { WriterAnswer, WriterReply, WriterRequest } from './messages.ts';
import { sweep } from './queries.ts';

/**
 * Group commit: everything that queued up while the disk was busy goes into one transaction with a savepoint for each
 * commit. Nobody is answered before COMMIT returned; when it failed, nothing of the batch happened and all are told.
 */

interface Database {
  readonly database: DatabaseSync;
  readonly changes: Pick<ChangeWriter, 'apply'>;
  readonly queries: Queries;
}

export function serveBatch(
  { database, changes, queries }: Database,
  requests: readonly WriterRequest[],
): WriterReply {
  let wroteAudit = false;
  const answers: WriterAnswer[] = [];

  database.exec('BEGIN IMMEDIATE');
  try {
    for (const request of requests) {
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
    const error = describeFailure(cause);
    if (database.isTransaction) database.exec('ROLLBACK');
    const failed = requests.flatMap((request) =>
      'id' in request && request.type !== 'copy' ? [{ id: request.id, error }] : [],
    );
    return { type: 'answers', answers: failed, wroteAudit: false };
  }
  return { type: 'answers', answers, wroteAudit };
}

function commitOne(
  database: DatabaseSync,
  changes: Pick<ChangeWriter, 'apply'>,
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
    return { id: request.id, error: describeFailure(cause), wroteAudit: false };
  }
  database.exec('RELEASE one');
  return {
    id: request.id,
    value: { ok: true },
    wroteAudit: request.changes.some((change) => change.kind === 'audit'),
  };
}

export function describeFailure(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
