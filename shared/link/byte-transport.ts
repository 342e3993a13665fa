/**
 * What a lane needs of a connection, in three methods, so that tests need no socket. `socket-transport.ts` is TLS.
 */
export interface ByteTransport {
  /** Call once. Nothing arrives before it. */
  start(receiver: ByteReceiver): void;
  /**
   * Sends bytes in order. They must stay untouched until `done` is called: once, later, also when the connection is
   * lost.
   */
  write(bytes: Uint8Array, done: () => void): void;
  /** More is likely to come at once; `onQuiet` follows soon. Absent: never known. */
  readonly isBusy?: boolean;
  /** Ends the connection now. `onClose` follows unless it already came. */
  close(reason: string): void;
}

export interface ByteReceiver {
  /** The first `length` bytes of `bytes` arrived; the buffer is used again after the call. */
  onBytes(bytes: Buffer, length: number): void;
  /** The transport `isBusy` no longer. */
  onQuiet?(): void;
  /** Once; nothing is called after it but `done` of writes. */
  onClose(reason: string): void;
}
