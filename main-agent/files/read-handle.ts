import { SallyportError } from '#shared/error.ts';
import { badHandle } from './storage/file-error.ts';
import type { Located } from './mounts.ts';
import type { ReadRange } from './read-stream.ts';
import type { Ending, Stored, StoredFile } from './storage/storage.ts';
import { StreamSet } from './stream-set.ts';

/** How much of a file a client got, and up to where in the file. */
export interface Taken {
  readonly bytes: number;
  readonly end: number;
}

/** For the receipt. Of one that is not whole: how long the file is, and what its client has of it. */
export interface ReadOutcome {
  readonly outcome: 'ok' | 'cut' | 'partial' | 'failed';
  readonly bytes: number;
  readonly size?: number;
  readonly acknowledged?: number;
}

/** A file open for reading. Several streams may read it at the same time. */
export class ReadHandle {
  readonly kind = 'read';
  readonly number: number;
  readonly located: Located;
  readonly streams = new StreamSet();
  readonly startedAtMs: number;
  /** For the receipt: sent by streams that are over, and given credit for by the node. */
  sentBytes = 0;
  acknowledgedBytes = 0;
  wasRead = false;
  /** Why a stream of it could not go on. */
  failure: SallyportError | undefined;
  /** What a reader of one version asked for first: more than that it does not miss. */
  #wanted: { readonly bytes: number; readonly end: number } | undefined;
  readonly #isOneVersion: boolean;
  onEnd: () => void = () => undefined;
  /** How its reading ended is in the audit. */
  onTold: () => void = () => undefined;
  readonly #file: StoredFile;
  readonly #reading = new Set<Promise<unknown>>();
  #isOver = false;
  #isChanged = false;

  /**
   * `isOneVersion`: its reader was told a length and an ETag, and must not get bytes of two versions; else it reads what
   * is there at each moment, as from a disk.
   */
  constructor(
    file: StoredFile,
    located: Located,
    startedAtMs: number,
    { number, isOneVersion }: { readonly number: number; readonly isOneVersion: boolean },
  ) {
    this.number = number;
    this.#file = file;
    this.#isOneVersion = isOneVersion;
    if (isOneVersion) file.watch(() => this.#change(), { alsoGrowing: false });
    this.located = located;
    this.startedAtMs = startedAtMs;
  }

  get attributes(): Stored {
    return this.#file.attributes;
  }

  get size(): number {
    return this.#file.attributes.size;
  }

  /** A stream begins. One that goes on after a lost link asks for less than the first. */
  noteStream({ offset, lengthBytes }: ReadRange): void {
    if (!this.#isOneVersion) return;
    const bytes = Math.min(lengthBytes ?? Infinity, Math.max(0, this.size - offset));
    this.#wanted ??= { bytes, end: offset + bytes };
  }

  /**
   * How its reading ends (D-93): `taken` as the node says, if it does; `isCut`: its client did not close it.
   */
  judge(taken: Taken | undefined, isCut: boolean): ReadOutcome {
    const outcome = judgeReading({
      size: this.size,
      isOneVersion: this.#isOneVersion,
      wanted: this.#wanted,
      sentBytes: this.sentBytes + this.streams.runningBytes,
      acknowledged: taken?.bytes ?? this.acknowledgedBytes,
      end: taken?.end,
      isCut,
    });
    return this.failure === undefined || outcome.outcome === 'ok'
      ? outcome
      : { ...outcome, outcome: 'failed' };
  }

  /**
   * The whole file in base64url, if it is no longer than that; `onChanging`: it is about to be another than was told.
   * What is returned is to be asked when it is sent, and counts as sent then; undefined: it would not be true any more.
   */
  async prepareContent(bytesMax: number, onChanging: () => void): Promise<() => string | undefined> {
    const { size } = this;
    if (size === 0 || size > bytesMax || this.#file.isBeingWritten) return () => undefined;
    let isTold = false;
    let isChanging = false;
    this.#file.watch(
      () => {
        if (isTold && !isChanging) onChanging();
        isChanging = true;
      },
      { alsoGrowing: true },
    );
    // One more than there is, to see whether it has grown.
    const buffer = Buffer.allocUnsafe(size + 1);
    const bytes = await this.#whileOpen(() => this.#file.read([buffer], 0));
    if (bytes !== size) return () => undefined;
    let content: string | undefined = buffer.toString('base64url', 0, size);
    return () => {
      // Once it is let go of, its record is written.
      if (isChanging || this.#isOver) return undefined;
      if (isTold) return content;
      isTold = true;
      this.wasRead = true;
      this.sentBytes += size;
      // Encoding asks several times; then the answer stays in the record of operations, which is to be small.
      setImmediate(() => {
        content = undefined;
      });
      return content;
    };
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    this.wasRead = true;
    return this.#whileOpen(() => this.#file.read(buffers, position));
  }

  stat(): Promise<Stored> {
    return this.#whileOpen(() => this.#file.stat());
  }

  async #whileOpen<T>(act: () => Promise<T>): Promise<T> {
    if (this.#isOver) throw badHandle('released');
    if (this.#isChanged) throw changed();
    const acting = act();
    this.#reading.add(acting);
    try {
      return await acting;
    } finally {
      this.#reading.delete(acting);
    }
  }

  #change(): void {
    this.#isChanged = true;
    this.streams.stopAll(changed());
  }

  /** `reason` is what running streams are told. */
  async end(_how: Ending, reason?: SallyportError): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onEnd();
    this.streams.stopAll(reason);
    await Promise.allSettled(this.#reading);
    await this.#file.close();
  }
}

interface Reading {
  readonly size: number;
  readonly isOneVersion: boolean;
  /** What a reader of one version asked for, as far as this process was told. */
  readonly wanted?: { readonly bytes: number; readonly end: number } | undefined;
  readonly sentBytes: number;
  readonly acknowledged: number;
  readonly end: number | undefined;
  readonly isCut: boolean;
}

/** How a reading ends that an earlier process served: all is known from the node. */
export function judgeReadBefore(
  size: number,
  { bytes, end }: Taken,
  how: { readonly isOneVersion: boolean; readonly isCut: boolean },
): ReadOutcome {
  return judgeReading({ size, sentBytes: bytes, acknowledged: bytes, end, ...how });
}

function judgeReading(reading: Reading): ReadOutcome {
  const { size, isOneVersion, wanted, sentBytes, acknowledged, isCut } = reading;
  // Over lost links the same bytes are sent again.
  const bytes = Math.max(acknowledged, Math.min(sentBytes, wanted?.bytes ?? size));
  if (isWhole(reading)) return { outcome: 'ok', bytes };
  // A page asks for a range and wants all of it; over SFTP it is the client's to say when it has enough.
  return { outcome: isCut || isOneVersion ? 'cut' : 'partial', bytes, size, acknowledged };
}

function isWhole({ size, isOneVersion, wanted, acknowledged, end, isCut }: Reading): boolean {
  if (!isOneVersion) return acknowledged >= size && (end ?? size) >= size;
  if (wanted === undefined) return !isCut;
  // A page takes its range from its beginning on: where that ends says all, also where main served only the rest of it.
  return end === undefined ? acknowledged >= wanted.bytes : end >= wanted.end;
}

/** Never half of one version and half of another. */
export function changed(): SallyportError {
  return new SallyportError('changed', 'The file changed while it was being read');
}
