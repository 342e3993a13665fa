import type { Socket } from 'node:net';
import { plainAgent } from '#shared/visible-text.ts';
import {
  clientKexInitMs,
  firstKeyExchangeMs,
  identificationMs,
  keyExchangeMs,
  lingerMs,
  receiveTurnBytes,
  socketQueueBytesMax,
} from '#dmz/sftp/limits.ts';
import { blindOffer, fitOffer, readClientLists, sharesOnlyUnsafe } from '#dmz/sftp/transport/algorithms.ts';
import { KeyAge } from '#dmz/sftp/transport/key-age.ts';
import { IdentificationReader } from '#dmz/sftp/transport/identification.ts';
import { disconnectReason, message } from '#dmz/sftp/transport/messages.ts';
import { PacketProtocol } from '#dmz/sftp/transport/packet-protocol.ts';
import { TurnShare } from '#shared/turn-share.ts';
import { SocketOutput } from '#dmz/sftp/transport/socket-output.ts';
import type { ConnectionKeys, ExchangeOwner, TransportSetup } from '#dmz/sftp/transport/setup.ts';
import type { AlgorithmOffer, Negotiated } from '#dmz/sftp/ssh2-shapes.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import { signatureAlgorithms } from '#shared/ssh-key/algorithms.ts';

/**
 * One SSH transport (RFC 4253): ssh2's key exchange and packet protocol, hardened, over a socket that is ours. Above
 * it is one callback that gets every message which is not the transport's own.
 *
 * Trust: the network. After the first bad MAC, length or message nothing more of the connection is parsed. Decides
 * nothing about who the client is.
 */
interface TransportHandlers {
  /** The client's identification line is whole. */
  onIdentified(): void;
  /** First key exchange is done. */
  onReady(): void;
  /** A message above the transport layer. Throw `MalformedMessage` for what can't be read. */
  onMessage(type: number, payload: Buffer): void;
  /** Room in the socket again, or a key exchange ended. */
  onWritable(): void;
  /** The socket is closed. Called once, last. */
  onClosed(): void;
  /** The client broke the protocol; the connection is ending. */
  onMalformed(what: string): void;
}

/** Of a server without host keys; nobody gets as far as to see it. */
const noOffer: AlgorithmOffer = { kex: [], serverHostKey: [], cipher: [], mac: [] };

/** ssh2 queues what is sent while keys are exchanged; more than this is a client that makes us talk. */
const exchangeQueueMax = 1024;

export class SshTransport {
  /** The client's identification string, once it came. */
  agent = '';
  readonly #socket: Socket;
  readonly #output: SocketOutput;
  readonly #share: TurnShare;
  readonly #setup: TransportSetup;
  readonly #clock: Clock;
  readonly #handlers: TransportHandlers;
  readonly #protocol: PacketProtocol;
  readonly #identification = new IdentificationReader();
  #isIdentified = false;
  #isReady = false;
  #mayRenew = false;
  #isDead = false;
  readonly #startedAt: number;
  #exchangeSince: number | undefined;
  readonly #keys: KeyAge;
  /** Undefined: there were none when it came, and it is told so. */
  readonly #hostKeys: ConnectionKeys | undefined;
  readonly #unreachableText: string;
  #isSigning = false;
  readonly #gone = new AbortController();
  #diesAt: number | undefined;

  constructor(options: {
    readonly socket: Socket;
    readonly setup: TransportSetup;
    readonly ident: string;
    /** For a client that comes while nothing can be signed. */
    readonly unreachableText: string;
    readonly clock: Clock;
    readonly handlers: TransportHandlers;
  }) {
    const { socket, setup } = options;
    this.#socket = socket;
    this.#setup = setup;
    this.#unreachableText = options.unreachableText;
    this.#clock = options.clock;
    this.#startedAt = this.#clock.monotonic();
    this.#handlers = options.handlers;
    this.#output = new SocketOutput(socket);
    this.#share = new TurnShare(receiveTurnBytes, {
      pause: () => socket.pause(),
      resume: () => {
        if (this.#isDead || !this.#isOutputFull) socket.resume();
      },
    });
    this.#keys = new KeyAge(this.#clock.monotonic());
    this.#hostKeys = setup.connectionKeys();
    this.#protocol = new PacketProtocol(setup.modules, {
      hostKeys: this.#hostKeys?.signers ?? {},
      ident: options.ident,
      offer: setup.modules.buildOffer(blindOffer(this.#hostKeys?.offer ?? noOffer)),
      handlers: {
        onWrite: (bytes) => {
          this.#keys.count(bytes.length);
          this.#output.write(bytes);
        },
        // The client may read the farewell ssh2 has sent.
        onError: (error) => {
          // Scanners and old clients share no algorithm with us; that is no breach.
          const isMismatch = error.message.startsWith('Handshake failed: no matching');
          if (!this.#isDead && !isMismatch) this.#handlers.onMalformed(error.message);
          this.#die();
        },
        onMessage: (payload) => this.#deliver(payload),
        onRekey: () => this.#allowRekey(),
        onKeys: () => this.#onKeys(),
        firstMessage: extInfo,
      },
    });
    const exchange: ExchangeOwner = {
      holdsKexInit: () => this.#protocol.hasNoExchange,
      onClientKexInit: (payload) => this.#onClientKexInit(payload),
      isOver: () => this.#isReady,
      isSigning: () => this.#isSigning,
      waitForSignature: (ask, finish) => void this.#waitForSignature(ask, finish),
    };
    setup.exchanges.set(this.#protocol.raw, exchange);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', () => undefined); // 'close' follows and says all there is
    socket.on('end', () => this.#die());
    socket.on('close', () => {
      this.#isDead = true;
      this.#gone.abort();
      this.#protocol.cleanUp();
      this.#handlers.onClosed();
    });
  }

  start(): void {
    this.#protocol.start();
  }

  /** From now on we renew keys ourselves: OpenSSH takes a key exchange before its success for a breach. */
  allowRenewal(): void {
    this.#mayRenew = true;
  }

  /** RFC 4253 §7.2: the hash of the first key exchange. */
  get sessionId(): Buffer {
    return this.#protocol.sessionId;
  }

  get negotiated(): Negotiated | undefined {
    return this.#protocol.negotiated;
  }

  /** All that are shown or will be, by which a client may know the server from now on. */
  announcedHostKeys(): readonly Buffer[] {
    return this.#setup.hostKeys.present().map(({ blob }) => blob);
  }

  /** Signatures that the server has these, in their order. Rejects where it has not. */
  proveHostKeys(keys: readonly Buffer[]): Promise<readonly Buffer[]> {
    // OpenSSH takes the RSA algorithm of the key exchange, where that had one.
    const isBySha256 = this.negotiated?.serverHostKey === 'rsa-sha2-256';
    const rsaAlgorithm = isBySha256 ? 'rsa-sha2-256' : 'rsa-sha2-512';
    return this.#setup.hostKeys.prove(this.sessionId, keys, rsaAlgorithm);
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Whether bulk data may be sent: not while keys are exchanged, nor past what the socket should hold. */
  get isWritable(): boolean {
    return !this.#isDead && !this.#protocol.isExchanging && this.#output.queuedBytes < socketQueueBytesMax;
  }

  send(payload: Buffer): void {
    this.sendFilled(payload.length, (packet, start) => packet.set(payload, start));
  }

  /** Like `send`, for a payload that is written straight into the packet. */
  sendFilled(length: number, fill: (packet: Buffer, start: number) => void): void {
    if (this.#isDead) return;
    this.#protocol.send(length, fill);
    if (this.#protocol.queuedMessages > exchangeQueueMax) this.#break('too much asked for in a key exchange');
  }

  /** Tells the client why, lets it read that, and closes. Safe to call twice. */
  disconnect(reason: number, text: string): void {
    if (this.#isDead) return;
    if (this.#isIdentified) this.#sendDisconnect(reason, text);
    this.#die();
  }

  /** Closes without a word. */
  destroy(): void {
    this.#isDead = true;
    this.#gone.abort();
    this.#socket.destroy();
  }

  /** Looks at the transport's own deadlines. */
  sweep(): void {
    const now = this.#clock.monotonic();
    if (this.#diesAt !== undefined && now >= this.#diesAt) this.destroy();
    if (this.#isDead) return;
    const exchanging = this.#exchangeSince === undefined ? 0 : now - this.#exchangeSince;
    if (!this.#isIdentified && now - this.#startedAt >= identificationMs) this.destroy();
    // It is not the client who takes its time; what is asked has a deadline of its own.
    else if (this.#isSigning) return;
    else if (exchanging >= (this.#isReady ? keyExchangeMs : firstKeyExchangeMs))
      this.#break('key exchange takes too long');
    else if (!this.#isReady && exchanging >= clientKexInitMs && this.#isHolding())
      this.#protocol.sendKexInit();
    else this.#rekeyWhenDue(now);
  }

  // — key exchanges —

  /** The first one: the client's lists are here, ours can be fitted to them. */
  #onClientKexInit(payload: Buffer): void {
    if (!this.#isHolding()) return;
    const client = readClientLists(payload);
    const offer = this.#hostKeys?.offer ?? noOffer;
    if (sharesOnlyUnsafe(offer, client)) {
      this.disconnect(
        disconnectReason.keyExchangeFailed,
        'chacha20-poly1305 is used with strict key exchange only (CVE-2023-48795)',
      );
      throw new Error('chacha20-poly1305 without strict key exchange');
    }
    this.#protocol.setOffer(this.#setup.modules.buildOffer(fitOffer(offer, client)));
    this.#protocol.sendKexInit();
  }

  /** What is asked of main waits with everything else while the link is away; a transfer goes on afterwards. */
  async #waitForSignature(
    ask: Parameters<ExchangeOwner['waitForSignature']>[0],
    finish: () => void,
  ): Promise<void> {
    this.#isSigning = true;
    try {
      await ask({ isFirst: !this.#isReady, gone: this.#gone.signal });
    } catch {
      this.disconnect(disconnectReason.serviceNotAvailable, this.#unreachableText);
      return;
    }
    if (this.#isDead) return;
    this.#isSigning = false;
    this.#exchangeSince = this.#clock.monotonic();
    try {
      finish();
    } catch (error) {
      this.#break(error instanceof Error ? error.message : String(error));
    }
  }

  #isHolding(): boolean {
    return this.#isIdentified && this.#protocol.hasNoExchange;
  }

  #onKeys(): void {
    this.#exchangeSince = undefined;
    this.#keys.renew(this.#clock.monotonic());
    if (this.#isReady) {
      this.#handlers.onWritable();
      return;
    }
    this.#isReady = true;
    this.#handlers.onReady();
  }

  #allowRekey(): boolean {
    // The answer to an exchange of ours is no wish of the client's.
    if (this.#exchangeSince === undefined && !this.#keys.mayRenew(this.#clock.monotonic())) {
      this.#break('key exchanges without traffic');
      return false;
    }
    this.#exchangeSince ??= this.#clock.monotonic();
    return true;
  }

  #rekeyWhenDue(now: number): void {
    if (this.#isDead || !this.#mayRenew || this.#protocol.isExchanging || !this.#keys.isDue(now)) return;
    // It can wait for who signs it; meanwhile nothing could be sent.
    if (!this.#setup.hostKeys.isReady) return;
    this.#exchangeSince = now;
    this.#protocol.rekey();
  }

  // — bytes in —

  #receive(chunk: Buffer): void {
    if (this.#isDead) return;
    this.#keys.count(chunk.length);
    try {
      if (this.#isIdentified) this.#protocol.parse(chunk);
      else this.#identify(chunk);
    } catch (error) {
      this.#break(error instanceof Error ? error.message : String(error));
    }
    // A client that only asks and never reads must not make us queue its answers.
    if (this.#isOutputFull) this.#socket.pause();
    this.#share.count(chunk.length);
    this.#rekeyWhenDue(this.#clock.monotonic());
  }

  #identify(chunk: Buffer): void {
    const found = this.#identification.push(chunk);
    if (found === undefined) return;
    this.#isIdentified = true;
    this.agent = plainAgent(found.text);
    this.#exchangeSince = this.#clock.monotonic();
    this.#handlers.onIdentified();
    if (this.#hostKeys === undefined) {
      this.disconnect(disconnectReason.serviceNotAvailable, this.#unreachableText);
      return;
    }
    this.#protocol.parse(found.line);
    if (found.rest.length > 0) this.#protocol.parse(found.rest);
  }

  #deliver(payload: Buffer): boolean {
    const type = payload[0];
    if (type === undefined) throw new Error('empty message');
    switch (type) {
      case message.disconnect:
        this.#die();
        break;
      case message.ignore:
      case message.unimplemented:
      case message.debug:
      case message.extInfo:
        break;
      default:
        this.#handlers.onMessage(type, payload);
    }
    return !this.#isDead;
  }

  get #isOutputFull(): boolean {
    return this.#output.queuedBytes > 2 * socketQueueBytesMax;
  }

  #onDrain(): void {
    if (this.#socket.isPaused() && !this.#share.isUsedUp) this.#socket.resume();
    if (!this.#isDead) this.#handlers.onWritable();
  }

  // — the end —

  #break(what: string): void {
    if (this.#isDead) return;
    this.#handlers.onMalformed(what);
    // No farewell: its sender may not be the one who sent the rest.
    this.destroy();
  }

  #die(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#output.flush();
    this.#socket.end();
    this.#socket.resume();
    this.#diesAt = this.#clock.monotonic() + lingerMs;
  }

  #sendDisconnect(reason: number, text: string): void {
    const payload = new WireWriter()
      .byte(message.disconnect)
      .uint32(reason)
      .string(text)
      .string('en')
      .finish();
    this.#protocol.sendAtOnce(payload);
  }
}

/** RFC 8308 §3.1: which keys may sign a login. */
function extInfo(): Buffer {
  return new WireWriter()
    .byte(message.extInfo)
    .uint32(1)
    .string('server-sig-algs')
    .string(signatureAlgorithms.join(','))
    .finish();
}
