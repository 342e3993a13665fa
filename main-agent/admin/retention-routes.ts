import { SallyportError } from '#shared/error.ts';
import type { DueEntry, RetentionAdmin, RetentionPlan } from '#main-agent/files/retention.ts';
import { z } from 'zod';
import { retentionAnswer, retentionPage } from './answers.ts';
import { pageParameters } from './http/page.ts';
import { reason } from './values.ts';
import { defineRoute, noQuery, noBody, type Route } from './http/route.ts';

/** `/v1/retention`: what the retention rules of mounts delete and when, and a run by hand. */

export interface RetentionPorts {
  readonly retention: RetentionAdmin;
}

const yesNo = z.enum(['true', 'false']).transform((text) => text === 'true');

export function buildRetentionRoutes({ retention }: RetentionPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/retention/plan',
      role: 'viewer',
      summary: 'What the retention rules delete: by the next two runs, or by one that began now',
      query: z.strictObject({
        at: z.enum(['next', 'now']).default('next'),
        /** Of a run that began now: also what no list named before. */
        unlisted: yesNo.default(false),
        ...pageParameters(),
      }),
      body: noBody,
      answer: retentionPage,
      handle: async ({ query }) => {
        const { at, unlisted, limit, cursor } = query;
        if (cursor === undefined) {
          const plan = await retention.plan(at === 'next' ? at : { now: true, unlisted });
          const id = plan.entries.length > limit ? retention.keep(plan) : '';
          return { body: viewPage(plan, id, 0, limit), note: `${plan.entries.length} to go (${at})` };
        }
        const [, id = '', from = ''] = /^([A-Za-z0-9_-]{43})\.(\d{1,7})$/.exec(cursor) ?? [];
        if (id === '') throw new SallyportError('bad-request', 'That cursor is not ours');
        return { body: viewPage(retention.page(id), id, Number(from), limit) };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/retention/run',
      role: 'admin',
      summary: 'Delete now what the retention rules say and a list named before',
      query: noQuery,
      body: z.strictObject({
        reason,
        /** Also what no list named before. */
        unlisted: z.boolean().default(false),
      }),
      answer: retentionAnswer,
      handle: async ({ body, caller }) => {
        const run = await retention.run({
          actor: caller.actor,
          reason: body.reason,
          unlisted: body.unlisted,
        });
        const { deleted, bytes, left, failed, newlyListed, isOver } = run;
        return {
          body: { deleted, bytes, left, failed, newly_listed: newlyListed, complete: isOver },
          note: `${isOver ? `${deleted} deleted` : 'begun'}: ${body.reason}`,
        };
      },
    }),
  ];
}

function viewPage(
  plan: RetentionPlan,
  id: string,
  from: number,
  limit: number,
): z.output<typeof retentionPage> {
  const { atMs, entries, isWhole, unlooked, unserved } = plan;
  const isMore = from + limit < entries.length;
  return {
    at: new Date(atMs).toISOString(),
    count: entries.length,
    bytes: entries.reduce((sum, { bytes }) => sum + bytes, 0),
    complete: isWhole,
    unlooked,
    unserved,
    entries: entries.slice(from, from + limit).map(viewEntry),
    ...(isMore && { next: `${id}.${from + limit}` }),
  };
}

function viewEntry(entry: DueEntry): z.output<typeof retentionPage>['entries'][number] {
  const { storage, path, virtualPath, user, type, bytes, changedAtMs, dueAtMs, deletedAtMs } = entry;
  return {
    storage,
    place: path.join('/'),
    path: `/${virtualPath.join('/')}`,
    ...(user !== undefined && { user }),
    type,
    bytes,
    changed_at: new Date(changedAtMs).toISOString(),
    due_at: new Date(dueAtMs).toISOString(),
    deleted_at: new Date(deletedAtMs).toISOString(),
  };
}
