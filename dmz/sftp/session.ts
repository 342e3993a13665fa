import type { FileClient } from '#dmz/files/file-client.ts';
import type { ByteChannel } from '#dmz/sftp/byte-channel.ts';
import { badHandle, Handles } from '#dmz/sftp/files/handles.ts';
import type { Pieces } from '#dmz/sftp/files/piece-queue.ts';
import type { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { channelQueueBytesMax, outstandingReadBytesMax, outstandingRequestsMax } from '#dmz/sftp/limits.ts';
import { ok, PlainRequests } from '#dmz/sftp/plain-requests.ts';
import { statusCode } from '#dmz/sftp/protocol/constants.ts';
import { PacketAssembler } from '#dmz/sftp/protocol/packet-assembler.ts';
import { dataReplyHead, statusReply, versionReply } from '#dmz/sftp/protocol/replies.ts';
import { parseRequest, RequestRefused, type SftpRequest } from '#dmz/sftp/protocol/requests.ts';
import { RequestOrder } from '#dmz/sftp/request-order.ts';
import { toStatus } from '#dmz/sftp/status.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';

interface SftpSessionOptions {
  readonly channel: ByteChannel;
  /** The proof that somebody is signed in; every operation goes through it. */
  readonly files: FileClient;
  /** The streams of all sessions on this connection. */
  readonly slots: StreamSlots;
  /** Shown as the owner in long listings. */
  readonly username: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes no honest client sends: for the guard. */
  readonly onMalformed: (what: string) => void;
}

type RequestOf<T extends SftpRequest['type']> = Extract<SftpRequest, { type: T }>;

/**
 * One SFTP conversation (version 3) on one channel (D-06): reads requests, asks the file service, answers.
 *
 * Requests run side by side where nobody can tell; each sees the effects of those before it (`RequestOrder`, and
 * `FileOrder` for the content of one file). It stops reading the channel while too much is under way, so that a client can't make it hold more
 * than the bounds of `limits.ts`.
 *
 * Trust: the client is signed in and may still be hostile. Decides nothing about rights: main does, for every call.
 */
export class SftpSession {
  /** Everything is answered, and main has let go of every file. */
  readonly finished: Promise<void>;
  readonly #options: SftpSessionOptions;
  readonly #channel: ByteChannel;
  readonly #assembler = new PacketAssembler();
  readonly #handles = new Handles();
  readonly #order = new RequestOrder();
  readonly #plain: PlainRequests;
  #hasVersion = false;
  #outstanding = 0;
  #outstandingReadBytes = 0;
  #isWorking = false;
  #clientHasEnded = false;
  #isOver = false;
  readonly #onFinished: () => void;

  constructor(options: SftpSessionOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#onFinished = resolve;
    this.#channel = options.channel;
    this.#plain = new PlainRequests({ ...options, handles: this.#handles, order: this.#order });
    this.#channel.onData = (bytes) => {
      this.#assembler.push(bytes);
      this.#work();
    };
    this.#channel.onEnd = () => {
      this.#clientHasEnded = true;
      this.#work();
    };
    this.#channel.onDrain = () => this.#work();
    this.#channel.onClose = () => void this.#finish();
  }

  #work(): void {
    // An answer at hand comes back here: the loop that is running goes on instead of a deeper one.
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      while (!this.#isOver && this.#mayTakeMore()) {
        const packet = this.#assembler.next();
        if (packet === undefined) break;
        this.#take(parseRequest.bind(undefined, packet), packet.length + 4);
      }
    } catch (error) {
      this.#breakOff(error);
      return;
    } finally {
      this.#isWorking = false;
    }
    // With room for more and none taken, there is no whole request left.
    const isQuiet = this.#outstanding === 0 && this.#mayTakeMore();
    if (this.#clientHasEnded && isQuiet && !this.#isOver) {
      if (this.#assembler.bufferedBytes > 0) this.#options.log.debug('client ended inside a packet');
      void this.#finish();
    }
  }

  #mayTakeMore(): boolean {
    return (
      this.#outstanding < outstandingRequestsMax &&
      this.#outstandingReadBytes < outstandingReadBytesMax &&
      this.#channel.queuedBytes < channelQueueBytesMax
    );
  }

  /** A stream of bytes that makes no sense can't be picked up again. */
  #breakOff(error: unknown): void {
    if (error instanceof MalformedMessage) this.#options.onMalformed(`sftp: ${error.message}`);
    else this.#options.log.error({ err: error }, 'sftp session failed');
    void this.#finish();
  }

  #take(parse: () => SftpRequest, packetBytes: number): void {
    let request: SftpRequest;
    try {
      request = parse();
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      this.#channel.consumed(packetBytes);
      this.#send(statusReply(error.id, error.status, error.message));
      return;
    }
    if (request.type === 'init') {
      // Whatever version a client asks for, and however often: it is told that this one is spoken.
      this.#hasVersion = true;
      this.#channel.consumed(packetBytes);
      this.#send(versionReply());
      return;
    }
    if (!this.#hasVersion) throw new MalformedMessage('request before INIT');
    this.#outstanding += 1;
    const { id } = request;
    const answered = (reply: Buffer | undefined) => {
      this.#outstanding -= 1;
      this.#channel.consumed(packetBytes);
      if (reply !== undefined) this.#send(reply);
      this.#work();
    };
    // READ and WRITE are the fast path: callbacks, no promise per request.
    if (request.type === 'read') this.#read(request, answered);
    else if (request.type === 'write') this.#write(request, answered);
    else
      this.#plain.answer(request).then(answered, (error: unknown) => {
        this.#noteFailure(request.type, error);
        answered(failed(id, error));
      });
  }

  #noteFailure(what: string, error: unknown): void {
    const isOurs = !isSallyportError(error) || error.code === 'internal' || error.code === 'io-error';
    if (isOurs) this.#options.log.warn({ err: error, what }, 'sftp request failed');
  }

  #send(reply: Buffer): void {
    if (!this.#isOver) this.#channel.write([reply]);
  }

  #read(request: RequestOf<'read'>, answered: (reply: Buffer | undefined) => void): void {
    const file = this.#handles.findFile(request.handle);
    if (file === undefined) {
      answered(failed(request.id, badHandle()));
      return;
    }
    if (request.length === 0) {
      this.#sendData(request.id, undefined);
      answered(undefined);
      return;
    }
    this.#outstandingReadBytes += request.length;
    const stretch = this.#order.beginRead();
    file.read({
      offset: request.offset,
      length: request.length,
      done: (error, pieces) => {
        this.#outstandingReadBytes -= request.length;
        this.#order.endRead(stretch);
        if (error !== undefined) {
          pieces?.release();
          answered(failed(request.id, error));
        } else if (pieces === undefined) {
          answered(statusReply(request.id, statusCode.eof, 'End of file'));
        } else {
          this.#sendData(request.id, pieces);
          answered(undefined);
        }
      },
    });
  }

  #sendData(id: number, pieces: Pieces | undefined): void {
    if (this.#isOver) {
      pieces?.release();
      return;
    }
    this.#channel.write(
      [dataReplyHead(id, pieces?.length ?? 0), ...(pieces?.buffers ?? [])],
      pieces?.release,
    );
  }

  #write(request: RequestOf<'write'>, answered: (reply: Buffer) => void): void {
    const file = this.#handles.findFile(request.handle);
    if (file === undefined) {
      answered(failed(request.id, badHandle()));
      return;
    }
    if (request.length === 0) {
      answered(ok(request.id));
      return;
    }
    const stretch = this.#order.beginWrite();
    file.write({
      offset: request.offset,
      length: request.length,
      data: request.data,
      done: (error) => {
        this.#order.endWrite(stretch);
        answered(error === undefined ? ok(request.id) : failed(request.id, error));
      },
    });
  }

  /** The end, however it comes. */
  async #finish(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#order.release(new SallyportError('bad-handle', 'The connection is closed'));
    await this.#handles.abandonAll();
    this.#channel.end();
    this.#onFinished();
  }
}

function failed(id: number, error: unknown): Buffer {
  const { code, message } = toStatus(error);
  return statusReply(id, code, message);
}
