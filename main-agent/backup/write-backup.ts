import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { listRotated } from '#main-agent/audit/audit-files.ts';
import { checkpointFileOf } from '#main-agent/audit/checkpoint-file.ts';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { isErrno, syncFolder } from '#main-agent/durable-file.ts';
import { SallyportError } from '#shared/error.ts';
import {
  auditPrefix,
  configName,
  isPlainName,
  listFolders,
  listSecrets,
  manifestName,
  stateName,
  type Manifest,
} from './contents.ts';
import { sealEnvelope } from './enveloped-data.ts';
import type { Recipient } from './recipients.ts';
import { writeTar, type Member } from './tar.ts';

/** Writes the file of `sallyport backup`: gzip of a tar, encrypted (D-119). No byte of it lies anywhere in the clear. */

interface BackupSource {
  readonly config: MainAgentConfig;
  readonly configFile: string;
  /** A copy of state.db of one moment, open for reading. What is read of the audit is read after it was made. */
  readonly state: FileHandle;
  readonly manifest: Manifest;
}

interface WrittenBackup {
  readonly file: string;
  readonly bytes: number;
  /** Names of what lies among main's files and is no plain file, or hidden: not in it. */
  readonly leftOut: readonly string[];
}

/** Whole and durable when it resolves, mode 0600. Rejects `exists` where there is a file. */
export async function writeBackup(
  source: BackupSource,
  file: string,
  recipients: readonly Recipient[],
): Promise<WrittenBackup> {
  const partial = `${file}.partial`;
  await requireFree(file);
  const leftOut: string[] = [];
  // What a killed command left is begun anew.
  await rm(partial, { force: true });
  const handle = await open(partial, 'wx', 0o600);
  let bytes = 0;
  try {
    await pipeline(
      writeTar(readFiles(source, leftOut)),
      createGzip(),
      (zipped: AsyncIterable<Buffer>) => sealEnvelope(zipped, recipients),
      async (sealed: AsyncIterable<Buffer>) => {
        for await (const piece of sealed) {
          await handle.writeFile(piece);
          bytes += piece.length;
        }
      },
    );
    await handle.sync();
    await requireFree(file);
    await rename(partial, file);
    await syncFolder(path.dirname(file));
  } finally {
    await handle.close();
    await rm(partial, { force: true });
  }
  return { file, bytes, leftOut };
}

/** Also of a link that leads nowhere, and of a FIFO, which would wait for ever if it was opened. */
async function requireFree(file: string): Promise<void> {
  const there = await lstat(file).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (there !== undefined)
    throw new SallyportError('exists', 'There is a file of that name already', { detail: file });
}

type TarFile = Member & { readonly content: AsyncIterable<Buffer> | Iterable<Buffer> };

/** The configuration first: what comes after is judged by it. The audit last: so it tells no less than the state. */
async function* readFiles(
  { config, configFile, state, manifest }: BackupSource,
  leftOut: string[],
): AsyncGenerator<TarFile> {
  const told = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
  const modifiedAtMs = Date.parse(manifest.made_at);
  yield { name: manifestName, bytes: told.length, modifiedAtMs, content: [told] };
  yield* readPath(configName, configFile);
  for (const { name, path: file } of listSecrets(config)) yield* readPath(name, file);
  for (const { prefix, path: folder, subfolders } of listFolders(config))
    for (const below of ['', ...subfolders.map((name) => `${name}/`)])
      yield* readFolder(`${prefix}${below}`, path.join(folder, below), subfolders, leftOut);
  yield* readHandle(stateName, state);
  yield* readAudit(config.audit.file);
}

async function* readFolder(
  prefix: string,
  folder: string,
  subfolders: readonly string[],
  leftOut: string[],
): AsyncGenerator<TarFile> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  for (const entry of entries) {
    if (entry.isDirectory() && subfolders.includes(entry.name)) continue;
    const file = path.join(folder, entry.name);
    if (entry.isFile() && isPlainName(entry.name)) yield* readPath(`${prefix}${entry.name}`, file, 'may go');
    else leftOut.push(file);
  }
}

/** While main writes, files are rotated: the one being written is opened first, and told from the others by its inode. */
async function* readAudit(active: string): AsyncGenerator<TarFile> {
  const name = (file: string): string => `${auditPrefix}${path.basename(file)}`;
  const written = await openPlain(active, 'may go');
  try {
    const own = await written?.stat();
    for (const { path: file } of await listRotated(active))
      yield* readPath(name(file), file, 'may go', ({ ino, dev }) => ino !== own?.ino || dev !== own.dev);
    if (written !== undefined) yield* readHandle(name(active), written);
  } finally {
    await written?.close();
  }
  const checkpoints = checkpointFileOf(active);
  yield* readPath(name(checkpoints), checkpoints, 'may go');
}

async function* readPath(
  name: string,
  file: string,
  may: 'must be' | 'may go' = 'must be',
  isWanted: (found: Stats) => boolean = () => true,
): AsyncGenerator<TarFile> {
  const handle = await openPlain(file, may);
  if (handle === undefined) return;
  try {
    if (isWanted(await handle.stat())) yield* readHandle(name, handle);
  } finally {
    await handle.close();
  }
}

/** A link's target may be anywhere, and a FIFO would wait for ever. */
async function openPlain(file: string, may: 'must be' | 'may go'): Promise<FileHandle | undefined> {
  try {
    // A secret may be a link of whoever administers the box; what main wrote never is.
    const follow = may === 'must be' ? 0 : constants.O_NOFOLLOW;
    return await open(file, constants.O_RDONLY | constants.O_NONBLOCK | follow);
  } catch (error) {
    // A user was removed, or the oldest audit file, since the folder was read.
    if (may === 'may go' && isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ELOOP'))
      throw new SallyportError('config', 'A file of main is a link', {
        detail: file,
        hint: 'name in main-agent.yaml where it lies',
        cause: error,
      });
    throw error;
  }
}

/** As long as it is now: what is appended meanwhile is for the next backup. */
async function* readHandle(name: string, handle: FileHandle): AsyncGenerator<TarFile> {
  const { size, mtimeMs } = await handle.stat();
  const content: AsyncIterable<Buffer> | Iterable<Buffer> =
    size === 0 ? [] : handle.createReadStream({ start: 0, end: size - 1, autoClose: false });
  yield { name, bytes: size, modifiedAtMs: mtimeMs, content };
}
