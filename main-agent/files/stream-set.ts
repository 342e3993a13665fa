import type { SallyportError } from '#shared/error.ts';
import { badHandle } from './storage/file-error.ts';

export interface RunningStream {
  /** Bytes it has sent so far; 0 for one that receives. */
  readonly sentBytes: number;
  /** Ends it and tells the peer why. */
  stop(error: SallyportError): void;
}

/** The streams that run on one handle. Bounded by the streams a link lets a session have. */
export class StreamSet {
  readonly #running = new Set<RunningStream>();

  add(stream: RunningStream): void {
    this.#running.add(stream);
  }

  remove(stream: RunningStream): void {
    this.#running.delete(stream);
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  get runningBytes(): number {
    let bytes = 0;
    for (const stream of this.#running) bytes += stream.sentBytes;
    return bytes;
  }

  /** By default because the handle was let go of. */
  stopAll(reason?: SallyportError): void {
    if (this.#running.size === 0) return;
    const error = reason ?? badHandle('released');
    for (const stream of this.#running) stream.stop(error);
    this.#running.clear();
  }
}
