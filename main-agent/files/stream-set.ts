import type { SallyportError } from '#shared/error.ts';

export interface RunningStream {
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

  stopAll(error: SallyportError): void {
    for (const stream of this.#running) stream.stop(error);
    this.#running.clear();
  }
}
