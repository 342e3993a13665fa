import type { AnySession } from '#main-agent/login/session.ts';
import type { StoredLease } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';
import { reasonCharactersMax } from './limits.ts';
import type { LeaseAdmin, SessionAdmin } from './ports.ts';
import { defineRoute, noBody, type Route } from './route.ts';

/** `/v1/sessions` and `/v1/leases`: who is in now, and what lets them in again without a code. */

const ofUser = z.strictObject({ user: z.string().max(255).optional() });
const oneUser = z.strictObject({
  user: z.string().min(1).max(255),
  reason: z.string().max(reasonCharactersMax).default('by an admin'),
});

export function buildSessionRoutes({
  sessions,
  leases,
}: {
  readonly sessions: SessionAdmin;
  readonly leases: LeaseAdmin;
}): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/sessions',
      role: 'viewer',
      summary: 'Live sessions',
      query: ofUser,
      body: noBody,
      handle: async ({ query }) => ({
        body: {
          sessions: sessions
            .list()
            .filter(({ username }) => query.user === undefined || username === query.user)
            .map(viewSession),
        },
      }),
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/sessions',
      role: 'helpdesk',
      summary: 'End all sessions of a user now',
      query: oneUser,
      body: noBody,
      handle: async ({ query }) => ({
        body: { ended: await sessions.endAllOf(query.user, query.reason) },
      }),
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/sessions/{key}',
      role: 'helpdesk',
      summary: 'End one session now',
      query: z.strictObject({ reason: z.string().max(reasonCharactersMax).default('by an admin') }),
      body: noBody,
      handle: async ({ param, query }) => {
        if (await sessions.end(param('key'), query.reason)) return {};
        throw new SallyportError('not-found', 'There is no such session', {
          hint: 'sallyport sessions list',
        });
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/leases',
      role: 'viewer',
      summary: 'Leases: further connections without a new code',
      query: ofUser,
      body: noBody,
      handle: async ({ query }) => ({
        body: {
          leases: (await leases.list())
            .filter(({ username }) => query.user === undefined || username === query.user)
            .map(viewLease),
        },
      }),
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/leases',
      role: 'helpdesk',
      summary: 'End all leases of a user',
      query: oneUser,
      body: noBody,
      handle: async ({ query, caller }) => {
        await leases.endAllOf(query.user, { actor: caller.actor, reason: query.reason });
        return {};
      },
    }),
  ];
}

function viewSession(session: AnySession): object {
  return {
    key: session.key,
    user: session.username,
    node: session.node,
    protocol: session.protocol,
    state: session.state,
    method: session.method,
    client_ip: session.clientIp,
    opened_at: new Date(session.openedAtMs).toISOString(),
  };
}

function viewLease(lease: StoredLease): object {
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
