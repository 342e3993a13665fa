import { setImmediate as breathe } from 'node:timers/promises';

/** Items sorted or merged between two looks at other work: about a millisecond. */
const itemsAtOnce = 4096;

/** A stable merge sort that lets other work through: a folder of a million names must not stop everybody's transfers. */
export async function sortCooperatively<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
): Promise<T[]> {
  let runs: T[][] = [];
  for (let start = 0; start < items.length; start += itemsAtOnce) {
    runs.push(items.slice(start, start + itemsAtOnce).sort(compare));
    await breathe();
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

/** The first so many of them as they would be sorted, at the cost of little more than looking at each once. */
export async function firstInOrder<T>(
  items: readonly T[],
  wanted: number,
  compare: (a: T, b: T) => number,
): Promise<T[]> {
  const best: T[] = [];
  let last: T | undefined;
  for (const [index, item] of items.entries()) {
    if (index % itemsAtOnce === itemsAtOnce - 1) await breathe();
    if (last !== undefined && compare(item, last) >= 0) continue;
    best.push(item);
    if (best.length < 2 * wanted) continue;
    best.sort(compare).splice(wanted);
    last = best.at(-1);
  }
  return best.sort(compare).slice(0, wanted);
}

async function merge<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
): Promise<T[]> {
  const merged: T[] = [];
  let atLeft = 0;
  let atRight = 0;
  while (atLeft < left.length || atRight < right.length) {
    const one = left[atLeft];
    const other = right[atRight];
    if (other === undefined || (one !== undefined && compare(one, other) <= 0)) {
      // Never undefined here: one of the two sides is not at its end.
      if (one !== undefined) merged.push(one);
      atLeft += 1;
    } else {
      merged.push(other);
      atRight += 1;
    }
    if (merged.length % itemsAtOnce === 0) await breathe();
  }
  return merged;
}
