/** The media that the conformance suite is run over, and a way round each: what lies on it, whatever main says. */
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BlobStorage } from '#main-agent/files/storage/blob-storage.ts';
import { LocalStorage, type LocalStorageOptions } from '#main-agent/files/storage/local/local-storage.ts';
import { stagingFolderName } from '#main-agent/files/storage/places.ts';
import { FileNode, FolderNode, MemoryStorage } from './memory-storage.ts';

/** Names are those of folders below the storage's base, and of what is in them. */
export interface TestMedium {
  open(options: Omit<LocalStorageOptions, 'base'>): Promise<BlobStorage>;
  readFile(...names: readonly string[]): Promise<Buffer>;
  /** Written into the file that is there. */
  writeFile(names: readonly string[], content: string): Promise<void>;
  readdir(...names: readonly string[]): Promise<string[]>;
  mkdir(...names: readonly string[]): Promise<void>;
  /** Gone, whatever it is. */
  rm(...names: readonly string[]): Promise<void>;
  dispose(): Promise<void>;
}

export class LocalMedium implements TestMedium {
  readonly base: string;

  constructor(base: string) {
    this.base = base;
  }

  static async make(): Promise<LocalMedium> {
    const folder = await fs.mkdtemp(join(tmpdir(), 'sallyport-files-'));
    const base = join(folder, 'base');
    await fs.mkdir(base);
    await fs.mkdir(join(folder, 'outside'));
    await fs.writeFile(join(folder, 'outside', 'secret'), 'outside the jail');
    return new LocalMedium(base);
  }

  open(options: Omit<LocalStorageOptions, 'base'>): Promise<BlobStorage> {
    return LocalStorage.open({ ...options, base: this.base });
  }

  path(...names: readonly string[]): string {
    return join(this.base, ...names);
  }

  readFile(...names: readonly string[]): Promise<Buffer> {
    return fs.readFile(this.path(...names));
  }

  writeFile(names: readonly string[], content: string): Promise<void> {
    return fs.writeFile(this.path(...names), content);
  }

  readdir(...names: readonly string[]): Promise<string[]> {
    return fs.readdir(this.path(...names));
  }

  async mkdir(...names: readonly string[]): Promise<void> {
    await fs.mkdir(this.path(...names), { recursive: true });
  }

  rm(...names: readonly string[]): Promise<void> {
    return fs.rm(this.path(...names), { recursive: true });
  }

  dispose(): Promise<void> {
    return fs.rm(dirname(this.base), { recursive: true, force: true });
  }
}

/** What lies on it is there for each `open`, as on a disk. */
export class MemoryMedium implements TestMedium {
  readonly #top = new FolderNode(0o755);
  readonly #staging = new FolderNode(0o700);

  async open(): Promise<BlobStorage> {
    return new MemoryStorage(this.#top, this.#staging);
  }

  #find(names: readonly string[]) {
    const [first = '', ...others] = names;
    const isHidden = first === stagingFolderName;
    const folder = isHidden ? this.#staging : this.#top;
    const path = isHidden ? others : names;
    const parent = folder.walk(path.slice(0, -1), (missing, name) => missing.make(name));
    const name = path.at(-1);
    return { parent, name: name ?? '', node: name === undefined ? folder : parent.entries.get(name) };
  }

  async readFile(...names: readonly string[]): Promise<Buffer> {
    const { node } = this.#find(names);
    if (node?.type !== 'file') throw new Error(`no file ${names.join('/')}`);
    return node.content;
  }

  async writeFile(names: readonly string[], content: string): Promise<void> {
    const { parent, name, node } = this.#find(names);
    const file = node?.type === 'file' ? node : new FileNode(0o644);
    parent.entries.set(name, file);
    file.resize(0);
    file.write([Buffer.from(content)], 0);
  }

  async readdir(...names: readonly string[]): Promise<string[]> {
    const { node } = this.#find(names);
    if (node?.type !== 'folder') throw new Error(`no folder ${names.join('/')}`);
    return [...node.entries.keys()];
  }

  async mkdir(...names: readonly string[]): Promise<void> {
    this.#top.walk(names, (folder, name) => folder.make(name));
  }

  async rm(...names: readonly string[]): Promise<void> {
    const { parent, name } = this.#find(names);
    parent.entries.delete(name);
  }

  async dispose(): Promise<void> {
    // Nobody has it any more.
  }
}
