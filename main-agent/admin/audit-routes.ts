import {
  findSequenceAt,
  queryAudit,
  queryNewest,
  type AuditFilter,
  type AuditPage,
} from '#main-agent/audit/audit-query.ts';
import type { AuditFeed } from '#main-agent/audit/feed.ts';
import type { NodeHead } from '#main-agent/audit/node-heads.ts';
import { auditOutcomes } from '#main-agent/state/audit-record.ts';
import type { StateStore } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import { pageMax, pageDefault } from '#main-agent/admin/http/limits.ts';
import { z } from 'zod';
import { auditHeads, auditPage, auditRecords } from './audit-answers.ts';
import { auditWaitMs } from './limits.ts';
import { reason } from './values.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/audit`: who did what, and which rule decided. */

export interface AuditPorts {
  readonly state: Pick<StateStore, 'read' | 'onAudit'>;
  readonly auditFeed: Pick<AuditFeed, 'head'>;
  /** What the DMZ nodes remember of the audit. */
  readonly nodeHeads: () => readonly NodeHead[];
  /** Ends the alarm that state or audit was put back. */
  readonly acknowledgeRestores: (why: AdminReason) => Promise<void>;
  /** Aborts when main stops: nobody waits for records then. */
  readonly closing: AbortSignal;
}

const moment = z.iso.datetime({ offset: true });

export function buildAuditRoutes(ports: AuditPorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/audit',
      role: 'viewer',
      summary:
        'Records that fit, in order: after a number, since a time, or the newest; can wait for new ones',
      query: z.strictObject({
        after: z.coerce.number().int().min(0).optional(),
        limit: z.coerce.number().int().min(1).max(pageMax).default(pageDefault),
        user: z.string().max(255).optional(),
        event: z.string().max(64).optional(),
        outcome: z.enum(auditOutcomes).optional(),
        node: z.string().max(64).optional(),
        reference: z.string().max(64).optional(),
        since: moment.optional(),
        until: moment.optional(),
        wait: z.enum(['yes']).optional(),
      }),
      body: noBody,
      answer: auditPage,
      handle: async ({ query }) => {
        const { after, limit, wait, ...filter } = query;
        let page = await findPage(ports, filter, after, limit);
        if (wait !== undefined && after !== undefined)
          page = await waitForRecords(ports, filter, page, limit);
        const { records, next, seen } = page;
        return { body: { records, next: seen, more: next !== undefined } };
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/audit/heads',
      role: 'viewer',
      summary: 'The head of the hash chain as the file, the state and each DMZ node know it',
      query: noQuery,
      body: noBody,
      answer: auditHeads,
      handle: async () => {
        const { head, last } = await ports.state.read('audit-extent');
        return { body: { file: ports.auditFeed.head(), state: { last, head }, nodes: ports.nodeHeads() } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/audit/acknowledge',
      role: 'admin',
      summary:
        'That state.db or the audit was put back is known, and why: status says it no more, the audit does',
      query: noQuery,
      body: z.strictObject({ reason }),
      answer: noAnswer,
      handle: async ({ body, caller }) => {
        await ports.acknowledgeRestores({ actor: caller.actor, reason: body.reason });
        return {};
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/audit/{reference}',
      role: 'viewer',
      summary: 'The records of a reference that a user reads out',
      query: noQuery,
      body: noBody,
      answer: auditRecords,
      handle: async ({ param }) => {
        const records = await ports.state.read('find-audit', { reference: param('reference') });
        if (records.length > 0) return { body: { records } };
        throw new SallyportError('not-found', 'No record has this reference', {
          detail: param('reference'),
          hint: 'older than 30 days: `sallyport audit export --reference` reads the files',
        });
      },
    }),
  ];
}

async function findPage(
  { state, auditFeed }: AuditPorts,
  filter: AuditFilter,
  after: number | undefined,
  limit: number,
): Promise<AuditPage> {
  if (after !== undefined) return queryAudit(state, filter, { after, limit });
  if (filter.since === undefined)
    return queryNewest(state, filter, { head: auditFeed.head().sequence, limit });
  const first = await findSequenceAt(state, Date.parse(filter.since));
  return queryAudit(state, filter, { after: first - 1, limit });
}

/** Until one fits that is not a record of somebody's asking for records, which would answer itself for ever. */
async function waitForRecords(
  { state, closing }: AuditPorts,
  filter: AuditFilter,
  page: AuditPage,
  limit: number,
): Promise<AuditPage> {
  const waited = AbortSignal.any([closing, AbortSignal.timeout(auditWaitMs)]);
  let found = dropQuestions(page);
  while (found.records.length === 0 && !waited.aborted) {
    await nextRecord(state, waited);
    found = dropQuestions(await queryAudit(state, filter, { after: found.seen, limit }));
  }
  return found;
}

function dropQuestions(page: AuditPage): AuditPage {
  return { ...page, records: page.records.filter(({ record }) => record.rule !== 'GET /v1/audit') };
}

function nextRecord(state: Pick<StateStore, 'onAudit'>, waited: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unsubscribe();
      waited.removeEventListener('abort', done);
      resolve();
    };
    const unsubscribe = state.onAudit(done);
    waited.addEventListener('abort', done);
    if (waited.aborted) done();
  });
}
