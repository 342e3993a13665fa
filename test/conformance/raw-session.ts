import net from 'node:net';
import ssh2 from 'ssh2';
import { packetType, type Request, uint32 } from './requests.ts';

/**
 * One SFTP session that sends what it is told and gives back what came, packet for packet, on an SSH connection of its
 * own. The same code talks to both servers, so what differs between their answers is theirs.
 */
export interface Login {
  readonly port: number;
  readonly username: string;
  readonly password?: string;
  readonly privateKey?: string;
}

/** A packet that came: its type, and what follows its id. Undefined: the server ended the session instead. */
export type Reply = { readonly type: number; readonly body: Buffer } | undefined;

/** A server that answers late is loaded; one that takes longer than this never will. */
const answerMs = 60_000;
const sftpVersion = 3;

export class RawSession {
  readonly #client: ssh2.Client;
  readonly #channel: ssh2.ClientChannel;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #received = Buffer.alloc(0);
  /** Above every version, so that no answer is taken for VERSION. */
  #lastId = 1000;
  hasEnded = false;

  private constructor(client: ssh2.Client, channel: ssh2.ClientChannel) {
    this.#client = client;
    this.#channel = channel;
    channel.on('data', (chunk: Buffer) => this.#take(chunk));
    // Nobody reads it, and an unread stream holds the other.
    channel.stderr.resume();
    channel.on('close', () => this.#end());
    channel.on('error', () => this.#end());
    client.on('close', () => this.#end());
    client.on('error', () => this.#end());
  }

  static async connect(login: Login): Promise<RawSession> {
    const session = await RawSession.connectSilently(login);
    const [version] = await session.send([{ type: packetType.init, body: uint32(sftpVersion) }]);
    if (version?.type !== packetType.version) throw new Error('no VERSION came');
    return session;
  }

  /** Without INIT. */
  static async connectSilently(login: Login): Promise<RawSession> {
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve);
      client.once('error', reject);
      const { port, ...who } = login;
      client.connect({ sock: net.connect(port, '127.0.0.1'), tryKeyboard: false, ...who });
    });
    const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
      client.subsys('sftp', (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
    });
    return new RawSession(client, channel);
  }

  /** All in one go; each answer by its request, whatever order they come in. */
  send(requests: readonly (Pick<Request, 'type' | 'bytes'> & { readonly body: Buffer })[]): Promise<Reply[]> {
    const packets: Buffer[] = [];
    const replies = requests.map(({ type, body, bytes }): Promise<Reply> => {
      if (bytes !== undefined) {
        packets.push(bytes);
        return Promise.resolve(undefined);
      }
      // INIT and VERSION have no id, but their version in its place.
      if (type === packetType.init) {
        packets.push(frame(Buffer.of(type), body));
        return this.#expect(sftpVersion);
      }
      this.#lastId += 1;
      packets.push(frame(Buffer.of(type), uint32(this.#lastId), body));
      return this.#expect(this.#lastId);
    });
    if (!this.hasEnded) this.#channel.write(Buffer.concat(packets));
    return Promise.all(replies);
  }

  async close(): Promise<void> {
    if (this.hasEnded) return;
    await new Promise<void>((resolve) => {
      this.#client.once('close', resolve);
      this.#client.end();
    });
  }

  #expect(id: number): Promise<Reply> {
    if (this.hasEnded) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer in ${answerMs / 1000} s`)), answerMs);
      this.#waiting.set(id, (reply) => {
        clearTimeout(late);
        resolve(reply);
      });
    });
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readUInt32BE(0);
      if (this.#received.length < end) return;
      const [type = 0] = this.#received.subarray(4);
      const id = this.#received.readUInt32BE(5);
      const body = this.#received.subarray(9, end);
      this.#received = this.#received.subarray(end);
      const answer = this.#waiting.get(id);
      this.#waiting.delete(id);
      answer?.({ type, body });
    }
  }

  #end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    for (const answer of this.#waiting.values()) answer(undefined);
    this.#waiting.clear();
    this.#client.end();
  }
}

function frame(...fields: readonly Buffer[]): Buffer {
  const packet = Buffer.concat(fields);
  return Buffer.concat([uint32(packet.length), packet]);
}
