import { isSallyportError, type ErrorCode } from '#shared/error.ts';

/** What the `sallyport` command answers to scripts. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3, refused: 4, conflict: 5 } as const;

const byCode: Readonly<Partial<Record<ErrorCode, number>>> = {
  usage: exitCodes.usage,
  'bad-request': exitCodes.usage,
  pairing: exitCodes.usage,
  'not-found': exitCodes.notFound,
  'no-session': exitCodes.notFound,
  refused: exitCodes.refused,
  'not-authenticated': exitCodes.refused,
  'not-allowed': exitCodes.refused,
  'permission-denied': exitCodes.refused,
  exists: exitCodes.conflict,
  conflict: exitCodes.conflict,
  'precondition-required': exitCodes.conflict,
  'precondition-failed': exitCodes.conflict,
  changed: exitCodes.conflict,
};

export function exitCodeOf(error: unknown): number {
  return (isSallyportError(error) ? byCode[error.code] : undefined) ?? exitCodes.failed;
}
