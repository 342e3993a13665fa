import type { Clock } from '#shared/clock.ts';
import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { TwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import { z } from 'zod';
import { bypassTtlSecondsDefault, bypassTtlSecondsMax } from './limits.ts';
import { buildImportRoute } from './import-route.ts';
import { buildRollOutRoute } from './roll-out-route.ts';
import { buildOrphanRoutes } from './orphan-routes.ts';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';
import { bypassAnswer, twoFactorAnswer } from './user-answers.ts';
import { viewTwoFactor } from './two-factor-view.ts';
import { requireUser } from './user-routes.ts';

/** `/v1/users/{user}/two-factor` and the roll-out report. No answer holds a secret but the bypass code, once. */

export function buildTwoFactorRoutes({
  users,
  twoFactor,
  clock,
}: {
  readonly users: UserDirectory;
  readonly twoFactor: TwoFactorAdmin;
  readonly clock: Clock;
}): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/users/{user}/two-factor',
      role: 'viewer',
      groupAdmin: 'theirs',
      summary: 'The user’s second factor: enrolled, required, locked',
      query: noQuery,
      body: noBody,
      answer: twoFactorAnswer,
      handle: async ({ param }) => {
        requireUser(users, param('user'));
        return { body: viewTwoFactor(param('user'), await twoFactor.status(param('user'))) };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/users/{user}/two-factor',
      role: 'helpdesk',
      groupAdmin: 'theirs',
      summary: 'Reset: the factor, its recovery codes, leases and remembered devices are gone',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: noAnswer,
      // No `requireUser`: an enrolment may outlive its user's file and must still be removable.
      handle: async ({ param, body, caller }) => {
        await twoFactor.reset(param('user'), { actor: caller.actor, reason: body.reason });
        return {};
      },
    }),
    ...buildOrphanRoutes({ users, twoFactor }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/two-factor/unlock',
      role: 'helpdesk',
      groupAdmin: 'theirs',
      summary: 'Lift the lock that wrong codes led to',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: noAnswer,
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        await twoFactor.unlock(param('user'), { actor: caller.actor, reason: body.reason });
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/two-factor/bypass-code',
      role: 'helpdesk',
      groupAdmin: 'theirs',
      summary: 'Make a one-time code for a lost phone; it replaces an earlier one',
      query: noQuery,
      body: z.strictObject({
        reason,
        ttl_seconds: z.number().int().min(60).max(bypassTtlSecondsMax).default(bypassTtlSecondsDefault),
        re_enrol: z.boolean().default(false),
      }),
      answer: bypassAnswer,
      status: 201,
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        const ttlMs = body.ttl_seconds * 1000;
        const code = await twoFactor.makeBypassCode(param('user'), {
          actor: caller.actor,
          reason: body.reason,
          ttlMs,
          reEnrol: body.re_enrol,
        });
        return {
          body: { code: code.expose(), expires_at: new Date(clock.now() + ttlMs).toISOString() },
        };
      },
    }),
    buildRollOutRoute({ users, twoFactor }),
    buildImportRoute({ twoFactor }),
  ];
}
