/* oxlint-disable typescript/no-unsafe-type-assertion, no-underscore-dangle, typescript/no-unsafe-member-access, typescript/no-unsafe-call, typescript/no-unsafe-assignment -- stock ssh2's inside, which has no types */
import { createRequire } from 'node:module';
import { connect, type Socket } from 'node:net';
import { WireReader, WireWriter } from '#dmz/sftp/wire.ts';

/** Stock ssh2's transport in the client's role, as far as tests drive it. */
interface StockProtocol {
  start(): void;
  parse(chunk: Buffer, position: number, end: number): void;
  rekey(): void;
  cleanup(): void;
  _onPayload: (payload: Buffer) => unknown;
  _kex: { sessionID: Buffer; negotiated: { kex: string; cs: { cipher: string; mac: string } } };
  _packetRW: {
    write: {
      allocStart: number;
      allocStartKEX: number;
      alloc(length: number, force?: boolean): Buffer;
      finalize(packet: Buffer, force?: boolean): Buffer;
    };
  };
}

const requireModule = createRequire(import.meta.url);

export interface RawClientOptions {
  readonly port: number;
  /** One of 127.0.0.0/8, each a source of its own. */
  readonly from?: string;
  readonly cipher?: string;
  readonly mac?: string;
  readonly kex?: string;
}

/**
 * A client that sends whatever message it is told, encrypted as it should be: for everything an honest client never
 * does. Received messages above the transport wait in a queue.
 */
export class RawClient {
  readonly socket: Socket;
  readonly protocol: StockProtocol;
  readonly #messages: Buffer[] = [];
  #wake: (() => void)[] = [];
  isClosed = false;
  /** Bytes as they go out; a test may change or keep them. */
  onWrite: (bytes: Buffer) => Buffer | undefined = (bytes) => bytes;
  isReady = false;

  private constructor(options: RawClientOptions) {
    const Protocol = requireModule('ssh2/lib/protocol/Protocol.js') as new (config: object) => StockProtocol;
    const { cipher, mac, kex } = options;
    this.socket = connect({
      port: options.port,
      host: '127.0.0.1',
      localAddress: options.from ?? '127.0.0.1',
    });
    this.socket.setNoDelay(true);
    this.protocol = new Protocol({
      server: false,
      ident: 'raw-test-client',
      offer: {
        kex: [kex ?? 'curve25519-sha256'],
        serverHostKey: ['ssh-ed25519'],
        cs: {
          cipher: [cipher ?? 'aes128-gcm@openssh.com'],
          mac: [mac ?? 'hmac-sha2-256-etm@openssh.com'],
          compress: ['none'],
          lang: [],
        },
        sc: {
          cipher: [cipher ?? 'aes128-gcm@openssh.com'],
          mac: [mac ?? 'hmac-sha2-256-etm@openssh.com'],
          compress: ['none'],
          lang: [],
        },
      },
      onWrite: (bytes: Buffer) => {
        const out = this.onWrite(bytes);
        if (out !== undefined && this.socket.writable) this.socket.write(out);
      },
      onError: () => this.socket.destroy(),
      onHandshakeComplete: () => {
        this.isReady = true;
        this.#wakeAll();
      },
      messageHandlers: {},
    });
    const toStock = this.protocol._onPayload;
    this.protocol._onPayload = (payload) => {
      if (payload[0] === 20) return toStock(payload);
      this.#messages.push(Buffer.from(payload));
      this.#wakeAll();
      return undefined;
    };
    this.socket.on('data', (chunk) => {
      try {
        this.protocol.parse(chunk, 0, chunk.length);
      } catch {
        this.socket.destroy();
      }
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#wakeAll();
    });
  }

  static async connect(options: RawClientOptions): Promise<RawClient> {
    const client = new RawClient(options);
    await new Promise<void>((resolve, reject) => {
      client.socket.once('connect', resolve);
      client.socket.once('error', reject);
    });
    client.protocol.start();
    while (!client.isReady && !client.isClosed) await client.#changed();
    return client;
  }

  get sessionId(): Buffer {
    return this.protocol._kex.sessionID;
  }

  /** `isUrgent`: even while keys are exchanged, when others wait. */
  send(payload: Buffer, isUrgent = false): void {
    if (this.isClosed) return;
    const { write } = this.protocol._packetRW;
    const start = isUrgent ? write.allocStartKEX : write.allocStart;
    const packet = write.alloc(payload.length, isUrgent);
    packet.set(payload, start);
    const { sendPacket } = requireModule('ssh2/lib/protocol/utils.js') as {
      sendPacket: (protocol: unknown, packet: Buffer, bypass: boolean) => void;
    };
    sendPacket(this.protocol, write.finalize(packet, isUrgent), isUrgent);
  }

  /** The next message that isn't EXT_INFO, DEBUG or a banner; undefined when the connection ends first. */
  async next(): Promise<{ type: number; reader: WireReader; payload: Buffer } | undefined> {
    for (;;) {
      const payload = this.#messages.shift();
      if (payload !== undefined) {
        const type = payload[0] ?? 0;
        if (type === 7 || type === 4 || type === 53) continue;
        return { type, reader: new WireReader(payload, 1), payload };
      }
      if (this.isClosed) return undefined;
      await this.#changed();
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await this.#changed();
  }

  async startAuthentication(): Promise<void> {
    this.send(new WireWriter().byte(5).string('ssh-userauth').finish());
    await this.next();
  }

  request(user: string, method: string, fill: (writer: WireWriter) => WireWriter = (writer) => writer): void {
    const writer = new WireWriter().byte(50).string(user).string('ssh-connection').string(method);
    this.send(fill(writer).finish());
  }

  password(user: string, password: string): void {
    this.request(user, 'password', (writer) => writer.boolean(false).string(password));
  }

  interactive(user: string): void {
    this.request(user, 'keyboard-interactive', (writer) => writer.string('').string(''));
  }

  answer(...answers: string[]): void {
    const writer = new WireWriter().byte(61).uint32(answers.length);
    for (const text of answers) writer.string(text);
    this.send(writer.finish());
  }

  /** Session channel 0 with the sftp subsystem; the server's channel number. */
  async openSftp(): Promise<number> {
    const open = new WireWriter()
      .byte(90)
      .string('session')
      .uint32(0)
      .uint32(2 ** 21)
      .uint32(32_768);
    this.send(open.finish());
    const confirmed = await this.next();
    confirmed?.reader.uint32();
    const id = confirmed?.reader.uint32() ?? -1;
    this.send(new WireWriter().byte(98).uint32(id).string('subsystem').boolean(true).string('sftp').finish());
    await this.next();
    return id;
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
