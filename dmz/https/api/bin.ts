import {
  binEmpty,
  binRestore,
  type BinEmptied,
  type BinnedEntry,
  type BinPage,
  type BinRestored,
} from '#dmz/http-api/files.ts';
import { binPageEntriesMax } from '#dmz/http-api/limits.ts';
import type { Admitted } from '#dmz/login/login-service.ts';
import { SallyportError, toSallyportError } from '#shared/error.ts';
import type { BinEntry } from '#shared/link/messages.ts';
import { sendJson, type Exchange } from '#dmz/https/exchange/exchange.ts';
import { readJson, readOptionalJson } from '#dmz/https/exchange/json-body.ts';
import { toProblem } from '#dmz/https/exchange/problem.ts';
import { formatTime } from '#dmz/https/exchange/time.ts';

/** What the user deleted or replaced and can have back. A mount that keeps it says so in `/api/me`. */

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
  await sendJson<BinPage>(exchange, 200, {
    entries: page.entries.map(describeEntry),
    ...(page.next === undefined ? {} : { next: page.next }),
    kept_bytes: page.keptBytes,
    kept_entries: page.keptEntries,
  });
}

function describeEntry(entry: BinEntry): BinnedEntry {
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
  const { ids, conflict } = await readJson(exchange, binRestore);
  const keepBoth = conflict === 'keep-both';
  const results: BinRestored['results'][number][] = [];
  for (const one of new Set(ids)) {
    try {
      const path = await session.files.bin.restore(one, { keepBoth });
      results.push({ id: one, path: `/${path.join('/')}` });
    } catch (error) {
      if (ids.length === 1) throw error;
      results.push({ id: one, problem: toProblem(toSallyportError(error)).body });
    }
  }
  await sendJson<BinRestored>(exchange, 200, { results });
}

export async function postEmpty(exchange: Exchange, session: Admitted): Promise<void> {
  const { ids } = await readOptionalJson(exchange, binEmpty, {});
  await sendJson<BinEmptied>(exchange, 200, { dropped: await session.files.bin.empty(ids) });
}
