import type { Change } from './state-store.ts';

/** A commit takes a bounded number of changes; an even one, so that a change and its record stay together. */
const changesPerCommit = 200;

/** For changes of which none depends on the others. */
export function inParts(changes: readonly Change[]): Change[][] {
  const parts: Change[][] = [];
  for (let start = 0; start < changes.length; start += changesPerCommit)
    parts.push(changes.slice(start, start + changesPerCommit));
  return parts;
}
