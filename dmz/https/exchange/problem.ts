import { STATUS_CODES } from 'node:http';
import type { ErrorCode, SallyportError } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';
import { outageRetryAfterMs } from '#dmz/https/limits.ts';

/** Our error codes as HTTP answers: status and RFC 9457 problem details. The only place that knows both. */

const statusOf: Readonly<Record<ErrorCode, number>> = {
  refused: 401,
  'challenge-gone': 401,
  'no-session': 401,
  'setup-required': 403,
  'not-allowed': 403,
  'ticket-required': 403,
  'too-weak': 422,
  'delivery-failed': 503,
  'rate-limited': 429,
  'too-many-sessions': 429,
  'setup-expired': 410,
  'setup-not-confirmed': 409,
  'already-enrolled': 409,
  'not-found': 404,
  exists: 409,
  'not-empty': 409,
  'not-a-folder': 409,
  'is-a-folder': 409,
  'parent-missing': 409,
  changed: 409,
  'bad-handle': 409,
  'permission-denied': 403,
  'bad-path': 400,
  'precondition-failed': 412,
  'quota-exceeded': 507,
  'no-space': 507,
  'too-many': 429,
  unsupported: 501,
  'io-error': 500,
  'link-down': 503,
  deadline: 503,
  'too-slow': 408,
  busy: 503,
  'bad-request': 400,
  'protocol-violation': 500,
  internal: 500,
  config: 500,
  pairing: 500,
  conflict: 409,
  usage: 500,
  'not-authenticated': 500,
  'precondition-required': 500,
};

/** A sign-in that ran out of time or tries starts again, whatever the reason was. */
const reasonOf: Partial<Record<ErrorCode, string>> = { 'challenge-gone': 'refused' };

export interface Problem {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Readonly<Record<string, unknown>>;
}

/** `status` and `reason` may be given where the protocol is finer than our codes (405, 415, wrong-code, …). */
export function toProblem(
  error: SallyportError,
  special: { status?: number; reason?: string } = {},
): Problem {
  const status = special.status ?? statusOf[error.code];
  const reason = special.reason ?? reasonOf[error.code] ?? error.code;
  const { attemptsLeft, driftSeconds, weakness, minimum, bound, maximum, unserved } = error.data ?? {};
  const retryAfterMs =
    error.data?.retryAfterMs ?? (status === 503 || status === 429 ? outageRetryAfterMs : undefined);
  return {
    status,
    headers: [
      'Content-Type',
      'application/problem+json',
      ...(retryAfterMs === undefined
        ? []
        : ['Retry-After', String(Math.max(1, Math.ceil(retryAfterMs / 1000)))]),
      // RFC 9110 §15.5.2 wants a challenge with a 401; no browser acts on this scheme.
      ...(status === 401 ? ['WWW-Authenticate', 'Sallyport'] : []),
      // RFC 9110 §15.5.9: what is still to come of the request is not waited for.
      ...(error.code === 'too-slow' ? ['Connection', 'close'] : []),
    ],
    body: {
      type: `urn:sallyport:problem:${reason}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      detail: error.publicMessage,
      reference: error.reference ?? randomReference(),
      reason,
      ...(attemptsLeft === undefined ? {} : { attempts_left: attemptsLeft }),
      ...(driftSeconds === undefined ? {} : { drift_seconds: Math.round(driftSeconds) }),
      ...(weakness === undefined ? {} : { weakness }),
      ...(minimum === undefined ? {} : { minimum }),
      ...(bound === undefined ? {} : { bound }),
      ...(maximum === undefined ? {} : { maximum }),
      ...(unserved === undefined ? {} : { unserved }),
    },
  };
}
