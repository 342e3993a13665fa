import type { RemoteFile } from '#dmz/files/file-client.ts';
import type { FileOrder, FileParty } from '#dmz/sftp/files/file-order.ts';
import { FileReader, type ReadRequest } from '#dmz/sftp/files/file-reader.ts';
import { FileWriter, type WriteRequest } from '#dmz/sftp/files/file-writer.ts';
import type { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import type { AttributeChange, Attributes, OpenMode } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';

/**
 * One file handle of an SFTP session: each of its requests takes its place in the order of the file when it comes, and
 * acts when it has its turn in the session's order too. Knows whether closing it makes something visible.
 */
export class OpenFile implements FileParty {
  readonly remote: RemoteFile;
  readonly reader: FileReader;
  readonly writer: FileWriter;
  readonly #mode: OpenMode;
  readonly #order: FileOrder;
  #hasChanged = false;
  #closing: Promise<void> | undefined;
  /** Of a closed file that was read: resolves when main has let go of it. CLOSE is answered before. */
  released: Promise<void> | undefined;

  constructor(remote: RemoteFile, mode: OpenMode, order: FileOrder, slots: StreamSlots) {
    this.remote = remote;
    this.#mode = mode;
    this.#order = order;
    this.reader = new FileReader(remote, slots);
    this.writer = new FileWriter(remote, slots, { appends: mode.append });
    order.join(this);
  }

  get path(): VirtualPath {
    return this.#order.path;
  }

  get mayWrite(): boolean {
    return this.#mode.write;
  }

  read(request: ReadRequest): void {
    if (!this.#mode.read) {
      request.done(notOpenFor('reading'), undefined);
    } else {
      this.#order.read(() => this.reader.read(request));
    }
  }

  write(request: WriteRequest): void {
    if (!this.#mode.write) {
      request.done(notOpenFor('writing'));
    } else {
      this.#order.write(this, () => this.writer.write(request));
    }
  }

  stat(turn: Promise<void>): Promise<Attributes> {
    return this.#order.inTurn(async () => {
      await turn;
      return this.remote.stat();
    });
  }

  change(change: AttributeChange, turn: Promise<void>): Promise<void> {
    this.#hasChanged = true;
    return this.#order.inTurn(async () => {
      await turn;
      this.#order.dropReadAhead();
      await this.writer.endRun();
      await this.remote.change(change);
    });
  }

  sync(turn: Promise<void>): Promise<void> {
    return this.#order.inTurn(async () => {
      await turn;
      if (this.writer.failure !== undefined) throw this.writer.failure;
      await this.remote.sync();
    });
  }

  copyTo(
    target: OpenFile,
    range: { fromOffset: number; lengthBytes: number; toOffset: number },
    turn: Promise<void>,
  ): Promise<number> {
    if (!this.#mode.read || !target.#mode.write) throw notOpenFor('that');
    target.#hasChanged = true;
    const copy = async () => {
      await turn;
      target.#order.dropReadAhead();
      await target.writer.endRun();
      return this.remote.copyRangeTo(target.remote, range);
    };
    const copied = target.#order.inTurn(copy);
    // What comes after on this file must not change what is being copied.
    if (this.#order !== target.#order) void this.#order.inTurn(() => copied.catch(() => undefined));
    return copied;
  }

  /**
   * CLOSE: an upload becomes visible here, unless a write of it failed; then it stays a partial one and the client is
   * told once more.
   */
  close(turn: Promise<void>): Promise<void> {
    this.#closing = this.#order
      .inTurn(async () => {
        await turn;
        // Its READs are answered by now.
        this.reader.dropReadAhead();
        // A client closes when it has what it asked for, and need not wait until main has noted so.
        if (!this.#mode.write) {
          this.released = this.remote.release({ taken: this.reader.served });
          return;
        }
        // Every byte is acknowledged by now, so main need not have seen the stream's end before it stores them.
        void this.writer.endRun();
        const { failure } = this.writer;
        if (failure !== undefined) {
          await this.remote.release({ keepPartial: true });
          throw failure;
        }
        const isUpload =
          this.remote.created || this.#mode.truncate || this.writer.hasWritten || this.#hasChanged;
        if (isUpload) await this.remote.commit();
        else await this.remote.release();
      })
      .finally(() => this.#order.leave(this));
    return this.#closing;
  }

  /** The connection is gone: nothing becomes visible; what was uploaded so far can be resumed. */
  async abandon(): Promise<void> {
    if (this.#closing !== undefined) {
      await this.#closing.catch(() => undefined);
      return;
    }
    this.reader.stop(closed());
    this.writer.stop(closed());
    this.#order.leave(this);
    await this.remote.release({ keepPartial: this.#mode.write, cut: true });
  }
}

function closed(): SallyportError {
  return new SallyportError('bad-handle', 'The file is closed');
}

/** EBADF, which OpenSSH puts into the same word as a missing file. */
function notOpenFor(what: string): SallyportError {
  return new SallyportError('not-found', `Not open for ${what}`);
}
