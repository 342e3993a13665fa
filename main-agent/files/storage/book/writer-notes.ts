/**
 * What the journal says of files that are written in place, and of what is appended to any file (D-72). A write at a
 * position may be sent again as often as one likes; an append may not. So before each append the journal has where it
 * is to land, and the next process tells by the file whether it did.
 */
import { z } from 'zod';
import { uploadRecordSchema } from './staging-area.ts';
import type { UploadRecord } from '../storage.ts';

/** A file that is written in place. */
export interface Writer {
  readonly record: UploadRecord;
  /** Of the file that was opened, whatever has its name later. */
  readonly fileId: string;
  /** Landed before, by this handle. */
  readonly appendedBytes: number;
}

/** Bytes that are about to be appended. */
export interface Append {
  /** Of the upload or writer. */
  readonly id: string;
  readonly fileId: string;
  /** Where the file ended, and the bytes are to begin. */
  readonly at: number;
  readonly bytes: number;
  readonly crc32: number;
  /** Landed before these, by this handle. */
  readonly appendedBytes: number;
}

const count = z.number().int().nonnegative();
const uploadId = uploadRecordSchema.shape.id;
export const writerLineSchemas = [
  z.object({
    kind: z.literal('writer'),
    record: uploadRecordSchema,
    fileId: z.string(),
    appendedBytes: count,
  }),
  z.object({
    kind: z.literal('append'),
    id: uploadId,
    fileId: z.string(),
    at: count,
    bytes: count,
    crc32: count,
    appendedBytes: count,
  }),
  /** The file has another name. */
  z.object({
    kind: z.literal('moved'),
    id: uploadId,
    ...uploadRecordSchema.pick({ place: true, virtualPath: true }).shape,
  }),
  /** What became of the last append of a process that was killed; without a number, it can't be told. */
  z.object({ kind: z.literal('appended'), id: uploadId, appendedBytes: count.optional() }),
  /** Its handle is closed: all it appended is there. */
  z.object({ kind: z.literal('written'), id: uploadId }),
] as const;

/** Landed by one handle; `undefined` where it can't be told whether the last of them did. */
export interface Appended {
  readonly appendedBytes?: number | undefined;
}

export type WriterLine =
  | ({ readonly kind: 'writer' } & Writer)
  | ({ readonly kind: 'append' } & Append)
  | ({ readonly kind: 'moved'; readonly id: string } & Pick<UploadRecord, 'place' | 'virtualPath'>)
  | ({ readonly kind: 'appended'; readonly id: string } & Appended)
  | { readonly kind: 'written'; readonly id: string };

type LineOf<K extends WriterLine['kind']> = Extract<WriterLine, { kind: K }>;

/** What the lines of one process say, or of those before it, as far as it still matters. */
export class WriterNotes {
  readonly #writers = new Map<string, LineOf<'writer'>>();
  readonly #byOperation = new Map<string, Writer>();
  /** The last of each handle, in the order in which they were made. */
  readonly #appends = new Map<string, LineOf<'append'>>();
  readonly #appended = new Map<string, LineOf<'appended'>>();
  readonly #closed = new Set<string>();

  take(line: WriterLine): void {
    switch (line.kind) {
      case 'writer':
        this.#writers.set(line.record.id, line);
        this.#byOperation.set(operationKey(line.record), line);
        this.#decide({ kind: 'appended', id: line.record.id, appendedBytes: line.appendedBytes });
        break;
      case 'append':
        this.#appends.delete(line.id);
        this.#appends.set(line.id, line);
        this.#appended.delete(line.id);
        break;
      case 'moved':
        this.#move(line);
        break;
      case 'appended':
        this.#decide(line);
        break;
      case 'written':
        this.#closed.add(line.id);
    }
  }

  #move({ id, place, virtualPath }: LineOf<'moved'>): void {
    const writer = this.#writers.get(id);
    if (writer === undefined) return;
    const moved = { ...writer, record: { ...writer.record, place, virtualPath } };
    this.#writers.set(id, moved);
    this.#byOperation.set(operationKey(moved.record), moved);
  }

  #decide(line: LineOf<'appended'>): void {
    this.#appends.delete(line.id);
    this.#appended.set(line.id, line);
  }

  get writers(): readonly Writer[] {
    return [...this.#writers.values()];
  }

  writer(writer: string): Writer | undefined {
    return this.#writers.get(writer);
  }

  begunBy(name: Pick<UploadRecord, 'session' | 'operation'>): Writer | undefined {
    return this.#byOperation.get(operationKey(name));
  }

  /** Nothing is known of a handle that never appended. */
  appended(writer: string): Appended | undefined {
    const last = this.#appends.get(writer);
    if (last === undefined) return this.#appended.get(writer);
    return { appendedBytes: this.#closed.has(writer) ? last.appendedBytes + last.bytes : undefined };
  }

  /** In their order: an append that begins behind another proves that one. `isOpen`: its handle was not closed. */
  get appends(): readonly (Append & { readonly isOpen: boolean })[] {
    return [...this.#appends.values()].map((append) => ({ ...append, isOpen: !this.#closed.has(append.id) }));
  }

  forget(writer: string): void {
    const record = this.#writers.get(writer)?.record;
    if (record !== undefined) this.#byOperation.delete(operationKey(record));
    this.#writers.delete(writer);
    this.#appends.delete(writer);
    this.#appended.delete(writer);
    this.#closed.delete(writer);
  }

  clear(): void {
    for (const notes of [this.#writers, this.#byOperation, this.#appends, this.#appended, this.#closed])
      notes.clear();
  }

  /** What says the same, for a journal that is written anew. */
  get lines(): readonly WriterLine[] {
    const closed = [...this.#closed].map((id) => ({ kind: 'written' as const, id }));
    return [...this.#writers.values(), ...this.#appended.values(), ...this.#appends.values(), ...closed];
  }
}

function operationKey({ session, operation }: Pick<UploadRecord, 'session' | 'operation'>): string {
  return `${session} ${operation}`;
}
