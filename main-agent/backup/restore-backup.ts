import { createReadStream, existsSync } from 'node:fs';
import { chown, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { AdminReason } from '#main-agent/administrator.ts';
import { readMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { isErrno, syncFolder } from '#main-agent/durable-file.ts';
import { markRestored, requireReason } from '#main-agent/restored/restores.ts';
import { requireIntegrity } from '#main-agent/state/sqlite/integrity.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { Clock } from '#shared/clock.ts';
import { credentialsFolder } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import type { Log } from '#shared/log.ts';
import { brokenBackup } from './byte-source.ts';
import {
  configName,
  isAuditFile,
  listFolders,
  listSecrets,
  manifest,
  manifestName,
  placeOf,
  stateName,
  type Manifest,
  type Owner,
  type Place,
} from './contents.ts';
import { openEnvelope } from './enveloped-data.ts';
import { headBytesMax } from './limits.ts';
import type { Opener } from './recipients.ts';
import { requireUser, type SystemUser } from './system-users.ts';
import { readTar, type Member } from './tar.ts';

/**
 * Reads the file of `sallyport backup`, twice: first all of it to nowhere, because only its last bytes say that it is
 * whole and nobody's but whose it says; then into files beside where they belong, which get their names when all are
 * there. state.db comes last, so that a box is a main when it has everything, and a broken restore is begun anew (D-120).
 */

interface BackupToRead {
  readonly file: string;
  readonly opener: Opener;
  /** Where main's configuration is to lie. */
  readonly configFile: string;
}

interface CheckedBackup {
  readonly manifest: Manifest;
  readonly config: MainAgentConfig;
  readonly files: number;
  readonly bytes: number;
}

/** Changes nothing. Rejects `refused` for another opener, `io-error` where it is not whole. */
export async function checkBackup({ file, opener, configFile }: BackupToRead): Promise<CheckedBackup> {
  let told: Manifest | undefined;
  let config: MainAgentConfig | undefined;
  let bytes = 0;
  const names = new Set<string>();
  await readFiles(file, opener, async (member, content) => {
    const { name } = member;
    if (names.has(name)) throw brokenBackup(`${name} is in it twice`);
    names.add(name);
    bytes += member.bytes;
    if (name === manifestName) told = parseManifest(await readHead(member, content));
    else if (name === configName)
      config = readMainAgentConfig(await readHead(member, content), configFile, credentialsOf(configFile));
    else {
      if (config === undefined) throw brokenBackup('it does not begin with a configuration');
      placeOf(name, config);
      await discard(content);
    }
  });
  if (told === undefined || config === undefined) throw brokenBackup('it is of no main');
  for (const name of [stateName, ...listSecrets(config).map((secret) => secret.name)])
    if (!names.has(name)) throw brokenBackup(`${name} is missing`);
  return { manifest: told, config, files: names.size, bytes };
}

interface RestoredBackup extends CheckedBackup {
  /** What was there before, under its new name. */
  readonly movedAside: readonly string[];
}

/** Rejects `conflict` where a main is already, before anything is changed. */
export async function restoreBackup(
  what: BackupToRead & { readonly why: AdminReason; readonly clock: Clock; readonly log: Log },
): Promise<RestoredBackup> {
  const { file, opener, configFile, why, clock, log } = what;
  requireReason(why.reason, '--reason');
  const checked = await checkBackup(what);
  const { config, manifest: told } = checked;
  await requireNoMain(config);
  const owners = findOwners(told);
  const folders = listFolders(config);
  const staged = new Staging(folders, owners, clock.now());
  try {
    await readFiles(file, opener, async ({ name }, content) => {
      if (name === manifestName) await discard(content);
      else
        await staged.write(
          name === configName ? { path: configFile, owner: 'config' } : placeOf(name, config),
          content,
        );
    });
    const stagedState = staged.nameOf(config.state.file);
    requireIntegrity(stagedState);
    const state = await openSqliteState({ file: stagedState, clock, log });
    try {
      await markRestored(state, clock, {
        why,
        detail: `restored from ${path.basename(file)}, a backup of ${told.made_at} by ${told.made_by}`,
      });
    } finally {
      await state.close();
    }
    return { ...checked, movedAside: await staged.putInPlace(config.state.file) };
  } finally {
    await staged.discard();
  }
}

/** Rejects `conflict`: what is there may be the only witness of what was spent. */
async function requireNoMain({ state, audit }: MainAgentConfig): Promise<void> {
  const states = ['', '-wal', '-shm'].map((end) => `${state.file}${end}`).filter((file) => existsSync(file));
  const folder = path.dirname(audit.file);
  const audits = existsSync(folder) ? await readdir(folder) : [];
  const found = [
    ...states,
    ...audits.filter((name) => isAuditFile(name, audit.file)).map((name) => path.join(folder, name)),
  ];
  if (found.length === 0) return;
  throw new SallyportError('conflict', 'A main is here already', {
    detail: found.join('\n'),
    hint: 'stop it and move its files away first, if what the backup holds is to take its place',
  });
}

type Owners = Readonly<Record<Owner, SystemUser | undefined>>;

/** Only root can give files away; whoever else restores is main's user already. */
function findOwners({ user }: Manifest): Owners {
  const isRoot = process.getuid?.() === 0;
  return { config: undefined, state: isRoot && user !== undefined ? requireUser(user) : undefined };
}

/** Files and folders beside where they belong, and how they get there. */
class Staging {
  readonly #folders: readonly Place[];
  readonly #owners: Owners;
  readonly #stampOf: string;
  /** By where it belongs: a file, or a folder as a whole. */
  readonly #staged = new Map<string, string>();

  constructor(folders: readonly Place[], owners: Owners, nowMs: number) {
    this.#folders = folders;
    this.#owners = owners;
    this.#stampOf = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '');
  }

  nameOf(file: string): string {
    const unit = this.#unitOf(file);
    return `${unit}.restoring${file.slice(unit.length)}`;
  }

  async write({ path: file, owner }: Place, content: AsyncIterable<Buffer>): Promise<void> {
    const unit = this.#unitOf(file);
    if (!this.#staged.has(unit)) {
      await this.#makeFolder(path.dirname(unit), owner);
      this.#staged.set(unit, `${unit}.restoring`);
      // Of a restore that was killed.
      await rm(`${unit}.restoring`, { recursive: true, force: true });
    }
    const staged = this.nameOf(file);
    await this.#makeFolder(path.dirname(staged), owner);
    const handle = await open(staged, 'wx', 0o600);
    try {
      const user = this.#owners[owner];
      if (user !== undefined) await handle.chown(user.uid, user.gid);
      for await (const piece of content) await handle.writeFile(piece);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(path.dirname(staged));
  }

  /** Resolves with the new names of what was there. */
  async putInPlace(last: string): Promise<readonly string[]> {
    const moved: string[] = [];
    const units = [...this.#staged].toSorted(
      ([one], [other]) => Number(one === last) - Number(other === last),
    );
    for (const [unit, staged] of units) {
      if (existsSync(unit)) {
        const aside = `${unit}.before-restore-${this.#stampOf}`;
        await rename(unit, aside);
        moved.push(aside);
      }
      await rename(staged, unit);
      await syncFolder(path.dirname(unit));
      this.#staged.delete(unit);
    }
    return moved;
  }

  /** What has not come to its place. */
  async discard(): Promise<void> {
    for (const staged of this.#staged.values()) await rm(staged, { recursive: true, force: true });
  }

  #unitOf(file: string): string {
    return this.#folders.find(({ path: folder }) => file.startsWith(folder + path.sep))?.path ?? file;
  }

  async #makeFolder(folder: string, owner: Owner): Promise<void> {
    const first = await mkdir(folder, { recursive: true, mode: 0o700 });
    const user = this.#owners[owner];
    if (first === undefined || user === undefined) return;
    for (let made = folder; made.length >= first.length; made = path.dirname(made))
      await chown(made, user.uid, user.gid);
  }
}

async function readFiles(
  file: string,
  opener: Opener,
  take: (member: Member, content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  try {
    await pipeline(
      createReadStream(file),
      (sealed: AsyncIterable<Buffer>) => openEnvelope(sealed, opener),
      createGunzip(),
      (archive: AsyncIterable<Buffer>) => readTar(archive, take),
    );
  } catch (cause) {
    if (isErrno(cause, 'ENOENT'))
      throw new SallyportError('not-found', 'There is no such backup', { detail: file, cause });
    // What zlib finds wrong with bytes that were changed.
    if (cause instanceof Error && 'code' in cause && String(cause.code).startsWith('Z_'))
      throw brokenBackup('it was changed after it was made', cause);
    throw cause;
  }
}

async function discard(content: AsyncIterable<Buffer>): Promise<void> {
  const pieces = content[Symbol.asyncIterator]();
  while ((await pieces.next()).done !== true);
}

/** Where the unit takes credentials from, and commands find them. */
function credentialsOf(configFile: string): string {
  return path.join(path.dirname(configFile), credentialsFolder);
}

async function readHead({ name, bytes }: Member, content: AsyncIterable<Buffer>): Promise<string> {
  if (bytes > headBytesMax) throw brokenBackup(`${name} in it is too long`);
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function parseManifest(text: string): Manifest {
  try {
    return manifest.parse(JSON.parse(text));
  } catch (cause) {
    throw brokenBackup('its manifest is of another version of Sallyport, or none', cause);
  }
}
