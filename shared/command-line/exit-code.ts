import { errorCodes } from '#shared/error-codes.ts';
import { isSallyportError } from '#shared/error.ts';

/** What the `sallyport` command answers to scripts. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3, refused: 4, conflict: 5 } as const;

export function exitCodeOf(error: unknown): number {
  return isSallyportError(error) ? exitCodes[errorCodes[error.code].exit] : exitCodes.failed;
}
