import type { AnySession } from '#main-agent/sessions/session.ts';
import { SallyportError } from '#shared/error.ts';
import { protocols } from '#shared/login.ts';
import { z } from 'zod';
import { ended, sessionsPage } from './answers.ts';
import { reasonCharactersMax } from './limits.ts';
import { pageBy, pageParameters, timeKey } from './http/page.ts';
import { defineRoute, noAnswer, noBody, type Route } from './http/route.ts';
import { usersOf, type UserPorts } from './user-routes.ts';

/** `/v1/sessions`: who is in now. */

const reason = z.string().max(reasonCharactersMax).default('by an admin');

export function buildSessionRoutes({
  sessions,
  ...ports
}: Pick<UserPorts, 'sessions' | 'users' | 'administered'>): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/sessions',
      role: 'viewer',
      groupAdmin: 'scoped',
      summary: 'Live sessions, the oldest first',
      query: z.strictObject({
        ...pageParameters(),
        user: z.string().max(255).optional(),
        node: z.string().max(64).optional(),
        protocol: z.enum(protocols).optional(),
      }),
      body: noBody,
      answer: sessionsPage,
      handle: async ({ query, caller }) => {
        // Also sessions of a user whose file is gone: to whoever has all users.
        const theirs =
          caller.administrator === undefined
            ? undefined
            : new Set(Iterator.from(usersOf(ports, caller).list()).map(({ username }) => username));
        const all = sessions
          .list()
          .filter(
            (one) =>
              theirs?.has(one.username) !== false &&
              (query.user === undefined || one.username === query.user) &&
              (query.node === undefined || one.node === query.node) &&
              (query.protocol === undefined || one.protocol === query.protocol),
          );
        const { rows, next } = pageBy(all, ({ key, openedAtMs }) => timeKey(openedAtMs, key), query);
        return { body: { sessions: rows.map(viewSession), next } };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/sessions',
      role: 'helpdesk',
      groupAdmin: 'theirs',
      summary: 'End all sessions of a user now',
      query: z.strictObject({ user: z.string().min(1).max(255), reason }),
      body: noBody,
      answer: ended,
      handle: async ({ query }) => ({
        body: { ended: await sessions.endAllOf(query.user, query.reason) },
      }),
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/sessions/{key}',
      role: 'helpdesk',
      groupAdmin: 'theirs',
      summary: 'End one session now',
      query: z.strictObject({ reason }),
      body: noBody,
      answer: noAnswer,
      subject: ({ params }) => sessions.list().find(({ key }) => key === params['key'])?.username,
      handle: async ({ param, query }) => {
        if (await sessions.end(param('key'), query.reason)) return {};
        throw new SallyportError('not-found', 'There is no such session', {
          hint: 'sallyport sessions list',
        });
      },
    }),
  ];
}

function viewSession(session: AnySession): z.output<typeof sessionsPage>['sessions'][number] {
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
