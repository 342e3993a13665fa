import type { Problem } from '#dmz/http-api/values.ts';

/**
 * A call that did not work, as a page can act on it (RFC 9457 problem details).
 *
 * Trust: the body may come from something between us and the server (a proxy's HTML page), so every member is checked.
 */

type CodeReason = 'wrong-code' | 'used-code' | 'clock-drift';

interface ProblemDetails {
  readonly reason?: string;
  readonly detail?: string;
  readonly reference?: string;
  readonly attemptsLeft?: number;
  /** Seconds the phone's clock is ahead; negative: behind. */
  readonly driftSeconds?: number;
  readonly retryAfterMs?: number;
  /** What a password or key was refused for, and what would be enough (characters, bits). */
  readonly weakness?: string;
  readonly minimum?: number;
  /** What there is too much of for one download (`entries`, `depth`, `names`, `archives`), and how many there may be. */
  readonly bound?: string;
  readonly maximum?: number;
}

export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  /** HTTP status; 0 = no answer came. */
  readonly status: number;
  readonly details: ProblemDetails;

  constructor(status: number, details: ProblemDetails = {}) {
    super(details.detail ?? `status ${status}`);
    this.status = status;
    this.details = details;
  }

  /** The code a person typed was looked at and is not right; they may try again. */
  get codeReason(): CodeReason | undefined {
    const { reason } = this.details;
    return reason === 'wrong-code' || reason === 'used-code' || reason === 'clock-drift' ? reason : undefined;
  }

  /** What was typed is not right, and nothing else is wrong: the session goes on. */
  get isAnotherTry(): boolean {
    const { reason } = this.details;
    return (
      this.codeReason !== undefined ||
      reason === 'wrong-password' ||
      reason === 'code-required' ||
      reason === 'dead-link'
    );
  }

  /** Nothing to do with the request: the server, or the way to it, is down. */
  get isOutage(): boolean {
    return (
      this.status === 0 ||
      this.status === 408 ||
      this.status === 502 ||
      this.status === 504 ||
      (this.status === 503 && this.details.reason !== 'delivery-failed')
    );
  }

  /** What an outage is: no way to the server, nobody behind it, or more sign-ins than it can look at. */
  get outageSide(): 'network' | 'main' | 'busy' {
    if (this.status === 0) return 'network';
    return this.details.reason === 'busy' ? 'busy' : 'main';
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function finite(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** Retry-After in seconds (the date form is not used by our server) → milliseconds. */
function parseRetryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** Status, Retry-After and body of an answer ≥ 400 → ApiProblem. */
export function parseProblem(status: number, retryAfter: string | null, untrustedBody: string): ApiProblem {
  let body: Partial<Record<keyof Problem, unknown>> = {};
  try {
    const parsed: unknown = JSON.parse(untrustedBody);
    if (typeof parsed === 'object' && parsed !== null) body = { ...parsed };
  } catch {
    // Not ours; the status alone has to do.
  }
  const members = {
    reason: text(body.reason),
    detail: text(body.detail) ?? text(body.title),
    reference: text(body.reference),
    attemptsLeft: finite(body.attempts_left),
    driftSeconds: finite(body.drift_seconds),
    weakness: text(body.weakness),
    minimum: finite(body.minimum),
    bound: text(body.bound),
    maximum: finite(body.maximum),
    retryAfterMs: parseRetryAfterMs(retryAfter),
  };
  return new ApiProblem(
    status,
    Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)),
  );
}

/** Any thrown value as an ApiProblem; what isn't one never reached the server. */
export function toApiProblem(thrown: unknown): ApiProblem {
  return thrown instanceof ApiProblem ? thrown : new ApiProblem(0);
}
