/**
 * The raw bytes of one channel, as an SFTP session uses them: so much of SSH and no more. Implemented by
 * `channels/channel.ts`; tests use one in memory.
 */
export interface ByteChannel {
  /** The client's bytes, in order. The buffer is the receiver's to keep; `consumed` gives the window back. */
  onData: (bytes: Buffer) => void;
  /** The client will send no more. */
  onEnd: () => void;
  /** The channel or its connection is gone, whoever ended it. Called once. */
  onClose: () => void;
  /** Less is queued than before; look at `queuedBytes` again. */
  onDrain: () => void;

  /** So many of the received bytes are dealt with: the client may send as many more. */
  consumed(bytes: number): void;
  /** Queues bytes; they must stay untouched until `sent` is called (exactly once, also when the channel dies). */
  write(pieces: readonly Uint8Array[], sent?: () => void): void;
  readonly queuedBytes: number;
  /** Sends what is queued, then ends the channel well. */
  end(): void;
}
