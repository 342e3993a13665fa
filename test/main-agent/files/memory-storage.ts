/**
 * A medium in memory, as an object store or any other would be one: names, bytes and hidden folders, and not a line
 * about uploads. What lies on its disk stays there when it is closed and opened again.
 */
import { setImmediate } from 'node:timers/promises';
import type {
  Access,
  BlobStorage,
  Found,
  HiddenFolder,
  OnMissing,
  OpenBytes,
  Spot,
} from '#main-agent/files/storage/blob-storage.ts';
import { badHandle, denied, isAFolder, notFound, taken } from '#main-agent/files/storage/file-error.ts';
import { normalName } from '#main-agent/files/storage/places.ts';
import type {
  FolderItem,
  Place,
  RemoveOptions,
  SortedBy,
  StorageUsage,
  Stored,
  StoredFolder,
  SurveyOptions,
} from '#main-agent/files/storage/storage.ts';
import { SallyportError } from '#shared/error.ts';
import type { AttributeChange } from '#shared/file-service/attributes.ts';

let ids = 0;

/** What every file and folder has. `changedAtMs` is the status change, which nobody can set. */
abstract class Node {
  readonly id = `memory:${(ids += 1)}`;
  abstract readonly type: 'file' | 'folder';
  abstract readonly size: number;
  mode: number;
  mtimeMs = Date.now();
  atimeMs = Date.now();
  changedAtMs = Date.now();
  changes = 0;
  links = 1;

  constructor(mode: number) {
    this.mode = mode;
  }

  touch(): void {
    this.changes += 1;
    this.changedAtMs = Date.now();
  }

  change({ mode, mtimeMs, atimeMs }: AttributeChange): void {
    if (mode !== undefined) this.mode = mode & 0o7777;
    this.mtimeMs = mtimeMs ?? this.mtimeMs;
    this.atimeMs = atimeMs ?? this.atimeMs;
    this.touch();
  }

  get stored(): Stored {
    const { id, type, size, mode, mtimeMs, atimeMs, links, changedAtMs } = this;
    const etag = type === 'file' ? { etag: `${id}-${this.changes}`.replaceAll(':', '') } : {};
    return { id, type, size, mode, mtimeMs, atimeMs, links, changedAtMs, ...etag };
  }
}

export class FileNode extends Node {
  readonly type = 'file';
  content: Buffer = Buffer.alloc(0);

  get size(): number {
    return this.content.length;
  }

  resize(size: number): void {
    const resized = Buffer.alloc(size);
    this.content.copy(resized);
    this.content = resized;
  }

  write(pieces: readonly Uint8Array[], position: number): void {
    const bytes = Buffer.concat(pieces);
    if (position + bytes.length > this.size) this.resize(position + bytes.length);
    bytes.copy(this.content, position);
    this.mtimeMs = Date.now();
    this.touch();
  }
}

export class FolderNode extends Node {
  readonly type = 'folder';
  readonly size = 0;
  readonly entries = new Map<string, FileNode | FolderNode>();

  /** Down to a folder; `onMissing` makes or refuses. */
  walk(
    [first, ...others]: readonly string[],
    onMissing: (folder: FolderNode, name: string) => FolderNode,
  ): FolderNode {
    if (first === undefined) return this;
    const next = this.entries.get(first) ?? onMissing(this, first);
    if (next.type === 'file') throw new SallyportError('not-a-folder', 'That is not a folder');
    return next.walk(others, onMissing);
  }

  make(name: string, mode = 0o755): FolderNode {
    const made = new FolderNode(mode);
    this.entries.set(name, made);
    return made;
  }

  get files(): readonly FileNode[] {
    return [...this.entries.values()].flatMap((one) => (one.type === 'file' ? [one] : one.files));
  }
}

class MemoryBytes implements OpenBytes {
  readonly id: string;
  readonly size: number;
  readonly attributes: Stored;
  readonly file: FileNode;
  readonly #access: Access;
  #isOpen = true;

  constructor(file: FileNode, access: Access) {
    this.id = file.id;
    this.size = file.size;
    this.attributes = file.stored;
    this.file = file;
    this.#access = access;
  }

  async #act<T>(act: () => T): Promise<T> {
    if (!this.#isOpen) throw badHandle('closed');
    return act();
  }

  stat(): Promise<Stored> {
    return this.#act(() => this.file.stored);
  }

  read(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#act(() => {
      let done = 0;
      for (const buffer of buffers) done += this.file.content.copy(buffer, 0, position + done);
      return done;
    });
  }

  write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    return this.#act(() => {
      if (this.#access === 'read') throw badHandle('opened for reading');
      this.file.write(pieces, this.#access === 'append' ? this.file.size : position);
    });
  }

  truncate(size: number): Promise<void> {
    return this.#act(() => {
      this.file.resize(size);
      this.file.write([], 0);
    });
  }

  change(change: AttributeChange): Promise<void> {
    return this.#act(() => this.file.change(change));
  }

  sync(): Promise<void> {
    return this.#act(() => undefined);
  }

  openAgain(access: Access): Promise<OpenBytes> {
    return this.#act(() => new MemoryBytes(this.file, access));
  }

  async close(): Promise<void> {
    this.#isOpen = false;
  }
}

class MemorySpot implements Spot {
  readonly folder: FolderNode;
  readonly name: string;

  constructor(folder: FolderNode, name: string) {
    this.folder = folder;
    this.name = name;
  }

  get node(): FileNode | FolderNode | undefined {
    return this.folder.entries.get(this.name);
  }

  async folderId(): Promise<string> {
    return this.folder.id;
  }

  async find(): Promise<Found | undefined> {
    return this.node?.stored;
  }

  async requireNoTwin(except?: string): Promise<void> {
    const normal = normalName(this.name);
    if (normal !== this.name && Buffer.byteLength(normal) === normal.length) throw taken('looks like ASCII');
    for (const name of this.folder.entries.keys()) {
      const isTwin = name !== this.name && name !== except && normalName(name) === normal;
      if (isTwin) throw taken('a name that looks the same');
    }
  }

  async open(access: Access): Promise<OpenBytes | undefined> {
    const { node } = this;
    if (node?.type === 'folder') throw isAFolder();
    return node === undefined ? undefined : new MemoryBytes(node, access);
  }

  async create(access: Access, mode = 0o644): Promise<OpenBytes | undefined> {
    if (this.node !== undefined) return undefined;
    const file = new FileNode(mode);
    this.folder.entries.set(this.name, file);
    return new MemoryBytes(file, access);
  }

  async makeFolder(mode: number | undefined): Promise<void> {
    if (this.node !== undefined) throw taken('a folder is to be made');
    this.folder.make(this.name, mode);
  }

  #require(): FileNode | FolderNode {
    if (this.node === undefined) throw notFound();
    return this.node;
  }

  #remove(): void {
    this.#require().links -= 1;
    this.folder.entries.delete(this.name);
  }

  async removeFile(): Promise<void> {
    if (this.#require().type === 'folder') throw isAFolder();
    this.#remove();
  }

  async removeEmptyFolder(): Promise<void> {
    requireEmpty(this.#require());
    this.#remove();
  }

  async removeTree(options: RemoveOptions): Promise<void> {
    const node = this.#require();
    if (node.type === 'file') options.onRemovedFile(node.size);
    else {
      for (const name of node.entries.keys()) {
        await setImmediate();
        options.signal.throwIfAborted();
        await new MemorySpot(node, name).removeTree(options);
      }
    }
    this.#remove();
  }

  async moveTo(target: Spot, { isExclusive }: { readonly isExclusive: boolean }): Promise<void> {
    const [node, to] = [this.#require(), requireMine(target)];
    if (isExclusive && to.node !== undefined) throw taken('it is to be moved there');
    if (node.type === 'folder' && isWithin(to.folder, node))
      throw new SallyportError('bad-path', 'A folder can not be moved into itself');
    if (node.type === 'folder' && to.node !== undefined) requireEmpty(to.node);
    if (node.type === 'file' && to.node?.type === 'folder') throw isAFolder();
    if (to.node !== undefined) to.#remove();
    this.folder.entries.delete(this.name);
    to.folder.entries.set(to.name, node);
    node.touch();
  }

  async linkTo(target: Spot): Promise<void> {
    const [node, to] = [this.#require(), requireMine(target)];
    if (to.node !== undefined) throw taken('a second name');
    to.folder.entries.set(to.name, node);
    node.links += 1;
    node.touch();
  }

  async change(change: AttributeChange, onlyId: string | undefined): Promise<void> {
    const node = this.#require();
    if (onlyId !== undefined && node.id !== onlyId) throw denied('another file has the name');
    node.change(change);
  }

  async sync(): Promise<void> {
    // Memory forgets all or nothing.
  }
}

function requireMine(spot: Spot): MemorySpot {
  if (spot instanceof MemorySpot) return spot;
  throw new TypeError('a name of another storage');
}

function requireEmpty(node: FileNode | FolderNode): void {
  if (node.type === 'file') throw new SallyportError('not-a-folder', 'That is not a folder');
  if (node.entries.size > 0) throw new SallyportError('not-empty', 'The folder is not empty');
}

function isWithin(inner: FolderNode, outer: FolderNode): boolean {
  if (inner === outer) return true;
  return [...outer.entries.values()].some((one) => one.type === 'folder' && isWithin(inner, one));
}

class MemoryHidden implements HiddenFolder {
  readonly #folder: FolderNode;
  readonly #inner = new Map<string, MemoryHidden>();

  constructor(folder: FolderNode) {
    this.#folder = folder;
  }

  at(name: string): MemorySpot {
    return new MemorySpot(this.#folder, name);
  }

  async isBeside(): Promise<boolean> {
    return true;
  }

  async *names(): AsyncGenerator<string> {
    yield* this.#folder.entries.keys();
  }

  async changed(name: string): Promise<{ readonly atMs: number; readonly size: number } | undefined> {
    const { node } = this.at(name);
    return node === undefined ? undefined : { atMs: node.changedAtMs, size: node.size };
  }

  async read(name: string, bytesMax: number): Promise<string | undefined> {
    const { node } = this.at(name);
    if (node?.type !== 'file') return undefined;
    return node.size > bytesMax ? '' : node.content.toString();
  }

  readMany(names: readonly string[], bytesMax: number): Promise<readonly (string | undefined)[]> {
    return Promise.all(names.map((name) => this.read(name, bytesMax)));
  }

  findMany(names: readonly string[]): Promise<readonly (Found | undefined)[]> {
    return Promise.all(names.map((name) => this.at(name).find()));
  }

  async write(name: string, text: string): Promise<void> {
    await this.remove(name);
    const file = await this.at(name).create('write');
    await file?.write([Buffer.from(text)], 0);
  }

  replace(name: string, text: string): Promise<void> {
    return this.write(name, text);
  }

  async openLog(name: string): Promise<OpenBytes> {
    const opened = (await this.at(name).open('append')) ?? (await this.at(name).create('append'));
    return opened ?? Promise.reject(notFound());
  }

  async copy(name: string, original: OpenBytes): Promise<OpenBytes> {
    if (!(original instanceof MemoryBytes)) throw new TypeError('a file of another storage');
    const copied = await this.at(name).create('write', original.file.mode);
    if (copied === undefined) throw taken('a copy');
    await copied.write([original.file.content], 0);
    return copied;
  }

  async keepCopy(name: string, original: OpenBytes): Promise<void> {
    await this.remove(name);
    await this.copy(name, original);
  }

  async remove(name: string): Promise<void> {
    if (this.at(name).node !== undefined) await this.at(name).removeFile();
  }

  async removeTree(name: string): Promise<void> {
    this.#folder.entries.delete(name);
  }

  async measure(name: string): Promise<number> {
    const { node } = this.at(name);
    return node?.type === 'folder' ? sizeOf(node.files) : 0;
  }

  async inner(name: string, { isMade }: { readonly isMade: boolean }): Promise<HiddenFolder | undefined> {
    const { node } = this.at(name);
    if (node === undefined && !isMade) return undefined;
    const folder = this.#folder.walk([name], (parent) => parent.make(name));
    const known = this.#inner.get(name) ?? new MemoryHidden(folder);
    this.#inner.set(name, known);
    return known;
  }
}

function sizeOf(files: readonly FileNode[]): number {
  return files.reduce((bytes, { size }) => bytes + size, 0);
}

class MemoryFolder implements StoredFolder {
  readonly attributes: Stored;
  readonly unserved = undefined;
  readonly #folder: FolderNode;
  readonly #names: string[];

  constructor(folder: FolderNode) {
    this.attributes = folder.stored;
    this.#folder = folder;
    this.#names = [...folder.entries.keys()];
  }

  async next(): Promise<readonly FolderItem[]> {
    return this.#names.splice(0, 1000).flatMap((name) => {
      const type = this.#folder.entries.get(name)?.type;
      return type === undefined ? [] : [{ name, type }];
    });
  }

  async describe(names: readonly string[]): Promise<readonly (Stored | undefined)[]> {
    return names.map((name) => this.#folder.entries.get(name)?.stored);
  }

  async measure(names: readonly string[], by: SortedBy): Promise<ArrayLike<number>> {
    return names.map((name) => this.#folder.entries.get(name)?.stored[by] ?? Number.NaN);
  }

  async close(): Promise<void> {
    // It holds nothing.
  }
}

export class MemoryStorage implements BlobStorage {
  readonly #top: FolderNode;
  readonly #staging: MemoryHidden;

  /** `top`: of the users' folders; `staging`: where nobody looks. */
  constructor(top: FolderNode, staging: FolderNode) {
    this.#top = top;
    this.#staging = new MemoryHidden(staging);
  }

  #root(root: readonly string[]): FolderNode {
    return this.#top.walk(root, (folder, name) => folder.make(name));
  }

  #folder({ root, path }: Place, onMissing: OnMissing): FolderNode {
    const missing = (): SallyportError =>
      onMissing === 'not-found' ? notFound() : new SallyportError('parent-missing', 'No such folder');
    try {
      return this.#root(root).walk(path, () => {
        throw missing();
      });
    } catch (error) {
      throw onMissing === 'parent-missing' ? missing() : error;
    }
  }

  async find(place: Place): Promise<Found | undefined> {
    if (place.path.length === 0) return this.#root(place.root).stored;
    return this.at(place, 'not-found', (spot) => spot.find());
  }

  async openFolder(place: Place): Promise<StoredFolder> {
    return new MemoryFolder(this.#folder(place, 'not-found'));
  }

  async at<T>(place: Place, onMissing: OnMissing, act: (spot: Spot) => Promise<T>): Promise<T> {
    const name = place.path.at(-1);
    if (name === undefined) throw isAFolder();
    return act(new MemorySpot(this.#folder({ ...place, path: place.path.slice(0, -1) }, onMissing), name));
  }

  async stagingFor(): Promise<HiddenFolder> {
    return this.#staging;
  }

  async stagingNear(): Promise<HiddenFolder> {
    return this.#staging;
  }

  async stagings(): Promise<readonly HiddenFolder[]> {
    return [this.#staging];
  }

  async usage(): Promise<StorageUsage> {
    const [totalBytes, totalFiles] = [2 ** 40, 2 ** 20];
    return { totalBytes, totalFiles, freeBytes: totalBytes - sizeOf(this.#top.files), freeFiles: totalFiles };
  }

  async survey({ place, onLooked }: SurveyOptions): Promise<void> {
    await onLooked((place === undefined ? this.#top : this.#folder(place, 'not-found')).files.length);
  }

  async measure(root: readonly string[]): Promise<number> {
    return sizeOf(this.#root(root).files);
  }

  async close(): Promise<void> {
    // It holds nothing.
  }
}
