import { z } from 'zod';
import { errorCodes, isErrorCode, type ErrorCode } from './error-codes.ts';
import { archiveBounds, weaknesses, type SallyportError } from './error.ts';

/** Problem details (RFC 9457), as the public and the admin API say them alike. */
export const problemSchema = z.object({
  /** `urn:sallyport:problem:<reason>`. */
  type: z.string(),
  /** The status in words. */
  title: z.string(),
  status: z.number().int(),
  /** A sentence for people. */
  detail: z.string(),
  code: z.enum(Object.keys(errorCodes).filter(isErrorCode)),
  /** The code, or something finer where a route has it (`wrong-code`, `no-files`). */
  reason: z.string(),
  /** What an administrator finds it by in log and audit. */
  reference: z.string().optional(),
  /** Seconds; what the header Retry-After says. */
  retry_after: z.number().int().optional(),
  attempts_left: z.number().int().optional(),
  /** Seconds the clock of the code is ahead; negative: behind. */
  drift_seconds: z.number().int().optional(),
  weakness: z.enum(weaknesses).optional(),
  /** What would be strong enough: characters, or bits of a key. */
  minimum: z.number().int().optional(),
  /** What there is too much of for one archive, and how many there may be. */
  bound: z.enum(archiveBounds).optional(),
  maximum: z.number().int().optional(),
  /** Entries that are in no listing and are all that a folder has. */
  unserved: z.number().int().optional(),
});
export type Problem = z.output<typeof problemSchema>;

/**
 * The body of an answer that refuses. Tells the public half of the error and nothing else.
 *
 * @param answer.title the status in words (`STATUS_CODES`)
 * @param answer.code absent: the error's own
 * @param answer.reason absent: the code
 * @param answer.retryAfterMs absent: when is not known
 */
export function describeProblem(
  error: SallyportError,
  answer: {
    readonly status: number;
    readonly title: string;
    readonly code?: ErrorCode | undefined;
    readonly reason?: string | undefined;
    readonly reference: string | undefined;
    readonly retryAfterMs: number | undefined;
  },
): Problem {
  const { status, title, code = error.code, reason = code, reference, retryAfterMs } = answer;
  const { attemptsLeft, driftSeconds, weakness, minimum, bound, maximum, unserved } = error.data ?? {};
  return {
    type: `urn:sallyport:problem:${reason}`,
    title,
    status,
    detail: error.publicMessage,
    code,
    reason,
    ...(reference !== undefined && { reference }),
    ...(retryAfterMs !== undefined && { retry_after: Math.max(1, Math.ceil(retryAfterMs / 1000)) }),
    ...(attemptsLeft !== undefined && { attempts_left: attemptsLeft }),
    ...(driftSeconds !== undefined && { drift_seconds: Math.round(driftSeconds) }),
    ...(weakness !== undefined && { weakness }),
    ...(minimum !== undefined && { minimum }),
    ...(bound !== undefined && { bound }),
    ...(maximum !== undefined && { maximum }),
    ...(unserved !== undefined && { unserved }),
  };
}
