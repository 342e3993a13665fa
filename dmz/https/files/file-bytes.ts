import type { RemoteFile } from '#dmz/files/file-client.ts';
import { isSallyportError, SallyportError, toSallyportError } from '#shared/error.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import { recoveriesMax } from '#dmz/https/limits.ts';
import type { ByteRange } from './range.ts';

/**
 * A range of an open file, from main's lane to whoever wants it. A lost link is a pause: the stream is taken up where it
 * broke off, if the file is still the same.
 */
export class FileBytes implements ByteSource {
  readonly #file: RemoteFile;
  readonly #to: ByteReceiver;
  #offset: number;
  #leftBytes: number;
  #stream: LaneStream | undefined;
  #recoveries = 0;
  #isOver = false;
  /** Not by its end: what is given back from then on was not taken. */
  #isBroken = false;

  constructor(file: RemoteFile, range: ByteRange, to: ByteReceiver) {
    this.#file = file;
    this.#to = to;
    this.#offset = range.offset;
    this.#leftBytes = range.lengthBytes;
  }

  start(): void {
    let stream: LaneStream;
    try {
      stream = this.#file.readStream({ offset: this.#offset, lengthBytes: this.#leftBytes });
    } catch (error) {
      this.#onLost(toSallyportError(error));
      return;
    }
    this.#stream = stream;
    stream.onData = (bytes, release) => this.#pass(bytes, release);
    stream.onEnd = () => {
      if (this.#leftBytes > 0) this.#fail(changed('fewer bytes than announced'));
      else if (this.#settle()) this.#to.onEnd();
    };
    stream.onReset = (error) => this.#onLost(error);
  }

  /** Nobody wants the rest. */
  stop(error: SallyportError): void {
    this.#isBroken = true;
    if (this.#settle()) this.#stream?.reset(error);
  }

  #pass(bytes: Buffer, release: () => void): void {
    if (this.#isOver || bytes.length > this.#leftBytes) {
      release();
      this.#fail(changed('more bytes than announced'));
      return;
    }
    this.#recoveries = 0;
    this.#offset += bytes.length;
    this.#leftBytes -= bytes.length;
    const { length } = bytes;
    const end = this.#offset;
    this.#to.onData(bytes, () => {
      if (!this.#isBroken) this.#file.noteTaken(length, end);
      release();
    });
  }

  #onLost(error: SallyportError): void {
    this.#stream = undefined;
    this.#recoveries += 1;
    if (!isSallyportError(error, 'link-down') || this.#recoveries > recoveriesMax) this.#fail(error);
    else void this.#recover();
  }

  /** The link parks us until main and a lane are back, or gives up for us. */
  async #recover(): Promise<void> {
    try {
      const { etag } = await this.#file.resume();
      if (etag !== this.#file.attributes.etag) throw changed('another version after a lost link');
      if (!this.#isOver) this.start();
    } catch (error) {
      this.#fail(toSallyportError(error));
    }
  }

  #fail(error: SallyportError): void {
    if (!this.#settle()) return;
    this.#isBroken = true;
    this.#stream?.reset(error);
    this.#to.onError(error);
  }

  #settle(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    return true;
  }
}

/** What a download is made of. After `stop` its receiver hears nothing more. */
export interface ByteSource {
  start(): void;
  stop(error: SallyportError): void;
}

export interface ByteReceiver {
  /** Call `release` exactly once when done with `bytes`; so much credit is main given to go on. */
  onData(bytes: Buffer, release: () => void): void;
  onEnd(): void;
  onError(error: SallyportError): void;
}

function changed(detail: string): SallyportError {
  return new SallyportError('changed', 'The file has changed', { detail });
}
