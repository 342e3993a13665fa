import type { AdministeredUsers } from '#main-agent/users/administered-users.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import { roleCovers, type Caller } from '#main-agent/administrator.ts';
import type { Route, UncheckedCall } from './route.ts';

/**
 * May this caller do this? The role of the route; and for what changes something, on whom: nobody acts on people of a
 * higher admin role (a help desk that resets an admin's factor would soon be that admin), and a helpdesk of some
 * groups acts on users of these only. To a group administrator nobody else is there (D-123), also where they only read.
 */

/** Rejects `not-allowed`. */
export function requireRole(caller: Caller, route: Pick<Route, 'role' | 'groupAdmin'>): void {
  const isAllowed =
    caller.administrator === undefined ? roleCovers(caller.role, route.role) : route.groupAdmin !== undefined;
  if (isAllowed) return;
  throw new SallyportError('not-allowed', 'Your role may not do this', {
    detail: `needs ${route.role}, you are ${caller.role}`,
  });
}

/** Rejects `not-allowed`, and `not-found` for a group administrator. */
export async function requireSubject(
  caller: Caller,
  route: Route,
  call: UncheckedCall,
  {
    findUser,
    administered,
  }: {
    readonly findUser: (username: string) => EffectiveUser | undefined;
    readonly administered: (administrator: string) => AdministeredUsers;
  },
): Promise<void> {
  if (caller.administrator !== undefined) {
    if (route.groupAdmin === 'scoped') return;
    administered(caller.administrator).require((await subjectOf(route, call)) ?? '');
    return;
  }
  if (route.method === 'GET' || caller.role === 'admin') return;
  const username = await subjectOf(route, call);
  const user = username === undefined ? undefined : findUser(username);
  if (user?.adminRole !== undefined && !roleCovers(caller.role, user.adminRole)) {
    throw new SallyportError('not-allowed', 'You may not act on this person', {
      detail: `${user.username} is ${user.adminRole}, you are ${caller.role}`,
    });
  }
  const { groups } = caller;
  if (groups === undefined || user?.groups.some((group) => groups.includes(group)) === true) return;
  throw new SallyportError('not-allowed', 'That is not a user of your groups', {
    detail: `${username ?? 'nobody in particular'}; your groups: ${groups.join(', ')}`,
  });
}

/** The user a call acts on, as far as it says. */
export async function subjectOf(route: Route, call: UncheckedCall): Promise<string | undefined> {
  return route.subject === undefined ? namedUser(call) : route.subject(call);
}

/** The user a call names, for the audit too. */
export function namedUser({ params, query, body }: UncheckedCall): string | undefined {
  return params['user'] ?? query['user'] ?? textAt(body, 'user') ?? textAt(body, 'username');
}

function textAt(body: unknown, key: string): string | undefined {
  const value: unknown =
    typeof body === 'object' && body !== null
      ? Object.entries(body).find(([name]) => name === key)?.[1]
      : undefined;
  return typeof value === 'string' ? value : undefined;
}
