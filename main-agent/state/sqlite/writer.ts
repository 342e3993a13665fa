import { closeSync, openSync } from 'node:fs';
import { backup, type DatabaseSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { commitsPerTransactionMax, copyPagesAtOnce } from '../limits.ts';
import { describeFailure, serveBatch } from './batch.ts';
import { ChangeWriter } from './changes.ts';
import type { WriterAnswer, WriterData, WriterReply, WriterRequest } from './messages.ts';
import { buildQueries } from './queries.ts';
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
    reply(serveBatch({ database, changes, queries }, batch.requests));
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
    return { id, error: describeFailure(cause) };
  }
}

const { file }: WriterData = workerData;
if (parentPort !== null) runWriter(parentPort, file);
