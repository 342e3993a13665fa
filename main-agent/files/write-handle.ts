/**
 * A file open for writing. All that happens to it happens one after the other, by whichever handle of it, so that
 * overlapping writes keep their order whatever lane they came on, and a commit sees all that was written before it.
 */
import type { SallyportError } from '#shared/error.ts';
import type { AttributeChange, Precondition } from '#shared/file-service/attributes.ts';
import { requireComponents, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import { badHandle, denied, toFileError } from './storage/file-error.ts';
import { inPlaceDigestBytesMax } from './limits.ts';
import type { Located } from './mounts.ts';
import { type Account, isOwnFolder } from './quota.ts';
import {
  lengthOf,
  type BinOrder,
  type Committed,
  type CommitRules,
  type Ending,
  type Stored,
  type StoredFile,
  type Upload,
} from './storage/storage.ts';
import { StreamSet } from './stream-set.ts';
import { type Digest, UploadDigest } from './upload-digest.ts';

interface CommitRequest {
  readonly mayReplace: boolean;
  readonly mayCreate: boolean;
  readonly keptVersionBytesMax: number;
  readonly bin?: BinOrder | undefined;
  readonly precondition?: Precondition;
  readonly mtimeMs?: number;
}

export interface CommitOutcome extends Committed {
  readonly digest: Digest;
}

export class WriteHandle {
  readonly kind = 'write';
  located: Located;
  readonly streams = new StreamSet();
  readonly upload: Upload;
  /** Since it was opened, for admins who look. */
  writtenBytes = 0;
  /** Anything of the file, by this handle. */
  hasChanged = false;
  /** Why something of it could not be written. */
  failure: SallyportError | undefined;
  readonly #account: Account;
  readonly #limitBytes: () => number | undefined;
  readonly #digest: UploadDigest;
  /** Mode and times the client asked for: set again at the commit, since each write changes the times. */
  #wished: AttributeChange = {};
  /** Reserved for what it grew by while it had no name. */
  #namelessBytes = 0;
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
    this.#digest = new UploadDigest(upload);
    if (upload.atomic) upload.shared.heldBytes = upload.initialSize;
    else this.#grew(-upload.freedBytes, 0);
    this.#wished = withoutSize(wished);
  }

  /** Whether it will have its name, and nobody else sees it before. */
  get isByName(): boolean {
    const { atomic, record } = this.upload;
    return !this.#isOver && atomic && record.resumable === undefined && record.unlinked !== true;
  }

  /** Where it will appear, as its user sees it. */
  get path(): VirtualPath {
    return requireComponents(this.upload.record.virtualPath);
  }

  get size(): number {
    return this.upload.size;
  }

  /** `position` undefined: at the end, whatever that is when its turn comes; so is every write of a handle that appends. */
  write(pieces: readonly Uint8Array[], position: number | undefined): Promise<void> {
    const { upload } = this;
    const bytes = lengthOf(pieces);
    return this.#changeInTurn(async () => {
      this.hasChanged = true;
      const isAppended = upload.record.append || position === undefined;
      // Programs on main's host may write to a file too.
      if (isAppended && upload.shared.visibility === 'visible') await upload.stat();
      const at = isAppended ? upload.size : position;
      await this.#counted(Math.max(upload.size, at + bytes), async () => {
        try {
          const written = isAppended ? upload.append(pieces) : upload.write(pieces, at);
          // Meanwhile the disk works, in a thread of its own.
          this.#digest.writes(pieces, at);
          await written;
        } catch (error) {
          this.#digest.failed();
          throw error;
        }
      });
      this.writtenBytes += bytes;
    });
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    if (!this.upload.record.readable) throw denied('opened for writing only');
    return this.#inTurn(() => this.upload.read(buffers, position));
  }

  change(change: AttributeChange): Promise<void> {
    return this.#changeInTurn(async () => {
      this.hasChanged = true;
      if (change.size !== undefined) this.#digest.truncated(change.size);
      const size = change.size ?? this.upload.size;
      await this.#counted(size, () => this.upload.change(change, this.#keptVersionBytesMax));
      this.#wished = { ...this.#wished, ...withoutSize(change) };
    });
  }

  /** The bytes as they are, for reading beside the writing. Undefined where it was closed meanwhile. */
  openBeside(): Promise<StoredFile | undefined> {
    return this.ifOpen(() => this.upload.openBeside());
  }

  stat(): Promise<Stored> {
    return this.#inTurn(() => this.#stat());
  }

  async #stat(): Promise<Stored> {
    return { ...(await this.upload.stat()), ...timesOf(this.#wished) };
  }

  /** Undefined where it was closed meanwhile. */
  statIfOpen(): Promise<Stored | undefined> {
    return this.ifOpen(() => this.#stat());
  }

  sync(): Promise<void> {
    return this.#changeInTurn(() => this.upload.sync());
  }

  /** Rejected: nothing was made visible, and the handle is still to be ended. */
  commit(request: CommitRequest): Promise<CommitOutcome> {
    return this.#inTurn(async () => {
      const isKept = this.upload.atomic && this.upload.record.unlinked !== true;
      const digest = await this.#digest.finish(isKept ? Infinity : inPlaceDigestBytesMax);
      const { mtimeMs, precondition, ...rules } = request;
      const change = { ...this.#wished, ...(mtimeMs !== undefined && { mtimeMs }) };
      const commitRules: CommitRules = {
        ...rules,
        change,
        ...(precondition !== undefined && { precondition }),
      };
      const committed = await this.upload.commit(commitRules);
      this.#isOver = true;
      this.#releaseNameless();
      if (this.upload.record.unlinked === true) this.#account.release(this.#takeHeldBytes());
      else if (this.upload.atomic) {
        this.#account.committed(this.#takeHeldBytes(), committed.replacedBytes, this.#sharedId);
      }
      this.streams.stopAll();
      return { ...committed, digest };
    });
  }

  /** `reason` is what running streams are told. */
  async end(how: Ending, reason?: SallyportError): Promise<void> {
    this.streams.stopAll(reason);
    await this.upload.shared.turns.run(async () => {
      if (this.#isOver) return;
      this.#isOver = true;
      try {
        await this.upload[how]();
      } finally {
        this.#releaseNameless();
        if (this.upload.atomic) this.#account.release(this.#takeHeldBytes());
      }
    });
  }

  /** In turn with all that happens to the file. Undefined where it was closed meanwhile. */
  ifOpen<T>(act: () => Promise<T>): Promise<T | undefined> {
    return this.upload.shared.turns.run(() => (this.#isOver ? Promise.resolve(undefined) : act()));
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    return this.upload.shared.turns.run(() => {
      if (this.#isOver) throw badHandle('released');
      return act();
    });
  }

  #changeInTurn(act: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await act();
      } catch (error) {
        this.failure ??= toFileError(error);
        throw error;
      }
    });
  }

  /**
   * Reserves what a file will grow by before the bytes go to the disk, so that no number of writers at once gets past a
   * quota. What is staged stays reserved until the commit; a file that is written in place has grown at once, whoever
   * else has it open; what has no name is in no folder that is measured, and stays reserved until the handle is closed.
   */
  async #counted(size: number, act: () => Promise<void>): Promise<void> {
    const { shared } = this.upload;
    const isNameless = size !== shared.size && (await this.#isNameless());
    const before = shared.size;
    const reservedBytes = Math.max(0, size - before);
    this.#account.reserve(reservedBytes, this.#limitBytes());
    try {
      await act();
    } finally {
      const bytes = shared.size - before;
      if (isNameless) this.#grewNameless(bytes, reservedBytes);
      else this.#grew(bytes, reservedBytes);
    }
  }

  /** Whoever removed the name of a stored file, or gave it to another one, freed its bytes with it. */
  async #isNameless(): Promise<boolean> {
    const { visibility } = this.upload.shared;
    if (visibility === 'visible') return (await this.upload.stat()).links === 0;
    return visibility === 'unlinked';
  }

  #grew(bytes: number, reservedBytes: number): void {
    const { shared } = this.upload;
    if (shared.visibility === 'staged') {
      this.#account.release(reservedBytes - bytes);
      shared.heldBytes += bytes;
    } else this.#account.grew(bytes, reservedBytes, this.#sharedId);
  }

  #grewNameless(bytes: number, reservedBytes: number): void {
    const before = this.#namelessBytes;
    this.#namelessBytes = Math.max(0, before + bytes);
    this.#account.release(reservedBytes - (this.#namelessBytes - before));
  }

  #releaseNameless(): void {
    this.#account.release(this.#namelessBytes);
    this.#namelessBytes = 0;
  }

  #takeHeldBytes(): number {
    const { heldBytes } = this.upload.shared;
    this.upload.shared.heldBytes = 0;
    return heldBytes;
  }

  get #keptVersionBytesMax(): number {
    return Math.max(0, (this.#limitBytes() ?? Number.MAX_SAFE_INTEGER) - this.#account.usedBytes);
  }

  /** Under which a file counts that is not in a folder of the user's own. */
  get #sharedId(): string | undefined {
    const { mounted } = this.located;
    const { shared, record } = this.upload;
    return mounted !== undefined && isOwnFolder(mounted.mount, record.user) ? undefined : shared.id;
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
