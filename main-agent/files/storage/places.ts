/** Names and places of one storage compared: mounts may show the same folder under several roots. */
import type { Spot } from './blob-storage.ts';
import type { Place } from './storage.ts';

/** Of the folder, on whatever medium, that holds what is nobody's file yet or any more. The virtual tree hides it. */
export const stagingFolderName = '.sallyport-staging';

/**
 * One spelling of a name, for comparing and locking: two that differ only by normalisation share a lock, so that they
 * can't be made at the same time.
 */
export function normalName(name: string): string {
  return name.normalize('NFC');
}

/** What whoever does something to a name in a folder has the turn of. */
export function nameKey(folderId: string, name: string): string {
  return `${folderId}/${normalName(name)}`;
}

export async function keyOfSpot(spot: Pick<Spot, 'folderId' | 'name'>): Promise<string> {
  return nameKey(await spot.folderId(), spot.name);
}

/** From the storage's base. */
export function pathFromBase({ root, path }: Place): readonly string[] {
  return [...root, ...path];
}

export function isSamePlace(a: Place, b: Place): boolean {
  return depthOf(a) === depthOf(b) && agree(a, b, depthOf(a));
}

/** Whether `inner` lies somewhere below `outer`, and is not `outer` itself. */
export function isBelow(inner: Place, outer: Place): boolean {
  return depthOf(inner) > depthOf(outer) && agree(inner, outer, depthOf(outer));
}

/** Where something below `from` is once that is `to`; undefined where its root does not show it any more. */
export function movedPlace({ root, path }: Place, from: Place, to: Place): Place | undefined {
  const rest = [...root, ...path].slice(depthOf(from));
  const moved = [...pathFromBase(to), ...rest];
  return isBelow({ root: [], path: moved }, { root, path: [] })
    ? { root, path: moved.slice(root.length) }
    : undefined;
}

function depthOf({ root, path }: Place): number {
  return root.length + path.length;
}

/** Without making arrays, and from the end, where what lies in one folder differs: asked for each of many. */
function agree(a: Place, b: Place, depth: number): boolean {
  for (let index = depth - 1; index >= 0; index -= 1) {
    if (componentAt(a, index) !== componentAt(b, index)) return false;
  }
  return true;
}

function componentAt({ root, path }: Place, index: number): string | undefined {
  return index < root.length ? root[index] : path[index - root.length];
}
