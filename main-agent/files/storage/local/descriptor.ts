/**
 * An open file or folder by its number. Node's own FileHandle costs twice as much for each call, which is most of what a
 * small download costs; what it does besides is wait at close for calls that are still running. Holders of a descriptor
 * do that themselves: nothing may be pending when it is closed, for its number may be another file's by then.
 */
import {
  close,
  fstat,
  fstatSync,
  fsync,
  ftruncate,
  open,
  readv,
  writev,
  type BigIntStats,
  type PathLike,
} from 'node:fs';

/** Node's function by its name each time, so that tests can play a disk that fails. */
function call<T = void>(act: (done: (error: Error | null, result: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    act((error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}

export class Descriptor {
  /** The kernel knows what it is asked of it without asking a disk: see `FolderHandle.learn`. */
  isQuick = false;
  #number: number;

  private constructor(number: number) {
    this.#number = number;
  }

  static async open(path: PathLike, flags: number, mode?: number): Promise<Descriptor> {
    return new Descriptor(await call((done) => open(path, flags, mode, done)));
  }

  get number(): number {
    return this.#number;
  }

  /**
   * The kernel's name for what is open: changes of mode and times go to that very file, whatever its own name is now, and
   * names below it are looked up in that very folder.
   */
  get path(): string {
    return `/proc/self/fd/${this.#number}`;
  }

  async stat(): Promise<BigIntStats> {
    if (this.isQuick) return fstatSync(this.#number, { bigint: true });
    return call((done) => fstat(this.#number, { bigint: true }, done));
  }

  /** Bytes read; may be fewer than asked. */
  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return call((done) => readv(this.#number, [...buffers], position, done));
  }

  /** Bytes written; may be fewer than asked. */
  write(pieces: readonly Uint8Array[], position: number): Promise<number> {
    return call((done) => writev(this.#number, [...pieces], position, done));
  }

  truncate(size: number): Promise<void> {
    return call((done) => ftruncate(this.#number, size, done));
  }

  sync(): Promise<void> {
    return call((done) => fsync(this.#number, done));
  }

  /** Once; afterwards every call fails with EBADF instead of meeting somebody else's file. */
  async close(): Promise<void> {
    const number = this.#number;
    if (number === -1) return;
    this.#number = -1;
    await call((done) => close(number, done));
  }
}
