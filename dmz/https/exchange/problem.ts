import { STATUS_CODES } from 'node:http';
import { errorCodes, type ErrorCode } from '#shared/error-codes.ts';
import type { SallyportError } from '#shared/error.ts';
import { describeProblem, type Problem } from '#shared/problem.ts';
import { randomReference } from '#shared/random-id.ts';
import { outageRetryAfterMs } from '#dmz/https/limits.ts';

/** Our errors as answers of the public HTTP API. */

/** A sign-in that ran out of time or tries starts again, whatever the reason was. */
const saidAs: Partial<Record<ErrorCode, ErrorCode>> = { 'challenge-gone': 'refused' };

interface ProblemAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Problem;
}

/** `status` and `reason` may be given where the protocol is finer than our codes (405, 415, wrong-code, …). */
export function toProblem(
  error: SallyportError,
  special: { status?: number; reason?: string } = {},
): ProblemAnswer {
  const status = special.status ?? errorCodes[error.code].http;
  const retryAfterMs =
    error.data?.retryAfterMs ?? (status === 503 || status === 429 ? outageRetryAfterMs : undefined);
  const body = describeProblem(error, {
    status,
    code: saidAs[error.code],
    title: STATUS_CODES[status] ?? 'Error',
    reason: special.reason,
    reference: error.reference ?? randomReference(),
    retryAfterMs,
  });
  return {
    status,
    headers: [
      'Content-Type',
      'application/problem+json',
      ...(body.retry_after === undefined ? [] : ['Retry-After', String(body.retry_after)]),
      // RFC 9110 §15.5.2 wants a challenge with a 401; no browser acts on this scheme.
      ...(status === 401 ? ['WWW-Authenticate', 'Sallyport'] : []),
      // RFC 9110 §15.5.9: what is still to come of the request is not waited for.
      ...(error.code === 'too-slow' ? ['Connection', 'close'] : []),
    ],
    body,
  };
}
