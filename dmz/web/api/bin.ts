import type { Http } from '#dmz/web/api/http.ts';
import { parseProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import type { FolderPath } from '#dmz/web/files/path.ts';

/** What was deleted or replaced and can be had back, call by call. */

export interface BinEntry {
  readonly id: string;
  readonly name: string;
  /** The folder it was in. */
  readonly parent: FolderPath;
  readonly type: 'file' | 'folder';
  /** Bytes; of a folder absent until they are added up. */
  readonly size?: number;
  readonly deletedAtMs: number;
  /** User name of who did it. */
  readonly by: string;
  readonly reason: 'deleted' | 'replaced';
  /** Then it is gone for good. */
  readonly expiresAtMs: number;
}

interface BinBody {
  readonly entries: readonly {
    readonly id: string;
    readonly name: string;
    /** `/a/b.bin` */
    readonly path: string;
    readonly type: 'file' | 'folder';
    readonly size?: number;
    /** RFC 3339. */
    readonly deleted_at: string;
    readonly by: string;
    readonly reason: 'deleted' | 'replaced';
    /** RFC 3339. */
    readonly expires_at: string;
  }[];
  readonly next?: string;
}

interface RestoreBody {
  readonly results: readonly {
    readonly id: string;
    readonly path?: string;
    /** As the body of an answer with that status. */
    readonly problem?: { readonly status: number };
  }[];
}

/** Newest first. `next`: cursor of the page after this one. */
export async function getBin(
  http: Http,
  cursor: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly BinEntry[]; readonly next?: string }> {
  const query = cursor === undefined ? '' : `?${new URLSearchParams({ cursor }).toString()}`;
  const body = await http.call<BinBody>({ method: 'GET', path: `/api/bin${query}`, signal });
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
  const { results } = await http.call<RestoreBody>({
    method: 'POST',
    path: '/api/bin/restore',
    json: { ids, ...(keepBoth ? { conflict: 'keep-both' } : {}) },
  });
  return new Map(
    results.flatMap(({ id, problem }) =>
      problem === undefined ? [] : [[id, parseProblem(problem.status, null, JSON.stringify(problem))]],
    ),
  );
}

/** For good. */
export async function emptyBin(http: Http, ids: readonly string[]): Promise<void> {
  await http.call({ method: 'POST', path: '/api/bin/empty', json: { ids } });
}
