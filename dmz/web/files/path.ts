import { nameBytesMax } from '#dmz/web/limits.ts';

/** A path is a list of names; the empty list is the root. Strings with slashes exist only in URLs. */
export type FolderPath = readonly string[];

function escapePath(path: FolderPath): string {
  return path.map((name) => encodeURIComponent(name)).join('/');
}

export function toApiPath(path: FolderPath): string {
  return `/api/files/${escapePath(path)}`;
}

/** With the slash at the end, which says without asking that it is a folder. */
export function toFolderApiPath(path: FolderPath): string {
  return path.length === 0 ? toApiPath(path) : `${toApiPath(path)}/`;
}

/** The page's own address of a folder. */
export function toPagePath(path: FolderPath): string {
  return `/files/${escapePath(path)}`;
}

/** The part of a page address after `/files/` → path. A malformed escape leads to the root, not to an error page. */
export function parsePagePath(escaped: string): FolderPath {
  try {
    return escaped
      .split('/')
      .filter((part) => part !== '')
      .map((part) => decodeURIComponent(part));
  } catch {
    return [];
  }
}

/** Why a typed name can't be used; the server has the last word. */
export function checkName(name: string): 'empty' | 'slash' | 'too-long' | 'reserved' | undefined {
  if (name.trim() === '') return 'empty';
  if (name.includes('/')) return 'slash';
  if (new TextEncoder().encode(name).length > nameBytesMax) return 'too-long';
  if (name === '.' || name === '..' || /[. ]$/.test(name)) return 'reserved';
  return undefined;
}

/** `offer.pdf` → 5: what a rename field selects, so that the ending survives. */
export function stemLength(name: string): number {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? dot : name.length;
}

/** A name that is still free: `offer.pdf` → `offer (2).pdf`. */
export function nextFreeName(name: string, isTaken: (name: string) => boolean): string {
  const stem = name.slice(0, stemLength(name));
  const ending = name.slice(stem.length);
  let number = 2;
  while (isTaken(`${stem} (${number})${ending}`)) number += 1;
  return `${stem} (${number})${ending}`;
}
