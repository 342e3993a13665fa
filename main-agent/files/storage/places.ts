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

function isPrefix(prefix: readonly string[], path: readonly string[]): boolean {
  // From the end: what lies in one folder differs there.
  return prefix.every((_, index) => prefix.at(-1 - index) === path[prefix.length - 1 - index]);
}
