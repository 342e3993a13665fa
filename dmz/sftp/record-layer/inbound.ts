/* oxlint-disable no-underscore-dangle -- `_onPayload` is ssh2's name: it replaces the function while keys are exchanged */
import {
  createDecipheriv,
  createSecretKey,
  type Decipheriv,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import type { InboundCipher, InboundConfig, MacInfo } from '#dmz/sftp/ssh2-shapes.ts';
import { incrementCounter, PacketMac } from '#dmz/sftp/record-layer/outbound.ts';

/**
 * Packets in: authenticated, decrypted, handed on one by one.
 *
 * Whole packets are opened straight from the socket's buffer; one that is cut by its end is gathered in a buffer that
 * is reused. Each plaintext is memory of its own, so whoever gets it may keep it.
 *
 * Trust: the network. The length is bounded before anything is allocated by it. After the first packet that is not
 * what it should be this reader is dead: it throws, and throws again for whatever follows, so nothing behind a forged
 * packet is ever looked at.
 */

/** RFC 4253 §6.1: everybody must take 35,000; we offer channel packets of 32 KiB, so nobody needs to send more. */
export const packetBytesMax = 35_000;
const blockBytes = 16;
const tagBytes = 16;
const paddingBytesMin = 4;

abstract class PacketReader implements InboundCipher {
  inSeqno: number;
  /** ssh2 replaces it while keys are exchanged. */
  _onPayload: (payload: Buffer) => number | false | undefined;
  /** Bytes after the ciphertext: tag or MAC. */
  readonly #tailBytes: number;
  #partial: Buffer | undefined;
  #partialBytes = 0;
  #isBroken = false;

  constructor(config: InboundConfig, tailBytes: number) {
    this.inSeqno = config.seqno;
    this._onPayload = config.onPayload;
    this.#tailBytes = tailBytes;
  }

  /** The plaintext of the packet at `start` (length field first), or an exception. */
  protected abstract open(packet: Buffer, start: number, ciphertextBytes: number): Buffer;

  decrypt(data: Buffer, position: number, end: number): number | undefined {
    if (this.#isBroken) throw new Error('nothing is read after a bad packet');
    this.#isBroken = true;
    const result = this.#read(data, position, end);
    this.#isBroken = false;
    return result;
  }

  free(): void {
    this.#partial = undefined;
    this.#partialBytes = 0;
  }

  #read(data: Buffer, from: number, end: number): number | undefined {
    let position = from;
    while (position < end) {
      let packet = data;
      let start = position;
      let total: number;
      if (this.#partialBytes > 0 || end - position < 4) {
        position = this.#gather(data, position, end, 4);
        if (this.#partialBytes < 4) return undefined;
        packet = this.#room();
        start = 0;
        total = this.#totalBytes(packet, 0);
        position = this.#gather(data, position, end, total);
        if (this.#partialBytes < total) return undefined;
        this.#partialBytes = 0;
      } else {
        total = this.#totalBytes(data, position);
        if (end - position < total) {
          this.#gather(data, position, end, total);
          return undefined;
        }
        position += total;
      }
      const result = this.#deliver(packet, start, total);
      if (result !== undefined) return result === false ? position : result;
    }
    return undefined;
  }

  #deliver(packet: Buffer, start: number, total: number): number | false | undefined {
    const ciphertextBytes = total - 4 - this.#tailBytes;
    const plaintext = this.open(packet, start, ciphertextBytes);
    const padding = plaintext[0] ?? 0;
    if (padding < paddingBytesMin || padding + 1 > ciphertextBytes) throw new Error('bad padding length');
    this.inSeqno = (this.inSeqno + 1) >>> 0;
    return this._onPayload(plaintext.subarray(1, ciphertextBytes - padding));
  }

  /** Copies until `wanted` bytes of the current packet are there, or the data ends. */
  #gather(data: Buffer, position: number, end: number, wanted: number): number {
    const count = Math.min(wanted - this.#partialBytes, end - position);
    if (count <= 0) return position;
    data.copy(this.#room(), this.#partialBytes, position, position + count);
    this.#partialBytes += count;
    return position + count;
  }

  #room(): Buffer {
    this.#partial ??= Buffer.allocUnsafeSlow(4 + packetBytesMax + this.#tailBytes);
    return this.#partial;
  }

  #totalBytes(packet: Buffer, start: number): number {
    const length = packet.readUInt32BE(start);
    if (length > packetBytesMax || length < blockBytes || length % blockBytes !== 0)
      throw new Error('bad packet length');
    return 4 + length + this.#tailBytes;
  }
}

export class AeadReader extends PacketReader {
  readonly #algorithm: 'aes-128-gcm' | 'aes-256-gcm';
  readonly #key: KeyObject;
  readonly #nonce: Buffer;

  constructor(config: InboundConfig) {
    super(config, tagBytes);
    this.#algorithm = config.decipherInfo.keyLen === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
    this.#key = createSecretKey(config.decipherKey);
    this.#nonce = Buffer.from(config.decipherIV);
  }

  protected override open(packet: Buffer, start: number, ciphertextBytes: number): Buffer {
    const decipher = createDecipheriv(this.#algorithm, this.#key, this.#nonce, { authTagLength: tagBytes });
    const body = start + 4;
    const tail = body + ciphertextBytes;
    decipher.setAAD(packet.subarray(start, body));
    decipher.setAuthTag(packet.subarray(tail, tail + tagBytes));
    const plaintext = decipher.update(packet.subarray(body, tail));
    decipher.final(); // throws when the tag is wrong
    incrementCounter(this.#nonce);
    return plaintext;
  }
}

export class EtmReader extends PacketReader {
  readonly #decipher: Decipheriv;
  readonly #mac: PacketMac;

  constructor(config: InboundConfig & { readonly macInfo: MacInfo; readonly macKey: Buffer }) {
    super(config, config.macInfo.actualLen);
    this.#decipher = createDecipheriv(
      config.decipherInfo.sslName,
      createSecretKey(config.decipherKey),
      config.decipherIV,
    );
    this.#mac = new PacketMac(config.macInfo, config.macKey);
  }

  protected override open(packet: Buffer, start: number, ciphertextBytes: number): Buffer {
    const tail = start + 4 + ciphertextBytes;
    const mac = this.#mac.of(this.inSeqno, packet.subarray(start, tail));
    // Before a byte is decrypted (encrypt-then-MAC).
    if (!timingSafeEqual(mac, packet.subarray(tail, tail + this.#mac.bytes))) throw new Error('bad MAC');
    return this.#decipher.update(packet.subarray(start + 4, tail));
  }
}
