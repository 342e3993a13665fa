import type { Caller } from '#main-agent/administrator.ts';
import type { AdministeredUsers } from '#main-agent/users/administered-users.ts';
import type { EffectiveUser } from '#main-agent/users/effective-user.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import type { UserRenameAdmin } from '#main-agent/users/user-renames.ts';
import type { UserDirectory } from '#main-agent/users/user-writes.ts';
import type { SessionAdmin } from '#main-agent/sessions/sessions.ts';
import type { TwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import type { PasswordLinkAdmin } from '#main-agent/account/password-links.ts';
import type { PasswordHasher } from '#main-agent/passwords/password.ts';
import { z } from 'zod';
import { pageByName, pageParameters } from './http/page.ts';
import { defineRoute, noAnswer, noBody, noQuery, type Route, type UncheckedCall } from './http/route.ts';
import { passwordLinkSecondsDefault, passwordLinkSecondsMax } from './limits.ts';
import { originsAnswer, passwordLinkAnswer, userAnswer, userRenamed, usersPage } from './user-answers.ts';
import { describeChanges, keyChanges, keysToSet, reason, requireChanges } from './values.ts';
import { viewUser, viewUserRow } from './user-view.ts';

/** `/v1/users`: the user files, through the same checks as an editor's save. */

const password = z
  .string()
  .min(1)
  .max(1024)
  .transform((text) => new Secret(text));

const userFilter = {
  group: z.string().max(255).optional(),
  status: z.enum(['active', 'disabled']).optional(),
  /** With a second factor that an enrolment file holds, readable or not. */
  enrolled: z.enum(['yes', 'no']).optional(),
  /** Somewhere in name, display name, address or number, whatever its case. */
  search: z.string().trim().max(255).optional(),
};

function fits(user: EffectiveUser, { group, status, search = '' }: Filter): boolean {
  const { displayName, email = '', groups, phone = '', username } = user;
  return (
    (group === undefined || groups.includes(group)) &&
    (status === undefined || user.status === status) &&
    [username, displayName, email, phone].some((text) => foldUsername(text).includes(foldUsername(search)))
  );
}

interface Filter {
  readonly group?: string | undefined;
  readonly status?: 'active' | 'disabled' | undefined;
  readonly search?: string | undefined;
}

export interface UserPorts {
  readonly users: UserDirectory;
  /** The users of a group administrator. */
  readonly administered: (administrator: string) => AdministeredUsers;
  readonly renames: UserRenameAdmin;
  readonly sessions: SessionAdmin;
  readonly passwords: PasswordHasher;
  readonly passwordLinks: PasswordLinkAdmin;
  readonly twoFactor: Pick<TwoFactorAdmin, 'forget' | 'expectAnother' | 'listEnrolled'>;
}

export function buildUserRoutes(ports: UserPorts): readonly Route[] {
  const { users, administered, renames, sessions, passwords, passwordLinks, twoFactor } = ports;
  const answerUser = (username: string, etag: string | undefined) => ({
    body: viewUser(requireUser(users, username)),
    ...(etag !== undefined && { etag }),
  });

  const etagOf = async ({ params }: UncheckedCall): Promise<string | undefined> =>
    users.etag(params['user'] ?? '');

  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/users',
      role: 'viewer',
      groupAdmin: 'scoped',
      summary: 'Users by name, in pages: all, or those that every parameter fits',
      query: z.strictObject({ ...pageParameters(), ...userFilter }),
      body: noBody,
      answer: usersPage,
      handle: async ({ query, caller }) => {
        const found = Iterator.from(usersOf(ports, caller).list()).filter((user) => fits(user, query));
        if (query.enrolled === undefined) {
          const { rows, next } = pageByName(found, query);
          return { body: { users: rows.map(viewUserRow), next } };
        }
        const enrolled = await twoFactor.listEnrolled();
        const wanted = found.filter(({ username }) => enrolled.has(username) === (query.enrolled === 'yes'));
        const { rows, next } = pageByName(wanted, query);
        return { body: { users: rows.map(viewUserRow), next } };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users',
      role: 'admin',
      groupAdmin: 'scoped',
      summary: 'Add a user; `set` as in a change of one that is there',
      query: noQuery,
      body: z.strictObject({
        username: z.string().min(1).max(255),
        /** Whose file it begins as, but for name, address, password and keys. */
        template: z.string().min(1).max(255).optional(),
        set: keysToSet,
        password: password.optional(),
      }),
      answer: userAnswer,
      status: 201,
      handle: async ({ body, caller }) => {
        requirePlainFields(body.set);
        const hash =
          body.password === undefined ? undefined : await passwords.hash(body.password, body.username);
        // What a group administrator may add has no past; a name that has one is not theirs to decide about.
        if (caller.administrator === undefined) twoFactor.expectAnother(body.username);
        const { username, template, set } = body;
        if (template !== undefined) requireUser(usersOf(ports, caller), template);
        const own = { ...set, ...(hash !== undefined && { password: hash.expose() }) };
        const etag = await usersOf(ports, caller).create(username, own, template);
        return answerUser(body.username, etag);
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/users/{user}',
      role: 'viewer',
      groupAdmin: 'theirs',
      summary: 'One user as in force',
      query: noQuery,
      body: noBody,
      answer: userAnswer,
      handle: async ({ param }) => answerUser(param('user'), await users.etag(param('user'))),
    }),
    defineRoute({
      method: 'PATCH',
      pattern: '/v1/users/{user}',
      role: 'admin',
      groupAdmin: 'judged',
      summary: 'Change the user’s own file, key by dotted key; `unset` lets the inherited value show again',
      etag: etagOf,
      query: noQuery,
      body: keyChanges,
      answer: userAnswer,
      handle: async ({ param, body, caller, ifMatch }) => {
        requireUser(users, param('user'));
        requirePlainFields(body.set);
        const changes = requireChanges(body);
        const etag = await usersOf(ports, caller).change(param('user'), changes, ifMatch);
        return { ...answerUser(param('user'), etag), note: describeChanges(changes) };
      },
    }),
    defineRoute({
      method: 'DELETE',
      pattern: '/v1/users/{user}',
      role: 'admin',
      summary: 'Remove the user with sessions, leases, devices and second factor; files stay',
      etag: etagOf,
      query: noQuery,
      body: noBody,
      answer: noAnswer,
      handle: async ({ param, caller, ifMatch }) => {
        requireUser(users, param('user'));
        // The file first: a user whose factor is gone must never be there to sign in.
        await users.remove(param('user'), ifMatch);
        await twoFactor.forget(param('user'), { actor: caller.actor, reason: 'the user was removed' });
        return {};
      },
    }),
    defineRoute({
      method: 'GET',
      pattern: '/v1/users/{user}/effective',
      role: 'viewer',
      summary: 'Each effective value with the file and line it came from',
      query: noQuery,
      body: noBody,
      answer: originsAnswer,
      handle: async ({ param }) => {
        requireUser(users, param('user'));
        return { body: { username: param('user'), values: await users.origins(param('user')) } };
      },
    }),
    defineRoute({
      method: 'PUT',
      pattern: '/v1/users/{user}/password',
      role: 'admin',
      groupAdmin: 'judged',
      summary: 'Set a new password and end the user’s sessions',
      query: noQuery,
      body: z.strictObject({ password }),
      answer: noAnswer,
      handle: async ({ param, body, caller, ifMatch }) => {
        requireUser(users, param('user'));
        const hash = await passwords.hash(body.password, param('user'));
        const changes = [{ path: ['password'], value: hash.expose() }];
        await usersOf(ports, caller).change(param('user'), changes, ifMatch);
        await sessions.endAllOf(param('user'), 'password changed');
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/rename',
      role: 'admin',
      summary:
        'Give a user another name: what the person has follows, folders of theirs too; sessions and tokens end',
      query: noQuery,
      body: z.strictObject({ username: z.string().min(1).max(255), reason }),
      answer: userRenamed,
      handle: async ({ param, body, caller }) => {
        const why = { actor: caller.actor, reason: body.reason };
        const { moves, tokensEnded } = await renames.rename(param('user'), body.username, why);
        return {
          body: {
            username: body.username,
            moved: moves.map(({ storage, from, to }) => ({
              storage,
              from: from.join('/'),
              to: to.join('/'),
            })),
            tokens_ended: tokensEnded,
          },
          note: `to ${body.username}`,
        };
      },
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/users/{user}/password-link',
      role: 'admin',
      groupAdmin: 'judged',
      summary: 'Mail the user a link that sets a password, once; it ends an earlier one',
      query: noQuery,
      body: z.strictObject({
        reason,
        ttl_seconds: z.number().int().min(60).max(passwordLinkSecondsMax).default(passwordLinkSecondsDefault),
      }),
      answer: passwordLinkAnswer,
      status: 201,
      handle: async ({ param, body, caller }) => {
        requireUser(users, param('user'));
        // Looked at anew here: held for as long as a relay takes, no user file could be written.
        if (caller.administrator !== undefined)
          await administered(caller.administrator).hold(param('user'), async () => undefined);
        const { address, expiresAtMs } = await passwordLinks.issue(param('user'), {
          actor: caller.actor,
          reason: body.reason,
          ttlMs: body.ttl_seconds * 1000,
        });
        return { body: { sent_to: address, expires_at: new Date(expiresAtMs).toISOString() } };
      },
    }),
  ];
}

/** The users that there are for a caller. */
export function usersOf(
  { users, administered }: Pick<UserPorts, 'users' | 'administered'>,
  { administrator }: Caller,
): Pick<UserDirectory, 'find' | 'list' | 'create' | 'change'> {
  return administrator === undefined ? users : administered(administrator);
}

export function requireUser(users: Pick<UserDirectory, 'find'>, username: string): EffectiveUser {
  const user = users.find(username);
  if (user !== undefined) return user;
  throw new SallyportError('not-found', 'There is no such user', {
    detail: username,
    hint: 'sallyport users list',
  });
}

/** Passwords come in clear over their own route only: a hash that was made elsewhere would be a way around its rules. */
export function requirePlainFields(fields: Readonly<Record<string, unknown>>): void {
  if ('username' in fields || (fields['password'] ?? null) !== null) {
    throw new SallyportError('bad-request', 'This key can not be set so', {
      detail: 'username: POST /v1/users/{user}/rename; password: PUT /v1/users/{user}/password',
      hint: 'sallyport users passwd <user>',
    });
  }
}
