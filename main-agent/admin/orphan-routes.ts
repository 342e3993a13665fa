import { SallyportError } from '#shared/error.ts';
import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { TwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import { z } from 'zod';
import { namesKeptAtOnceMax } from './limits.ts';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';
import { keptAnswer, orphansAnswer } from './user-answers.ts';
import { requireUser } from './user-routes.ts';

/** Names whose users are gone, and names that came back: whose is the second factor that is left? */
export function buildOrphanRoutes({
  users,
  twoFactor,
}: {
  readonly users: UserDirectory;
  readonly twoFactor: Pick<TwoFactorAdmin, 'orphans' | 'keep'>;
}): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/two-factor/orphans',
      role: 'viewer',
      summary:
        'Names whose users are gone and left a second factor or token, and names that came back undecided',
      query: noQuery,
      body: noBody,
      answer: orphansAnswer,
      handle: async () => ({
        body: {
          orphans: twoFactor.orphans().map(({ username, goneAtMs, returnedAtMs }) => ({
            user: username,
            gone_at: new Date(goneAtMs).toISOString(),
            returned_at: returnedAtMs === undefined ? undefined : new Date(returnedAtMs).toISOString(),
          })),
        },
      }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/two-factor/orphans/keep',
      role: 'admin',
      summary:
        'These names came back with the same people, as after a restored backup: their factors count again',
      query: noQuery,
      // By name, as they were shown: one that comes back meanwhile is not among them.
      body: z.strictObject({ users: z.array(z.string().max(255)).min(1).max(namesKeptAtOnceMax), reason }),
      answer: keptAnswer,
      handle: async ({ body, caller }) => {
        const kept: string[] = [];
        const notWaiting: string[] = [];
        for (const user of body.users) {
          const isKept = await twoFactor.keep(user, { actor: caller.actor, reason: body.reason });
          (isKept ? kept : notWaiting).push(user);
        }
        return { body: { kept, not_waiting: notWaiting }, note: `kept ${kept.length} names` };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/two-factor/keep',
      role: 'helpdesk',
      summary: 'The name came back with the same person: the second factor that was left counts again',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: noAnswer,
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        if (await twoFactor.keep(param('user'), { actor: caller.actor, reason: body.reason })) return {};
        throw new SallyportError('conflict', 'There is nothing to decide for this name', {
          detail: `${param('user')} did not come back, or it is decided already`,
          hint: 'sallyport two-factor orphans',
        });
      },
    }),
  ];
}
