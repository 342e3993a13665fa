import { crc32 } from 'node:zlib';
import type { FileClient, RemoteFile } from '#dmz/files/file-client.ts';
import { toSallyportError, type SallyportError } from '#shared/error.ts';
import type { ArchiveEntry } from './archive-tree.ts';
import { FileBytes, type ByteSource, type ByteReceiver } from './file-bytes.ts';
import { archivePieceBytes } from '#dmz/https/limits.ts';
import { formatCentralRecord, formatDescriptor, formatEnd, formatLocalHeader } from './zip.ts';

const readMode = { read: true, write: false, create: 'never', truncate: false, append: false } as const;

/**
 * The bytes of an archive: one file after the other as main sends it, with the records of ZIP around. What is ours
 * waits until the client has taken it, so at most one file's window of main's bytes is on its way.
 */
export class ArchiveBytes implements ByteSource {
  readonly #files: FileClient;
  readonly #entries: readonly ArchiveEntry[];
  readonly #to: ByteReceiver;
  /** Why nobody wants the rest. */
  #stopped: SallyportError | undefined;
  /** Of the one thing that is waited for. */
  #giveUp: ((error: SallyportError) => void) | undefined;
  #offset = 0;
  /** Records that have not been passed on. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(files: FileClient, entries: readonly ArchiveEntry[], to: ByteReceiver) {
    this.#files = files;
    this.#entries = entries;
    this.#to = to;
  }

  start(): void {
    void this.#sendAll().then(
      () => this.#to.onEnd(),
      (error: unknown) => {
        // Who stopped it knows why.
        if (this.#stopped === undefined) this.#to.onError(toSallyportError(error));
      },
    );
  }

  stop(error: SallyportError): void {
    this.#stopped = error;
    this.#giveUp?.(error);
  }

  async #sendAll(): Promise<void> {
    const records: Buffer[] = [];
    for (const entry of this.#entries) records.push(await this.#sendEntry(entry));
    const offset = this.#offset;
    for (const record of records) await this.#add(record);
    const directory = { offset, lengthBytes: this.#offset - offset };
    await this.#add(formatEnd(records.length, directory));
    await this.#flush();
  }

  #sendEntry(entry: ArchiveEntry): Promise<Buffer> {
    if (entry.isFolder) return this.#sendFolder(entry);
    return entry.content === undefined ? this.#sendFile(entry) : this.#sendContent(entry, entry.content);
  }

  async #sendContent(known: ArchiveEntry, content: Buffer): Promise<Buffer> {
    const entry = { ...known, size: content.length, offset: this.#offset };
    const crc = crc32(content);
    await this.#add(formatLocalHeader(entry));
    await this.#add(content);
    await this.#add(formatDescriptor(entry, crc));
    return formatCentralRecord(entry, crc);
  }

  /** As `#sendFile`, resolves with its record in the table of contents. */
  async #sendFolder(folder: ArchiveEntry): Promise<Buffer> {
    const entry = { ...folder, size: 0, offset: this.#offset };
    await this.#add(formatLocalHeader(entry));
    return formatCentralRecord(entry, 0);
  }

  async #sendFile({ path, ...known }: ArchiveEntry): Promise<Buffer> {
    const opening = this.#files.open(path, readMode);
    let file: RemoteFile;
    try {
      file = await this.#unlessStopped(opening);
    } catch (error) {
      // Nobody waits for it; it must not stay open.
      opening.then((late) => void late.release()).catch(() => undefined);
      throw error;
    }
    let cut = true;
    try {
      const { size } = file.attributes;
      const entry = { ...known, size, offset: this.#offset };
      await this.#add(formatLocalHeader(entry));
      await this.#flush();
      const crc = size === 0 ? 0 : await this.#pass(file, size);
      this.#offset += size;
      cut = false;
      await this.#add(formatDescriptor(entry, crc));
      return formatCentralRecord(entry, crc);
    } finally {
      void file.release({ cut });
    }
  }

  /** Resolves with the checksum when the last piece has been passed on. */
  async #pass(file: RemoteFile, lengthBytes: number): Promise<number> {
    const over = Promise.withResolvers<void>();
    let crc = 0;
    const bytes = new FileBytes(
      file,
      { offset: 0, lengthBytes },
      {
        onData: (piece, release) => {
          crc = crc32(piece, crc);
          this.#to.onData(piece, release);
        },
        onEnd: over.resolve,
        onError: over.reject,
      },
    );
    bytes.start();
    try {
      await this.#unlessStopped(over.promise);
    } catch (error) {
      bytes.stop(toSallyportError(error));
      throw error;
    }
    return crc;
  }

  async #add(record: Buffer): Promise<void> {
    this.#offset += record.length;
    this.#pending.push(record);
    this.#pendingBytes += record.length;
    if (this.#pendingBytes >= archivePieceBytes) await this.#flush();
  }

  /** Resolves when the client's socket has taken it. */
  async #flush(): Promise<void> {
    const piece = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    if (piece.length === 0) return;
    if (this.#stopped !== undefined) throw this.#stopped;
    await this.#unlessStopped(new Promise<void>((resolve) => this.#to.onData(piece, resolve)));
  }

  /** No `Promise.race` with one promise for the whole archive: that would remember every piece until the end. */
  #unlessStopped<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      work.then(resolve, reject);
      if (this.#stopped !== undefined) reject(this.#stopped);
    });
  }
}
