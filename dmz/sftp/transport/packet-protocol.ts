/* oxlint-disable no-underscore-dangle -- these are ssh2's own names, and no other file of ours uses them */
import type { Ssh2Modules } from '#dmz/sftp/transport/ssh2-modules.ts';
import type { Negotiated, Ssh2Protocol } from '#dmz/sftp/ssh2-shapes.ts';
import { message } from '#dmz/sftp/transport/messages.ts';

/**
 * ssh2's Protocol object behind names that say what is used of it: version line, key exchange, packets. None of its
 * message handlers is ever called, save for KEXINIT.
 */
interface PacketProtocolHandlers {
  readonly onWrite: (bytes: Buffer) => void;
  /** ssh2 gave up; it has sent a DISCONNECT and takes nothing more. */
  readonly onError: (error: Error) => void;
  /** Any message but KEXINIT. `false`: stop reading, nothing after it counts. */
  readonly onMessage: (payload: Buffer) => boolean;
  /** The client begins a key exchange that is not the first. `false`: refuse, as above. */
  readonly onRekey: () => boolean;
  /** New keys are in use. Before anything else may be sent with the first ones comes `firstMessage`. */
  readonly onKeys: () => void;
  /** EXT_INFO for a client that can read it (RFC 8308 §2.4). */
  readonly firstMessage: () => Buffer;
}

export class PacketProtocol {
  /** What ssh2's callbacks are given. */
  readonly raw: Ssh2Protocol;
  readonly #modules: Ssh2Modules;

  constructor(
    modules: Ssh2Modules,
    options: {
      readonly hostKeys: Readonly<Record<string, unknown>>;
      readonly ident: string;
      readonly offer: unknown;
      readonly handlers: PacketProtocolHandlers;
    },
  ) {
    const { hostKeys, ident, offer, handlers } = options;
    this.#modules = modules;
    this.raw = modules.buildProtocol({
      server: true,
      hostKeys,
      ident,
      offer,
      onWrite: handlers.onWrite,
      onError: handlers.onError,
      onHeader: () => undefined,
      messageHandlers: {},
    });
    this.#intercept(handlers);
  }

  start(): void {
    this.raw.start?.();
  }

  /** Throws for whatever is no packet; nothing may be parsed afterwards. */
  parse(bytes: Buffer): void {
    this.raw.parse(bytes, 0, bytes.length);
  }

  cleanUp(): void {
    this.raw.cleanup();
  }

  /** RFC 4253 §7.2: the hash of the first key exchange. */
  get sessionId(): Buffer {
    return this.raw._kex?.sessionID ?? Buffer.alloc(0);
  }

  get negotiated(): Negotiated | undefined {
    return this.raw._kex?.negotiated;
  }

  /** Between our KEXINIT and new keys: what is sent now waits in a queue. */
  get isExchanging(): boolean {
    return this.raw._kexinit !== undefined;
  }

  /** Neither side's first KEXINIT has been dealt with. */
  get hasNoExchange(): boolean {
    return this.raw._kexinit === undefined && this.raw._kex === undefined;
  }

  get queuedMessages(): number {
    return this.raw._queue?.length ?? 0;
  }

  setOffer(offer: unknown): void {
    this.raw._offer = offer;
  }

  sendKexInit(): void {
    this.#modules.sendKexInit(this.raw);
  }

  rekey(): void {
    this.raw.rekey();
  }

  /** A message of `length` bytes, written by `fill` straight into the packet. */
  send(length: number, fill: (packet: Buffer, start: number) => void): void {
    const { write } = this.raw._packetRW;
    const start = write.allocStart;
    const packet = write.alloc(length);
    fill(packet, start);
    this.#modules.sendPacket(this.raw, write.finalize(packet));
  }

  /** At once, even while keys are exchanged: for DISCONNECT alone. */
  sendAtOnce(payload: Buffer): void {
    const { write } = this.raw._packetRW;
    const start = write.allocStartKEX;
    const packet = write.alloc(payload.length, true);
    packet.set(payload, start);
    this.#modules.sendPacket(this.raw, write.finalize(packet, true), true);
  }

  #intercept(handlers: PacketProtocolHandlers): void {
    const protocol = this.raw;
    const { _onPayload: toSsh2, _onHandshakeComplete: onComplete } = protocol;
    protocol._onPayload = (payload) => {
      if (payload[0] === message.kexInit) return handlers.onRekey() ? toSsh2(payload) : Infinity;
      // Infinity ends ssh2's loop over the rest of the chunk.
      return handlers.onMessage(payload) ? undefined : Infinity;
    };
    let isFirst = true;
    protocol._onHandshakeComplete = (negotiated) => {
      const wantsExtInfo = protocol._kex?.remoteExtInfoEnabled === true;
      // ssh2's own EXT_INFO names SHA-1 signatures and lacks a comma.
      if (protocol._kex !== undefined) protocol._kex.remoteExtInfoEnabled = false;
      if (isFirst && wantsExtInfo) {
        const first = handlers.firstMessage();
        this.send(first.length, (packet, start) => packet.set(first, start));
      }
      isFirst = false;
      onComplete(negotiated);
      handlers.onKeys();
    };
  }
}
