/**
 * A file open for writing. All that happens to it happens one after the other, so that overlapping writes keep their
 * order whatever lane they came on, and a commit sees all that was written before it.
 */
import { Serial } from '#main-agent/serial.ts';
import type { SallyportError } from '#shared/error.ts';
import type { AttributeChange, Precondition } from '#shared/file-service/attributes.ts';
import { badHandle, denied } from './file-error.ts';
import type { Ending } from './handles.ts';
import type { Located } from './mounts.ts';
import { type Account, isOwnFolder } from './quota.ts';
import type { Committed, CommitRules, Stored, Upload } from './storage/storage.ts';
import { StreamSet } from './stream-set.ts';
import { UploadDigest } from './upload-digest.ts';

export interface CommitRequest {
  readonly mayReplace: boolean;
  readonly mayCreate: boolean;
  readonly keptVersionBytesMax: number;
  readonly precondition?: Precondition;
  readonly mtimeMs?: number;
}

export interface CommitOutcome extends Committed {
  readonly sha256: string;
  /** False: the digest was made by reading the file before the commit. */
  readonly streamed: boolean;
}

export class WriteHandle {
  readonly kind = 'write';
  readonly located: Located;
  readonly streams = new StreamSet();
  readonly upload: Upload;
  /** Since it was opened, for admins who look. */
  writtenBytes = 0;
  readonly #account: Account;
  readonly #limitBytes: () => number | undefined;
  readonly #serial = new Serial();
  readonly #digest: UploadDigest;
  /** Mode and times the client asked for: set again at the commit, since each write changes the times. */
  #wished: AttributeChange = {};
  /** Bytes on the disk before it, which the account has elsewhere: those of a file that is written in place. */
  readonly #baseBytes: number;
  /** What the account holds for it. */
  #countedBytes: number;
  #isOver = false;

  /** The initial bytes of an atomic upload are already reserved. */
  constructor(
    upload: Upload,
    located: Located,
    account: Account,
    limitBytes: () => number | undefined,
    wished: AttributeChange = {},
  ) {
    this.upload = upload;
    this.located = located;
    this.#account = account;
    this.#limitBytes = limitBytes;
    this.#digest = new UploadDigest(upload.initialSize);
    this.#baseBytes = upload.atomic ? 0 : upload.initialSize;
    this.#countedBytes = upload.initialSize - this.#baseBytes;
    this.#wished = withoutSize(wished);
  }

  get size(): number {
    return this.upload.size;
  }

  /** `position` undefined: at the end, whatever that is when its turn comes. */
  write(pieces: readonly Uint8Array[], position: number | undefined): Promise<void> {
    return this.#inTurn(async () => {
      const at = position ?? this.upload.size;
      const end = pieces.reduce((bytes, piece) => bytes + piece.byteLength, at);
      this.#count(Math.max(end, this.upload.size));
      try {
        const written = this.upload.write(pieces, at);
        // Meanwhile the disk works, in a thread of its own.
        this.#digest.writes(pieces, at);
        await written;
      } catch (error) {
        this.#digest.failed();
        throw error;
      } finally {
        this.#countedAsWritten();
      }
      this.writtenBytes += end - at;
    });
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    if (!this.upload.record.readable) throw denied('opened for writing only');
    return this.#inTurn(() => this.upload.read(buffers, position));
  }

  change(change: AttributeChange): Promise<void> {
    return this.#inTurn(async () => {
      if (change.size !== undefined) {
        this.#count(change.size);
        this.#digest.truncated(change.size);
      }
      try {
        await this.upload.change(change);
      } finally {
        this.#countedAsWritten();
      }
      this.#wished = { ...this.#wished, ...withoutSize(change) };
    });
  }

  stat(): Promise<Stored> {
    return this.#inTurn(async () => ({ ...(await this.upload.stat()), ...timesOf(this.#wished) }));
  }

  sync(): Promise<void> {
    return this.#inTurn(() => this.upload.sync());
  }

  /** Rejected: nothing was made visible, and the handle is still to be ended. */
  commit(request: CommitRequest): Promise<CommitOutcome> {
    return this.#inTurn(async () => {
      const { hex, streamed } = await this.#digest.finish(this.upload);
      const { mtimeMs, precondition, ...rules } = request;
      const change = { ...this.#wished, ...(mtimeMs !== undefined && { mtimeMs }) };
      const commitRules: CommitRules = {
        ...rules,
        change,
        ...(precondition !== undefined && { precondition }),
      };
      const committed = await this.upload.commit(commitRules);
      this.#isOver = true;
      const { attributes, replacedBytes } = committed;
      this.#account.committed(this.#countedBytes, replacedBytes, this.#sharedId(attributes.id));
      this.streams.stopAll();
      return { ...committed, sha256: hex, streamed };
    });
  }

  /** `reason` is what running streams are told. */
  async end(how: Ending, reason?: SallyportError): Promise<void> {
    this.streams.stopAll(reason);
    await this.#serial.run(async () => {
      if (this.#isOver) return;
      this.#isOver = true;
      try {
        await this.upload[how]();
      } finally {
        // What was written in place is there, finished or not.
        if (this.upload.atomic) this.#account.release(this.#countedBytes);
        else this.#account.committed(this.#countedBytes, 0, this.#sharedId(this.upload.record.id));
      }
    });
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    return this.#serial.run(() => {
      if (this.#isOver) throw badHandle('released');
      return act();
    });
  }

  /** Reserves before the bytes go to the disk, so that no number of uploads at once gets past a quota. */
  #count(size: number): void {
    const growthBytes = size - this.#baseBytes - this.#countedBytes;
    if (growthBytes <= 0) return;
    this.#account.reserve(growthBytes, this.#limitBytes());
    this.#countedBytes += growthBytes;
  }

  #countedAsWritten(): void {
    const bytes = Math.max(0, this.upload.size - this.#baseBytes);
    this.#account.release(this.#countedBytes - bytes);
    this.#countedBytes = bytes;
  }

  /** Under which a file counts that is not in a folder of the user's own. */
  #sharedId(id: string): string | undefined {
    const { mounted } = this.located;
    return mounted !== undefined && isOwnFolder(mounted.mount, this.upload.record.user) ? undefined : id;
  }
}

function withoutSize({ mode, mtimeMs, atimeMs }: AttributeChange): AttributeChange {
  return {
    ...(mode !== undefined && { mode }),
    ...(mtimeMs !== undefined && { mtimeMs }),
    ...(atimeMs !== undefined && { atimeMs }),
  };
}

function timesOf({ mtimeMs, atimeMs }: AttributeChange): Pick<AttributeChange, 'mtimeMs' | 'atimeMs'> {
  return { ...(mtimeMs !== undefined && { mtimeMs }), ...(atimeMs !== undefined && { atimeMs }) };
}
