import type { StoredLease } from '#main-agent/state/session-records.ts';
import { SallyportError } from '#shared/error.ts';
import type { LeaseAdmin } from '#main-agent/sessions/leases.ts';
import { z } from 'zod';
import { leasesPage } from './answers.ts';
import { reasonCharactersMax } from './limits.ts';
import { pageBy, pageParameters, timeKey } from './http/page.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route } from './http/route.ts';

/** `/v1/leases`: what lets a client in again without a new code. */

export function buildLeaseRoutes({ leases }: { readonly leases: LeaseAdmin }): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/leases',
      role: 'viewer',
      summary: 'Leases: further connections without a new code',
      query: z.strictObject({ ...pageParameters(), user: z.string().max(255).optional() }),
      body: noBody,
      answer: leasesPage,
      handle: async ({ query }) => {
        const all = (await leases.list()).filter(
          ({ username }) => query.user === undefined || username === query.user,
        );
        const { rows, next } = pageBy(all, ({ id, openedAtMs }) => timeKey(openedAtMs, id), query);
        return { body: { leases: rows.map(viewLease), next } };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/leases',
      role: 'helpdesk',
      summary: 'End all leases of a user',
      query: z.strictObject({
        user: z.string().min(1).max(255),
        reason: z.string().max(reasonCharactersMax).default('by an admin'),
      }),
      body: noBody,
      answer: noAnswer,
      handle: async ({ query, caller }) => {
        await leases.endAllOf(query.user, { actor: caller.actor, reason: query.reason });
        return {};
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/leases/{id}',
      role: 'helpdesk',
      summary: 'End one lease',
      query: noQuery,
      body: noBody,
      answer: noAnswer,
      subject: async ({ params }) => (await leases.list()).find(({ id }) => id === params['id'])?.username,
      handle: async ({ param }) => {
        if (await leases.end(param('id'))) return {};
        throw new SallyportError('not-found', 'There is no such lease', { hint: 'sallyport leases list' });
      },
    }),
  ];
}

function viewLease(lease: StoredLease): z.output<typeof leasesPage>['leases'][number] {
  return {
    id: lease.id,
    user: lease.username,
    protocol: lease.protocol,
    node: lease.node,
    client_ip: lease.clientIp,
    agent: lease.agent,
    opened_at: new Date(lease.openedAtMs).toISOString(),
    used_at: new Date(lease.usedAtMs).toISOString(),
    expires_at: new Date(Math.min(lease.expiresAtMs, lease.usedAtMs + lease.ttlMs)).toISOString(),
    opens_left: lease.opensLeft,
  };
}
