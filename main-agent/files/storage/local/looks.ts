/**
 * Asks for one attribute of many names in a thread of its own (D-128): a hundred thousand questions are a hundred turns
 * to a thread, not as many through the pool, and a disk that has to be waited for keeps nobody else waiting.
 *
 * It only makes things quicker: where the thread can not say, whoever asked has to ask in another way.
 */
import { Worker } from 'node:worker_threads';
import type { SortedBy } from '../storage.ts';
import type { FolderHandle } from './folder-handle.ts';
import type { LookReply, LookRequest } from './look-thread.ts';

/** Starting it takes as long as some ten thousand questions; it holds 5 MB. Whoever sorts a large folder pages on. */
const idleMs = 30_000;

type Answer = (reply: LookReply) => void;

export class Looks {
  #worker: Worker | undefined;
  /** In the order of asking, which is that of the answers. */
  readonly #waiting: Answer[] = [];
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** The folder stays open until it is answered. Each asker waits for its answer before it asks again. */
  ask(folder: FolderHandle, names: readonly string[], by: SortedBy): Promise<LookReply> {
    if (this.#isClosed) return Promise.resolve(undefined);
    clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#start());
    const request: LookRequest = { descriptor: folder.number, names: names.join('/'), by };
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      worker.postMessage(request);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./look-thread.ts', import.meta.url), { name: 'looks', env: {} });
    // An idle thread must not keep the process.
    worker.unref();
    worker.on('message', (reply: LookReply) => {
      this.#waiting.shift()?.(reply);
      if (this.#waiting.length === 0) this.#idle = setTimeout(() => void this.#end(), idleMs).unref();
    });
    // It ended by itself, and `exit` follows: the asker finds out what is wrong.
    worker.on('error', () => undefined);
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const answer of this.#waiting.splice(0)) answer(undefined);
    });
    return worker;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#end();
  }
}
