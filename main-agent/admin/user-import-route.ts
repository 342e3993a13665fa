import type { NewUser } from '#main-agent/users/user-writes.ts';
import { isSallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { z } from 'zod';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';
import { foreignHashCharactersMax, usersImportedAtOnceMax } from './limits.ts';
import { hashKeyAnswer, usersImported } from './user-answers.ts';
import { requirePlainFields, requireUser, type UserPorts } from './user-routes.ts';
import { reason } from './values.ts';

/**
 * `/v1/users/import` and `/v1/hash-key`: users of another system with the hashes it had of their passwords. The one way in for a hash that
 * was made elsewhere: the rules for new passwords do not see it, so it is wrapped and replaced at the first sign-in.
 */
export function buildUserImportRoutes({
  users,
  passwords,
  twoFactor,
}: Pick<UserPorts, 'users' | 'passwords' | 'twoFactor'>): readonly Route[] {
  const prepare = async (
    { username, set: fields, password_hash: hash }: Row,
    body: Body,
  ): Promise<NewUser | string> => {
    try {
      requirePlainFields(fields);
      const user = { username, template: body.template, fields };
      if (hash === undefined) return user;
      if (body.dry_run) return (await passwords.findProblem(hash)) ?? user;
      return { ...user, fields: { ...fields, password: (await passwords.takeOver(hash)).expose() } };
    } catch (error) {
      if (isSallyportError(error, 'config') || isSallyportError(error, 'bad-request'))
        return [error.publicMessage, error.detail].filter((part) => part !== undefined).join(': ');
      throw error;
    }
  };

  const importUsers = defineRoute({
    method: 'POST',
    pattern: '/v1/users/import',
    role: 'admin',
    summary:
      'Add users of another system with its password hashes, one answer for each; `dry_run` changes nothing',
    query: noQuery,
    body: importBody,
    answer: usersImported,
    handle: async ({ body }) => {
      if (body.template !== undefined) requireUser(users, body.template);
      const prepared = [];
      for (const row of body.users) prepared.push(await prepare(row, body));
      const wanted = prepared.filter((one) => typeof one !== 'string');
      if (!body.dry_run) for (const { username } of wanted) twoFactor.expectAnother(username);
      const problems = (await users.createAll(wanted, body.dry_run)).values();
      const results = prepared.map((one, index) => {
        const problem = typeof one === 'string' ? one : problems.next().value;
        const user = body.users[index]?.username ?? '';
        return { user, outcome: problem === undefined ? ('added' as const) : ('refused' as const), problem };
      });
      const added = results.filter(({ outcome }) => outcome === 'added').map(({ user }) => user);
      const note = `${body.dry_run ? 'tried out: ' : ''}${added.length} of ${results.length} users (${body.reason}): ${added.join(' ')}`;
      return { body: { dry_run: body.dry_run, results }, note };
    },
  });
  const hashKey = defineRoute({
    method: 'GET',
    pattern: '/v1/hash-key',
    role: 'admin',
    summary: 'The key (X25519) under which hashes of an import or an apply may be sealed for the vault',
    query: noQuery,
    body: noBody,
    answer: hashKeyAnswer,
    handle: async () => ({ body: { key: await passwords.boxKey() } }),
  });
  return [importUsers, hashKey];
}

const importBody = z.strictObject({
  users: z
    .array(
      z.strictObject({
        username: z.string().min(1).max(255),
        /** As in a change; a key that is none refuses this user alone. */
        set: z.record(z.string().max(128), z.unknown()).default({}),
        password_hash: z
          .string()
          .min(1)
          .max(foreignHashCharactersMax)
          .transform((text) => new Secret(text))
          .optional(),
      }),
    )
    .min(1)
    .max(usersImportedAtOnceMax),
  template: z.string().min(1).max(255).optional(),
  dry_run: z.boolean().default(false),
  reason,
});
type Body = z.output<typeof importBody>;
type Row = Body['users'][number];
