/** The media that the conformance suite is run over, and a way round each: what lies on it, whatever main says. */
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BlobStorage } from '#main-agent/files/storage/blob-storage.ts';
import { LocalStorage, type LocalStorageOptions } from '#main-agent/files/storage/local/local-storage.ts';

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
