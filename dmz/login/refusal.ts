import { isSallyportError, SallyportError } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';

/** The one refusal (S-07): the same words whatever the reason, and a reference an admin can look up. */
export function refuse(detail: string): SallyportError {
  return new SallyportError('refused', 'Sign-in refused', { detail, reference: randomReference() });
}

/** Main's refusal in our words and without what is for this node alone; any other error as it is. */
export function asRefusal(error: unknown): unknown {
  if (!isSallyportError(error, 'refused')) return error;
  const { bait: _bait, ...data } = error.data ?? {};
  return new SallyportError('refused', 'Sign-in refused', {
    detail: error.detail ?? 'refused by main',
    reference: error.reference ?? randomReference(),
    ...(Object.keys(data).length !== 0 && { data }),
    cause: error,
  });
}

/** What main said to this node alone: attackers try this name first, and nobody signs in from there. */
export function isBait(refusal: SallyportError): boolean {
  const { cause } = refusal;
  return isSallyportError(cause, 'refused') && cause.data?.bait === true;
}

export function rateLimited(retryAfterMs: number): SallyportError {
  return new SallyportError('rate-limited', 'Too many tries; wait a little', {
    data: { retryAfterMs: Math.max(1, Math.ceil(retryAfterMs)) },
  });
}
