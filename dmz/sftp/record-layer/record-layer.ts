import { randomFillSync } from 'node:crypto';
import { AeadReader, EtmReader } from '#dmz/sftp/record-layer/inbound.ts';
import { AeadWriter, EtmWriter } from '#dmz/sftp/record-layer/outbound.ts';
import type { InboundCipher, InboundConfig, OutboundCipher, OutboundConfig } from '#dmz/sftp/ssh2-shapes.ts';

/**
 * SSH's binary packet protocol (RFC 4253 §6) for AES-GCM (RFC 5647) and AES-CTR with encrypt-then-MAC, on node:crypto
 * alone (D-07). ssh2's own does the same in three times the CPU; the reasons are in `outbound.ts` and `inbound.ts`.
 *
 * Other ciphers (ChaCha20-Poly1305, and CTR with a plain MAC in the compat profile) stay with ssh2.
 */
export class RecordLayer {
  readonly #scratch = new Scratch();

  writer(config: OutboundConfig): OutboundCipher | undefined {
    if (isGcm(config.cipherInfo.sslName)) return new AeadWriter(config, this.#scratch);
    const { macInfo, macKey } = config;
    if (!isCtr(config.cipherInfo.sslName) || macInfo?.isETM !== true || macKey === undefined)
      return undefined;
    return new EtmWriter({ ...config, macInfo, macKey }, this.#scratch);
  }

  reader(config: InboundConfig): InboundCipher | undefined {
    if (isGcm(config.decipherInfo.sslName)) return new AeadReader(config);
    const { macInfo, macKey } = config;
    if (!isCtr(config.decipherInfo.sslName) || macInfo?.isETM !== true || macKey === undefined)
      return undefined;
    return new EtmReader({ ...config, macInfo, macKey });
  }
}

function isGcm(name: string): boolean {
  return name === 'aes-128-gcm' || name === 'aes-256-gcm';
}

function isCtr(name: string): boolean {
  return name === 'aes-128-ctr' || name === 'aes-192-ctr' || name === 'aes-256-ctr';
}

/** A 32 KiB message with its headers and the longest padding fits. */
const scratchBytes = 32_768 + 512;
/** One system call's worth of padding for some 500 packets. */
const randomBytes = 8192;

/**
 * Memory that every connection of a server shares: a packet is built in it and encrypted out of it within one call, so
 * one buffer serves all. Larger packets (there are none in ordinary traffic) get memory of their own.
 */
class Scratch {
  readonly #plaintext = Buffer.allocUnsafeSlow(scratchBytes);
  readonly #random = Buffer.allocUnsafeSlow(randomBytes);
  #randomUsed = randomBytes;
  #isLent = false;

  lend(length: number): Buffer {
    if (length > scratchBytes || this.#isLent) return Buffer.allocUnsafe(length);
    this.#isLent = true;
    return this.#plaintext.subarray(0, length);
  }

  giveBack(packet: Buffer): void {
    if (packet.buffer === this.#plaintext.buffer) this.#isLent = false;
  }

  /** Random padding, each byte used once. */
  pad(target: Buffer, from: number): void {
    const count = target.length - from;
    if (this.#randomUsed + count > randomBytes) {
      randomFillSync(this.#random);
      this.#randomUsed = 0;
    }
    this.#random.copy(target, from, this.#randomUsed, this.#randomUsed + count);
    this.#randomUsed += count;
  }
}
