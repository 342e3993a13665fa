import { type Cipheriv, createCipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { MacInfo, OutboundCipher, OutboundConfig } from '#dmz/sftp/ssh2-shapes.ts';

/**
 * Packets out: padded, encrypted, authenticated.
 *
 * Cheap because: the key is parsed once (KeyObject), the padding comes from a pool, the plaintext is built in memory
 * that is reused, and nothing is joined: length, ciphertext and tag go to the socket as pieces of one writev.
 */
interface ScratchMemory {
  lend(length: number): Buffer;
  giveBack(packet: Buffer): void;
  pad(target: Buffer, from: number): void;
}

const blockBytes = 16;
const tagBytes = 16;
/** RFC 4253 §6: at least four bytes of padding. */
const paddingBytesMin = 4;

/** Both modes send the length in the clear and authenticate it; what follows is a whole number of blocks. */
function allocate(scratch: ScratchMemory, payloadLength: number): Buffer {
  const unpadded = 1 + payloadLength;
  let padding = blockBytes - (unpadded % blockBytes);
  if (padding < paddingBytesMin) padding += blockBytes;
  const packet = scratch.lend(4 + unpadded + padding);
  packet.writeUInt32BE(unpadded + padding, 0);
  packet[4] = padding;
  scratch.pad(packet, 5 + payloadLength);
  return packet;
}

export class AeadWriter implements OutboundCipher {
  outSeqno: number;
  readonly #scratch: ScratchMemory;
  readonly #write: (bytes: Buffer) => void;
  readonly #algorithm: 'aes-128-gcm' | 'aes-256-gcm';
  readonly #key: KeyObject;
  readonly #nonce: Buffer;
  #isDead = false;

  constructor(config: OutboundConfig, scratch: ScratchMemory) {
    this.outSeqno = config.seqno;
    this.#scratch = scratch;
    this.#write = config.onWrite;
    this.#algorithm = config.cipherInfo.keyLen === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
    this.#key = createSecretKey(config.cipherKey);
    this.#nonce = Buffer.from(config.cipherIV);
  }

  allocPacket(payloadLength: number): Buffer {
    return allocate(this.#scratch, payloadLength);
  }

  encrypt(packet: Buffer): void {
    if (!this.#isDead) {
      const cipher = createCipheriv(this.#algorithm, this.#key, this.#nonce, { authTagLength: tagBytes });
      const length = Buffer.from(packet.subarray(0, 4));
      cipher.setAAD(length);
      const ciphertext = cipher.update(packet.subarray(4));
      cipher.final();
      incrementCounter(this.#nonce);
      this.outSeqno = (this.outSeqno + 1) >>> 0;
      this.#write(length);
      this.#write(ciphertext);
      this.#write(cipher.getAuthTag());
    }
    this.#scratch.giveBack(packet);
  }

  free(): void {
    this.#isDead = true;
  }
}

export class EtmWriter implements OutboundCipher {
  outSeqno: number;
  readonly #scratch: ScratchMemory;
  readonly #write: (bytes: Buffer) => void;
  readonly #cipher: Cipheriv;
  readonly #mac: PacketMac;
  #isDead = false;

  constructor(
    config: OutboundConfig & { readonly macInfo: MacInfo; readonly macKey: Buffer },
    scratch: ScratchMemory,
  ) {
    this.outSeqno = config.seqno;
    this.#scratch = scratch;
    this.#write = config.onWrite;
    this.#cipher = createCipheriv(
      config.cipherInfo.sslName,
      createSecretKey(config.cipherKey),
      config.cipherIV,
    );
    this.#mac = new PacketMac(config.macInfo, config.macKey);
  }

  allocPacket(payloadLength: number): Buffer {
    return allocate(this.#scratch, payloadLength);
  }

  encrypt(packet: Buffer): void {
    if (!this.#isDead) {
      // Its own memory: the packet's is used again before the socket has taken it.
      const length = Buffer.from(packet.subarray(0, 4));
      const ciphertext = this.#cipher.update(packet.subarray(4));
      const mac = this.#mac.of(this.outSeqno, length, ciphertext);
      this.outSeqno = (this.outSeqno + 1) >>> 0;
      this.#write(length);
      this.#write(ciphertext);
      this.#write(mac);
    }
    this.#scratch.giveBack(packet);
  }

  free(): void {
    this.#isDead = true;
  }
}

/** RFC 4253 §6.4: over the packet's number and, with encrypt-then-MAC, what is sent of it. */
export class PacketMac {
  readonly bytes: number;
  readonly #hash: string;
  readonly #key: KeyObject;
  readonly #sequence = Buffer.allocUnsafeSlow(4);

  constructor({ sslName, actualLen }: MacInfo, key: Buffer) {
    this.bytes = actualLen;
    this.#hash = sslName;
    this.#key = createSecretKey(key);
  }

  of(sequence: number, ...sent: readonly Buffer[]): Buffer {
    this.#sequence.writeUInt32BE(sequence, 0);
    const mac = createHmac(this.#hash, this.#key).update(this.#sequence);
    for (const piece of sent) mac.update(piece);
    return mac.digest().subarray(0, this.bytes);
  }
}

/** RFC 5647 §7.1: 4 fixed bytes, then a 64-bit counter of packets, big-endian. */
export function incrementCounter(nonce: Buffer): void {
  for (let index = 11; index >= 4; index--) {
    const next = ((nonce[index] ?? 0) + 1) & 0xff;
    nonce[index] = next;
    if (next !== 0) return;
  }
}
