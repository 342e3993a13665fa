import type { SallyportError } from '#shared/error.ts';

/**
 * One stream of bytes on a data lane, as both ends hold it. Implemented in `streams.ts`.
 *
 * Flow control is credit: the sender may have at most the window outstanding; the receiver gives credit back by
 * calling `release` for each piece it has really dealt with. A receiver that holds on to pieces therefore stops its
 * own stream and nobody else's, and never holds more than the window.
 *
 * Handlers are set by the owner right after it gets the stream and are called from the event loop, never re-entrantly
 * from `write`.
 */
export interface LaneStream {
  readonly id: number;

  /**
   * Queues bytes (any length; cut into frames inside). The bytes are not copied and must stay untouched until `sent`
   * is called. False: more than the high-water mark is queued, wait for `onDrain`.
   */
  write(bytes: Uint8Array, sent?: () => void): boolean;
  /** No more bytes from this side. `trailer` ≤ 4 KiB of JSON-able facts for the other side. */
  end(trailer?: Readonly<Record<string, unknown>>): void;
  /** Ends both directions at once and tells the peer why. Safe to call twice. */
  reset(error: SallyportError): void;

  /** Bytes queued here and not yet on the wire. */
  readonly queuedBytes: number;
  /** Bytes of this side's sending that the peer has dealt with: for a write stream, main's kernel has them. */
  readonly acknowledgedBytes: number;

  /** A piece arrived. Call `release` exactly once when done with `bytes`; the buffer is reused afterwards. */
  onData: (bytes: Buffer, release: () => void) => void;
  onEnd: (trailer: Readonly<Record<string, unknown>>) => void;
  /** Reset by the peer, or the lane died (`link-down`). After it nothing else is called. */
  onReset: (error: SallyportError) => void;
  onDrain: () => void;
  /** `acknowledgedBytes` has grown. */
  onAcknowledged: (acknowledgedBytes: number) => void;
}
