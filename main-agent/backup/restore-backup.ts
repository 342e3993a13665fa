import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { AdminReason } from '#main-agent/administrator.ts';
import { readMainAgentConfig, type MainAgentConfig } from '#main-agent/config.ts';
import { isErrno } from '#main-agent/durable-file.ts';
import { unknownRecordsMax } from '#main-agent/restored/limits.ts';
import { markRestored, requireReason } from '#main-agent/restored/restores.ts';
import { readBeyond } from '#main-agent/restored/witnesses.ts';
import { requireIntegrity } from '#main-agent/state/sqlite/integrity.ts';
import { openSqliteState } from '#main-agent/state/sqlite/store.ts';
import type { Clock } from '#shared/clock.ts';
import { credentialsFolder } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import type { Log } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { brokenBackup } from './byte-source.ts';
import {
  auditPrefix,
  configName,
  identityName,
  isAuditFile,
  listFolders,
  listSecrets,
  manifest,
  manifestName,
  placeOf,
  stateName,
  type Manifest,
} from './contents.ts';
import { openEnvelope } from './enveloped-data.ts';
import { headBytesMax } from './limits.ts';
import type { Opener } from './recipients.ts';
import { databaseEnds, isCutOff, requireRoom, Staging, type Owners } from './staging.ts';
import { requireUser } from './system-users.ts';
import { readTar, type Member } from './tar.ts';

/**
 * Reads the file of `sallyport backup`, twice: first all of it to nowhere, because only its last bytes say that it is
 * whole and nobody's but whose it says; then into files beside where they belong, which get their names when all are
 * there (D-120).
 */

interface BackupToRead {
  readonly file: string;
  readonly opener: Opener;
  /** Where main's configuration is to lie. */
  readonly configFile: string;
  /** Fingerprint of the main that it must be of, where the caller knows it from elsewhere. */
  readonly identity?: string | undefined;
}

interface CheckedBackup {
  readonly manifest: Manifest;
  readonly config: MainAgentConfig;
  readonly files: number;
  readonly bytes: number;
}

/** Changes nothing. Rejects `refused` for another opener or another main's, `io-error` where it is not whole. */
export async function checkBackup(what: BackupToRead): Promise<CheckedBackup> {
  return (await examine(what)).checked;
}

/** Also the sizes by where the files go, and the digest of what was read. */
async function examine({ file, opener, configFile, identity }: BackupToRead) {
  let told: Manifest | undefined;
  let config: MainAgentConfig | undefined;
  let bytes = 0;
  const sizes = new Map<string, number>();
  const names = new Set<string>();
  const digest = await readFiles(file, opener, async (member, content) => {
    const { name } = member;
    if (names.has(name)) throw brokenBackup(`${name} is in it twice`);
    names.add(name);
    bytes += member.bytes;
    if (name === manifestName) told = parseManifest(await readHead(member, content));
    else if (name === configName) {
      config = readMainAgentConfig(await readHead(member, content), configFile, credentialsOf(configFile));
      sizes.set(configFile, member.bytes);
    } else {
      if (config === undefined || told === undefined)
        throw brokenBackup('it does not begin with a manifest and a configuration');
      sizes.set(placeOf(name, config).path, member.bytes);
      if (name === identityName) requireIdentity(new Secret(await readHead(member, content)), told, identity);
      else await discard(content);
    }
  });
  if (told === undefined || config === undefined) throw brokenBackup('it is of no main');
  for (const name of [stateName, ...listSecrets(config).map((secret) => secret.name)])
    if (!names.has(name)) throw brokenBackup(`${name} is missing`);
  return { checked: { manifest: told, config, files: names.size, bytes }, sizes, digest };
}

/** Whoever can write a main's private key into a backup has it. */
function requireIdentity(key: Secret, told: Manifest, expected: string | undefined): void {
  let fingerprint: string;
  try {
    ({ fingerprint } = parseIdentityKey(key));
  } catch (cause) {
    throw brokenBackup('its identity key is none', cause);
  }
  if (fingerprint !== told.identity) throw brokenBackup('its manifest is of another main');
  if (expected === undefined || expected === fingerprint) return;
  throw new SallyportError('refused', 'This is the backup of another main', {
    detail: `of ${fingerprint}, named ${told.name}`,
    hint: 'dmz.yaml of each DMZ node has that of its own, as link.main.identity',
  });
}

interface RestoreOptions extends BackupToRead {
  readonly why: AdminReason;
  /** The audit files that are here are main's last ones: they stay, and tell what was spent since the backup. */
  readonly keepAudit: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

interface RestoredBackup extends CheckedBackup {
  /** What was there before, under its new name. */
  readonly movedAside: readonly string[];
}

/**
 * Rejects `conflict` where a main is already, `no-space` where it does not fit. Whatever it rejects with, and wherever it
 * is killed, there is no main afterwards that was none before, and it can be begun again.
 */
export async function restoreBackup(what: RestoreOptions): Promise<RestoredBackup> {
  const { file, opener, configFile, why, keepAudit, clock, log } = what;
  requireReason(why.reason, '--reason');
  const { checked, sizes, digest } = await examine(what);
  const { config, manifest: told } = checked;
  const others = await findLeftOvers(what, config);
  await requireRoom(sizes);
  const staged = new Staging(configFile, listFolders(config), findOwners(told), clock.now());
  try {
    const written = await readFiles(file, opener, async ({ name }, content) => {
      if (name === manifestName || (keepAudit && name.startsWith(auditPrefix))) await discard(content);
      else
        await staged.write(
          name === configName ? { path: configFile, owner: 'config' } : placeOf(name, config),
          content,
        );
    });
    // Whoever can write where it lies may put another one there, for the same certificate.
    if (written !== digest) throw brokenBackup('it changed while it was read');
    const stagedState = staged.nameOf(config.state.file);
    requireIntegrity(stagedState);
    const state = await openSqliteState({ file: stagedState, clock, log });
    try {
      const { last } = await state.read('audit-extent');
      if (last !== told.audit_record) throw brokenBackup('its state is of another moment than its manifest');
      const known = keepAudit
        ? await readKeptAudit(config.audit.file, state, last)
        : last + unknownRecordsMax;
      await markRestored(state, clock, {
        why,
        detail: `restored from ${path.basename(file)}, a backup of ${told.made_at} by ${told.made_by}`,
        known,
      });
    } finally {
      await state.close();
    }
    return { ...checked, movedAside: await staged.putInPlace(others) };
  } finally {
    await staged.discard();
  }
}

/**
 * What an earlier restore that was cut off has put in place. Rejects `conflict` where it is not that but a main: what is
 * there may be the only witness of what was spent.
 */
async function findLeftOvers(
  { configFile, keepAudit }: RestoreOptions,
  { state, audit }: MainAgentConfig,
): Promise<readonly string[]> {
  const states = databaseEnds.map((end) => `${state.file}${end}`).filter((file) => existsSync(file));
  const folder = path.dirname(audit.file);
  const names = existsSync(folder) ? await readdir(folder) : [];
  const audits = names.filter((name) => isAuditFile(name, audit.file)).map((name) => path.join(folder, name));
  // With a state beside them, the audit files are the earlier restore's and witnesses of nothing.
  if (isCutOff(configFile) && !(keepAudit && states.length > 0))
    return [...states, ...(keepAudit ? [] : audits)];
  const found = [...states, ...(keepAudit ? [] : audits)];
  if (found.length === 0) return [];
  throw new SallyportError('conflict', 'A main is here already', {
    detail: found.join('\n'),
    hint:
      states.length === 0
        ? '--keep-audit, if these are the last that main wrote; else move them away first'
        : 'stop it and move its files away first, if what the backup holds is to take its place',
  });
}

/** Number of the last record. Rejects `conflict` where the files do not go on from the state. */
async function readKeptAudit(
  auditFile: string,
  state: Parameters<typeof readBeyond>[0]['state'],
  last: number,
): Promise<number> {
  const kept = await readBeyond({ auditFile, state }, last, () => undefined);
  if (kept.continues) return kept.last;
  throw new SallyportError('conflict', 'The audit that is here does not go on from the backup', {
    detail: `${auditFile} has no unbroken record after ${last}, the last of the backup’s state`,
    hint: 'move its files away, and restore without --keep-audit: then all that could have been spent is void',
  });
}

/** Only root can give files away; whoever else restores is main's user already. */
function findOwners({ user }: Manifest): Owners {
  const isRoot = process.getuid?.() === 0;
  return { config: undefined, state: isRoot && user !== undefined ? requireUser(user) : undefined };
}

/** Resolves with the digest of the whole file. */
async function readFiles(
  file: string,
  opener: Opener,
  take: (member: Member, content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(
      createReadStream(file),
      async function* (sealed: AsyncIterable<Buffer>) {
        for await (const piece of sealed) {
          hash.update(piece);
          yield piece;
        }
      },
      (sealed: AsyncIterable<Buffer>) => openEnvelope(sealed, opener),
      createGunzip(),
      (archive: AsyncIterable<Buffer>) => readTar(archive, take),
    );
    return hash.digest('hex');
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
