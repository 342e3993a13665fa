import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { describeCode } from '#shared/error-codes.ts';
import { toSallyportError } from '#shared/error.ts';
import { describeProblem, problemSchema } from '#shared/problem.ts';

/** Problems of the admin API: an admin may read the private half too, that is what it is for. */
export const adminProblemSchema = problemSchema.extend({
  /** What happened, with the values. */
  private: z.string().optional(),
  /** What to do about it. */
  hint: z.string().optional(),
});
type AdminProblem = z.output<typeof adminProblemSchema>;

export function toProblem(error: unknown): AdminProblem {
  const known = toSallyportError(error);
  const { http, adminHttp: status = http } = describeCode(known.code);
  return {
    ...describeProblem(known, {
      status,
      title: STATUS_CODES[status] ?? 'Error',
      reference: known.reference,
      retryAfterMs: known.data?.retryAfterMs,
    }),
    ...(known.detail !== undefined && { private: known.detail }),
    ...(known.hint !== undefined && { hint: known.hint }),
  };
}
