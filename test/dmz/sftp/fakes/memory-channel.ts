import type { ByteChannel } from '#dmz/sftp/byte-channel.ts';
import { WireReader, WireWriter } from '#dmz/sftp/wire.ts';

export interface Reply {
  readonly type: number;
  readonly id: number;
  readonly reader: WireReader;
}

/** The client's end of a channel, in memory: sends requests, keeps what came back. */
export class MemoryChannel implements ByteChannel {
  onData: ByteChannel['onData'] = () => undefined;
  onEnd: ByteChannel['onEnd'] = () => undefined;
  onClose: ByteChannel['onClose'] = () => undefined;
  onDrain: ByteChannel['onDrain'] = () => undefined;
  consumedBytes = 0;
  sentBytes = 0;
  hasEnded = false;
  /** While true, what is written stays queued. */
  isBlocked = false;
  queuedBytes = 0;
  /** The session writes whole packets. */
  readonly #replies: Buffer[] = [];
  #nextReply = 0;
  #blocked: (() => void)[] = [];
  #waiting: (() => void)[] = [];
  #id = 0;

  consumed(bytes: number): void {
    this.consumedBytes += bytes;
  }

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const pass = () => {
      this.#replies.push(Buffer.concat(pieces));
      sent?.();
      for (const wake of this.#waiting.splice(0)) wake();
    };
    if (!this.isBlocked) {
      pass();
      return;
    }
    this.queuedBytes += bytes;
    this.#blocked.push(() => {
      this.queuedBytes -= bytes;
      pass();
    });
  }

  unblock(): void {
    this.isBlocked = false;
    for (const pass of this.#blocked.splice(0)) pass();
    this.onDrain();
  }

  end(): void {
    this.hasEnded = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  // — the client —

  sendRaw(bytes: Buffer): void {
    this.sentBytes += bytes.length;
    this.onData(bytes);
  }

  sendPacket(body: Buffer): void {
    this.sendRaw(new WireWriter().string(body).finish());
  }

  /** Sends a request with a fresh id, which it returns. */
  request(type: number, fill: (writer: WireWriter) => WireWriter): number {
    this.#id += 1;
    this.sendPacket(fill(new WireWriter().byte(type).uint32(this.#id)).finish());
    return this.#id;
  }

  async reply(): Promise<Reply> {
    for (;;) {
      const packet = this.#replies[this.#nextReply];
      if (packet !== undefined) {
        this.#nextReply += 1;
        if (packet.readUInt32BE(0) !== packet.length - 4) throw new Error('wrong packet length');
        const reader = new WireReader(packet, 4);
        const type = reader.byte();
        return { type, id: reader.uint32(), reader };
      }
      if (this.hasEnded) throw new Error('the channel ended');
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  async ended(): Promise<void> {
    while (!this.hasEnded)
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
  }

  get unreadReplies(): number {
    return this.#replies.length - this.#nextReply;
  }
}
