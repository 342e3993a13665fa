import { z } from 'zod';
import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import { binIdsMax, type BinEntry } from '#shared/link/messages.ts';
import { sendJson, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson, readOptionalJson } from '#dmz/https/exchange/json-body.ts';
import { binPageEntriesMax, binRestoresMax } from '#dmz/https/limits.ts';
import { toProblem } from '#dmz/https/exchange/problem.ts';
import { formatTime } from '#dmz/https/exchange/time.ts';

/**
 * What the user deleted or replaced and can have back. A mount that keeps it says so in `/api/me`:
 * `files: [{ path, allow, bin_seconds? }]`.
 *
 * | call | answers |
 * |---|---|
 * | `DELETE /api/files/…`, `PUT` and `POST ?op=rename\|copy` that replaced a file, `PATCH /api/uploads/…` that ended such a one | as ever, and the header `Sallyport-Bin: <id>` where it went to the bin; without the header it is gone |
 * | `DELETE /api/files/…?bin=0` | deleted for good |
 * | `GET /api/bin?cursor=&limit=` | 200 {entries:[{id, name, path, type:"file"\|"folder", size?, deleted_at, by, reason:"deleted"\|"replaced", expires_at}], next?, kept_bytes, kept_entries}, newest first. `size` of a folder: of all that is in it, absent until it is added up |
 * | `POST /api/bin/restore` {ids, conflict?:"keep-both"} | 200 {results:[{id, path} \| {id, problem:{status, reason, detail, …}}]} in the order of `ids`. Of one id its problem is the answer: 409 `exists` the name is taken (not with keep-both: then it is `plan (restored).txt`) · 404 not in the bin any more · 403 not allowed there any more · 507 |
 * | `POST /api/bin/empty` {ids?} | 200 {dropped}: so many are gone for good; without `ids` all |
 */

const id = z.string().regex(/^[A-Za-z0-9_-]{22}$/);
const restoreSchema = z.strictObject({
  ids: z.array(id).min(1).max(binRestoresMax),
  conflict: z.literal('keep-both').optional(),
});
const emptySchema = z.strictObject({ ids: z.array(id).max(binIdsMax).optional() });

export async function getBin(exchange: Exchange, session: Admitted): Promise<void> {
  const cursor = exchange.query.get('cursor') ?? undefined;
  const limit = exchange.query.get('limit') ?? String(binPageEntriesMax);
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > binPageEntriesMax)
    throw new SallyportError('bad-request', `limit is a number from 1 to ${binPageEntriesMax}`);
  if (cursor !== undefined && cursor.length > 64)
    throw new SallyportError('bad-request', 'That cursor is not ours');
  const page = await session.files.bin.list({
    limit: Number(limit),
    ...(cursor === undefined ? {} : { cursor }),
  });
  await sendJson(exchange, 200, {
    entries: page.entries.map(describeEntry),
    ...(page.next === undefined ? {} : { next: page.next }),
    kept_bytes: page.keptBytes,
    kept_entries: page.keptEntries,
  });
}

function describeEntry(entry: BinEntry): Record<string, unknown> {
  const { path, type, bytes, deletedAtMs, by, reason, expiresAtMs } = entry;
  return {
    id: entry.id,
    name: path.at(-1) ?? '',
    path: `/${path.join('/')}`,
    type,
    ...(bytes === undefined ? {} : { size: bytes }),
    deleted_at: formatTime(deletedAtMs),
    by,
    reason,
    expires_at: formatTime(expiresAtMs),
  };
}

/** One after the other: a folder comes before what was deleted out of it only if it is asked for in that order. */
export async function postRestore(exchange: Exchange, session: Admitted): Promise<void> {
  const { ids, conflict } = await readJson(exchange, restoreSchema);
  const keepBoth = conflict === 'keep-both';
  const results: Record<string, unknown>[] = [];
  for (const one of new Set(ids)) {
    try {
      const path = await session.files.bin.restore(one, { keepBoth });
      results.push({ id: one, path: `/${path.join('/')}` });
    } catch (error) {
      if (ids.length === 1) throw error;
      results.push({ id: one, problem: toProblem(toSallyportError(error)).body });
    }
  }
  await sendJson(exchange, 200, { results });
}

export async function postEmpty(exchange: Exchange, session: Admitted): Promise<void> {
  const { ids } = await readOptionalJson(exchange, emptySchema, {});
  await sendJson(exchange, 200, { dropped: await session.files.bin.empty(ids) });
}
