import { z } from 'zod';
import { pageMax, pageDefault } from './limits.ts';

/** Pages by a key that orders the rows: the cursor is the last key of the page before. */

const cursorCharactersMax = 255;

export function pageParameters(max: number = pageMax) {
  return {
    cursor: z.string().max(cursorCharactersMax).optional(),
    limit: z.coerce.number().int().min(1).max(max).default(Math.min(pageDefault, max)),
  };
}

export function pageQuery(max: number = pageMax) {
  return z.strictObject(pageParameters(max));
}

interface PageWish {
  readonly cursor?: string | undefined;
  readonly limit: number;
}

interface Page<T> {
  readonly rows: readonly T[];
  /** Undefined: this was the last page. */
  readonly next: string | undefined;
}

/** `keyOf` must be different for each row and at most `cursorCharactersMax` long. */
export function pageBy<T>(all: Iterable<T>, keyOf: (row: T) => string, { cursor, limit }: PageWish): Page<T> {
  const after = [...all]
    .map((row) => ({ row, key: keyOf(row) }))
    .filter(({ key }) => cursor === undefined || key > cursor)
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const rows = after.slice(0, limit);
  return { rows: rows.map(({ row }) => row), next: after.length > limit ? rows.at(-1)?.key : undefined };
}

export function pageByName<T extends { readonly username: string }>(
  all: Iterable<T>,
  wish: PageWish,
): Page<T> {
  return pageBy(all, ({ username }) => username, wish);
}

/** Orders by time, then by id. */
export function timeKey(atMs: number, id: string): string {
  return `${String(Math.floor(atMs)).padStart(15, '0')}.${id}`;
}
