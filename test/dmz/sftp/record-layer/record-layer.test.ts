import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packetBytesMax } from '#dmz/sftp/record-layer/inbound.ts';
import { incrementCounter } from '#dmz/sftp/record-layer/outbound.ts';
import { RecordLayer } from '#dmz/sftp/record-layer/record-layer.ts';
import type {
  CipherInfo,
  InboundCipher,
  InboundConfig,
  MacInfo,
  OutboundCipher,
  OutboundConfig,
} from '#dmz/sftp/ssh2-shapes.ts';

interface StockCrypto {
  createCipher(config: { outbound: OutboundConfig }): OutboundCipher;
  createDecipher(config: { inbound: InboundConfig }): InboundCipher;
  CIPHER_INFO: Record<string, CipherInfo>;
  MAC_INFO: Record<string, MacInfo>;
}
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other implementation, which has no types
const stock = createRequire(import.meta.url)('ssh2/lib/protocol/crypto.js') as StockCrypto;

const suites = [
  ['aes128-gcm@openssh.com', undefined],
  ['aes256-gcm@openssh.com', undefined],
  ['aes256-ctr', 'hmac-sha2-256-etm@openssh.com'],
  ['aes128-ctr', 'hmac-sha2-512-etm@openssh.com'],
] as const;
type Suite = readonly [cipher: string, mac: string | undefined];

function keysOf([cipher, mac]: Suite) {
  const info = stock.CIPHER_INFO[cipher];
  const macInfo = mac === undefined ? undefined : stock.MAC_INFO[mac];
  if (info === undefined) throw new Error(`no ${cipher}`);
  const key = randomBytes(info.keyLen);
  const iv = randomBytes(info.ivLen);
  const macKey = macInfo === undefined ? undefined : randomBytes(macInfo.len);
  const macPart =
    macInfo === undefined || macKey === undefined ? {} : { macInfo, macKey: Buffer.from(macKey) };
  return {
    outbound: (onWrite: (bytes: Buffer) => void): OutboundConfig => ({
      onWrite,
      seqno: 3,
      cipherInfo: info,
      cipherKey: Buffer.from(key),
      cipherIV: Buffer.from(iv),
      ...macPart,
    }),
    inbound: (onPayload: (payload: Buffer) => undefined): InboundConfig => ({
      onPayload,
      seqno: 3,
      decipherInfo: info,
      decipherKey: Buffer.from(key),
      decipherIV: Buffer.from(iv),
      ...macPart,
    }),
  };
}

function encryptAll(
  build: (config: OutboundConfig) => OutboundCipher,
  keys: ReturnType<typeof keysOf>,
  payloads: readonly Buffer[],
): Buffer {
  const written: Buffer[] = [];
  const writer = build(keys.outbound((bytes) => void written.push(Buffer.from(bytes))));
  for (const payload of payloads) {
    const packet = writer.allocPacket(payload.length);
    packet.set(payload, 5);
    writer.encrypt(packet);
  }
  return Buffer.concat(written);
}

const ours = {
  writer: (config: OutboundConfig): OutboundCipher => {
    const writer = new RecordLayer().writer(config);
    if (writer === undefined) throw new Error('not ours');
    return writer;
  },
  reader: (config: InboundConfig): InboundCipher => {
    const reader = new RecordLayer().reader(config);
    if (reader === undefined) throw new Error('not ours');
    return reader;
  },
};
const theirs = {
  writer: (config: OutboundConfig) => stock.createCipher({ outbound: config }),
  reader: (config: InboundConfig) => stock.createDecipher({ inbound: config }),
};

function feed(reader: InboundCipher, bytes: Buffer, pieceBytes: number): void {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
    reader.decrypt(piece, 0, piece.length);
    piece.fill(0); // whoever kept a view of it would show now
  }
}

const payloads = [1, 2, 11, 12, 16, 100, 1000, 32_777].map((length) => randomBytes(length));

describe.each(suites)('records of %s %s', (...suite) => {
  it.each([1, 3, 7, 16, 100, 4096, 65_536])(
    'what we write ssh2 reads, and the reverse, in pieces of %i bytes',
    (pieceBytes) => {
      for (const [writer, reader] of [
        [ours.writer, theirs.reader],
        [theirs.writer, ours.reader],
        [ours.writer, ours.reader],
      ] as const) {
        const keys = keysOf(suite);
        const bytes = encryptAll(writer, keys, payloads);
        const found: Buffer[] = [];
        feed(reader(keys.inbound((payload) => void found.push(Buffer.from(payload)))), bytes, pieceBytes);
        expect(found.map((payload) => payload.toString('hex'))).toEqual(
          payloads.map((payload) => payload.toString('hex')),
        );
      }
    },
  );

  it('pads with four random bytes at least, and never sends the same packet twice', () => {
    const keys = keysOf(suite);
    for (let length = 1; length < 40; length++) {
      const writer = ours.writer(keys.outbound(() => undefined));
      const packet = writer.allocPacket(length);
      const padding = packet[4] ?? 0;
      expect(padding).toBeGreaterThanOrEqual(4);
      expect(packet.length).toBe(5 + length + padding);
      expect((packet.length - 4) % 16).toBe(0);
      writer.encrypt(packet);
    }
    const twice = encryptAll(ours.writer, keys, [Buffer.alloc(20), Buffer.alloc(20)]);
    expect(twice.subarray(4, twice.length / 2)).not.toEqual(twice.subarray(twice.length / 2 + 4));
  });

  it('a flip of any bit of any byte is found, and nothing at or after it is delivered', () => {
    const keys = keysOf(suite);
    const messages = [randomBytes(20), randomBytes(40), randomBytes(5)];
    const bytes = encryptAll(ours.writer, keys, messages);
    const packetBytes = encryptAll(ours.writer, keysOf(suite), messages.slice(0, 1)).length;
    for (let position = 0; position < bytes.length; position++) {
      const forged = Buffer.from(bytes);
      forged[position] = (forged[position] ?? 0) ^ (1 << (position % 8));
      const found: Buffer[] = [];
      const reader = ours.reader(keys.inbound((payload) => void found.push(Buffer.from(payload))));
      // What a longer length makes it wait for comes too: the forgery must not be able to swallow the rest.
      const stream = Buffer.concat([forged, Buffer.alloc(packetBytesMax + 64)]);
      expect(() => reader.decrypt(stream, 0, stream.length)).toThrow(/./);
      expect(found).toEqual(messages.slice(0, found.length));
      const isInFirst = position < packetBytes;
      expect(found.length).toBeLessThan(isInFirst ? 1 : messages.length);
      // Dead: even good bytes are not looked at any more.
      expect(() => reader.decrypt(bytes, 0, bytes.length)).toThrow('nothing is read after a bad packet');
    }
  });

  it('a packet left out, doubled or moved is found', () => {
    const keys = keysOf(suite);
    const messages = [Buffer.alloc(10, 1), Buffer.alloc(10, 2), Buffer.alloc(10, 3)];
    const bytes = encryptAll(ours.writer, keys, messages);
    const size = bytes.length / 3;
    const [a, b, c] = [0, 1, 2].map((index) => bytes.subarray(index * size, (index + 1) * size));
    if (a === undefined || b === undefined || c === undefined) throw new Error('three packets');
    for (const order of [[b], [a, c], [a, a], [a, c, b]]) {
      const reader = ours.reader(keys.inbound(() => undefined));
      const stream = Buffer.concat(order);
      expect(() => reader.decrypt(stream, 0, stream.length)).toThrow(/./);
    }
  });

  it('refuses a length before it waits for, or makes room for, what it announces', () => {
    const keys = keysOf(suite);
    const announce = (length: number) => {
      const reader = ours.reader(keys.inbound(() => undefined));
      const head = Buffer.alloc(4);
      head.writeUInt32BE(length >>> 0);
      return () => reader.decrypt(head, 0, 4);
    };
    const largest = packetBytesMax - (packetBytesMax % 16);
    expect(announce(largest)()).toBeUndefined();
    expect(announce(16)()).toBeUndefined();
    for (const length of [largest + 16, 0x8000_0000, 0xffff_fff0, 0, 8, 15, 17])
      expect(announce(length)).toThrow('bad packet length');
  });

  it('delivers nothing, whatever bytes come (fuzz)', () => {
    const keys = keysOf(suite);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 40, maxLength: 400 }),
        fc.integer({ min: 1, max: 64 }),
        (bytes, piece) => {
          let delivered = 0;
          const reader = ours.reader(keys.inbound(() => void (delivered += 1)));
          try {
            feed(reader, Buffer.from(bytes), piece);
          } catch {
            // A refusal is as good as waiting for more.
          }
          expect(delivered).toBe(0);
        },
      ),
    );
  });
});

describe('the record layer', () => {
  it('leaves other ciphers to ssh2', () => {
    const info = stock.CIPHER_INFO['chacha20-poly1305@openssh.com'];
    if (info === undefined) throw new Error('no chacha20');
    const layer = new RecordLayer();
    const rest = { seqno: 0, cipherKey: Buffer.alloc(64), cipherIV: Buffer.alloc(0) };
    expect(layer.writer({ ...rest, cipherInfo: info, onWrite: () => undefined })).toBeUndefined();
    const ctr = stock.CIPHER_INFO['aes256-ctr'];
    const plainMac = stock.MAC_INFO['hmac-sha2-256'];
    if (ctr === undefined || plainMac === undefined) throw new Error('no ctr');
    const plain = {
      cipherKey: Buffer.alloc(32),
      cipherIV: Buffer.alloc(16),
      macInfo: plainMac,
      macKey: Buffer.alloc(32),
    };
    expect(layer.writer({ ...plain, seqno: 0, cipherInfo: ctr, onWrite: () => undefined })).toBeUndefined();
  });

  it('two writers that share its memory do not see each other’s packets', () => {
    const layer = new RecordLayer();
    const [keysA, keysB] = [keysOf(suites[0]), keysOf(suites[0])];
    const outA: Buffer[] = [];
    const outB: Buffer[] = [];
    const a = layer.writer(keysA.outbound((bytes) => void outA.push(bytes)));
    const b = layer.writer(keysB.outbound((bytes) => void outB.push(bytes)));
    const packetA = a?.allocPacket(100).fill('a', 5, 105);
    const packetB = b?.allocPacket(100).fill('b', 5, 105);
    if (packetA !== undefined) a?.encrypt(packetA);
    if (packetB !== undefined) b?.encrypt(packetB);
    const found: string[] = [];
    for (const [keys, out] of [
      [keysA, outA],
      [keysB, outB],
    ] as const)
      feed(
        ours.reader(keys.inbound((payload) => void found.push(payload.toString()))),
        Buffer.concat(out),
        4096,
      );
    expect(found).toEqual(['a'.repeat(100), 'b'.repeat(100)]);
  });

  it('writes nothing once freed', () => {
    const out: Buffer[] = [];
    const writer = ours.writer(keysOf(suites[0]).outbound((bytes) => void out.push(bytes)));
    writer.free();
    writer.encrypt(writer.allocPacket(10));
    expect(out).toEqual([]);
  });

  it('counts nonces over the byte borders, and wraps after 2^64', () => {
    const count = (hex: string) => {
      const nonce = Buffer.from(hex, 'hex');
      incrementCounter(nonce);
      return nonce.toString('hex');
    };
    expect(count('aabbccdd00000000000000ff')).toBe('aabbccdd0000000000000100');
    expect(count('aabbccdd00ffffffffffffff')).toBe('aabbccdd0100000000000000');
    expect(count('aabbccddffffffffffffffff')).toBe('aabbccdd0000000000000000');
  });
});
