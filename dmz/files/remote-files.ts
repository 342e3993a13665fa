/**
 * The file service of one session, over the link. A thin client: every decision is main's, every error comes from
 * there with its code. What it adds is the session's id, and a number to each change so that one sent again after a
 * lost link is not done twice.
 */
import type {
  AttributeChange,
  Attributes,
  Entry,
  HandleAttributes,
} from '#shared/file-service/attributes.ts';
import { isSallyportError } from '#shared/error.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { Params, Result } from '#shared/link/messages.ts';
import type { MainLink } from '#dmz/link/main-link.ts';
import {
  addTaken,
  type BinClient,
  type FileClient,
  type Kept,
  type RemoteFile,
  type RemoteFolder,
  type Taken,
  type UploadClient,
} from './file-client.ts';
import { OperationNumbers } from './operation-numbers.ts';

export function buildRemoteFiles(options: {
  readonly link: MainLink;
  /** The session's id, as main gave it. */
  readonly session: string;
}): FileClient {
  return new RemoteFiles(options.link, options.session);
}

/**
 * Names of an open folder that are remembered, to be left out when it has to be opened again: about 300 KiB, and a session
 * may have 256 folders open. A longer folder whose main is killed while it is read ends with an error.
 */
const toldNamesMax = 4_096;

/** Times an open folder is opened again for one page: each time a main was killed before it gave that, or is mistaken. */
const reopensMax = 8;

/** A client that wants a small file reads it at once; other programs on main's host may change it and nobody says so. */
const contentLifeMs = 1_000;

const components = (path: VirtualPath): string[] => [...path.components];

class RemoteFiles implements FileClient {
  readonly #link: MainLink;
  readonly #session: string;
  readonly #numbers = new OperationNumbers();
  readonly uploads: UploadClient;
  readonly bin: BinClient;

  constructor(link: MainLink, session: string) {
    this.#link = link;
    this.#session = session;
    this.uploads = buildUploads(link, session, this.#numbers);
    this.bin = buildBin(link, session, this.#numbers);
  }

  list(path: VirtualPath, options: Parameters<FileClient['list']>[1]): ReturnType<FileClient['list']> {
    return this.#link.request('fs.list', { session: this.#session, path: components(path), ...options });
  }

  survey(path: VirtualPath): ReturnType<FileClient['survey']> {
    return this.#link.request('fs.survey', { session: this.#session, path: components(path) });
  }

  stat(path: VirtualPath, options: { followLinks?: boolean } = {}): Promise<Attributes> {
    const followLinks = options.followLinks ?? true;
    return this.#link.request('fs.stat', { session: this.#session, path: components(path), followLinks });
  }

  usage(path: VirtualPath): ReturnType<FileClient['usage']> {
    return this.#link.request('fs.usage', { session: this.#session, path: components(path) });
  }

  async openFolder(path: VirtualPath): Promise<RemoteFolder> {
    const params = { session: this.#session, path: components(path) };
    const open = async (): Promise<number> => (await this.#link.request('fs.open-folder', params)).handle;
    return new Folder(this.#link, this.#session, open, await open());
  }

  async open(
    path: VirtualPath,
    mode: Parameters<FileClient['open']>[1],
    attributes?: AttributeChange,
    contentUpTo?: number,
  ): Promise<RemoteFile> {
    const opened = await this.#link.request('fs.open', {
      ...this.#change(),
      path: components(path),
      mode,
      ...(attributes !== undefined && { attributes }),
      ...(contentUpTo !== undefined && { contentUpTo }),
    });
    return new File(this.#link, this.#session, this.#numbers, opened);
  }

  async makeFolder(path: VirtualPath, mode?: number): Promise<void> {
    await this.#link.request('fs.make-folder', {
      ...this.#change(),
      path: components(path),
      ...(mode !== undefined && { mode }),
    });
  }

  removeFile(
    path: VirtualPath,
    { precondition, forGood }: Parameters<FileClient['removeFile']>[1] = {},
  ): Promise<Kept> {
    return this.#link.request('fs.remove-file', {
      ...this.#change(),
      path: components(path),
      ...(precondition !== undefined && { precondition: toWirePrecondition(precondition) }),
      ...(forGood === true && { forGood }),
    });
  }

  removeFolder(
    path: VirtualPath,
    { recursive, forGood }: Parameters<FileClient['removeFolder']>[1],
  ): Promise<Kept> {
    return this.#link.request('fs.remove-folder', {
      ...this.#change(),
      path: components(path),
      recursive,
      ...(forGood === true && { forGood }),
    });
  }

  rename(
    from: VirtualPath,
    to: VirtualPath,
    options: { overwrite: boolean },
  ): ReturnType<FileClient['rename']> {
    return this.#link.request('fs.rename', { ...this.#move(from, to), overwrite: options.overwrite });
  }

  copy(from: VirtualPath, to: VirtualPath, options: { overwrite: boolean }): ReturnType<FileClient['copy']> {
    return this.#link.request('fs.copy', { ...this.#move(from, to), overwrite: options.overwrite });
  }

  async change(
    path: VirtualPath,
    change: AttributeChange,
    options: { followLinks?: boolean } = {},
  ): Promise<void> {
    const followLinks = options.followLinks ?? true;
    await this.#link.request('fs.change', { ...this.#change(), path: components(path), change, followLinks });
  }

  async readLink(path: VirtualPath): Promise<string> {
    const params = { session: this.#session, path: components(path) };
    const { target } = await this.#link.request('fs.read-link', params);
    return target;
  }

  async hash(path: VirtualPath, algorithm: 'sha256'): Promise<string> {
    const params = { session: this.#session, path: components(path), algorithm };
    const { hex } = await this.#link.request('fs.hash', params);
    return hex;
  }

  #change(): { session: string; op: number } {
    return { session: this.#session, op: this.#numbers.next() };
  }

  #move(from: VirtualPath, to: VirtualPath): { session: string; op: number; from: string[]; to: string[] } {
    return { ...this.#change(), from: components(from), to: components(to) };
  }
}

function buildUploads(link: MainLink, session: string, numbers: OperationNumbers): UploadClient {
  return {
    create: (path, facts) =>
      link.request('fs.create-upload', {
        session,
        op: numbers.next(),
        path: components(path),
        ...facts,
      }),
    find: (upload) => link.request('fs.find-upload', { session, upload }),
    list: async () => (await link.request('fs.list-uploads', { session })).uploads,
    async open(name) {
      const params = { session, op: numbers.next(), upload: name };
      const { upload, ...opened } = await link.request('fs.open-upload', params);
      return { file: new File(link, session, numbers, { ...opened, created: true }), upload };
    },
    async remove(upload) {
      await link.request('fs.remove-upload', { session, op: numbers.next(), upload });
    },
  };
}

function buildBin(link: MainLink, session: string, numbers: OperationNumbers): BinClient {
  return {
    list: (options) => link.request('fs.list-bin', { session, ...options }),
    async restore(id, options) {
      const params = { session, op: numbers.next(), id, ...options };
      return (await link.request('fs.restore-binned', params)).path;
    },
    async empty(ids) {
      const params = { session, op: numbers.next(), ...(ids !== undefined && { ids: [...ids] }) };
      return (await link.request('fs.empty-bin', params)).dropped;
    },
  };
}

/**
 * A folder outlives a main that was killed: it is opened again, and names that were told already are left out. Which of
 * those that came or went meanwhile are told nobody can say, as of any folder that changes while it is read.
 */
class Folder implements RemoteFolder {
  readonly #link: MainLink;
  readonly #session: string;
  readonly #open: () => Promise<number>;
  #handle: number;
  #nextPage = 0;
  #ended = false;
  /** Undefined: too many to be remembered. */
  #told: Set<string> | undefined = new Set();

  constructor(link: MainLink, session: string, open: () => Promise<number>, handle: number) {
    this.#link = link;
    this.#session = session;
    this.#open = open;
    this.#handle = handle;
  }

  async read(): Promise<Entry[] | undefined> {
    if (this.#ended) return undefined;
    const page = await this.#readPage();
    this.#nextPage += 1;
    this.#ended = page.end;
    const told = this.#told;
    const entries = told === undefined ? page.entries : page.entries.filter(({ name }) => !told.has(name));
    for (const { name } of entries) told?.add(name);
    if (told !== undefined && told.size > toldNamesMax) this.#told = undefined;
    return page.end && entries.length === 0 ? undefined : entries;
  }

  async #readPage(): Promise<{ readonly entries: Entry[]; readonly end: boolean }> {
    const ask = (): Promise<Result<'fs.read-folder'>> =>
      this.#link.request('fs.read-folder', {
        session: this.#session,
        handle: this.#handle,
        page: this.#nextPage,
      });
    for (let reopens = 0; ; reopens += 1) {
      try {
        return await ask();
      } catch (error) {
        const isGone = isSallyportError(error, 'bad-handle') && this.#told !== undefined;
        if (!isGone || reopens === reopensMax) throw error;
        this.#handle = await this.#open();
        this.#nextPage = 0;
      }
    }
  }

  async close(): Promise<void> {
    await releaseHandle(this.#link, { session: this.#session, handle: this.#handle, keepPartial: false });
  }
}

class File implements RemoteFile {
  readonly handle: number;
  readonly attributes: Attributes;
  readonly created: boolean;
  readonly writeUpTo: number;
  readonly #link: MainLink;
  readonly #session: string;
  readonly #numbers: OperationNumbers;
  #taken: Taken = { bytes: 0, end: 0 };
  #content: Buffer | undefined;
  #forgetContent: () => void = () => undefined;

  constructor(
    link: MainLink,
    session: string,
    numbers: OperationNumbers,
    opened: {
      readonly handle: number;
      readonly attributes: Attributes;
      readonly created: boolean;
      readonly content?: string | undefined;
      readonly writeUpTo?: number | undefined;
    },
  ) {
    this.#link = link;
    this.#session = session;
    this.#numbers = numbers;
    this.handle = opened.handle;
    this.attributes = opened.attributes;
    this.created = opened.created;
    this.writeUpTo = opened.writeUpTo ?? 0;
    if (opened.content !== undefined) this.#holdContent(Buffer.from(opened.content, 'base64url'));
  }

  get content(): Buffer | undefined {
    return this.#content;
  }

  dropContent(): void {
    if (this.#content === undefined) return;
    this.#content = undefined;
    this.#forgetContent();
  }

  #holdContent(content: Buffer): void {
    this.#content = content;
    const drop = (): void => this.dropContent();
    const forget = this.#link.holdContent(this.handle, drop);
    if (this.#content === undefined) return;
    const timer = setTimeout(drop, contentLifeMs).unref();
    this.#forgetContent = () => {
      forget();
      clearTimeout(timer);
    };
  }

  readStream(range: { offset: number; lengthBytes?: number }): LaneStream {
    return this.#link.openStream({ kind: 'read', session: this.#session, handle: this.handle, ...range });
  }

  writeStream(range: { offset: number }): LaneStream {
    return this.#link.openStream({ kind: 'write', session: this.#session, handle: this.handle, ...range });
  }

  async write(offset: number, data: readonly Buffer[]): Promise<void> {
    const content = Buffer.concat(data).toString('base64url');
    await this.#link.request('fs.write', { ...this.#change(), offset, content });
  }

  stat(): Promise<HandleAttributes> {
    return this.#link.request('fs.stat-handle', { session: this.#session, handle: this.handle });
  }

  async resume(): Promise<HandleAttributes> {
    await this.#link.waitForLane(this.#session);
    return this.stat();
  }

  async change(change: AttributeChange): Promise<void> {
    await this.#link.request('fs.change-handle', { ...this.#change(), change });
  }

  async sync(): Promise<void> {
    await this.#link.request('fs.sync', { session: this.#session, handle: this.handle });
  }

  async copyRangeTo(
    target: RemoteFile,
    range: { fromOffset: number; lengthBytes: number; toOffset: number },
  ): Promise<number> {
    const { copiedBytes } = await this.#link.request('fs.copy-range', {
      session: this.#session,
      op: this.#numbers.next(),
      from: this.handle,
      to: target.handle,
      ...range,
    });
    return copiedBytes;
  }

  commit(options: Parameters<RemoteFile['commit']>[0] = {}): ReturnType<RemoteFile['commit']> {
    const { precondition, mtimeMs } = options;
    return this.#link.request('fs.commit', {
      ...this.#change(),
      ...(precondition !== undefined && { precondition: toWirePrecondition(precondition) }),
      ...(mtimeMs !== undefined && { mtimeMs }),
    });
  }

  noteTaken(bytes: number, end: number): void {
    this.#taken = addTaken(this.#taken, bytes, end);
  }

  async release({
    keepPartial = false,
    cut,
    taken = this.#taken,
  }: Parameters<RemoteFile['release']>[0] = {}): Promise<void> {
    this.dropContent();
    await releaseHandle(this.#link, {
      session: this.#session,
      handle: this.handle,
      keepPartial,
      ...(taken.bytes !== 0 && { taken }),
      ...(cut !== undefined && { cut }),
    });
  }

  #change(): { session: string; op: number; handle: number } {
    return { session: this.#session, op: this.#numbers.next(), handle: this.handle };
  }
}

async function releaseHandle(link: MainLink, params: Params<'fs.release'>): Promise<void> {
  try {
    await link.request('fs.release', params);
  } catch {
    // Main ends a session's handles itself when the session ends; a caller that lets go can do nothing more.
  }
}

/** The wire has mutable lists. */
function toWirePrecondition(precondition: {
  readonly ifMatch?: readonly string[] | '*';
  readonly ifNoneMatch?: readonly string[] | '*';
}): { ifMatch?: string[] | '*'; ifNoneMatch?: string[] | '*' } {
  const { ifMatch, ifNoneMatch } = precondition;
  return {
    ...(ifMatch !== undefined && { ifMatch: ifMatch === '*' ? ifMatch : [...ifMatch] }),
    ...(ifNoneMatch !== undefined && { ifNoneMatch: ifNoneMatch === '*' ? ifNoneMatch : [...ifNoneMatch] }),
  };
}
