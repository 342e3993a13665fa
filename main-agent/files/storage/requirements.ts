/** What must be true of what has a name before something is done to it. */
import type { Precondition } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';
import type { Found } from './blob-storage.ts';
import { denied, isAFolder, notFound, taken } from './file-error.ts';
import type { Stored } from './storage.ts';

/**
 * RFC 9110 §13.1.1 and §13.1.2 with strong comparison, against what is there at this moment (undefined = nothing).
 * Rejects `precondition-failed`.
 */
export function requirePrecondition(precondition: Precondition | undefined, etag: string | undefined): void {
  const { ifMatch, ifNoneMatch } = precondition ?? {};
  const matches = (tags: readonly string[] | '*'): boolean =>
    etag !== undefined && (tags === '*' || tags.includes(etag));
  if ((ifMatch !== undefined && !matches(ifMatch)) || (ifNoneMatch !== undefined && matches(ifNoneMatch))) {
    throw new SallyportError('precondition-failed', 'The file is not as you expect it', {
      detail: `present etag ${etag ?? 'none'}`,
    });
  }
}

/** What was asked for by its identity: rejects where the name has another file. */
export function requireId({ id }: Stored, onlyId: string | undefined): void {
  if (onlyId !== undefined && id !== onlyId) throw denied('another file has the name');
}

/** Rejects `not-found` for what does not exist to callers. */
export function requireShown(found: Found | undefined): Stored {
  if (found === undefined || found === 'unserved') throw notFound();
  return found;
}

/** What has a name, if a file has it; rejects where anything else has. */
export function requireFileOrNothing(found: Found | undefined): Stored | undefined {
  if (found === 'unserved') throw taken('a link or special file has that name');
  if (found?.type === 'folder') throw isAFolder();
  return found;
}
