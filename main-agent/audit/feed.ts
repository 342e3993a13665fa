import { open, rename, type FileHandle } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { chainStart, formatLine, hashLine, parseLine, type ChainHead } from './chain.ts';

/**
 * Writes audit.jsonl from state.db, in order. The record itself is durable in state.db before anybody is answered
 * (S-14), so the file may lag and needs no fsync of its own: what a crash took from it is written again at start.
 * A file that can't be written is a health error, told once, and tried again with each record and each retry.
 */

/** Records copied at a time; bounds memory when the file is far behind. */
const pageMax = 256;
/** How often a failing file is tried again. */
const retryMs = 5_000;
/** How far from the end the last line is looked for: a record with its assertion takes about 10 KiB. */
const tailBytesMax = 1024 * 1024;

export interface AuditFeedOptions {
  readonly state: Pick<StateStore, 'auditAfter' | 'onAudit'>;
  /** Made if missing, mode 0600. */
  readonly file: string;
  readonly log: Log;
}

export interface AuditFeed {
  /** Why the file is not being written, if it is not. */
  problem(): string | undefined;
  /** The last line written. */
  head(): ChainHead;
  /** Resolves when every record committed before the call stands in the file, or could not be written. */
  flush(): Promise<void>;
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
  #handle: FileHandle | undefined;
  #head: ChainHead = chainStart;
  #problem: string | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #unsubscribe: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: AuditFeedOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { file } = this.#options;
    try {
      this.#handle = await this.#openAtEnd();
    } catch (cause) {
      throw new SallyportError('config', 'The audit file cannot be written', {
        detail: `${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      });
    }
    this.#unsubscribe = this.#options.state.onAudit(() => void this.flush());
    await this.flush();
  }

  problem(): string | undefined {
    return this.#problem;
  }

  head(): ChainHead {
    return this.#head;
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#again = true;
    this.#running ??= this.#copyAll();
    return this.#running;
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    await this.flush();
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#handle?.close();
  }

  /** Until nothing new came while copying. Never rejects. */
  async #copyAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        this.#handle ??= await this.#openAtEnd();
        while (await this.#copyPage(this.#handle));
        this.#problem = undefined;
      } catch (error) {
        await this.#giveUpForNow(error);
      }
    }
    // In the same breath as the last look at `again`: a call in between would be lost.
    this.#running = undefined;
  }

  async #copyPage(handle: FileHandle): Promise<boolean> {
    const rows = await this.#options.state.auditAfter(this.#head.sequence, pageMax);
    if (rows.length === 0) return false;
    let text = '';
    let head = this.#head;
    for (const { sequence, record } of rows) {
      const line = formatLine(sequence, record, head);
      head = { sequence, hash: hashLine(line) };
      text += `${line}\n`;
    }
    await handle.appendFile(text);
    this.#head = head;
    return rows.length === pageMax;
  }

  /** Part of a line may stand in the file now: opening it again cuts that off. */
  async #giveUpForNow(error: unknown): Promise<void> {
    const problem = error instanceof Error ? error.message : String(error);
    if (this.#problem === undefined) this.#options.log.error({ detail: problem }, 'audit file not written');
    this.#problem = problem;
    const handle = this.#handle;
    this.#handle = undefined;
    try {
      await handle?.close();
    } catch {
      // What could not be written may not be closable either; it is opened anew.
    }
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.flush(), retryMs);
    this.#retry.unref();
  }

  /** Opens the file, cuts off a line that a crash left unfinished, and reads the head from the last whole one. */
  async #openAtEnd(): Promise<FileHandle> {
    const { file, log } = this.#options;
    const handle = await open(file, 'a+', 0o600);
    await handle.chmod(0o600);
    const { size } = await handle.stat();
    const from = Math.max(0, size - tailBytesMax);
    const tail = Buffer.alloc(size - from);
    await handle.read(tail, 0, tail.length, from);
    const wholeEnd = tail.lastIndexOf(0x0a) + 1;
    if (wholeEnd < tail.length) await handle.truncate(from + wholeEnd);
    if (wholeEnd === 0 && from === 0) {
      this.#head = chainStart;
      return handle;
    }
    const lastStart = tail.lastIndexOf(0x0a, wholeEnd - 2) + 1;
    const line = tail.toString('utf8', lastStart, Math.max(lastStart, wholeEnd - 1));
    const sequence = await this.#findInState(line);
    if (sequence !== undefined) {
      this.#head = { sequence, hash: hashLine(line) };
      return handle;
    }
    // Damaged, or of another state.db whose numbers mean other records: going on after it would leave records out.
    // It is kept as evidence, and all the state knows goes into a new file.
    await handle.close();
    const aside = `${file}.aside-${Date.now()}`;
    await rename(file, aside);
    log.error(
      { file, aside },
      'the audit file does not continue in the state; put aside and written again from the state',
    );
    this.#head = chainStart;
    return open(file, 'ax', 0o600);
  }

  /** The number of a line, if the state has the same record under it. */
  async #findInState(line: string): Promise<number | undefined> {
    const parsed = parseLine(line);
    if (parsed === undefined) return undefined;
    const [row] = await this.#options.state.auditAfter(parsed.sequence - 1, 1);
    const isSame = row?.sequence === parsed.sequence && isDeepStrictEqual(parsed.record, row.record);
    return isSame ? parsed.sequence : undefined;
  }
}
