import { SallyportError } from '#shared/error.ts';
import { randomReference } from '#shared/random-id.ts';

/** The one refusal (S-07): the same words whatever the reason; the rule is for the audit, found by the reference. */
export function buildRefusal(
  rule: string,
  cause?: unknown,
  reference = randomReference(),
): { readonly reference: string; readonly error: SallyportError } {
  return {
    reference,
    error: new SallyportError('refused', 'Sign-in refused', { detail: rule, reference, cause }),
  };
}
