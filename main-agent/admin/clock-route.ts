import type { AdminReason } from '#main-agent/administrator.ts';
import { z } from 'zod';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noQuery, type Route } from './http/route.ts';

/** `/v1/clock/confirm`: codes of authenticator apps pause after a jump of main's clock until somebody looked at it. */
export function buildClockRoute({
  confirmClock,
}: {
  readonly confirmClock: (why: AdminReason) => Promise<void>;
}): Route {
  return defineRoute({
    method: 'POST',
    pattern: '/v1/clock/confirm',
    role: 'admin',
    summary: 'The clock is right: codes of authenticator apps are accepted again after a jump',
    query: noQuery,
    body: z.strictObject({ reason }),
    answer: noAnswer,
    handle: async ({ body, caller }) => {
      await confirmClock({ actor: caller.actor, reason: body.reason });
      return {};
    },
  });
}
