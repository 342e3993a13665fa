import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import type { FileClient } from '#dmz/files/file-client.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';
import type { VirtualPath } from '#shared/file-service/virtual-path.ts';
import { labelContent } from './content.ts';
import type { Exchange } from './exchange.ts';
import { FileBytes } from './file-bytes.ts';
import { fileHeaders } from './headers.ts';
import {
  archiveDepthMax,
  archiveEntriesMax,
  archiveNamesMax,
  archivesPerSessionMax,
  downloadPace,
} from './limits.ts';

/**
 * A folder, or some of what is in it, as one ZIP. Nothing is stored on the way: the tree is listed first, so that what
 * can be refused is refused before the first byte; then one file after the other is read and passed on as it comes.
 *
 * Files are stored, not deflated: the exposed host has better things to do than to compress strangers' videos.
 */

interface ArchiveEntry {
  readonly path: VirtualPath;
  /** In the archive: `photos/2026/a.jpg`. */
  readonly name: string;
  readonly attributes: Attributes;
}

const readMode = { read: true, write: false, create: 'never', truncate: false, append: false } as const;

/** Archives on their way, by the session's end: the one thing all its requests share. */
const running = new WeakMap<AbortSignal, number>();

export async function sendArchive(
  x: Exchange,
  session: Admitted,
  folder: VirtualPath,
  names: readonly string[],
): Promise<void> {
  const count = running.get(session.ended) ?? 0;
  if (count >= archivesPerSessionMax)
    throw new SallyportError('too-many', `At most ${archivesPerSessionMax} archives at the same time`);
  running.set(session.ended, count + 1);
  try {
    await listAndSend(x, session, folder, names);
  } finally {
    running.set(session.ended, (running.get(session.ended) ?? 1) - 1);
  }
}

async function listAndSend(
  x: Exchange,
  session: Admitted,
  folder: VirtualPath,
  names: readonly string[],
): Promise<void> {
  if (names.length > archiveNamesMax)
    throw new SallyportError('too-many', `At most ${archiveNamesMax} names in one archive`);
  const isWanted = (): boolean => !x.response.destroyed && !session.ended.aborted;
  const entries = await listTree(session.files, folder, names, isWanted);
  if (x.method === 'HEAD') {
    x.response.writeHead(200, [...archiveHeaders(folder, names)]);
    x.response.end();
    return;
  }
  await new Archive(x, session, entries).send(archiveHeaders(folder, names));
}

function archiveHeaders(folder: VirtualPath, names: readonly string[]): readonly string[] {
  const only = names.length === 1 ? names[0] : undefined;
  const { type, disposition } = labelContent(`${only ?? (folder.isRoot ? 'files' : folder.name)}.zip`);
  return [...fileHeaders, 'Content-Type', type, 'Content-Disposition', disposition];
}

/** All there is below, without what this user may not list. Empty `names`: the whole folder. */
async function listTree(
  files: FileClient,
  folder: VirtualPath,
  names: readonly string[],
  isWanted: () => boolean,
): Promise<readonly ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  const add = (entry: ArchiveEntry): void => {
    if (entries.length === archiveEntriesMax)
      throw new SallyportError('too-many', `At most ${archiveEntriesMax} files in one archive`);
    // A client that went away must not leave main listing for it.
    if (!isWanted()) throw new SallyportError('bad-request', 'Nobody waits for the archive any more');
    entries.push(entry);
  };
  const walk = async (path: VirtualPath, prefix: string, depth: number): Promise<void> => {
    if (depth > archiveDepthMax) throw new SallyportError('too-many', 'The folders are too deep to archive');
    for (const { name, attributes } of await listFolder(files, path)) {
      const child = path.child(name);
      add({ path: child, name: prefix + name, attributes });
      if (attributes.type === 'folder') await walk(child, `${prefix}${name}/`, depth + 1);
    }
  };
  if (names.length === 0) await walk(folder, '', 1);
  for (const name of new Set(names)) {
    const path = folder.child(name);
    const attributes = await files.stat(path);
    add({ path, name, attributes });
    if (attributes.type === 'folder') await walk(path, `${name}/`, 1);
  }
  return entries;
}

async function listFolder(files: FileClient, path: VirtualPath) {
  const entries = [];
  let cursor: string | undefined;
  try {
    do {
      const page = await files.list(path, {
        limit: 1000,
        sort: 'name',
        ...(cursor === undefined ? {} : { cursor }),
      });
      entries.push(...page.entries);
      cursor = page.next;
    } while (cursor !== undefined && entries.length <= archiveEntriesMax);
  } catch (error) {
    // A drop box below: it is in the archive as an empty folder.
    if (!isSallyportError(error, 'permission-denied')) throw error;
  }
  return entries;
}

class Archive {
  readonly #x: Exchange;
  readonly #session: Admitted;
  readonly #entries: readonly ArchiveEntry[];
  readonly #zip = new ZipFile();
  readonly #stopping = new AbortController();

  constructor(x: Exchange, session: Admitted, entries: readonly ArchiveEntry[]) {
    this.#x = x;
    this.#session = session;
    this.#entries = entries;
  }

  async send(headers: readonly string[]): Promise<void> {
    const { response, pace } = this.#x;
    const stop = (): void => this.#stopping.abort();
    this.#session.ended.addEventListener('abort', stop);
    response.on('close', stop);
    const transfer = pace.watch(downloadPace, stop);
    response.writeHead(200, [...headers]);
    // Of a file that could not be read; `#addFile` hears it too and tells it.
    this.#zip.on('error', stop);
    this.#zip.outputStream.on('data', (chunk: Buffer) => transfer.moved(chunk.length));
    try {
      await Promise.all([
        pipeline(this.#zip.outputStream, response, { signal: this.#stopping.signal }),
        this.#addAll().catch((error: unknown) => {
          // Cut, so that nobody takes it for a whole archive.
          stop();
          throw error;
        }),
      ]);
    } finally {
      transfer.done();
      this.#session.ended.removeEventListener('abort', stop);
      response.off('close', stop);
    }
  }

  /** One after the other: an archive is one stream, and reading ahead would only hold memory. */
  async #addAll(): Promise<void> {
    for (const { path, name, attributes } of this.#entries) {
      this.#stopping.signal.throwIfAborted();
      const options = { mtime: toZipTime(attributes.mtimeMs), mode: attributes.mode & 0o777 };
      if (attributes.type === 'folder') this.#zip.addEmptyDirectory(zipName(name), options);
      else await this.#addFile(path, zipName(name), options);
    }
    this.#zip.end();
  }

  async #addFile(path: VirtualPath, name: string, options: { mtime: Date; mode: number }): Promise<void> {
    const file = await this.#session.files.open(path, readMode);
    try {
      const { size } = file.attributes;
      const content = readAll(file, size, this.#stopping.signal);
      this.#zip.addReadStream(content, name, { ...options, size, compress: false });
      await once(content, 'close', { signal: this.#stopping.signal });
    } finally {
      void file.release();
    }
  }
}

/** A backslash would become a folder on Windows, a colon a drive or a stream beside the file. */
function zipName(name: string): string {
  return name.replace(/[\\:]/g, '_');
}

/** yazl throws where nobody can catch it when a time is before 1970, and so would end this process. */
function toZipTime(mtimeMs: number): Date {
  return new Date(Math.max(0, mtimeMs));
}

type OpenFile = Awaited<ReturnType<FileClient['open']>>;

function readAll(file: OpenFile, lengthBytes: number, signal: AbortSignal): Readable {
  /** Given back when the reader asks for more. */
  let held: (() => void)[] = [];
  const bytes = new FileBytes(
    file,
    { offset: 0, lengthBytes },
    {
      onData(piece, release) {
        // A copy: the piece's memory is main's lane's again as soon as it is released.
        if (readable.push(Buffer.from(piece))) release();
        else held.push(release);
      },
      onEnd: () => readable.push(null),
      onError: (error) => readable.destroy(error),
    },
  );
  let isStarted = false;
  const readable = new Readable({
    signal,
    read() {
      if (!isStarted && lengthBytes > 0) bytes.start();
      if (lengthBytes === 0) this.push(null);
      isStarted = true;
      const free = held;
      held = [];
      for (const release of free) release();
    },
    destroy(error, done) {
      bytes.stop(new SallyportError('bad-request', 'The client went away'));
      for (const release of held) release();
      held = [];
      done(error);
    },
  });
  return readable;
}
