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
  const copies: CopyRequest[] = [];
  /** What came while pages were being copied. */
  const waiting: WriterRequest[] = [];
  let isCopying = false;
  let isClosing = false;

  const take = (): WriterRequest | undefined => waiting.shift() ?? receiveMessageOnPort(port)?.message;

  const serveWaiting = (): void => {
    while (waiting.length > 0 && !isClosing) {
      const batch = drain(take);
      reply(serveBatch({ database, changes, queries }, batch.requests));
      copies.push(...batch.requests.filter((request) => request.type === 'copy'));
      isClosing = batch.close;
    }
  };

  /**
   * SQLite's copy is made in another thread, on this connection, and Node gives it up where it meets a transaction. So
   * requests are served between two pieces of it, and copies are made one after the other.
   */
  const copyAll = async (): Promise<void> => {
    isCopying = true;
    for (let next = copies.shift(); next !== undefined; next = copies.shift()) {
      const answer = await copyState(database, next, () => {
        try {
          serveWaiting();
        } catch (error) {
          // Thrown from here it would be the copy's failure alone.
          queueMicrotask(() => {
            throw error;
          });
        }
      });
      reply({ type: 'answers', answers: [answer], wroteAudit: false });
      serveWaiting();
    }
    isCopying = false;
  };

  const work = async (): Promise<void> => {
    serveWaiting();
    if (copies.length > 0) await copyAll();
    if (!isClosing) return;
    database.close();
    port.close();
  };

  port.on('message', (request: WriterRequest) => {
    waiting.push(request);
    if (!isCopying) void work();
  });
  reply({ type: 'ready' });
}

type CopyRequest = Extract<WriterRequest, { type: 'copy' }>;

/** All that waits, up to the bound. */
function drain(take: () => WriterRequest | undefined): {
  readonly requests: readonly WriterRequest[];
  readonly close: boolean;
} {
  const requests: WriterRequest[] = [];
  while (requests.length < commitsPerTransactionMax) {
    const next = take();
    if (next === undefined) break;
    if (next.type === 'close') return { requests, close: true };
    requests.push(next);
  }
  return { requests, close: false };
}

/** SQLite's online backup, a few pages at a time; what is committed between two pieces is in it. */
async function copyState(
  database: DatabaseSync,
  { id, file }: CopyRequest,
  betweenPieces: () => void,
): Promise<WriterAnswer> {
  try {
    // SQLite would make it readable for others.
    closeSync(openSync(file, 'wx', 0o600));
    await backup(database, file, { rate: copyPagesAtOnce, progress: betweenPieces });
    return { id };
  } catch (cause) {
    return { id, error: describeFailure(cause) };
  }
}

const { file }: WriterData = workerData;
if (parentPort !== null) runWriter(parentPort, file);
