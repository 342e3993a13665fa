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

/** By the name each time, so that tests can play a disk that fails. */
function call(act: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => {
      if (error === null) resolve();
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

  static open(path: PathLike, flags: number, mode?: number): Promise<Descriptor> {
    return new Promise((resolve, reject) => {
      open(path, flags, mode, (error, number) => {
        if (error === null) resolve(new Descriptor(number));
        else reject(error);
      });
    });
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
    return new Promise((resolve, reject) => {
      fstat(this.#number, { bigint: true }, (error, stats) => {
        if (error === null) resolve(stats);
        else reject(error);
      });
    });
  }

  /** Bytes read; may be fewer than asked. */
  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      readv(this.#number, [...buffers], position, (error, bytes) => {
        if (error === null) resolve(bytes);
        else reject(error);
      });
    });
  }

  /** Bytes written; may be fewer than asked. */
  write(pieces: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      writev(this.#number, [...pieces], position, (error, bytes) => {
        if (error === null) resolve(bytes);
        else reject(error);
      });
    });
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
