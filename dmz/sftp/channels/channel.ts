import type { ByteChannel } from '#dmz/sftp/byte-channel.ts';
import { channelPacketBytesMax, channelWindowBytes, windowAdjustBytes } from '#dmz/sftp/limits.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';

/** What a channel needs of the connection below it. */
export interface ChannelCarrier {
  readonly isWritable: boolean;
  send(payload: Buffer): void;
  sendFilled(length: number, fill: (packet: Buffer, start: number) => void): void;
}

interface Queued {
  readonly pieces: readonly Uint8Array[];
  readonly sent: (() => void) | undefined;
}

/**
 * One session channel (RFC 4254 §5): window both ways, packets, end.
 *
 * Outgoing bytes are gathered: what is written within one tick is cut into full packets, each filled straight into the
 * memory it is encrypted from.
 *
 * Trust: the client says how large its window and packets are; both are bounded by ours. Bytes beyond the window we
 * gave are a breach of protocol.
 */
export class Channel implements ByteChannel {
  onData: (bytes: Buffer) => void = () => undefined;
  onEnd: () => void = () => undefined;
  onClose: () => void = () => undefined;
  onDrain: () => void = () => undefined;
  /** Both sides have closed; the number may be used again. */
  onGone: () => void = () => undefined;

  readonly #carrier: ChannelCarrier;
  readonly #remoteId: number;
  readonly #packetBytes: number;
  #remoteWindow: number;
  #localWindow = channelWindowBytes;
  #credit = 0;
  readonly #queue: Queued[] = [];
  /** Where in the first entry of the queue we are. */
  #piece = 0;
  #offset = 0;
  #queuedBytes = 0;
  #isFlushing = false;
  #isEnding = false;
  #exitStatus = 0;
  #hasSentClose = false;
  #hasReceivedEnd = false;
  #hasReceivedClose = false;

  constructor(
    carrier: ChannelCarrier,
    remote: { readonly id: number; readonly window: number; readonly packetBytes: number },
  ) {
    this.#carrier = carrier;
    this.#remoteId = remote.id;
    this.#remoteWindow = remote.window;
    this.#packetBytes = Math.min(remote.packetBytes, channelPacketBytesMax);
  }

  get remoteId(): number {
    return this.#remoteId;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  // — from the session —

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (this.#isEnding || this.#hasSentClose) {
      sent?.();
      return;
    }
    this.#queue.push({ pieces, sent });
    for (const piece of pieces) this.#queuedBytes += piece.length;
    // Before the first packet is sent: the socket's own flush then comes after the rest, and one write takes both.
    this.#flushSoon();
    if (this.#queuedBytes >= this.#packetBytes) this.#pump(this.#packetBytes);
  }

  consumed(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit < windowAdjustBytes || this.#hasReceivedEnd || this.#hasSentClose) return;
    const adjust = new WireWriter()
      .byte(message.channelWindowAdjust)
      .uint32(this.#remoteId)
      .uint32(this.#credit);
    this.#localWindow += this.#credit;
    this.#credit = 0;
    this.#carrier.send(adjust.finish());
  }

  /** Instead of a program: a line for the person at the other end, and a status that is no success. */
  refuseProgram(line: string): void {
    const bytes = Buffer.from(line).subarray(0, Math.min(this.#remoteWindow, this.#packetBytes));
    const stderr = 1;
    const extended = new WireWriter().byte(message.channelExtendedData).uint32(this.#remoteId).uint32(stderr);
    this.#remoteWindow -= bytes.length;
    this.#carrier.send(extended.string(bytes).finish());
    this.#exitStatus = 1;
    this.end();
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#pump(1);
  }

  // — from the connection —

  receive(bytes: Buffer): void {
    if (bytes.length > this.#localWindow || this.#hasReceivedEnd)
      throw new MalformedMessage('window overrun');
    this.#localWindow -= bytes.length;
    if (bytes.length > 0 && !this.#isEnding) this.onData(bytes);
  }

  /** Data of a kind we have no use for (stderr from a client): it counts, and is dropped. */
  discard(bytes: Buffer): void {
    if (bytes.length > this.#localWindow || this.#hasReceivedEnd)
      throw new MalformedMessage('window overrun');
    this.#localWindow -= bytes.length;
    this.consumed(bytes.length);
  }

  receiveEnd(): void {
    if (this.#hasReceivedEnd) return;
    this.#hasReceivedEnd = true;
    this.onEnd();
  }

  receiveClose(): void {
    this.#hasReceivedClose = true;
    this.#drop();
    this.#sendClose();
    this.#leave();
  }

  addWindow(bytes: number): void {
    const window = this.#remoteWindow + bytes;
    // RFC 4254 §5.2: a window never exceeds 2^32-1.
    if (window > 0xffff_ffff) throw new MalformedMessage('window too large');
    this.#remoteWindow = window;
    this.resume();
  }

  /** The connection can take bytes again. */
  resume(): void {
    if (this.#queuedBytes > 0 || this.#isEnding) this.#pump(1);
  }

  /** The connection is gone. */
  abort(): void {
    this.#hasSentClose = true;
    this.#hasReceivedClose = true;
    this.#drop();
    this.#leave();
  }

  // — inside —

  #flushSoon(): void {
    if (this.#isFlushing || this.#queuedBytes === 0) return;
    this.#isFlushing = true;
    process.nextTick(() => {
      this.#isFlushing = false;
      this.#pump(1);
    });
  }

  /** Sends packets as long as at least `bytesMin` are there for one. */
  #pump(bytesMin: number): void {
    const before = this.#queuedBytes;
    while (this.#queuedBytes >= bytesMin && this.#queuedBytes > 0 && this.#remoteWindow > 0) {
      if (this.#hasSentClose || !this.#carrier.isWritable) break;
      const length = Math.min(this.#queuedBytes, this.#remoteWindow, this.#packetBytes);
      this.#remoteWindow -= length;
      this.#carrier.sendFilled(9 + length, (packet, start) => {
        packet[start] = message.channelData;
        packet.writeUInt32BE(this.#remoteId, start + 1);
        packet.writeUInt32BE(length, start + 5);
        this.#fill(packet, start + 9, length);
      });
    }
    if (this.#isEnding && this.#queuedBytes === 0) this.#sendEnd();
    if (this.#queuedBytes < before) this.onDrain();
  }

  #fill(packet: Buffer, start: number, length: number): void {
    let position = start;
    let left = length;
    this.#queuedBytes -= length;
    while (left > 0) {
      const entry = this.#queue[0];
      const piece = entry?.pieces[this.#piece];
      if (entry === undefined) return;
      if (piece !== undefined) {
        const count = Math.min(piece.length - this.#offset, left);
        const isWhole = this.#offset === 0 && count === piece.length;
        packet.set(isWhole ? piece : piece.subarray(this.#offset, this.#offset + count), position);
        position += count;
        left -= count;
        this.#offset += count;
        if (this.#offset < piece.length) return;
        this.#offset = 0;
        this.#piece += 1;
      }
      if (this.#piece >= entry.pieces.length) this.#finishEntry(entry);
    }
  }

  #finishEntry(entry: Queued): void {
    this.#queue.shift();
    this.#piece = 0;
    entry.sent?.();
  }

  /** scp takes a missing exit status for a failure. */
  #sendEnd(): void {
    if (this.#hasSentClose) return;
    const id = this.#remoteId;
    this.#carrier.send(new WireWriter().byte(message.channelEof).uint32(id).finish());
    const exit = new WireWriter().byte(message.channelRequest).uint32(id).string('exit-status');
    this.#carrier.send(exit.boolean(false).uint32(this.#exitStatus).finish());
    this.#sendClose();
    this.#leave();
  }

  #sendClose(): void {
    if (this.#hasSentClose) return;
    this.#hasSentClose = true;
    this.#carrier.send(new WireWriter().byte(message.channelClose).uint32(this.#remoteId).finish());
  }

  #drop(): void {
    this.#queuedBytes = 0;
    this.#piece = 0;
    this.#offset = 0;
    for (const entry of this.#queue.splice(0)) entry.sent?.();
  }

  #leave(): void {
    if (!this.#hasSentClose || !this.#hasReceivedClose) return;
    const { onClose, onGone } = this;
    this.onClose = () => undefined;
    this.onGone = () => undefined;
    onClose();
    onGone();
  }
}
