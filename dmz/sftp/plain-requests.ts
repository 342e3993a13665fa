import type { FileClient, RemoteFile } from '#dmz/files/file-client.ts';
import { FolderReader } from '#dmz/sftp/files/folder-reader.ts';
import { badHandle, type Handles } from '#dmz/sftp/files/handles.ts';
import { OpenFile } from '#dmz/sftp/files/open-file.ts';
import type { StreamSlots } from '#dmz/sftp/files/stream-slots.ts';
import { statusCode } from '#dmz/sftp/protocol/constants.ts';
import { longName } from '#dmz/sftp/protocol/long-name.ts';
import {
  attributesReply,
  encodeNamedEntry,
  handleReply,
  limitsReply,
  nameReply,
  statusReply,
  usageReply,
} from '#dmz/sftp/protocol/replies.ts';
import { readOpenFlags, type SftpRequest } from '#dmz/sftp/protocol/requests.ts';
import type { PlaceKind, RequestOrder } from '#dmz/sftp/request-order.ts';
import type { Clock } from '#shared/clock.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { AttributeChange, OpenMode } from '#shared/file-service/attributes.ts';
import { parseVirtualPath, type VirtualPath } from '#shared/file-service/virtual-path.ts';
import { toldContentBytesMax } from '#shared/link/messages.ts';

/** Every request but the two that carry file content, which the session answers without a promise each. */
type PlainRequest = Exclude<SftpRequest, { type: 'init' | 'read' | 'write' }>;
type RequestOf<T extends PlainRequest['type']> = Extract<PlainRequest, { type: T }>;

/**
 * One request in, one whole answer out, or a SallyportError that `status.ts` knows how to say. Each takes its place in
 * the session's order at once, and acts when it has its turn: `answer` is called in the order of arrival.
 *
 * Trust: paths and handles are the client's words; paths become a VirtualPath here and nowhere later.
 */
export class PlainRequests {
  readonly #files: FileClient;
  readonly #handles: Handles;
  readonly #order: RequestOrder;
  readonly #slots: StreamSlots;
  readonly #username: string;
  readonly #clock: Clock;

  constructor(options: {
    readonly files: FileClient;
    readonly handles: Handles;
    readonly order: RequestOrder;
    readonly slots: StreamSlots;
    readonly username: string;
    readonly clock: Clock;
  }) {
    this.#files = options.files;
    this.#handles = options.handles;
    this.#order = options.order;
    this.#slots = options.slots;
    this.#username = options.username;
    this.#clock = options.clock;
  }

  async answer(request: PlainRequest): Promise<Buffer> {
    const { id } = request;
    const done = () => ok(id);
    switch (request.type) {
      case 'open': {
        const mode = readOpenFlags(request.flags);
        const path = toPath(request.path);
        if (namesFolder(request.path)) throw mode.create === 'never' ? notAFolder() : isAFolder();
        const open = async () => handleReply(id, await this.#open(path, mode, request));
        return this.#byPath(mode.write || makesFirst(mode) ? 'change' : 'question', [path], open);
      }
      case 'close': {
        const kind = this.#handles.findFile(request.handle)?.mayWrite === true ? 'change' : 'handle-question';
        return this.#byHandle(
          kind,
          (turn) => this.#handles.close(request.handle, turn).then(done, asNoSuchHandle),
          { mustAct: true },
        );
      }
      case 'stat':
      case 'lstat': {
        const path = toPath(request.path);
        const followLinks = request.type === 'stat';
        return this.#byPath('question', [path], async () => {
          const attributes = await this.#files.stat(path, { followLinks });
          if (namesFolder(request.path) && attributes.type === 'file') throw notAFolder();
          return attributesReply(id, attributes);
        });
      }
      case 'fstat': {
        const found = this.#handles.require(request.handle);
        return this.#byHandle('handle-question', async (turn) => {
          const stat = async () => turn.then(() => this.#files.stat(found.path));
          return attributesReply(id, await (found instanceof OpenFile ? found.stat(turn) : stat()));
        });
      }
      case 'setstat':
      case 'lsetstat': {
        const path = toPath(request.path);
        const { change, changesOwner } = request.attributes;
        const followLinks = request.type === 'setstat';
        if (!followLinks && change.size !== undefined)
          throw new SallyportError('bad-request', 'The size of a link is not changed');
        // Nothing is asked for; OpenSSH does not look whether the name is there, either.
        if (Object.keys(change).length === 0 && !changesOwner) return ok(id);
        return this.#byPath('change', [path], async () => {
          if (namesFolder(request.path)) await this.#requireFolder(path);
          await this.#files.change(path, change, { followLinks });
          return ownerAnswer(id, changesOwner);
        });
      }
      case 'fsetstat': {
        const file = this.#handles.requireFile(request.handle);
        const { change, changesOwner } = request.attributes;
        // Main changes a file by a handle for writing; mode and times may be set on one for reading too.
        if (!file.mayWrite)
          return this.#byPath('change', [file.path], async () => {
            if (change.size !== undefined) throw new SallyportError('bad-request', 'Not open for writing');
            await this.#files.change(file.path, change);
            return ownerAnswer(id, changesOwner);
          });
        return this.#byHandle('change', (turn) =>
          file.change(change, turn).then(() => ownerAnswer(id, changesOwner)),
        );
      }
      case 'opendir': {
        const path = toPath(request.path);
        return this.#byPath('question', [path], async () => handleReply(id, await this.#openFolder(path)));
      }
      case 'readdir': {
        const folder = this.#handles.requireFolder(request.handle);
        // A listing shows sizes, so it waits for WRITEs.
        return this.#byHandle('question', async (turn) => {
          const names = await folder.read(turn);
          return names.length > 0 ? nameReply(id, names) : statusReply(id, statusCode.eof, 'End of folder');
        });
      }
      case 'remove': {
        const path = toPath(request.path);
        return this.#byPath('change', [path], async () => {
          if (namesFolder(request.path)) await this.#requireFolder(path);
          await this.#files.removeFile(path);
          this.#handles.removed(path);
          return ok(id);
        });
      }
      case 'mkdir': {
        const path = toPath(request.path);
        const { mode } = request.attributes.change;
        return this.#byPath('change', [path], () => this.#files.makeFolder(path, mode).then(done));
      }
      case 'rmdir': {
        const path = toPath(request.path);
        return this.#byPath('change', [path], () =>
          this.#files.removeFolder(path, { recursive: false }).then(done),
        );
      }
      case 'rename': {
        const from = toPath(request.from);
        const to = toPath(request.to);
        const renaming = this.#byPath('change', [from, to], async () => {
          if (namesFolder(request.from) || namesFolder(request.to)) await this.#requireFolder(from);
          if (!request.overwrite && isSamePath(from, to)) {
            // Main finds nothing to do; the name is taken, or not there.
            await this.#files.stat(from);
            throw new SallyportError('exists', 'That name is taken');
          }
          await this.#files.rename(from, to, { overwrite: request.overwrite });
          this.#handles.renamed(from, to);
          return ok(id);
        });
        return renaming.finally(this.#handles.beginRename().over);
      }
      case 'readlink': {
        const path = toPath(request.path);
        return this.#byPath('question', [path], async () => pathReply(id, await this.#files.readLink(path)));
      }
      case 'statvfs': {
        const path = toPath(request.path);
        // Space is told for any path; the name must be there all the same.
        return this.#byPath('question', [path], async () => {
          const [usage] = await Promise.all([this.#files.usage(path), this.#files.stat(path)]);
          return usageReply(id, usage);
        });
      }
      case 'fstatvfs': {
        const { path } = this.#handles.require(request.handle);
        return this.#byPath('question', [], async () => usageReply(id, await this.#files.usage(path)));
      }
      case 'fsync': {
        const file = this.#handles.findFile(request.handle);
        if (file === undefined) return asNoSuchHandle(badHandle());
        return this.#byHandle('handle-question', (turn) => file.sync(turn).then(done));
      }
      case 'copy-data':
        return this.#byHandle('change', (turn) => this.#copy(request, turn).then(done));
      // What follows touches nothing and waits for nothing.
      case 'realpath':
        return pathReply(id, parseVirtualPath(request.path).toString());
      case 'expand-path':
        return pathReply(id, this.#expand(request.path).toString());
      case 'home-directory':
        if (!this.#isOneself(request.username))
          return statusReply(id, statusCode.failure, 'Nobody of that name has a home here');
        return pathReply(id, '/');
      case 'limits':
        return limitsReply(id);
      case 'symlink':
        throw new SallyportError('permission-denied', 'Links are not made here');
      case 'unsupported':
        return statusReply(id, statusCode.unsupported, `Not supported: ${request.what}`);
    }
  }

  async #requireFolder(path: VirtualPath): Promise<void> {
    const { type } = await this.#files.stat(path);
    if (type !== 'folder') throw notAFolder();
  }

  async #byPath(kind: PlaceKind, paths: readonly VirtualPath[], act: () => Promise<Buffer>): Promise<Buffer> {
    const release = this.#holdOpenFiles(kind, paths);
    try {
      return await this.#byHandle(kind, (turn) => turn.then(act));
    } finally {
      release();
    }
  }

  /** `act` takes its place in the order of the handle at once, and waits there for its turn. */
  async #byHandle(
    kind: PlaceKind,
    act: (turn: Promise<void>) => Promise<Buffer>,
    options: { readonly mustAct?: boolean } = {},
  ): Promise<Buffer> {
    const place = this.#order.enter(kind, options);
    try {
      return await act(place.turn);
    } catch (error) {
      // What waits has waited as long as this one, for the same link.
      if (isSallyportError(error, 'link-down')) this.#order.release(error);
      throw error;
    } finally {
      place.leave();
    }
  }

  /** READs and WRITEs of a file that is named by its path come before that request, or after it. */
  #holdOpenFiles(kind: PlaceKind, paths: readonly VirtualPath[]): () => void {
    const orders = this.#handles.ordersOf(paths);
    if (orders.length === 0) return () => undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const order of orders)
      void order.inTurn(async () => {
        await promise;
        if (kind === 'change') order.dropReadAhead();
      });
    return resolve;
  }

  async #open(path: VirtualPath, mode: OpenMode, request: RequestOf<'open'>): Promise<string> {
    return this.#handles.add(async () => {
      const remote = await this.#openRemote(path, mode, request.attributes.change);
      return new OpenFile(remote, mode, this.#handles.orderOf(path), this.#slots);
    });
  }

  /** `~` and `~alice` are the root to alice; nobody else has a home here. */
  #expand(untrustedPath: string): VirtualPath {
    const [, name, rest = ''] = /^~([^/]*)(.*)$/s.exec(untrustedPath) ?? [];
    if (name === undefined) return parseVirtualPath(untrustedPath);
    if (this.#isOneself(name)) return parseVirtualPath(rest);
    throw new SallyportError('not-found', 'Nobody of that name has a home here');
  }

  /** No name means oneself. */
  #isOneself(untrustedName: string): boolean {
    return untrustedName === '' || untrustedName === this.#username;
  }

  /** `open(2)` takes O_CREAT and O_TRUNC with O_RDONLY: `flock` makes its lock files so. */
  async #openRemote(path: VirtualPath, mode: OpenMode, attributes: AttributeChange): Promise<RemoteFile> {
    // OpenSSH sets nothing else: clients send size, owner and times along without meaning them.
    const set = attributes.mode === undefined ? {} : { mode: attributes.mode };
    if (!makesFirst(mode))
      return this.#files.open(path, mode, set, mode.write ? undefined : toldContentBytesMax);
    const reading: OpenMode = { ...mode, create: 'never', truncate: false };
    if (mode.create === 'if-missing' && !mode.truncate)
      try {
        return await this.#files.open(path, reading, set);
      } catch (error) {
        if (!isSallyportError(error, 'not-found')) throw error;
      }
    const made = await this.#files.open(path, { ...mode, read: false, write: true }, set);
    await made.commit();
    return this.#files.open(path, reading, set);
  }

  #openFolder(path: VirtualPath): Promise<string> {
    return this.#handles.add(async () => {
      const remote = await this.#files.openFolder(path);
      return new FolderReader(path, remote, ({ name, attributes }) =>
        encodeNamedEntry({
          name,
          attributes,
          longName: longName(name, attributes, this.#username, this.#clock.now()),
        }),
      );
    });
  }

  async #copy(request: RequestOf<'copy-data'>, turn: Promise<void>): Promise<void> {
    const from = this.#handles.requireFile(request.from);
    const to = this.#handles.requireFile(request.to);
    const lengthBytes = request.length;
    // Neither does OpenSSH, nor main.
    if (from === to) throw new SallyportError('bad-handle', 'A file is not copied into itself');
    await from.copyTo(to, { fromOffset: request.fromOffset, toOffset: request.toOffset, lengthBytes }, turn);
  }
}

/** An empty path names nothing; only REALPATH and its like take it for where the session starts. */
function toPath(untrustedPath: string): VirtualPath {
  if (untrustedPath === '') throw new SallyportError('not-found', 'There is no such file or folder');
  return parseVirtualPath(untrustedPath);
}

/**
 * POSIX: `x/` and `x/.` name a folder, whatever else is called `x`. Who puts a file into `inbox/` that is not there must
 * not find it as a file called `inbox`.
 */
function namesFolder(untrustedPath: string): boolean {
  return untrustedPath.endsWith('/') || untrustedPath.endsWith('/.');
}

function notAFolder(): SallyportError {
  return new SallyportError('not-a-folder', 'There is no such folder');
}

function isAFolder(): SallyportError {
  return new SallyportError('is-a-folder', 'A name with a slash at its end is a folder');
}

function isSamePath(a: VirtualPath, b: VirtualPath): boolean {
  return a.isWithin(b) && b.isWithin(a);
}

/** Opened for reading, and made or emptied before. */
function makesFirst(mode: OpenMode): boolean {
  return !mode.write && (mode.create !== 'never' || mode.truncate);
}

/** CLOSE and fsync say so where other requests say FAILURE: EBADF is one of the errors that OpenSSH words so. */
function asNoSuchHandle(error: unknown): never {
  if (isSallyportError(error, 'bad-handle'))
    throw new SallyportError('not-found', error.publicMessage, { cause: error });
  throw error;
}

/**
 * The owner comes last, when all else is applied, as OpenSSH's server has it: clients give back the whole of what STAT
 * told them, or send their own numbers along, and mean the mode and times.
 */
function ownerAnswer(id: number, changesOwner: boolean): Buffer {
  if (!changesOwner) return ok(id);
  return statusReply(id, statusCode.permissionDenied, 'Owners are not changed here; the rest was');
}

export function ok(id: number): Buffer {
  return statusReply(id, statusCode.ok, 'Done');
}

function pathReply(id: number, path: string): Buffer {
  return nameReply(id, [encodeNamedEntry({ name: path, longName: path })]);
}
