import type { z } from 'zod';
import { readAnswer } from './answers.ts';
import type { CommandContext } from './command-context.ts';

/** Lists of main come in pages; people want all of it. */

/** Pages one command reads at most: a list that grows while it is read must end too. */
const pagesMax = 1000;
const rowsPerPage = 1000;

type Query = Readonly<Record<string, string | number | undefined>>;

/** Every row under `key` of a list at `path`. */
export async function readPages<Key extends string, Row>(
  context: CommandContext,
  path: string,
  query: Query,
  {
    key,
    schema,
  }: {
    readonly key: Key;
    readonly schema: z.ZodType<{ readonly [K in Key]: Row[] } & { next?: string | undefined }>;
  },
): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < pagesMax; page += 1) {
    const answer = readAnswer(
      schema,
      await context.call('GET', path, { query: { ...query, cursor, limit: rowsPerPage } }),
    );
    rows.push(...answer[key]);
    cursor = answer.next;
    if (cursor === undefined) break;
  }
  return rows;
}
