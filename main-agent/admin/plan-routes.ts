import type { StorePlan, UserStorePlans } from '#main-agent/users/store-plan.ts';
import { z } from 'zod';
import { filesPerStoreMax, storeBytesMax } from './limits.ts';
import { defineRoute, noQuery, type Route } from './http/route.ts';
import { storePlan } from './user-answers.ts';

/** `/v1/users/plan` and `/v1/users/apply`: the whole user store as code. */

const files = z
  .record(z.string().max(128), z.string())
  .refine((all) => Object.keys(all).length <= filesPerStoreMax, {
    error: `at most ${filesPerStoreMax} files`,
  });

export function buildPlanRoutes({ plans }: { readonly plans: UserStorePlans }): readonly Route[] {
  return [
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/plan',
      role: 'admin',
      summary: 'What would change if the user store held exactly these files; changes nothing',
      query: noQuery,
      bodyBytesMax: storeBytesMax,
      body: z.strictObject({ files }),
      answer: storePlan,
      handle: async ({ body }) => ({ body: await plans.plan(body.files) }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/apply',
      role: 'admin',
      summary: 'Make the user store hold exactly these files, all or nothing; `etag` is that of the plan',
      query: noQuery,
      bodyBytesMax: storeBytesMax,
      body: z.strictObject({ files, etag: z.string().max(64) }),
      answer: storePlan,
      handle: async ({ body }) => {
        const plan = await plans.apply(body.files, body.etag);
        return { body: plan, note: describePlan(plan) };
      },
    }),
  ];
}

function describePlan({ files: planned }: StorePlan): string {
  return planned.length === 0
    ? 'nothing to do'
    : planned.map(({ action, file }) => `${action} ${file}`).join(', ');
}
