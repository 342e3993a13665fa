import { isDeepStrictEqual } from 'node:util';
import type { StateStore } from '#main-agent/state/state-store.ts';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import type { AuditRecord, ChainHead } from '#main-agent/state/audit-record.ts';
import { chainStart } from './chain.ts';
import { Housekeeping } from './housekeeping.ts';
import { housekeepingIntervalMs, pageMax, retryMs } from './limits.ts';
import { RotatingFile } from './rotating-file.ts';

/**
 * Writes the audit files from state.db, in order. The record itself is durable in state.db before anybody is answered
 * (S-14), so the file may lag and needs no fsync of its own until it is rotated: what a crash took from it is written
 * again at start. A file that can't be written is a health error, told once, and tried again with each record and each
 * retry.
 */

interface AuditFeedOptions {
  readonly state: Pick<StateStore, 'commit' | 'read' | 'onAudit'>;
  /** Made if missing, mode 0600. */
  readonly file: string;
  /** A file is full at this size; a day's end ends it too. */
  readonly rotateBytes: number;
  /** How long a full file is kept. */
  readonly keepMs: number;
  /** What was written to the file just now. */
  readonly onWritten?: (records: readonly AuditRecord[]) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AuditFeed {
  /** Why the file is not being written, if it is not. */
  problem(): string | undefined;
  /** The last line written. */
  head(): ChainHead;
  /** The last line that is on the disk when it resolves. Rejects when the file is not being written. */
  durableHead(): Promise<ChainHead>;
  /** Resolves when every record committed before the call stands in the file, or could not be written. */
  flush(): Promise<void>;
  /** Removes what retention no longer keeps; runs by itself too. */
  keepHouse(): Promise<void>;
  close(): Promise<void>;
}

/** Completes the file from the state, then follows. Rejects `config` when the file can't be opened. */
export async function startAuditFeed(options: AuditFeedOptions): Promise<AuditFeed> {
  const feed = new JsonLinesFeed(options);
  await feed.start();
  return feed;
}

class JsonLinesFeed implements AuditFeed {
  readonly #options: AuditFeedOptions;
  readonly #housekeeping: Housekeeping;
  #file: RotatingFile | undefined;
  #head: ChainHead = chainStart;
  #problem: string | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #unsubscribe: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;
  #interval: NodeJS.Timeout | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(options: AuditFeedOptions) {
    this.#options = options;
    this.#housekeeping = new Housekeeping(options);
  }

  async start(): Promise<void> {
    const { file, state } = this.#options;
    try {
      this.#file = await this.#open();
    } catch (cause) {
      throw new SallyportError('config', 'The audit file cannot be written', {
        detail: `${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      });
    }
    this.#unsubscribe = state.onAudit(() => void this.flush());
    await this.flush();
    this.#interval = setInterval(() => void this.keepHouse(), housekeepingIntervalMs);
    this.#interval.unref();
    await this.keepHouse();
  }

  problem(): string | undefined {
    return this.#problem;
  }

  head(): ChainHead {
    return this.#head;
  }

  async durableHead(): Promise<ChainHead> {
    const head = this.#head;
    if (this.#file === undefined) throw new Error(this.#problem ?? 'the audit file is not open');
    await this.#file.sync();
    return head;
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#again = true;
    this.#running ??= this.#copyAll();
    return this.#running;
  }

  /** Never rejects; one after the other. */
  keepHouse(): Promise<void> {
    this.#keeping = this.#keeping
      .then(() => this.#housekeeping.run())
      .catch((error: unknown) => this.#options.log.error({ err: error }, 'audit files not tidied up'));
    return this.#keeping;
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    clearInterval(this.#interval);
    await this.#keeping;
    await this.flush();
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#file?.close();
  }

  /** Until nothing new came while copying. Never rejects. */
  async #copyAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        this.#file ??= await this.#open();
        while (await this.#copyPage(this.#file));
        this.#problem = undefined;
      } catch (error) {
        await this.#giveUpForNow(error);
      }
    }
    // In the same breath as the last look at `again`: a call in between would be lost.
    this.#running = undefined;
  }

  async #copyPage(file: RotatingFile): Promise<boolean> {
    const rows = await this.#options.state.read('audit-after', {
      sequence: this.#head.sequence,
      limit: pageMax,
    });
    if (rows.length === 0) return false;
    const rotated = await file.append(rows);
    this.#head = file.head;
    this.#options.onWritten?.(rows.map(({ record }) => record));
    if (rotated && this.#interval !== undefined) void this.keepHouse();
    return rows.length === pageMax;
  }

  /** Part of a line may stand in the file now: opening it again cuts that off. */
  async #giveUpForNow(error: unknown): Promise<void> {
    const problem = error instanceof Error ? error.message : String(error);
    if (this.#problem === undefined) this.#options.log.error({ detail: problem }, 'audit file not written');
    this.#problem = problem;
    const file = this.#file;
    this.#file = undefined;
    try {
      await file?.close();
    } catch {
      // What could not be written may not be closable either; it is opened anew.
    }
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.flush(), retryMs);
    this.#retry.unref();
  }

  async #open(): Promise<RotatingFile> {
    const { state, clock, file, rotateBytes, log } = this.#options;
    const opened = await RotatingFile.open({
      file,
      rotateBytes,
      isInState: async (sequence, record) => {
        const [row] = await state.read('audit-after', { sequence: sequence - 1, limit: 1 });
        return row?.sequence === sequence && isDeepStrictEqual(record, row.record);
      },
      now: () => clock.now(),
      log,
    });
    this.#head = opened.head;
    return opened;
  }
}
