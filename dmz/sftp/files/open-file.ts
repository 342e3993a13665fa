import type { RemoteFile } from '#dmz/files/file-client.ts';
import { FileReader, type ReadRequest } from '#dmz/sftp/files/file-reader.ts';
import { FileWriter, type WriteRequest } from '#dmz/sftp/files/file-writer.ts';
import type { AttributeChange, Attributes, OpenMode } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';

/**
 * One file handle of an SFTP session: keeps its requests in an order in which each sees what came before it, and knows
 * whether closing it makes something visible.
 */
export class OpenFile {
  readonly path: VirtualPath;
  readonly remote: RemoteFile;
  readonly #mode: OpenMode;
  readonly #reader: FileReader;
  readonly #writer: FileWriter;
  #hasChanged = false;
  #isClosing = false;
  /** Operations that must see all before them run one after the other, in order of arrival. */
  #queue: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor(path: VirtualPath, remote: RemoteFile, mode: OpenMode) {
    this.path = path;
    this.remote = remote;
    this.#mode = mode;
    this.#reader = new FileReader(remote);
    this.#writer = new FileWriter(remote, { appends: mode.append });
  }

  read(request: ReadRequest): void {
    if (!this.#mode.read) {
      request.done(new SallyportError('permission-denied', 'Not open for reading'), undefined);
    } else if (this.#queued > 0 || !this.#writer.isIdle) {
      void this.#enqueue(() => this.#reader.read(request));
    } else {
      this.#reader.read(request);
    }
  }

  write(request: WriteRequest): void {
    if (!this.#mode.write) {
      request.done(new SallyportError('permission-denied', 'Not open for writing'));
    } else if (this.#queued > 0 || !this.#reader.isIdle) {
      void this.#enqueue(() => this.#writeNow(request));
    } else {
      this.#writeNow(request);
    }
  }

  #writeNow(request: WriteRequest): void {
    // What was read ahead may be what is being overwritten.
    if (this.#mode.read) this.#reader.stop(new SallyportError('changed', 'The file was written to'));
    this.#writer.write(request);
  }

  stat(): Promise<Attributes> {
    return this.#enqueue(() => this.remote.stat());
  }

  change(change: AttributeChange): Promise<void> {
    this.#hasChanged = true;
    return this.#enqueue(async () => {
      await this.#writer.endRun();
      await this.remote.change(change);
    });
  }

  sync(): Promise<void> {
    return this.#enqueue(() => {
      if (this.#writer.failure !== undefined) throw this.#writer.failure;
      return this.remote.sync();
    });
  }

  copyTo(
    target: OpenFile,
    range: { fromOffset: number; lengthBytes: number; toOffset: number },
  ): Promise<number> {
    if (!this.#mode.read || !target.#mode.write)
      throw new SallyportError('permission-denied', 'Not open for that');
    target.#hasChanged = true;
    // What came before on this handle, without holding its queue: two handles may be copied into each other.
    const before = this.#enqueue(() => undefined);
    return target.#enqueue(async () => {
      if (target !== this) await before;
      await target.#writer.endRun();
      return this.remote.copyRangeTo(target.remote, range);
    });
  }

  /**
   * CLOSE: an upload becomes visible here, unless a write of it failed; then it stays a partial one and the client is
   * told once more.
   */
  close(): Promise<void> {
    this.#isClosing = true;
    return this.#enqueue(async () => {
      this.#reader.stop(closed());
      if (!this.#mode.write) return this.remote.release();
      await this.#writer.endRun();
      const { failure } = this.#writer;
      if (failure !== undefined) {
        await this.remote.release({ keepPartial: true });
        throw failure;
      }
      const isUpload =
        this.remote.created || this.#mode.truncate || this.#writer.hasWritten || this.#hasChanged;
      if (isUpload) await this.remote.commit();
      else await this.remote.release();
    });
  }

  /** The connection is gone: nothing becomes visible; what was uploaded so far can be resumed. */
  async abandon(): Promise<void> {
    if (this.#isClosing) {
      await this.#queue;
      return;
    }
    this.#isClosing = true;
    this.#reader.stop(closed());
    this.#writer.stop(closed());
    await this.remote.release({ keepPartial: this.#mode.write });
  }

  #enqueue<T>(action: () => T | Promise<T>): Promise<T> {
    this.#queued += 1;
    const result = this.#queue.then(async () => {
      await this.#reader.settled();
      await this.#writer.settled();
      return action();
    });
    this.#queue = result.then(
      () => this.#leaveQueue(),
      () => this.#leaveQueue(),
    );
    return result;
  }

  #leaveQueue(): void {
    this.#queued -= 1;
  }
}

function closed(): SallyportError {
  return new SallyportError('bad-handle', 'The file is closed');
}
