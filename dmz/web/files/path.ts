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

/** Names of devices, which Windows opens instead of a file. */
const devices = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i;
/** What nobody can see, or tell from something else: control characters, what turns text around, what was lost in decoding. */
const invisible =
  // oxlint-disable-next-line no-control-regex -- these are the very characters
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd]/g;

type NameObjection = 'empty' | 'slash' | 'too-long' | 'reserved' | 'device' | 'invisible';

/** Why a name can't be used: the server's rule, told before it is asked. The server has the last word. */
export function checkName(name: string): NameObjection | undefined {
  if (name.trim() === '') return 'empty';
  if (name.includes('/')) return 'slash';
  if (name.search(invisible) !== -1 || !name.isWellFormed()) return 'invisible';
  if (bytesOf(name) > nameBytesMax) return 'too-long';
  if (name === '.' || name === '..' || /[. ]$/.test(name)) return 'reserved';
  return devices.test(name) ? 'device' : undefined;
}

/** The nearest name that can be used; the same name if it can be. */
export function suggestName(name: string): string {
  if (checkName(name) === undefined) return name;
  const seen = name.toWellFormed().replace(invisible, '_').replaceAll('/', '_');
  const full = devices.test(seen) ? `_${seen}` : seen;
  const stem = full.slice(0, stemLength(full));
  // An ending that is longer than any is none.
  const ending = bytesOf(full.slice(stem.length)) < nameBytesMax / 2 ? full.slice(stem.length) : '';
  const letters = Array.from(
    new Intl.Segmenter().segment(ending === '' ? full : stem),
    ({ segment }) => segment,
  );
  while (bytesOf(letters.join('') + ending) > nameBytesMax) letters.pop();
  const cut = (letters.join('') + ending).replace(/[. ]+$/, '');
  return checkName(cut) === undefined ? cut : '_';
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
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
