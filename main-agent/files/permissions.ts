/**
 * Who may do what where. A mount's `allow` list is all there is: a verb that is not in it is refused, and refused before
 * anything is looked at, so that a refusal does not tell what exists.
 *
 * | to do | needs |
 * |---|---|
 * | read a folder | list |
 * | ask for attributes of a file | list or read |
 * | ask for attributes of a folder | any verb |
 * | read, hash, copy from | read |
 * | write a new file | write |
 * | write to, truncate or replace a file | overwrite |
 * | change mode or times of a file | overwrite |
 * | change mode or times of a folder | mkdir or overwrite |
 * | delete | delete |
 * | rename inside a mount | rename; overwrite where something is replaced |
 * | move to another mount | rename and delete there, write (for folders: mkdir and write) here |
 * | make a folder | mkdir |
 *
 * What a session is uploading over SFTP is its own: attributes, another free name and its removal need write only. So do,
 * for a while, attributes and a free name of the same folder for the file that it made (`finishing.ts`).
 */
import { isAFolder, denied, taken } from './storage/file-error.ts';
import type { Allow } from '#main-agent/users/effective-user.ts';
import type { Located, Mounted } from './mounts.ts';

export function isAllowed(mounted: Mounted, verb: Allow): boolean {
  return mounted.mount.allow.has(verb);
}

/** The mount a path lies in, if each of the verbs is allowed there. */
export function requireAllowed(located: Located, ...verbs: readonly Allow[]): Mounted {
  const { mounted } = located;
  if (mounted === undefined) throw denied('outside all mounts');
  for (const verb of verbs) {
    if (!isAllowed(mounted, verb)) throw denied(`${verb} is not allowed on this mount`);
  }
  return mounted;
}

export function requireAnyAllowed(located: Located, ...verbs: readonly Allow[]): Mounted {
  const { mounted } = located;
  if (mounted === undefined) throw denied('outside all mounts');
  if (!verbs.some((verb) => isAllowed(mounted, verb))) throw denied(`none of ${verbs.join(', ')} is allowed`);
  return mounted;
}

/** Mount points, and folders that lead to one, can't be removed, renamed or replaced. */
export function requireNoMountPoint(located: Located): void {
  if (located.mounted?.place.path.length === 0 || located.mountNames.length > 0) {
    throw denied('a mount point, or a folder with one in it');
  }
}

/** A file can't be where a mount point is. */
export function requireFileName(located: Located): void {
  if (located.path.isRoot || located.mounted?.place.path.length === 0 || located.mountNames.length > 0) {
    throw isAFolder();
  }
}

/** Nothing can be made where a mount point is. */
export function requireFreeName(located: Located): void {
  if (located.path.isRoot || located.mounted?.place.path.length === 0 || located.mountNames.length > 0) {
    throw taken('a mount point');
  }
}
