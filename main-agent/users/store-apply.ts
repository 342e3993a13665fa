import { randomBytes } from 'node:crypto';
import { chmod, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';
import { ensureFolder, isErrno, removeDurably, syncFolder, writeDurably } from '#main-agent/durable-file.ts';
import { applyJournalBytesMax } from './limits.ts';
import { hashOctets } from './shown-text.ts';
import { groupsFolder, identifyFile } from './user-file.ts';
import { listIfThere, readIfThere } from './user-folder.ts';

/**
 * Changes many files of the users folder all at once or not at all, also over a crash (D-31): the new versions are
 * written beside the old ones, then a journal, and only then anything is replaced. Up to the journal nothing happened;
 * from the journal on everything will have, if not now then before the folder is read again.
 */

interface FileChange {
  readonly relative: string;
  /** Undefined: the file goes. */
  readonly octets: Buffer | undefined;
  /** Of the version it replaces; undefined: there must be none. */
  readonly oldHash: string | undefined;
}

/** Hidden, and beside what it is about: the folder can be moved or restored as a whole at any moment. */
export const journalName = '.sallyport-apply.json';

const journalSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  files: z.array(
    z.strictObject({
      relative: z.string().refine((text) => typeof identifyFile(text) === 'object'),
      oldHash: z.string().nullable(),
      newHash: z.string().nullable(),
    }),
  ),
});
type Journal = z.output<typeof journalSchema>;

const newFileMode = 0o600;

/**
 * Rejects `precondition-failed` and changes nothing when a file is not the version that it should replace. Resolves as
 * `finishApply` does.
 */
export async function applyFiles(
  directory: string,
  changes: readonly FileChange[],
): Promise<readonly string[]> {
  const id = randomBytes(6).toString('hex');
  const journal: Journal = {
    id,
    files: changes.map(({ relative, octets, oldHash }) => ({
      relative,
      oldHash: oldHash ?? null,
      newHash: octets === undefined ? null : hashOctets(octets),
    })),
  };
  try {
    await ensureFolder(path.join(directory, groupsFolder), 0o750);
    for (const { relative, octets } of changes) {
      if (octets === undefined) continue;
      const mode = await modeOf(path.join(directory, relative));
      await writeNew(newFileOf(directory, relative, id), octets, mode ?? newFileMode);
    }
    await syncFolders(directory);
    for (const { relative, oldHash } of changes) await requireVersion(directory, relative, oldHash);
    await writeDurably(path.join(directory, journalName), JSON.stringify(journal), { mode: newFileMode });
  } catch (error) {
    // The journal may stand there although its folder was not synced: then it counts, now and after a crash.
    if ((await readJournal(directory)) === undefined) {
      for (const { relative } of changes) await rm(newFileOf(directory, relative, id), { force: true });
      throw error;
    }
  }
  return finishApply(directory);
}

/**
 * Before the folder is read: ends what was begun, and takes away what never came to count. Resolves with the files that
 * somebody else changed meanwhile: their version stays.
 */
export async function finishApply(directory: string): Promise<readonly string[]> {
  const file = path.join(directory, journalName);
  const found = await readJournal(directory);
  if (found === undefined) return [];
  const overtaken: string[] = [];
  const { id, files } = parseJournal(found.octets, file);
  for (const { relative, oldHash, newHash } of files) {
    const target = path.join(directory, relative);
    const present = await hashOf(target);
    if (present === newHash) continue;
    if (present !== oldHash) {
      overtaken.push(target);
      await rm(newFileOf(directory, relative, id), { force: true });
    } else if (newHash === null) await rm(target, { force: true });
    else await rename(newFileOf(directory, relative, id), target);
  }
  await syncFolders(directory);
  await removeDurably(file);
  return overtaken;
}

/** What a crash left of versions that never came to count: they hold password hashes. Nothing may be being written. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const folder of [directory, path.join(directory, groupsFolder)]) {
    for (const name of await listIfThere(folder)) {
      if (/^\..+\.[0-9a-f]{12}\.(new|tmp)$/.test(name)) await rm(path.join(folder, name), { force: true });
    }
  }
}

function newFileOf(directory: string, relative: string, id: string): string {
  return path.join(directory, path.dirname(relative), `.${path.basename(relative)}.${id}.new`);
}

async function writeNew(file: string, octets: Buffer, mode: number): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    // The mode of a replaced file stays whatever the umask is. By its name: Node's permission model has no fchmod.
    await chmod(file, mode);
    await handle.writeFile(octets);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function requireVersion(directory: string, relative: string, hash: string | undefined): Promise<void> {
  const file = path.join(directory, relative);
  if ((await hashOf(file)) === (hash ?? null)) return;
  throw new SallyportError('precondition-failed', 'The users were changed meanwhile', {
    detail: file,
    hint: 'plan again',
  });
}

/** One that can't be read would stop every later look at the folder. */
function readJournal(directory: string) {
  return readIfThere(path.join(directory, journalName), applyJournalBytesMax);
}

async function hashOf(file: string): Promise<string | null> {
  const found = await readIfThere(file);
  return found === undefined ? null : hashOctets(found.octets);
}

async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode & 0o777;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function parseJournal(octets: Buffer, file: string): Journal {
  try {
    return journalSchema.parse(JSON.parse(octets.toString('utf8')));
  } catch (cause) {
    throw new SallyportError('io-error', 'The users folder is in the middle of a change', {
      detail: `${file} can not be read`,
      hint: 'put back a copy of the folder, or remove that file',
      cause,
    });
  }
}

async function syncFolders(directory: string): Promise<void> {
  await syncFolder(path.join(directory, groupsFolder));
  await syncFolder(directory);
}
