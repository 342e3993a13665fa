/** Sets mode and times of an open file or folder through the kernel's name for it: no path, no link, no race. */
import * as fs from 'node:fs/promises';
import type { AttributeChange } from '#shared/file-service/attributes.ts';
import type { Descriptor } from './descriptor.ts';

/**
 * Never set-user-id, set-group-id, sticky or writable by everybody on main; and main itself must be able to read and
 * replace what it serves.
 */
function safeMode(mode: number, isFolder: boolean): number {
  return (mode & 0o775) | (isFolder ? 0o700 : 0o600);
}

export function fileMode(mode: number | undefined): number {
  return mode === undefined ? 0o666 : safeMode(mode, false);
}

export function folderMode(mode: number | undefined): number {
  return mode === undefined ? 0o777 : safeMode(mode, true);
}

/**
 * Everything but the size. By path and not by number: Node's permission model switches fchmod and futimes off.
 */
export async function applyChange(file: Descriptor, change: AttributeChange): Promise<void> {
  const { mode, mtimeMs, atimeMs } = change;
  if (mode === undefined && mtimeMs === undefined && atimeMs === undefined) return;
  const stats = await file.stat();
  const safe = mode === undefined ? undefined : safeMode(mode, stats.isDirectory());
  // Uploads say their mode when they begin and have it: most files of a `put -r` need no change of it.
  if (safe !== undefined && safe !== (Number(stats.mode) & 0o7777)) await fs.chmod(file.path, safe);
  if (mtimeMs !== undefined || atimeMs !== undefined) {
    await fs.utimes(
      file.path,
      toFileTime(atimeMs ?? Number(stats.atimeMs)),
      toFileTime(mtimeMs ?? Number(stats.mtimeMs)),
    );
  }
}

/** The farthest a `Date` reaches. */
const dateMsMax = 8.64e15;

/** Not a number of seconds: Node takes a negative one, a time before 1970, for now. */
function toFileTime(ms: number): Date {
  return new Date(Math.min(dateMsMax, Math.max(-dateMsMax, ms)));
}
