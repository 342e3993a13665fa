import type { Result } from '#shared/link/messages.ts';
import type { Again } from './login-service.ts';

type AgainResult = Extract<Result<'login.assert'>, { outcome: 'again' }>;

/** Main's "not that one, try again" as the doors hear it. */
export function toAgain({ reason, attemptsLeft, driftSeconds, reference }: AgainResult): Again {
  return {
    outcome: 'again',
    reason,
    attemptsLeft,
    ...(driftSeconds !== undefined && { driftSeconds }),
    ...(reference !== undefined && { reference }),
  };
}
