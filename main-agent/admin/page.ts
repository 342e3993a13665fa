import { z } from 'zod';
import { pageDefault, pageMax } from './limits.ts';

/** Pages by name: the cursor is the last name of the page before. */

export function pageQuery(max: number = pageMax) {
  return z.strictObject({
    cursor: z.string().max(255).optional(),
    limit: z.coerce.number().int().min(1).max(max).default(Math.min(pageDefault, max)),
  });
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Undefined: this was the last page. */
  readonly next: string | undefined;
}

export function pageByName<T extends { readonly username: string }>(
  all: Iterable<T>,
  { cursor, limit }: { readonly cursor?: string | undefined; readonly limit: number },
): Page<T> {
  const after = [...all]
    .filter(({ username }) => cursor === undefined || username > cursor)
    .toSorted((a, b) => (a.username < b.username ? -1 : 1));
  const rows = after.slice(0, limit);
  return { rows, next: after.length > limit ? rows.at(-1)?.username : undefined };
}
