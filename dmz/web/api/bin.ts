import type { BinEmpty, BinnedEntry, BinPage, BinRestore, BinRestored } from '#dmz/http-api/files.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { parseProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';

/** What was deleted or replaced and can be had back, call by call. */

export interface BinEntry extends Pick<BinnedEntry, 'id' | 'name' | 'type' | 'size' | 'by' | 'reason'> {
  /** The folder it was in. */
  readonly parent: FolderPath;
  readonly deletedAtMs: number;
  /** Then it is gone for good. */
  readonly expiresAtMs: number;
}

/** Newest first. `next`: cursor of the page after this one. */
export async function getBin(
  http: Http,
  cursor: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly BinEntry[]; readonly next?: string }> {
  const query = cursor === undefined ? '' : `?${new URLSearchParams({ cursor }).toString()}`;
  const body = await http.call<BinPage>({ method: 'GET', path: `/api/bin${query}`, signal });
  const entries = body.entries.map(({ path, deleted_at: deleted, expires_at: expires, ...entry }) => ({
    ...entry,
    parent: path.split('/').filter(Boolean).slice(0, -1),
    deletedAtMs: Date.parse(deleted),
    expiresAtMs: Date.parse(expires),
  }));
  return { entries, ...(body.next === undefined ? {} : { next: body.next }) };
}

/** Back to where each was; resolves with what spoke against it, by id. */
export async function restoreBinned(
  http: Http,
  ids: readonly string[],
  keepBoth: boolean,
): Promise<ReadonlyMap<string, ApiProblem>> {
  const { results } = await http.call<BinRestored>({
    method: 'POST',
    path: '/api/bin/restore',
    json: { ids, ...(keepBoth ? { conflict: 'keep-both' } : {}) } satisfies BinRestore,
  });
  return new Map(
    results.flatMap((result) =>
      'problem' in result
        ? [[result.id, parseProblem(result.problem.status, null, JSON.stringify(result.problem))]]
        : [],
    ),
  );
}

/** For good. */
export async function emptyBin(http: Http, ids: readonly string[]): Promise<void> {
  await http.call({ method: 'POST', path: '/api/bin/empty', json: { ids } satisfies BinEmpty });
}
