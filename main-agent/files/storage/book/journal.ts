/**
 * What the next process must know of this one: which files were open for reading or being written in place, what was
 * being appended, and which changes were being made when it was killed. One small file of JSON lines in the staging
 * folder, appended to, never synced: it is there after a kill, not after a power cut, when the sessions' clients are gone
 * anyway.
 *
 * Uploads are not in here: their records lie beside their bytes.
 */
import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { journalBytesMax, journalReadBytesMax, journalRecallMs } from '../../limits.ts';
import type { HiddenFolder, OpenBytes } from '../blob-storage.ts';
import type { Intent, OperationJournal, OperationName, Reader, UploadRecord } from '../storage.ts';
import {
  type Append,
  type Appended,
  type Writer,
  type WriterLine,
  writerLineSchemas,
  WriterNotes,
} from './writer-notes.ts';

const intentSchema = z.object({
  kind: z.literal('intent'),
  session: z.string(),
  operation: z.number(),
  id: z.string(),
  replaced: z.boolean(),
});
const readerSchema = z.object({
  kind: z.literal('reader'),
  session: z.string(),
  handle: z.number(),
  virtualPath: z.array(z.string()).max(256),
  etag: z.string(),
  fileId: z.string(),
  size: z.number().optional(),
  startedAtMs: z.number(),
  beside: z.object({ upload: z.string() }).optional(),
});
const toldSchema = z.object({ kind: z.literal('told'), handle: z.number() });
const lineSchema = z.discriminatedUnion('kind', [
  intentSchema,
  readerSchema,
  toldSchema,
  ...writerLineSchemas,
]);

/** A line, and whom to tell whether it is on the disk. */
interface Waiting {
  readonly line: string;
  readonly resolve: (isWritten: boolean) => void;
}

const fileName = 'operations.journal';
const newFileName = 'operations.journal-new';

function intentKey({ session, operation }: OperationName): string {
  return `${session} ${operation}`;
}

export class Journal implements OperationJournal {
  readonly #folder: HiddenFolder;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #openedAtMs: number;
  readonly #intentsBefore = new Map<string, Intent>();
  readonly #readersBefore = new Map<number, Reader>();
  readonly #readers = new Map<number, Reader>();
  readonly #writersBefore = new WriterNotes();
  readonly #writers = new WriterNotes();
  #file: OpenBytes;
  #bytes: number;
  /** The last line was cut off, by a full disk or by a kill. */
  #isTorn = false;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(folder: HiddenFolder, file: OpenBytes, bytes: number, clock: Clock, log: Log) {
    this.#folder = folder;
    this.#file = file;
    this.#bytes = bytes;
    this.#clock = clock;
    this.#openedAtMs = clock.monotonic();
    this.#log = log;
  }

  static async open(folder: HiddenFolder, clock: Clock, log: Log): Promise<Journal> {
    const text = (await folder.read(fileName, journalReadBytesMax)) ?? '';
    const file = await folder.openLog(fileName);
    const journal = new Journal(folder, file, Buffer.byteLength(text), clock, log);
    for (const line of text.split('\n')) journal.#load(line);
    journal.#isTorn = text !== '' && !text.endsWith('\n');
    return journal;
  }

  #load(line: string): void {
    if (line === '') return;
    try {
      const parsed = lineSchema.parse(JSON.parse(line));
      if (parsed.kind === 'reader') this.#readersBefore.set(parsed.handle, parsed);
      else if (parsed.kind === 'told') this.#readersBefore.delete(parsed.handle);
      else if (parsed.kind === 'intent') this.#intentsBefore.set(intentKey(parsed), parsed);
      else this.#writersBefore.take(parsed);
    } catch (error) {
      // The last line of a process that was killed while it wrote.
      this.#log.debug({ err: error }, 'a line of the journal is damaged and was ignored');
    }
  }

  recall(name: OperationName): Intent | undefined {
    this.#forgetBefore();
    return this.#intentsBefore.get(intentKey(name));
  }

  recallReader(session: string, handle: number): Reader | undefined {
    this.#forgetBefore();
    const reader = this.#readersBefore.get(handle);
    return reader?.session === session ? reader : undefined;
  }

  get #isHistory(): boolean {
    return this.#clock.monotonic() - this.#openedAtMs > journalRecallMs;
  }

  /** Sessions are not parked for longer: what nobody asked for by then is history. */
  #forgetBefore(): void {
    if (!this.#isHistory) return;
    this.#intentsBefore.clear();
    this.#readersBefore.clear();
    this.#writersBefore.clear();
  }

  /** A file that an earlier process wrote in place under this id, for whatever session. */
  recallWriter(id: string): Writer | undefined {
    this.#forgetBefore();
    return this.#writersBefore.writer(id);
  }

  /** The id of what an earlier process opened in place as this operation. */
  recallWriterBegunBy(name: OperationName): string | undefined {
    this.#forgetBefore();
    return this.#writersBefore.begunBy(name)?.record.id;
  }

  /** What earlier processes appended through a handle. */
  recallAppended(id: string): Appended {
    if (this.#isHistory) return { appendedBytes: undefined };
    return this.#writersBefore.appended(id) ?? { appendedBytes: 0 };
  }

  /** The last append of each handle of earlier processes, in their order, until what became of it is noted. */
  get appendsBefore(): WriterNotes['appends'] {
    return this.#writersBefore.appends;
  }

  /** What became of an append of an earlier process. Of what was done since, only the file would tell. */
  async noteAppended(id: string, appendedBytes: number | undefined): Promise<void> {
    const line = { kind: 'appended' as const, id, appendedBytes };
    this.#writersBefore.take(line);
    await this.#append(JSON.stringify(line));
  }

  /** The kernel has it when it resolves. */
  async noteWriter(writer: Writer): Promise<void> {
    this.#writersBefore.forget(writer.record.id);
    await this.#noteOfWriters({ kind: 'writer', ...writer });
  }

  /** The kernel has it when it resolves; rejects where it has not: then the bytes must not be written either. */
  async noteAppend(append: Append): Promise<void> {
    if (await this.#noteOfWriters({ kind: 'append', ...append })) return;
    throw new SallyportError('no-space', 'The storage is full', {
      detail: 'an append could not be noted, and might land twice after a crash',
    });
  }

  /** What is written in place now, and what earlier processes so wrote. */
  get writers(): readonly Writer[] {
    this.#forgetBefore();
    return [...this.#writersBefore.writers, ...this.#writers.writers];
  }

  /** A file that is written in place has another name. */
  async noteMoved(id: string, name: Pick<UploadRecord, 'place' | 'virtualPath'>): Promise<void> {
    const line = { kind: 'moved' as const, id, ...name };
    this.#writersBefore.take(line);
    await this.#noteOfWriters(line);
  }

  /** Not waited for: its handle is closed, and all it appended is there. */
  forgetWriter(id: string): void {
    this.#writers.forget(id);
    void this.#append(JSON.stringify({ kind: 'written', id }));
  }

  #noteOfWriters(line: WriterLine): Promise<boolean> {
    this.#writers.take(line);
    return this.#append(JSON.stringify(line));
  }

  async note(intent: Intent): Promise<void> {
    await this.#append(JSON.stringify({ kind: 'intent', ...intent }));
  }

  noteReader(reader: Reader): void {
    this.#readers.set(reader.handle, reader);
    void this.#append(JSON.stringify({ kind: 'reader', ...reader }));
  }

  forgetReader(handle: number): void {
    this.#readers.delete(handle);
    this.#readersBefore.delete(handle);
  }

  noteTold(handle: number): void {
    this.forgetReader(handle);
    void this.#append(JSON.stringify({ kind: 'told', handle }));
  }

  /** Lines that come while one is written go together in the next write. False: the disk did not take it. */
  #append(line: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.push({ line, resolve });
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    return promise;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting.splice(0);
      const isWritten = await this.#write(waiting.map(({ line }) => line));
      for (const { resolve } of waiting) resolve(isWritten);
    }
  }

  async #write(lines: readonly string[]): Promise<boolean> {
    try {
      if (this.#bytes > journalBytesMax) await this.#compact();
      const bytes = Buffer.from(`${this.#isTorn ? '\n' : ''}${lines.join('\n')}\n`);
      this.#isTorn = true;
      await this.#file.write([bytes], 0);
      this.#isTorn = false;
      this.#bytes += bytes.length;
      return true;
    } catch (error) {
      this.#log.warn({ err: error }, 'the journal could not be written');
      return false;
    }
  }

  /** Only what is open now goes on; intents of changes that are done are for a process killed just then. */
  async #compact(): Promise<void> {
    const readers = [...this.#readersBefore.values(), ...this.#readers.values()].map((reader) => ({
      kind: 'reader',
      ...reader,
    }));
    const open = [...readers, ...this.#writersBefore.lines, ...this.#writers.lines];
    const lines = open.map((line) => `${JSON.stringify(line)}\n`);
    await this.#folder.remove(newFileName);
    const file = await this.#folder.openLog(newFileName);
    try {
      await file.write([Buffer.from(lines.join(''))], 0);
      await this.#folder.at(newFileName).moveTo(this.#folder.at(fileName), { isExclusive: false });
    } catch (error) {
      // Tried again with the next line: on a full disk, or we would be out of descriptors as well.
      await file.close();
      throw error;
    }
    await this.#file.close();
    this.#file = file;
    this.#bytes = 0;
    this.#isTorn = false;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }
}
