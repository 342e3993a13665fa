import { open, rename, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '#main-agent/durable-file.ts';
import type { Log } from '#shared/log.ts';
import { listRotated, rotatedName } from './audit-files.ts';
import { chainStart, formatLine, hashLine, parseLine } from './chain.ts';
import { readFirstLine, readLastLine } from './file-lines.ts';
import type { AuditRecord, ChainHead } from '#main-agent/state/audit-record.ts';

/**
 * The audit file being written, and its turning into a numbered one when it is full or the day (UTC) of its records is
 * over. The chain goes on over the files. A crash at any step leaves files that `open` goes on from: what stands in
 * them and is in the state is kept, what the state has beyond them is written by the feed.
 */

interface RotatingFileOptions {
  /** Made if missing, mode 0600. */
  readonly file: string;
  readonly rotateBytes: number;
  /** Does the state hold this record under this number? */
  readonly isInState: (sequence: number, record: object) => Promise<boolean>;
  readonly now: () => number;
  readonly log: Log;
}

interface NumberedRecord {
  readonly sequence: number;
  readonly record: AuditRecord;
}

export class RotatingFile {
  readonly #options: RotatingFileOptions;
  #handle: FileHandle | undefined;
  #head: ChainHead = chainStart;
  #bytes = 0;
  /** Of the first record in the file; undefined while it is empty. */
  #first: { readonly sequence: number; readonly day: string } | undefined;

  private constructor(options: RotatingFileOptions) {
    this.#options = options;
  }

  static async open(options: RotatingFileOptions): Promise<RotatingFile> {
    const made = new RotatingFile(options);
    await made.#openAtEnd();
    return made;
  }

  /** The last line written. */
  get head(): ChainHead {
    return this.#head;
  }

  /** True: a file was rotated on the way. After a rejection the file must be opened again: half a line may stand in it. */
  async append(records: readonly NumberedRecord[]): Promise<boolean> {
    let text = '';
    let head = this.#head;
    let rotated = false;
    const write = async (): Promise<void> => {
      await this.#requireHandle().appendFile(text);
      this.#bytes += Buffer.byteLength(text);
      this.#head = head;
      text = '';
    };
    for (const { sequence, record } of records) {
      const line = `${formatLine(sequence, record, head)}\n`;
      const day = record.time.slice(0, 10);
      if (this.#isFullFor(Buffer.byteLength(text) + Buffer.byteLength(line), day)) {
        await write();
        await this.#rotate();
        rotated = true;
      }
      this.#first ??= { sequence, day };
      head = { sequence, hash: hashLine(line.slice(0, -1)) };
      text += line;
    }
    await write();
    return rotated;
  }

  /** What was appended is on the disk when it resolves. */
  async sync(): Promise<void> {
    await this.#requireHandle().datasync();
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  #isFullFor(moreBytes: number, day: string): boolean {
    if (this.#first === undefined) return false;
    return this.#bytes + moreBytes > this.#options.rotateBytes || day > this.#first.day;
  }

  /** Durable when it resolves: from then on the state need not hold these records. */
  async #rotate(): Promise<void> {
    const { file } = this.#options;
    const handle = this.#requireHandle();
    await handle.sync();
    await this.close();
    await rename(file, rotatedName(file, this.#first?.sequence ?? 0));
    await syncFolder(path.dirname(file));
    this.#handle = await open(file, 'ax', 0o600);
    this.#bytes = 0;
    this.#first = undefined;
  }

  #requireHandle(): FileHandle {
    if (this.#handle === undefined) throw new Error('the audit file is not open');
    return this.#handle;
  }

  /** Cuts off a line that a crash left unfinished, and finds where the chain goes on. */
  async #openAtEnd(): Promise<void> {
    const { file, log } = this.#options;
    const handle = await open(file, 'a+', 0o600);
    this.#handle = handle;
    await handle.chmod(0o600);
    const { text, endsAt } = await readLastLine(handle);
    const { size } = await handle.stat();
    if (endsAt < size) await handle.truncate(endsAt);
    if (text !== undefined || endsAt > 0) {
      const head = await this.#findInState(text ?? '');
      const first = parseLine((await readFirstLine(handle)) ?? '');
      if (head !== undefined && first !== undefined) {
        this.#head = head;
        this.#bytes = endsAt;
        this.#first = { sequence: first.sequence, day: dayOf(first.record) };
        return;
      }
      // Damaged, or of another state.db whose numbers mean other records: going on after it would leave records out.
      // It is kept as evidence, and all the state knows goes into a new file.
      const aside = await this.#putAside(file);
      await this.close();
      log.error({ file, aside }, 'the audit file does not continue in the state; put aside, written again');
      this.#handle = await open(file, 'ax', 0o600);
    }
    this.#head = await this.#headOfRotated();
    this.#bytes = 0;
    this.#first = undefined;
  }

  /** The last line before the active file. Files of another state.db are put aside: a new chain begins. */
  async #headOfRotated(): Promise<ChainHead> {
    const rotated = await listRotated(this.#options.file);
    const newest = rotated.at(-1);
    if (newest === undefined) return chainStart;
    const handle = await open(newest.path, 'r');
    let text: string | undefined;
    try {
      ({ text } = await readLastLine(handle));
    } finally {
      await handle.close();
    }
    const head = await this.#findInState(text ?? '');
    if (head !== undefined) return head;
    for (const { path: one } of rotated) await this.#putAside(one);
    this.#options.log.error(
      { files: rotated.length },
      'the audit files do not continue in the state; put aside, a new chain begins',
    );
    return chainStart;
  }

  async #putAside(file: string): Promise<string> {
    const aside = `${file}.aside-${this.#options.now()}`;
    await rename(file, aside);
    return aside;
  }

  async #findInState(line: string): Promise<ChainHead | undefined> {
    const parsed = parseLine(line);
    if (parsed === undefined) return undefined;
    const isKnown = await this.#options.isInState(parsed.sequence, parsed.record);
    return isKnown ? { sequence: parsed.sequence, hash: hashLine(line) } : undefined;
  }
}

function dayOf(record: object): string {
  return 'time' in record && typeof record.time === 'string' ? record.time.slice(0, 10) : '';
}
