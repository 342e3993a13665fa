import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { TwoFactorAdmin, TwoFactorReport } from '#main-agent/help-desk/two-factor-admin.ts';
import type { z } from 'zod';
import { rollOutPageMax } from './limits.ts';
import { pageByName, pageQuery } from './http/page.ts';
import { defineRoute, noBody, type Route } from './http/route.ts';
import { rollOutPage, type rollOutRow } from './user-answers.ts';
import { viewTwoFactor } from './two-factor-view.ts';

/** `/v1/two-factor/roll-out`: how far the second factor has come, user by user, and whom it would stop. */
export function buildRollOutRoute({
  users,
  twoFactor,
}: {
  readonly users: UserDirectory;
  readonly twoFactor: TwoFactorAdmin;
}): Route {
  return defineRoute({
    method: 'GET',
    pattern: '/v1/two-factor/roll-out',
    role: 'viewer',
    summary: 'Who is enrolled, who is required, who would be locked out today or later; in pages by name',
    query: pageQuery(rollOutPageMax),
    body: noBody,
    answer: rollOutPage,
    handle: async ({ query }) => {
      const { rows, next } = pageByName(users.list(), query);
      const reports = await Promise.all(
        rows.map(async (user) => {
          const report = await twoFactor.status(user.username);
          return { ...viewTwoFactor(user.username, report), protection: protectionOf(report, user) };
        }),
      );
      return { body: { users: reports, warnings: twoFactor.warnings(), next } };
    },
  });
}

/** One word for the whole of it. */
function protectionOf(
  report: TwoFactorReport,
  { protocols, status }: EffectiveUser,
): z.output<typeof rollOutRow>['protection'] {
  if (status !== 'active') return 'disabled';
  if (report.lockedOutOn.length > 0) return 'locked out';
  if (report.setupDueOn.length > 0) return 'set-up due';
  const covered = protocols.filter((protocol) => report.requiredOn.some((one) => one === protocol));
  if (covered.length === 0) return 'not required';
  return covered.length === protocols.length ? 'protected' : 'partly protected';
}
