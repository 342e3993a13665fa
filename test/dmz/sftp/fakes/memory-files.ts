import type {
  BinClient,
  FileClient,
  Kept,
  RemoteFile,
  RemoteFolder,
  UploadClient,
} from '#dmz/files/file-client.ts';
import type {
  AttributeChange,
  Attributes,
  Entry,
  HandleAttributes,
  OpenMode,
} from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { MemoryReadStream, MemoryWriteStream } from './memory-stream.ts';

interface Node {
  type: 'file' | 'folder';
  bytes: Buffer;
  mode: number;
  mtimeMs: number;
}

/**
 * A file service in memory: one user's files, with main's rules as far as an SFTP client can see them. An upload
 * becomes visible at commit. Streams, handles and calls are kept for tests to look at.
 */
export class MemoryFiles implements FileClient {
  readonly nodes = new Map<string, Node>([['/', folder()]]);
  readonly partials = new Map<string, Buffer>();
  readonly readStreams: MemoryReadStream[] = [];
  readonly writeStreams: MemoryWriteStream[] = [];
  readonly calls: string[] = [];
  openHandles = 0;
  /** New write streams acknowledge only when told. */
  holdsBack = false;
  /** Bytes a file may have; beyond it a write fails as over quota. */
  quotaBytes = Infinity;
  folderPageEntries = 1000;
  /** So many bytes may be written by a request. */
  writeUpTo = 0;
  /** Awaited by each such request. */
  beforeWrite: () => Promise<void> = () => Promise.resolve();
  /** Small files come with the answer of their open. */
  tellsContent = false;
  /** Awaited by every stat: a test can hold it, as the link parks requests. */
  beforeStat: () => Promise<void> = () => Promise.resolve();
  /** Awaited by every release, as on a link that is away. */
  beforeRelease: () => Promise<void> = () => Promise.resolve();
  /** Streams that may be open at once; one more is refused. */
  streamsMax = Infinity;
  /** On the way to main and back, for each call and each piece of a stream: a test can let calls overtake each other. */
  delay: (() => Promise<void>) | undefined;

  /** SFTP has its own way to resume. */
  get bin(): BinClient {
    throw new Error('not used by sftp');
  }

  get uploads(): UploadClient {
    throw new Error('not asked for over SFTP');
  }

  put(path: string, bytes: Buffer): void {
    this.nodes.set(path, { type: 'file', bytes, mode: 0o644, mtimeMs: Date.UTC(2026, 0, 2, 3, 4, 5) });
  }

  /** Another content under open handles, as when a file is changed in place. */
  replace(path: string, bytes: Buffer): void {
    const node = this.nodes.get(path);
    if (node !== undefined) node.bytes = bytes;
  }

  get(path: string): Buffer | undefined {
    return this.nodes.get(path)?.bytes;
  }

  require(path: VirtualPath): Node {
    const node = this.nodes.get(path.toString());
    if (node === undefined) throw new SallyportError('not-found', 'No such file');
    return node;
  }

  requireStreamRoom(): void {
    const open = [...this.readStreams, ...this.writeStreams].filter((stream) => !stream.isOver);
    if (open.length >= this.streamsMax) throw new SallyportError('busy', 'Too many transfers at once');
  }

  async late<T>(act: () => T): Promise<T> {
    await this.delay?.();
    try {
      return act();
    } finally {
      await this.delay?.();
    }
  }

  list(): never {
    throw new Error('not used by sftp');
  }

  async stat(path: VirtualPath): Promise<Attributes> {
    await this.beforeStat();
    return this.late(() => attributesOf(this.require(path)));
  }

  async usage() {
    return { freeBytes: 2 ** 30, totalBytes: 2 ** 31, freeFiles: 1000, totalFiles: 2000 };
  }

  openFolder(path: VirtualPath): Promise<RemoteFolder> {
    return this.late(() => this.#openFolder(path));
  }

  #openFolder(path: VirtualPath): RemoteFolder {
    if (this.require(path).type !== 'folder') throw new SallyportError('not-a-folder', 'Not a folder');
    const entries: Entry[] = [];
    for (const [name, node] of this.nodes) {
      if (name === '/') continue;
      const parent = name.slice(0, name.lastIndexOf('/')) || '/';
      if (parent === path.toString())
        entries.push({ name: name.slice(name.lastIndexOf('/') + 1), attributes: attributesOf(node) });
    }
    this.openHandles += 1;
    return {
      read: async () => (entries.length > 0 ? entries.splice(0, this.folderPageEntries) : undefined),
      close: async () => {
        this.openHandles -= 1;
      },
    };
  }

  open(
    path: VirtualPath,
    mode: OpenMode,
    attributes?: AttributeChange,
    contentUpTo = 0,
  ): Promise<RemoteFile> {
    return this.late(() => {
      const file = this.#open(path, mode, attributes);
      const bytes = this.get(path.toString());
      if (this.tellsContent && bytes !== undefined && bytes.length <= contentUpTo)
        file.content = Buffer.from(bytes);
      return file;
    });
  }

  #open(path: VirtualPath, mode: OpenMode, attributes: AttributeChange | undefined): MemoryFile {
    this.calls.push(`open ${path.toString()}`);
    const existing = this.nodes.get(path.toString());
    if (existing?.type === 'folder') throw new SallyportError('is-a-folder', 'Is a folder');
    if (existing === undefined && mode.create === 'never')
      throw new SallyportError('not-found', 'No such file');
    if (existing !== undefined && mode.create === 'exclusive')
      throw new SallyportError('exists', 'It exists already');
    if (!this.nodes.has(path.parent.toString())) throw new SallyportError('parent-missing', 'No such folder');
    const start = mode.truncate ? undefined : (existing?.bytes ?? this.partials.get(path.toString()));
    this.openHandles += 1;
    return new MemoryFile(this, path, mode, start ?? Buffer.alloc(0), {
      created: existing === undefined,
      mode: attributes?.mode,
    });
  }

  makeFolder(path: VirtualPath): Promise<void> {
    return this.late(() => this.#makeFolder(path));
  }

  #makeFolder(path: VirtualPath): void {
    if (this.nodes.has(path.toString())) throw new SallyportError('exists', 'It exists already');
    if (!this.nodes.has(path.parent.toString())) throw new SallyportError('parent-missing', 'No such folder');
    this.nodes.set(path.toString(), folder());
  }

  removeFile(path: VirtualPath): Promise<Kept> {
    return this.late(() => {
      if (this.require(path).type === 'folder') throw new SallyportError('is-a-folder', 'Is a folder');
      this.nodes.delete(path.toString());
      return {};
    });
  }

  removeFolder(path: VirtualPath): Promise<Kept> {
    return this.late(() => this.#removeFolder(path));
  }

  #removeFolder(path: VirtualPath): Kept {
    this.require(path);
    const prefix = `${path.toString()}/`;
    if ([...this.nodes.keys()].some((name) => name.startsWith(prefix)))
      throw new SallyportError('not-empty', 'The folder is not empty');
    this.nodes.delete(path.toString());
    return {};
  }

  rename(from: VirtualPath, to: VirtualPath, options: { overwrite: boolean }) {
    return this.late(() => this.#rename(from, to, options));
  }

  #rename(from: VirtualPath, to: VirtualPath, options: { overwrite: boolean }): { replaced: boolean } {
    this.require(from);
    const replaced = this.nodes.has(to.toString());
    if (replaced && !options.overwrite) throw new SallyportError('exists', 'It exists already');
    if (!this.nodes.has(to.parent.toString())) throw new SallyportError('parent-missing', 'No such folder');
    if (to.isWithin(from)) throw new SallyportError('bad-request', 'A folder does not go into itself');
    const target = `${to.toString()}/`;
    if ([...this.nodes.keys()].some((path) => path.startsWith(target)))
      throw new SallyportError('not-empty', 'The folder is not empty');
    const moved = [...this.nodes].filter(
      ([path]) => path === from.toString() || path.startsWith(`${from.toString()}/`),
    );
    for (const [path, inner] of moved) {
      this.nodes.delete(path);
      this.nodes.set(`${to.toString()}${path.slice(from.toString().length)}`, inner);
    }
    return { replaced };
  }

  copy(): never {
    throw new Error('not used by sftp');
  }

  change(path: VirtualPath, change: AttributeChange): Promise<void> {
    return this.late(() => applyChange(this.require(path), change));
  }

  async readLink(): Promise<string> {
    throw new SallyportError('not-found', 'No such link');
  }

  async survey(): ReturnType<FileClient['survey']> {
    return { looked: 0, isComplete: true, unserved: { count: 0, names: [] } };
  }

  hash(): never {
    throw new Error('not used by sftp');
  }
}

class MemoryFile implements RemoteFile {
  readonly handle = 1;
  readonly attributes: Attributes;
  readonly created: boolean;
  content: Buffer | undefined;
  readonly #files: MemoryFiles;
  readonly #path: VirtualPath;
  readonly #mode: OpenMode;
  readonly #node: Node;
  readonly #isInPlace: boolean;
  #isOpen = true;
  #appendedBytes = 0;

  constructor(
    files: MemoryFiles,
    path: VirtualPath,
    mode: OpenMode,
    start: Buffer,
    options: { created: boolean; mode: number | undefined },
  ) {
    this.#files = files;
    this.#path = path;
    this.#mode = mode;
    this.created = options.created;
    // A reader has the file itself, and so has who writes to it without emptying it first.
    const live = mode.write && mode.truncate ? undefined : files.nodes.get(path.toString());
    this.#isInPlace = live !== undefined;
    this.#node = live ?? {
      type: 'file',
      bytes: Buffer.from(start),
      mode: options.mode ?? 0o644,
      mtimeMs: Date.now(),
    };
    this.attributes = attributesOf(this.#node);
  }

  get writeUpTo(): number {
    return this.#files.writeUpTo;
  }

  async write(offset: number, data: readonly Buffer[]): Promise<void> {
    this.#files.calls.push(`write ${this.#path.toString()} ${offset}`);
    await this.#files.beforeWrite();
    const failure = this.#writeAt(offset, Buffer.concat(data));
    if (failure !== undefined) throw failure;
  }

  dropContent(): void {
    this.content = undefined;
  }

  readStream(range: { offset: number; lengthBytes?: number }): MemoryReadStream {
    this.#files.requireStreamRoom();
    const stream = new MemoryReadStream(() => this.#node.bytes, range, this.#files.delay);
    this.#files.readStreams.push(stream);
    return stream;
  }

  writeStream(range: { offset: number }): MemoryWriteStream {
    this.#files.requireStreamRoom();
    const start = this.#mode.append ? this.#node.bytes.length : range.offset;
    const stream = new MemoryWriteStream(
      start,
      (offset, bytes) => this.#writeAt(offset, bytes),
      this.#files.holdsBack,
      this.#files.delay,
    );
    this.#files.writeStreams.push(stream);
    return stream;
  }

  #writeAt(position: number, bytes: Uint8Array): SallyportError | undefined {
    const offset = this.#mode.append ? this.#node.bytes.length : position;
    const end = offset + bytes.length;
    if (end > this.#files.quotaBytes) return new SallyportError('quota-exceeded', 'Your quota is used up');
    const node = this.#node;
    if (end > node.bytes.length) {
      // Grown by doubling, so that large uploads in tests stay linear.
      const room =
        node.bytes.buffer.byteLength - node.bytes.byteOffset >= end
          ? Buffer.from(node.bytes.buffer, node.bytes.byteOffset, end)
          : undefined;
      if (room !== undefined && node.bytes.buffer.byteLength > 1 << 16) node.bytes = room;
      else {
        const grown = Buffer.alloc(Math.max(end * 2, 1 << 17));
        node.bytes.copy(grown);
        node.bytes = grown.subarray(0, end);
      }
    }
    node.bytes.set(bytes, offset);
    this.#appendedBytes += bytes.length;
    return undefined;
  }

  async stat(): Promise<HandleAttributes> {
    await this.#files.beforeStat();
    return this.#files.late(() => ({
      ...attributesOf(this.#node),
      ...(this.#mode.append && { appendedBytes: this.#appendedBytes }),
    }));
  }

  resume(): Promise<HandleAttributes> {
    return this.stat();
  }

  change(change: AttributeChange): Promise<void> {
    return this.#files.late(() => applyChange(this.#node, change));
  }

  async sync(): Promise<void> {
    this.#files.calls.push(`sync ${this.#path.toString()} ${this.#node.bytes.length}`);
  }

  async copyRangeTo(
    target: RemoteFile,
    range: { fromOffset: number; lengthBytes: number; toOffset: number },
  ): Promise<number> {
    if (!(target instanceof MemoryFile)) throw new Error('foreign handle');
    const end = range.lengthBytes === 0 ? undefined : range.fromOffset + range.lengthBytes;
    return this.#files.late(() => {
      const bytes = Buffer.from(this.#node.bytes.subarray(range.fromOffset, end));
      target.#writeAt(range.toOffset, bytes);
      return bytes.length;
    });
  }

  async commit() {
    this.#close();
    return this.#files.late(() => {
      this.#files.calls.push(`commit ${this.#path.toString()}`);
      if (!this.#isInPlace) this.#files.nodes.set(this.#path.toString(), this.#node);
      return { attributes: attributesOf(this.#node), created: this.created };
    });
  }

  noteTaken(): void {
    // Main's matter.
  }

  async release(options: { keepPartial?: boolean } = {}): Promise<void> {
    await this.#files.beforeRelease();
    this.#close();
    this.#files.calls.push(`release ${this.#path.toString()}${options.keepPartial === true ? ' keep' : ''}`);
    if (options.keepPartial === true)
      this.#files.partials.set(this.#path.toString(), Buffer.from(this.#node.bytes));
  }

  #close(): void {
    if (!this.#isOpen) throw new Error('closed twice');
    this.#isOpen = false;
    this.#files.openHandles -= 1;
  }
}

function folder(): Node {
  return { type: 'folder', bytes: Buffer.alloc(0), mode: 0o755, mtimeMs: Date.UTC(2026, 0, 1) };
}

function attributesOf(node: Node): Attributes {
  return {
    type: node.type,
    size: node.bytes.length,
    mtimeMs: node.mtimeMs,
    atimeMs: node.mtimeMs,
    mode: node.mode,
    links: 1,
    ...(node.type === 'file' && {
      etag: `${node.bytes.length}-${node.bytes.subarray(0, 8).toString('hex')}`,
    }),
  };
}

function applyChange(node: Node, change: AttributeChange): void {
  if (change.mode !== undefined) node.mode = change.mode;
  if (change.mtimeMs !== undefined) node.mtimeMs = change.mtimeMs;
  if (change.size !== undefined) {
    const bytes = Buffer.alloc(change.size);
    node.bytes.copy(bytes);
    node.bytes = bytes;
  }
}
