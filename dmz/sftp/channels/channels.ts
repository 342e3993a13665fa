import { Channel, type ChannelCarrier } from '#dmz/sftp/channels/channel.ts';
import {
  channelPacketBytesMax,
  channelsMax,
  channelWindowBytes,
  connectionRequestRate,
  hostKeyBytesMax,
  peerPacketBytesMin,
  proofsMax,
} from '#dmz/sftp/limits.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import { hostKeysMax } from '#shared/link/messages.ts';
import { Rate } from '#shared/rate.ts';
import { proofRequest } from '#shared/ssh-key/sign.ts';

/**
 * The connection protocol (RFC 4254) after a login: session channels with the sftp subsystem, and nothing else.
 * Environment, forwarding of any kind, agent and X11 are refused, whatever they ask for. A shell or a command gets one
 * line that says so, and exit status 1; nothing is ever run.
 *
 * Trust: the client is signed in and may still be hostile. Decides nothing about files.
 */
interface ChannelsOptions {
  readonly carrier: ChannelCarrier;
  /** A channel asked for the sftp subsystem and got it. */
  readonly onSftp: (channel: Channel) => void;
  /** Something was asked for that no ordinary client of files asks for: told once of each kind, for the audit. */
  readonly onRefused: (what: RefusedKind) => void;
  /** The client wants it shown that these host keys are ours: signatures, one for each. Rejects: they are not. */
  readonly prove: (keys: readonly Buffer[]) => Promise<readonly Buffer[]>;
  readonly clock: Clock;
}

/** What may stand in the audit; a client's own words would make as many kinds as it likes. */
const refusedKinds = [
  'channel direct-tcpip',
  'channel direct-streamlocal@openssh.com',
  'channel x11',
  'channel auth-agent@openssh.com',
  'channel tun@openssh.com',
  'channel of another type',
  'channel request subsystem',
  'channel request x11-req',
  'global request tcpip-forward',
  'global request streamlocal-forward@openssh.com',
] as const;
type RefusedKind = (typeof refusedKinds)[number];

/** For people who typed `ssh`, `scp -O` or `rsync`. */
const sftpOnly = 'This server speaks SFTP only: use sftp, or scp without -O.';

const openFailure = { prohibited: 1, unknownType: 3, shortage: 4 } as const;
/** OpenSSH PROTOCOL §2.5 */
const announcement = 'hostkeys-00@openssh.com';
/** Names a client sends are shown in logs no longer than this. */
const nameBytesMax = 256;

interface Entry {
  readonly channel: Channel;
  /** It has its one program (RFC 4254 §6.5). */
  isStarted: boolean;
  hasTerminal: boolean;
}

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<number, Entry>();
  #nextId = 0;
  readonly #requests: Rate;
  #proofs = 0;
  /** Global requests are answered in their order (RFC 4254 §4): what came after one that takes time waits. */
  #answering: Promise<void> | undefined;
  readonly #told = new Set<RefusedKind>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#requests = new Rate(connectionRequestRate, options.clock.monotonic());
  }

  /** Throws MalformedMessage. */
  onMessage(type: number, payload: Buffer): void {
    const reader = new WireReader(payload, 1);
    switch (type) {
      case message.channelData:
        this.#require(reader.uint32()).channel.receive(this.#readData(reader));
        return;
      case message.channelWindowAdjust:
        this.#require(reader.uint32()).channel.addWindow(reader.uint32());
        return;
      case message.channelExtendedData: {
        const { channel } = this.#require(reader.uint32());
        reader.uint32();
        channel.discard(this.#readData(reader));
        return;
      }
      case message.channelEof:
        this.#require(reader.uint32()).channel.receiveEnd();
        return;
      case message.channelClose:
        this.#require(reader.uint32()).channel.receiveClose();
        return;
      case message.channelOpen:
        this.#open(reader);
        return;
      case message.channelRequest:
        this.#onRequest(reader);
        return;
      case message.globalRequest:
        this.#onGlobalRequest(reader);
        return;
      case message.requestSuccess:
      case message.requestFailure:
      case message.channelSuccess:
      case message.channelFailure:
        return; // answers; we ask nothing
      default:
        throw new MalformedMessage(`message ${type} after success`);
    }
  }

  /** The connection can take bytes again. */
  resume(): void {
    for (const { channel } of this.#channels.values()) channel.resume();
  }

  /** The connection is gone. */
  abort(): void {
    for (const { channel } of this.#channels.values()) channel.abort();
    this.#channels.clear();
  }

  #count(): void {
    if (!this.#requests.take(this.#options.clock.monotonic()))
      throw new MalformedMessage('too many requests at once');
  }

  #tell(what: string): void {
    const kind = refusedKinds.find((known) => known === what);
    if (kind === undefined || this.#told.has(kind)) return;
    this.#told.add(kind);
    this.#options.onRefused(kind);
  }

  #readData(reader: WireReader): Buffer {
    const data = reader.string(channelPacketBytesMax);
    reader.requireEnd();
    return data;
  }

  #require(id: number): Entry {
    const entry = this.#channels.get(id);
    if (entry === undefined) throw new MalformedMessage('no such channel');
    return entry;
  }

  #open(reader: WireReader): void {
    this.#count();
    const type = reader.string(nameBytesMax).toString('latin1');
    const remote = { id: reader.uint32(), window: reader.uint32(), packetBytes: reader.uint32() };
    if (type !== 'session') {
      const isKnown = refusedKinds.some((kind) => kind === `channel ${type}`);
      this.#tell(isKnown ? `channel ${type}` : 'channel of another type');
      this.#refuseOpen(remote.id, openFailure.prohibited, 'Only sftp sessions are served here');
    } else if (this.#channels.size >= channelsMax || remote.packetBytes < peerPacketBytesMin) {
      this.#refuseOpen(remote.id, openFailure.shortage, 'Too many channels, or packets too small');
    } else {
      this.#accept(remote);
    }
  }

  #refuseOpen(remoteId: number, reason: number, text: string): void {
    const refusal = new WireWriter().byte(message.channelOpenFailure).uint32(remoteId).uint32(reason);
    this.#options.carrier.send(refusal.string(text).string('en').finish());
  }

  #accept(remote: { id: number; window: number; packetBytes: number }): void {
    const id = this.#nextId;
    this.#nextId += 1;
    const channel = new Channel(this.#options.carrier, remote);
    channel.onGone = () => this.#channels.delete(id);
    this.#channels.set(id, { channel, isStarted: false, hasTerminal: false });
    const confirmation = new WireWriter()
      .byte(message.channelOpenConfirmation)
      .uint32(remote.id)
      .uint32(id)
      .uint32(channelWindowBytes)
      .uint32(channelPacketBytesMax);
    this.#options.carrier.send(confirmation.finish());
  }

  #onRequest(reader: WireReader): void {
    this.#count();
    const entry = this.#require(reader.uint32());
    const type = reader.string(nameBytesMax).toString('latin1');
    const wantsReply = reader.boolean();
    const act = entry.isStarted ? undefined : this.#judge(entry, type, reader);
    if (act === undefined) this.#tell(`channel request ${type}`);
    if (wantsReply) {
      const answer = act === undefined ? message.channelFailure : message.channelSuccess;
      this.#options.carrier.send(new WireWriter().byte(answer).uint32(entry.channel.remoteId).finish());
    }
    act?.();
  }

  /** What is done once the client was told that it is; undefined: it isn't. */
  #judge(entry: Entry, type: string, reader: WireReader): (() => void) | undefined {
    const { channel } = entry;
    switch (type) {
      case 'subsystem':
        if (reader.string(nameBytesMax).toString('latin1') !== 'sftp') return undefined;
        entry.isStarted = true;
        return () => this.#options.onSftp(channel);
      case 'pty-req':
        // Taken, or ssh would say that the terminal failed before it shows our line.
        entry.hasTerminal = true;
        return () => undefined;
      case 'shell':
      case 'exec':
        entry.isStarted = true;
        return () => channel.refuseProgram(`${sftpOnly}${entry.hasTerminal ? '\r\n' : '\n'}`);
      default:
        return undefined;
    }
  }

  /** Which host keys the server has, once the client is in: it may learn the next one before it is used. */
  announce(keys: readonly Buffer[]): void {
    const request = new WireWriter().byte(message.globalRequest).string(announcement).boolean(false);
    for (const key of keys) request.string(key);
    this.#options.carrier.send(request.finish());
  }

  /** Keep-alives, under whatever name, ask for a reply, and any will do. */
  #onGlobalRequest(reader: WireReader): void {
    this.#count();
    const name = reader.string(nameBytesMax).toString('latin1');
    const wantsReply = reader.boolean();
    this.#tell(`global request ${name}`);
    if (!wantsReply) return;
    const proof = name === proofRequest ? this.#prove(reader) : undefined;
    const refuse = (): void =>
      this.#options.carrier.send(new WireWriter().byte(message.requestFailure).finish());
    if (proof === undefined && this.#answering === undefined) {
      refuse();
      return;
    }
    const answer = (this.#answering ?? Promise.resolve())
      .then(() => proof)
      .then((reply) => (reply === undefined ? refuse() : this.#options.carrier.send(reply)));
    this.#answering = answer;
    void answer.then(() => {
      if (this.#answering === answer) this.#answering = undefined;
    });
  }

  /** The reply; undefined: none. */
  async #prove(reader: WireReader): Promise<Buffer | undefined> {
    const keys: Buffer[] = [];
    while (reader.left > 0 && keys.length < hostKeysMax) keys.push(reader.string(hostKeyBytesMax));
    reader.requireEnd();
    this.#proofs += 1;
    if (keys.length === 0 || this.#proofs > proofsMax) return undefined;
    const signatures = await this.#options.prove(keys).catch(() => undefined);
    if (signatures === undefined) return undefined;
    const reply = new WireWriter().byte(message.requestSuccess);
    for (const signature of signatures) reply.string(signature);
    return reply.finish();
  }
}
