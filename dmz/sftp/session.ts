import type { FileClient, RemoteFolder } from '#dmz/files/file-client.ts';
import type { ByteChannel } from '#dmz/sftp/byte-channel.ts';
import type { Pieces } from '#dmz/sftp/files/piece-queue.ts';
import { OpenFile } from '#dmz/sftp/files/open-file.ts';
import { FolderReader } from '#dmz/sftp/files/folder-reader.ts';
import {
  channelQueueBytesMax,
  handlesMax,
  outstandingReadBytesMax,
  outstandingRequestsMax,
} from '#dmz/sftp/limits.ts';
import { longName } from '#dmz/sftp/protocol/long-name.ts';
import { PacketAssembler } from '#dmz/sftp/protocol/packet-assembler.ts';
import { sftpVersion, statusCode } from '#dmz/sftp/protocol/constants.ts';
import {
  attributesReply,
  dataReplyHead,
  encodeNamedEntry,
  handleReply,
  limitsReply,
  nameReply,
  statusReply,
  usageReply,
  versionReply,
} from '#dmz/sftp/protocol/replies.ts';
import {
  parseRequest,
  readOpenFlags,
  RequestRefused,
  type SftpRequest,
} from '#dmz/sftp/protocol/requests.ts';
import { toStatus } from '#dmz/sftp/status.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import type { Clock } from '#shared/clock.ts';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import { parseVirtualPath, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { Log } from '#shared/log.ts';

export interface SftpSessionOptions {
  readonly channel: ByteChannel;
  /** The proof that somebody is signed in; every operation goes through it. */
  readonly files: FileClient;
  /** Shown as the owner in long listings. */
  readonly username: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes no honest client sends: for the guard. */
  readonly onMalformed: (what: string) => void;
  /** Everything is answered and released. Called once. */
  readonly onFinished: () => void;
}

type Requests = Exclude<SftpRequest, { type: 'init' }>;
type RequestOf<T extends Requests['type']> = Extract<Requests, { type: T }>;

/**
 * One SFTP conversation (version 3) on one channel: reads requests, asks the file service, answers.
 *
 * Requests run side by side, as clients expect that pipeline them; what belongs together on one file keeps its order
 * (`OpenFile`). It stops reading the channel while too much is under way, so that a client can't make it hold more
 * than the bounds of `limits.ts`.
 *
 * Trust: the client is signed in and may still be hostile. Decides nothing about rights: main does, for every call.
 */
export class SftpSession {
  readonly #options: SftpSessionOptions;
  readonly #channel: ByteChannel;
  readonly #files: FileClient;
  readonly #assembler = new PacketAssembler();
  readonly #handles = new Map<string, OpenFile | FolderReader>();
  #handleCount = 0;
  #opening = 0;
  #hasVersion = false;
  #outstanding = 0;
  #outstandingReadBytes = 0;
  /** CLOSEs under way: the client said that these uploads are whole, so they may finish even if it is gone. */
  readonly #closing = new Set<Promise<void>>();
  #isWorking = false;
  #clientHasEnded = false;
  #isOver = false;

  constructor(options: SftpSessionOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#files = options.files;
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
    const isQuiet = this.#outstanding === 0 && !this.#isOver;
    if (this.#clientHasEnded && isQuiet) {
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
      if (this.#hasVersion || request.version < sftpVersion) throw new MalformedMessage('unexpected INIT');
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
      this.#answer(request).then(answered, (error: unknown) => {
        this.#noteFailure(request.type, error);
        const { code, message } = toStatus(error);
        answered(statusReply(id, code, message));
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
    const file = this.#findFile(request.handle);
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
    file.read({
      offset: request.offset,
      length: request.length,
      done: (error, pieces) => {
        this.#outstandingReadBytes -= request.length;
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
    const file = this.#findFile(request.handle);
    if (file === undefined) {
      answered(failed(request.id, badHandle()));
      return;
    }
    if (request.length === 0) {
      answered(ok(request.id));
      return;
    }
    file.write({
      offset: request.offset,
      length: request.length,
      data: request.data,
      done: (error) => answered(error === undefined ? ok(request.id) : failed(request.id, error)),
    });
  }

  async #answer(request: Exclude<Requests, { type: 'read' | 'write' }>): Promise<Buffer> {
    const { id } = request;
    switch (request.type) {
      case 'open':
        return handleReply(id, await this.#open(request));
      case 'close':
        await this.#close(request.handle);
        return ok(id);
      case 'stat':
        return attributesReply(id, await this.#files.stat(toPath(request.path)));
      case 'lstat':
        return attributesReply(id, await this.#files.stat(toPath(request.path), { followLinks: false }));
      case 'fstat':
        return attributesReply(id, await this.#statHandle(request.handle));
      case 'setstat':
      case 'lsetstat':
        await this.#files.change(toPath(request.path), requireChange(request.attributes), {
          followLinks: request.type === 'setstat',
        });
        return ok(id);
      case 'fsetstat':
        await this.#requireFile(request.handle).change(requireChange(request.attributes));
        return ok(id);
      case 'opendir':
        return handleReply(id, await this.#openFolder(toPath(request.path)));
      case 'readdir': {
        const names = await this.#requireFolder(request.handle).read();
        return names.length > 0 ? nameReply(id, names) : statusReply(id, statusCode.eof, 'End of folder');
      }
      case 'remove':
        await this.#files.removeFile(toPath(request.path));
        return ok(id);
      case 'mkdir':
        await this.#files.makeFolder(toPath(request.path), request.attributes.change.mode);
        return ok(id);
      case 'rmdir':
        await this.#files.removeFolder(toPath(request.path), { recursive: false });
        return ok(id);
      case 'realpath':
        return pathReply(id, toPath(request.path).toString());
      case 'expand-path':
        return pathReply(id, toPath(request.path.replace(/^~(?=\/|$)/, '')).toString());
      case 'home-directory':
        return pathReply(id, '/');
      case 'rename':
        await this.#files.rename(toPath(request.from), toPath(request.to), { overwrite: request.overwrite });
        return ok(id);
      case 'readlink':
        return pathReply(id, await this.#files.readLink(toPath(request.path)));
      case 'symlink':
        throw new SallyportError('permission-denied', 'Links are not made here');
      case 'limits':
        return limitsReply(id);
      case 'statvfs':
        return usageReply(id, await this.#files.usage(toPath(request.path)));
      case 'fstatvfs':
        return usageReply(id, await this.#files.usage(this.#requireHandle(request.handle).path));
      case 'fsync':
        await this.#requireFile(request.handle).sync();
        return ok(id);
      case 'copy-data':
        await this.#copy(request);
        return ok(id);
      case 'unsupported':
        return statusReply(id, statusCode.unsupported, `Not supported: ${request.what}`);
    }
  }

  async #open(request: RequestOf<'open'>): Promise<string> {
    const mode = readOpenFlags(request.flags);
    if (mode === undefined) throw new SallyportError('bad-request', 'Open flags without meaning');
    const path = toPath(request.path);
    // An owner in OPEN is ignored, as OpenSSH does: clients send it along without meaning it.
    return this.#addHandle(async () => {
      const remote = await this.#files.open(path, mode, request.attributes.change);
      return new OpenFile(path, remote, mode);
    });
  }

  #openFolder(path: VirtualPath): Promise<string> {
    const { username, clock } = this.#options;
    return this.#addHandle(async () => {
      const remote: RemoteFolder = await this.#files.openFolder(path);
      return new FolderReader(path, remote, ({ name, attributes }) =>
        encodeNamedEntry({ name, attributes, longName: longName(name, attributes, username, clock.now()) }),
      );
    });
  }

  async #addHandle(open: () => Promise<OpenFile | FolderReader>): Promise<string> {
    if (this.#handles.size + this.#opening + this.#closing.size >= handlesMax)
      throw new SallyportError('too-many', 'Too many open files');
    this.#opening += 1;
    let opened: OpenFile | FolderReader;
    try {
      opened = await open();
    } finally {
      this.#opening -= 1;
    }
    if (this.#isOver) {
      await opened.abandon();
      throw new SallyportError('bad-handle', 'The connection is closed');
    }
    this.#handleCount += 1;
    const handle = this.#handleCount.toString(16).padStart(8, '0');
    this.#handles.set(handle, opened);
    return handle;
  }

  #requireHandle(handle: string): OpenFile | FolderReader {
    const found = this.#handles.get(handle);
    if (found === undefined) throw badHandle();
    return found;
  }

  #findFile(handle: string): OpenFile | undefined {
    const found = this.#handles.get(handle);
    return found instanceof OpenFile ? found : undefined;
  }

  #requireFile(handle: string): OpenFile {
    const file = this.#findFile(handle);
    if (file === undefined) throw badHandle();
    return file;
  }

  #requireFolder(handle: string): FolderReader {
    const found = this.#requireHandle(handle);
    if (!(found instanceof FolderReader)) throw badHandle();
    return found;
  }

  async #statHandle(handle: string) {
    const found = this.#requireHandle(handle);
    return found instanceof OpenFile ? found.stat() : this.#files.stat(found.path);
  }

  async #close(handle: string): Promise<void> {
    const found = this.#requireHandle(handle);
    // Gone at once: a second CLOSE, or anything else that names it, is refused even while this one waits.
    this.#handles.delete(handle);
    // It counts until main has let go of it.
    const closing = found.close();
    this.#closing.add(closing);
    try {
      await closing;
    } finally {
      this.#closing.delete(closing);
    }
  }

  async #copy(request: RequestOf<'copy-data'>): Promise<void> {
    const from = this.#requireFile(request.from);
    const to = this.#requireFile(request.to);
    const lengthBytes = request.length;
    if (from === to) {
      const end = (offset: number) => (lengthBytes === 0 ? Infinity : offset + lengthBytes);
      const isDisjoint =
        end(request.fromOffset) <= request.toOffset || end(request.toOffset) <= request.fromOffset;
      if (!isDisjoint) throw new SallyportError('unsupported', 'Ranges of one file overlap');
    }
    await from.copyTo(to, { fromOffset: request.fromOffset, toOffset: request.toOffset, lengthBytes });
  }

  /**
   * The end, however it comes. Files the client did not close are left as partial uploads: only a CLOSE says that an
   * upload is whole.
   */
  async #finish(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const open = [...this.#handles.values()];
    this.#handles.clear();
    await Promise.allSettled([...this.#closing, ...open.map((handle) => handle.abandon())]);
    this.#channel.end();
    this.#options.onFinished();
  }
}

function toPath(untrustedPath: string): VirtualPath {
  return parseVirtualPath(untrustedPath);
}

function requireChange(requested: { change: AttributeChange; setsOwner: boolean }): AttributeChange {
  if (requested.setsOwner) throw new SallyportError('permission-denied', 'Owners are not changed here');
  return requested.change;
}

function badHandle(): SallyportError {
  return new SallyportError('bad-handle', 'No such handle');
}

function ok(id: number): Buffer {
  return statusReply(id, statusCode.ok, 'Done');
}

function failed(id: number, error: SallyportError): Buffer {
  const { code, message } = toStatus(error);
  return statusReply(id, code, message);
}

function pathReply(id: number, path: string): Buffer {
  return nameReply(id, [encodeNamedEntry({ name: path, longName: path })]);
}
