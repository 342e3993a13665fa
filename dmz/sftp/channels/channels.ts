import { Channel, type ChannelCarrier } from '#dmz/sftp/channels/channel.ts';
import {
  channelPacketBytesMax,
  channelRequestsMax,
  channelsMax,
  channelWindowBytes,
  peerPacketBytesMin,
} from '#dmz/sftp/limits.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';

/**
 * The connection protocol (RFC 4254) after a login: session channels with the sftp subsystem, and nothing else. Shell,
 * exec, terminals, environment, forwarding of any kind, agent and X11 are refused, whatever they ask for.
 *
 * Trust: the client is signed in and may still be hostile. Decides nothing about files.
 */
export interface ChannelsOptions {
  readonly carrier: ChannelCarrier;
  /** A channel asked for the sftp subsystem and got it. */
  readonly onSftp: (channel: Channel) => void;
  /** Something was asked for that we don't do; for the log and the audit. */
  readonly onRefused: (what: string) => void;
}

const openFailure = { prohibited: 1, unknownType: 3, shortage: 4 } as const;
/** Names a client sends are shown in logs no longer than this. */
const nameBytesMax = 256;

interface Entry {
  readonly channel: Channel;
  isSftp: boolean;
}

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<number, Entry>();
  #nextId = 0;
  #requests = 0;

  constructor(options: ChannelsOptions) {
    this.#options = options;
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

  /** Each is refused, or done once, and goes into logs: nobody needs many. */
  #count(): void {
    this.#requests += 1;
    if (this.#requests > channelRequestsMax) throw new MalformedMessage('too many requests');
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
    const type = reader.string(nameBytesMax).toString('latin1');
    const remote = { id: reader.uint32(), window: reader.uint32(), packetBytes: reader.uint32() };
    if (type !== 'session') {
      this.#count();
      this.#options.onRefused(`channel ${type}`);
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
    this.#channels.set(id, { channel, isSftp: false });
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
    const isSftp =
      type === 'subsystem' && !entry.isSftp && reader.string(nameBytesMax).toString('latin1') === 'sftp';
    if (!isSftp) this.#options.onRefused(`channel request ${type}`);
    if (wantsReply) {
      const answer = isSftp ? message.channelSuccess : message.channelFailure;
      this.#options.carrier.send(new WireWriter().byte(answer).uint32(entry.channel.remoteId).finish());
    }
    if (!isSftp) return;
    entry.isSftp = true;
    this.#options.onSftp(entry.channel);
  }

  #onGlobalRequest(reader: WireReader): void {
    const name = reader.string(nameBytesMax).toString('latin1');
    const wantsReply = reader.boolean();
    // Keep-alives ask for a reply, and any reply will do; no-more-sessions asks for none and changes nothing here.
    const isHarmless = name === 'keepalive@openssh.com' || name === 'no-more-sessions@openssh.com';
    if (!isHarmless) {
      this.#count();
      this.#options.onRefused(`global request ${name}`);
    }
    if (wantsReply) this.#options.carrier.send(new WireWriter().byte(message.requestFailure).finish());
  }
}
