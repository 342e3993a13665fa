import type { FileClient } from '#dmz/files/file-client.ts';
import { FolderReader } from '#dmz/sftp/files/folder-reader.ts';
import type { Handles } from '#dmz/sftp/files/handles.ts';
import { OpenFile } from '#dmz/sftp/files/open-file.ts';
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
import type { Clock } from '#shared/clock.ts';
import { SallyportError } from '#shared/error.ts';
import type { AttributeChange, Attributes } from '#shared/file-service/attributes.ts';
import { parseVirtualPath, type VirtualPath } from '#shared/file-service/virtual-path.ts';

/** Every request but the two that carry file content, which the session answers without a promise each. */
export type PlainRequest = Exclude<SftpRequest, { type: 'init' | 'read' | 'write' }>;
type RequestOf<T extends PlainRequest['type']> = Extract<PlainRequest, { type: T }>;

/**
 * One request in, one whole answer out, or a SallyportError that `status.ts` knows how to say.
 *
 * Trust: paths and handles are the client's words; paths become a VirtualPath here and nowhere later.
 */
export class PlainRequests {
  readonly #files: FileClient;
  readonly #handles: Handles;
  readonly #username: string;
  readonly #clock: Clock;

  constructor(options: {
    readonly files: FileClient;
    readonly handles: Handles;
    readonly username: string;
    readonly clock: Clock;
  }) {
    this.#files = options.files;
    this.#handles = options.handles;
    this.#username = options.username;
    this.#clock = options.clock;
  }

  async answer(request: PlainRequest): Promise<Buffer> {
    const { id } = request;
    switch (request.type) {
      case 'open':
        return handleReply(id, await this.#open(request));
      case 'close':
        await this.#handles.close(request.handle);
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
        await this.#handles.requireFile(request.handle).change(requireChange(request.attributes));
        return ok(id);
      case 'opendir':
        return handleReply(id, await this.#openFolder(toPath(request.path)));
      case 'readdir': {
        const names = await this.#handles.requireFolder(request.handle).read();
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
        return usageReply(id, await this.#files.usage(this.#handles.require(request.handle).path));
      case 'fsync':
        await this.#handles.requireFile(request.handle).sync();
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
    return this.#handles.add(async () => {
      const remote = await this.#files.open(path, mode, request.attributes.change);
      return new OpenFile(path, remote, mode);
    });
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

  async #statHandle(handle: string): Promise<Attributes> {
    const found = this.#handles.require(handle);
    return found instanceof OpenFile ? found.stat() : this.#files.stat(found.path);
  }

  async #copy(request: RequestOf<'copy-data'>): Promise<void> {
    const from = this.#handles.requireFile(request.from);
    const to = this.#handles.requireFile(request.to);
    const lengthBytes = request.length;
    if (from === to) {
      const end = (offset: number) => (lengthBytes === 0 ? Infinity : offset + lengthBytes);
      const isDisjoint =
        end(request.fromOffset) <= request.toOffset || end(request.toOffset) <= request.fromOffset;
      if (!isDisjoint) throw new SallyportError('unsupported', 'Ranges of one file overlap');
    }
    await from.copyTo(to, { fromOffset: request.fromOffset, toOffset: request.toOffset, lengthBytes });
  }
}

function toPath(untrustedPath: string): VirtualPath {
  return parseVirtualPath(untrustedPath);
}

function requireChange(requested: { change: AttributeChange; setsOwner: boolean }): AttributeChange {
  if (requested.setsOwner) throw new SallyportError('permission-denied', 'Owners are not changed here');
  return requested.change;
}

export function ok(id: number): Buffer {
  return statusReply(id, statusCode.ok, 'Done');
}

function pathReply(id: number, path: string): Buffer {
  return nameReply(id, [encodeNamedEntry({ name: path, longName: path })]);
}
