import { isSallyportError, SallyportError } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';

/** The one refusal (S-07): the same words whatever the reason, and a reference an admin can look up. */
export function refuse(detail: string): SallyportError {
  return new SallyportError('refused', 'Sign-in refused', { detail, reference: randomReference() });
}

/** Main's refusal in our words, with main's reference if it gave one; any other error as it is. */
export function asRefusal(error: unknown): unknown {
  if (!isSallyportError(error, 'refused') || error.reference !== undefined) return error;
  return new SallyportError('refused', 'Sign-in refused', {
    detail: error.detail ?? 'refused by main',
    reference: randomReference(),
    ...(error.data === undefined ? {} : { data: error.data }),
    cause: error,
  });
}
