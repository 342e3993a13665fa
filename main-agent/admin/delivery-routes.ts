import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { DeliveryTester } from '#main-agent/help-desk/delivery-test.ts';
import { z } from 'zod';
import { defineRoute, noQuery, type Route } from './http/route.ts';
import { deliveryResults } from './user-answers.ts';
import { requireUser } from './user-routes.ts';

/** `/v1/test-delivery`: does a code reach this user? */
export function buildDeliveryRoutes({
  users,
  deliveryTester,
}: {
  readonly users: UserDirectory;
  readonly deliveryTester: DeliveryTester;
}): readonly Route[] {
  return [
    defineRoute({
      method: 'POST',
      pattern: '/v1/test-delivery',
      role: 'helpdesk',
      summary: 'Send a test mail or text message to the user’s own address, by every way a code would go',
      query: noQuery,
      body: z.strictObject({ user: z.string().min(1).max(256) }),
      answer: deliveryResults,
      handle: async ({ body }) => {
        requireUser(users, body.user);
        const results = await deliveryTester.test(body.user);
        return {
          body: {
            user: body.user,
            results: results.map(({ transport, address, tookMs, problem }) => ({
              transport,
              address,
              accepted: problem === undefined,
              took_ms: tookMs,
              problem,
            })),
          },
          note: results
            .map((one) => `${body.user}: ${one.transport} ${one.problem ?? 'accepted'}`)
            .join('; '),
        };
      },
    }),
  ];
}
