import type { Precondition } from '#shared/file-service/attributes.ts';
import { SallyportError } from '#shared/error.ts';

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
