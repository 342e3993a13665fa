/** Places of one storage compared: mounts may show the same folder under several roots. */
import type { Place } from './storage.ts';

/** From the storage's base. */
export function pathFromBase({ root, path }: Place): readonly string[] {
  return [...root, ...path];
}

export function isSamePlace(a: Place, b: Place): boolean {
  const [first, second] = [pathFromBase(a), pathFromBase(b)];
  return first.length === second.length && isPrefix(first, second);
}

/** Whether `inner` lies somewhere below `outer`, and is not `outer` itself. */
export function isBelow(inner: Place, outer: Place): boolean {
  const [first, second] = [pathFromBase(inner), pathFromBase(outer)];
  return first.length > second.length && isPrefix(second, first);
}

/** Where something below `from` is once that is `to`; undefined where its root does not show it any more. */
export function movedPlace({ root, path }: Place, from: Place, to: Place): Place | undefined {
  const rest = [...root, ...path].slice(pathFromBase(from).length);
  const moved = [...pathFromBase(to), ...rest];
  return isPrefix(root, moved) && moved.length > root.length
    ? { root, path: moved.slice(root.length) }
    : undefined;
}

function isPrefix(prefix: readonly string[], path: readonly string[]): boolean {
  // From the end: what lies in one folder differs there.
  return prefix.every((_, index) => prefix.at(-1 - index) === path[prefix.length - 1 - index]);
}
