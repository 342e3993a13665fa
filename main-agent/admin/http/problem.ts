import { toSallyportError, type ErrorCode, type SallyportError } from '#shared/error.ts';

/** Errors as RFC 9457 problems. An admin may read the private half too: that is what it is for. */

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  'bad-request': 400,
  usage: 400,
  config: 400,
  'bad-path': 400,
  'not-authenticated': 401,
  'not-allowed': 403,
  'too-weak': 403,
  refused: 403,
  'permission-denied': 403,
  'not-found': 404,
  'no-session': 404,
  exists: 409,
  conflict: 409,
  'already-enrolled': 409,
  'not-empty': 409,
  'precondition-failed': 412,
  changed: 412,
  'precondition-required': 428,
  'too-many': 413,
  'rate-limited': 429,
  busy: 503,
  'link-down': 503,
  'delivery-failed': 502,
  deadline: 504,
};

export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail?: string;
  readonly hint?: string;
  readonly reference?: string;
  readonly retryAfterSeconds?: number;
}

export function toProblem(error: unknown): Problem {
  const known: SallyportError = toSallyportError(error);
  const retryAfterMs = known.data?.retryAfterMs;
  return {
    type: 'about:blank',
    title: known.publicMessage,
    status: statuses[known.code] ?? 500,
    code: known.code,
    ...(known.detail !== undefined && { detail: known.detail }),
    ...(known.hint !== undefined && { hint: known.hint }),
    ...(known.reference !== undefined && { reference: known.reference }),
    ...(retryAfterMs !== undefined && { retryAfterSeconds: Math.ceil(retryAfterMs / 1000) }),
  };
}
