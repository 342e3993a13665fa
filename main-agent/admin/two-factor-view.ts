import type { TwoFactorReport } from '#main-agent/help-desk/two-factor-admin.ts';
import type { z } from 'zod';
import type { Given } from './http/route.ts';
import type { twoFactorAnswer } from './user-answers.ts';

/** A user's second factor as JSON. Holds no secret. */
export function viewTwoFactor(
  username: string,
  report: TwoFactorReport,
): Given<z.output<typeof twoFactorAnswer>> {
  return {
    username,
    state: report.state,
    problem: report.problem,
    confirmed_at: report.confirmedAt,
    via: report.via,
    required_on: report.requiredOn,
    required_from: time(report.requiredFromMs),
    recovery_codes_left: report.recoveryCodesLeft,
    failures: report.failures,
    locked_until: time(report.lockedUntilMs),
    bypass_code_until: time(report.bypassExpiresAtMs),
    locked_out_on: report.lockedOutOn,
    locked_out_then_on: report.lockedOutThenOn,
    setup_due_on: report.setupDueOn,
  };
}

function time(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}
