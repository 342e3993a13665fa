/**
 * What the control session needs of a connection, in three methods, so that tests need no socket. `ws-transport.ts` is
 * a WebSocket.
 */
export interface MessageTransport {
  /** Call once. Nothing arrives before it. */
  start(receiver: MessageReceiver): void;
  /** Sends one message, in order. After the connection is lost it does nothing. */
  send(message: string): void;
  /** Ends the connection now. `onClose` follows unless it already came. */
  close(reason: string): void;
  /** Bytes accepted by `send` that the kernel does not have yet. */
  readonly queuedBytes: number;
}

export interface MessageReceiver {
  /** One whole message as it came, at most `controlMessageBytesMax` bytes. */
  onMessage(message: Buffer): void;
  /** Once; nothing is called after it. */
  onClose(reason: string): void;
}
