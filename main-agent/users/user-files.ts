import { rename, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { SallyportError } from '#shared/error.ts';
import { writeDurably } from '#main-agent/durable-file.ts';
import { parseYaml } from '#shared/config/yaml-text.ts';
import { nameElsewhere, namesIn, type HashBook } from './hash-book.ts';
import type { HashBox } from './hash-box.ts';
import { filesReadTogetherMax } from './limits.ts';
import { hashOctets, showText, type ShownText } from './shown-text.ts';
import { applyFiles, finishApply } from './store-apply.ts';
import { identifyFile } from './user-file.ts';
import { listFolder, mapBounded, readIfThere, readNow, stampFile } from './user-folder.ts';

/**
 * Who reads and writes what stands in the users folder and in the copies of its last good versions. All texts that are
 * handed out have names in the places of password hashes, and those that are handed in get the hashes back (D-160). So
 * this is the one part of the user store that sees a hash; it belongs into the vault's process, and all that it is
 * asked and answers is plain data.
 */
export interface UserFiles {
  /** In their order. At most `filesReadTogetherMax`. Never rejects for what one of them is. */
  read(files: readonly string[]): Promise<readonly ReadFile[]>;
  /** Texts that are no files yet, as `read` would show them; their hashes may be sealed for the vault. */
  show(texts: readonly string[]): Promise<readonly ShownText[]>;
  /**
   * Whole or not at all, also over a power cut. Resolves with the hash of what lies there now. Rejects `exists`
   * (exclusive), `conflict` (it is another one than `replaces`), `config` (a name that is no hash's, or that stands where
   * none stood: at no `password`, and not in the text that is replaced).
   */
  write(file: string, text: string, options: WriteUserFile): Promise<string>;
  /** Files of the users folder, all or none, as `applyFiles` does it; texts as `show` or `read` gave them. */
  apply(changes: readonly TextChange[]): Promise<readonly string[]>;
  /** Of the users folder, as `finishApply` does it. */
  finishApply(): Promise<readonly string[]>;
  /** With the time of the original. Nothing where the original is not the version of `hash` any more. */
  copy(original: OriginalFile, copy: string): Promise<void>;
}

/** `gone`: it is not there. Of what can't be read, why. */
export type ReadFile =
  | (ShownText & { readonly stamp: string })
  | { readonly gone: true }
  | { readonly gone: false; readonly why: string; readonly stamp: string };

interface WriteUserFile {
  /** Permission bits. */
  readonly mode: number;
  readonly exclusive?: boolean;
  /** The hash of what must lie there until the moment it is replaced. */
  readonly replaces?: string;
}

export interface TextChange {
  readonly relative: string;
  /** Undefined: the file goes. */
  readonly text?: string | undefined;
  /** Of the version it replaces; undefined: there must be none. */
  readonly oldHash?: string | undefined;
}

interface OriginalFile {
  readonly file: string;
  readonly hash: string;
  readonly modifiedMs: number;
}

/** Undefined: it is not there. Rejects where it can't be read. */
export async function readOne(files: Pick<UserFiles, 'read'>, file: string): Promise<ShownText | undefined> {
  const [read] = await files.read([file]);
  if (read === undefined || 'hash' in read) return read;
  if (read.gone) return undefined;
  throw new Error(read.why);
}

interface LocalUserFilesOptions {
  readonly book: HashBook;
  readonly box: Pick<HashBox, 'open'>;
  /** The admins' folder. */
  readonly directory: string;
  /** Of the copies of its last good versions. */
  readonly lastGoodDirectory: string;
}

/** Above so many files a trip through the thread pool for each is what takes the time. */
const readAsynchronouslyMax = 16;

export class LocalUserFiles implements UserFiles {
  readonly #options: LocalUserFilesOptions;
  #search: Promise<void> | undefined;

  constructor(options: LocalUserFilesOptions) {
    this.#options = options;
  }

  async read(files: readonly string[]): Promise<readonly ReadFile[]> {
    const { book } = this.#options;
    const show = (found: Awaited<ReturnType<typeof readIfThere>>): ReadFile =>
      found === undefined ? { gone: true } : { ...showText(found.octets, book), stamp: found.stamp };
    if (files.length > readAsynchronouslyMax)
      return Promise.all(files.map((file) => describeFailure(file, async () => show(readNow(file)))));
    return mapBounded(files, (file) => describeFailure(file, async () => show(await readIfThere(file))));
  }

  async show(texts: readonly string[]): Promise<readonly ShownText[]> {
    const { book, box } = this.#options;
    return texts.map((text) => showText(Buffer.from(box.open(text), 'utf8'), book));
  }

  async write(file: string, text: string, { mode, exclusive, replaces }: WriteUserFile): Promise<string> {
    await this.#requireOwnNames(file, text);
    const filled = await this.#fillIn(text);
    const requireReplaced = async (): Promise<void> => {
      const now = await readIfThere(file);
      if (now !== undefined && hashOctets(now.octets) === replaces) return;
      throw new SallyportError('conflict', 'The file was changed at the same moment', {
        detail: file,
        hint: 'try again',
      });
    };
    await writeDurably(file, filled, {
      mode,
      ...(exclusive !== undefined && { exclusive }),
      ...(replaces !== undefined && { beforeRename: requireReplaced }),
    });
    return hashOctets(Buffer.from(filled, 'utf8'));
  }

  async apply(changes: readonly TextChange[]): Promise<readonly string[]> {
    const filled = [];
    for (const { relative, text, oldHash } of changes) {
      const octets = text === undefined ? undefined : Buffer.from(await this.#fillIn(text), 'utf8');
      filled.push({ relative, octets, oldHash });
    }
    return applyFiles(this.#options.directory, filled);
  }

  finishApply(): Promise<readonly string[]> {
    return finishApply(this.#options.directory);
  }

  async copy({ file, hash, modifiedMs }: OriginalFile, copy: string): Promise<void> {
    const found = await readIfThere(file);
    // Changed meanwhile: the next refresh will judge it.
    if (found === undefined || hashOctets(found.octets) !== hash) return;
    const modified = new Date(modifiedMs);
    await writeFile(`${copy}.tmp`, found.octets, { mode: 0o600 });
    await utimes(`${copy}.tmp`, modified, modified);
    await rename(`${copy}.tmp`, copy);
  }

  /**
   * The hash of a name; undefined: no file that was read has it. Looks into no file, as the time would tell whose name is
   * somebody's.
   */
  async find(name: string): Promise<string | undefined> {
    const { book } = this.#options;
    const known = book.find(name);
    if (known !== undefined || this.#search === undefined) return known;
    await this.#search;
    return book.find(name);
  }

  /**
   * A name that somebody typed elsewhere would put another person's hash where it is read as no secret. Nothing is looked
   * for on its account.
   */
  async #requireOwnNames(file: string, text: string): Promise<void> {
    const names = new Set(namesIn(text));
    if (names.size === 0) return;
    const old = await readIfThere(file).catch(() => undefined);
    const shown = old === undefined ? undefined : showText(old.octets, this.#options.book);
    for (const name of namesIn(shown?.text ?? '')) names.delete(name);
    if (names.size > 0) names.delete(passwordOf(text));
    if (names.size > 0) throw nameElsewhere();
  }

  async #fillIn(text: string): Promise<string> {
    const { book } = this.#options;
    const filled = book.fillIn(text);
    if (filled !== undefined) return filled;
    await this.readFolders();
    const found = book.fillIn(text);
    if (found !== undefined) return found;
    throw new SallyportError('config', 'A password hash of this file is not there any more', {
      detail: '`$vault$…` names a hash that no file holds',
      hint: 'read it again; no file is written with such a name',
    });
  }

  /** Reads all that there is, so that its hashes are known; those who ask meanwhile wait for the same. Never rejects. */
  async readFolders(): Promise<void> {
    const search = (this.#search ??= this.#readBoth());
    try {
      await search;
    } finally {
      if (this.#search === search) this.#search = undefined;
    }
  }

  async #readBoth(): Promise<void> {
    const { directory, lastGoodDirectory } = this.#options;
    for (const folder of [directory, lastGoodDirectory]) {
      // One that is not there, or can't be read, has no hash; main says so when it reads it.
      const names = await listFolder(folder).catch((): string[] => []);
      const files = names.filter((name) => typeof identifyFile(name) === 'object');
      for (let start = 0; start < files.length; start += filesReadTogetherMax) {
        const some = files.slice(start, start + filesReadTogetherMax);
        await this.read(some.map((name) => path.join(folder, name)));
        await setImmediate();
      }
    }
  }
}

function passwordOf(text: string): string {
  const { value } = parseYaml(text, '');
  return typeof value === 'object' && value !== null && 'password' in value ? String(value.password) : '';
}

async function describeFailure(file: string, read: () => Promise<ReadFile>): Promise<ReadFile> {
  try {
    return await read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const stamp = (await stampFile(file).catch(() => undefined)) ?? '';
    return { gone: false, why, stamp };
  }
}
